"""The laws of a fold: a mergeable statistic that rides in the one pass."""

from __future__ import annotations

import pickle
from dataclasses import fields, is_dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from diffai_core.accumulators import Block, PairLayout, Workspace
from diffai_core.dtypes import dtype as find_dtype
from diffai_core.lazy import resolve
from diffai_core.testing.arrays import sample_array

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from diffai_core.accumulators import Fold

_DTYPES = ("float32", "float64", "bfloat16", "float8_e4m3fn", "int64", "uint8", "bool", "int4", "complex64")
_ROWS, _COLUMNS = 12, 8
_CUTS = ((0, 12), (0, 1, 12), (0, 11, 12), (0, 3, 4, 9, 12), tuple(range(13)))


def check_fold(target: str, view: Callable[[Any], Any] = lambda result: result) -> None:
    """Fail unless the fold named by ``target`` is mergeable.

    Checked for every kind of dtype, on small finite numbers, zeros, NaN and Inf: cutting the tensor elsewhere, merging
    in another order or merging with an empty state changes the result by no more than rounding; states are picklable.

    Args:
        target: ``package.module:object``, as in ``needs``.
        view: Returns what has to agree of a result, where one thing can be written in several ways.

    Raises:
        PluginError: If there is no such fold.
        AssertionError: If a law is broken; the message says which.
    """
    found = resolve(target, "the fold under test")
    fold = _Viewed(found() if isinstance(found, type) else found, view)
    for name in _DTYPES:
        for tame in (True, False):
            _check(fold, _Pair(name, tame=tame), f"{target} on {name}")
    _check(fold, _Pair("float32", tame=True, rows=0), f"{target} on an empty tensor")


class _Viewed:
    """A fold whose result is looked at through a function."""

    def __init__(self, fold: Fold[Any, Any], view: Callable[[Any], Any]) -> None:
        self.start, self.update, self.merge = fold.start, fold.update, fold.merge
        self._fold, self._view = fold, view

    def finish(self, state: Any) -> Any:
        """Return what has to agree."""
        return self._view(self._fold.finish(state))


class _Pair:
    """Two small matrices that differ, and the blocks of their rows."""

    def __init__(self, dtype: str, *, tame: bool, rows: int = _ROWS) -> None:
        kind = find_dtype(dtype)
        self.layout = PairLayout.of((rows, _COLUMNS), kind, kind)
        self.sides = [_values(dtype, seed, rows, tame=tame) for seed in (1, 2)]
        self.sides[1][: rows // 3] = self.sides[0][: rows // 3]
        self.rows = rows

    def block(self, first: int, last: int) -> Block:
        old, new = (side[first:last].reshape(-1) for side in self.sides)
        same = old.tobytes() == new.tobytes()
        return Block(self.layout, Workspace(), first * _COLUMNS, old, new, same)


def _values(dtype: str, seed: int, rows: int, *, tame: bool) -> NDArray[Any]:
    if not tame:
        return sample_array(dtype, (rows, _COLUMNS), seed)
    numbers = np.random.default_rng(seed).integers(-3, 4, (rows, _COLUMNS))
    if find_dtype(dtype).kind in {"uint", "bool"}:
        numbers = np.abs(numbers)
    return numbers.astype(find_dtype(dtype).numpy)


def _check(fold: Fold[Any, Any], pair: _Pair, label: str) -> None:
    with np.errstate(all="ignore"):
        whole = fold.finish(_state(fold, pair, 0, pair.rows))
        for cuts in _CUTS if pair.rows else ():
            parts = [_state(fold, pair, first, last) for first, last in pairwise(cuts)]
            for order, merged in (
                ("left to right", _from_left(fold, parts)),
                ("right to left", _from_right(fold, parts)),
            ):
                complaint = _difference(whole, fold.finish(merged))
                assert not complaint, f"{label}: cut at {cuts} and merged {order}: {complaint}"
        for side, merged in (
            ("left", fold.merge(fold.start(pair.layout), _state(fold, pair, 0, pair.rows))),
            ("right", fold.merge(_state(fold, pair, 0, pair.rows), fold.start(pair.layout))),
        ):
            complaint = _difference(whole, fold.finish(merged))
            assert not complaint, f"{label}: start() merged from the {side} is no identity: {complaint}"


def _state(fold: Fold[Any, Any], pair: _Pair, first: int, last: int) -> Any:
    state = fold.start(pair.layout)
    if last > first:
        state = fold.update(state, pair.block(first, last))
    return pickle.loads(pickle.dumps(state))  # noqa: S301 - as if it came from another worker


def _from_left(fold: Fold[Any, Any], parts: Sequence[Any]) -> Any:
    states = pickle.loads(pickle.dumps(list(parts)))  # noqa: S301 - merging may change them
    total = states[0]
    for state in states[1:]:
        total = fold.merge(total, state)
    return total


def _from_right(fold: Fold[Any, Any], parts: Sequence[Any]) -> Any:
    states = pickle.loads(pickle.dumps(list(parts)))  # noqa: S301 - merging may change them
    total = states[-1]
    for state in reversed(states[:-1]):
        total = fold.merge(state, total)
    return total


def _difference(wanted: Any, found: Any, path: str = "result") -> str:
    """Say where two results differ by more than the rounding of float64; empty if they do not."""
    if is_dataclass(wanted) and type(wanted) is type(found):
        names = [field.name for field in fields(wanted)]
        return _first(_difference(getattr(wanted, n), getattr(found, n), f"{path}.{n}") for n in names)
    if isinstance(wanted, dict) and isinstance(found, dict) and wanted.keys() == found.keys():
        return _first(_difference(wanted[key], found[key], f"{path}[{key!r}]") for key in wanted)
    if isinstance(wanted, list | tuple) and isinstance(found, list | tuple) and len(wanted) == len(found):
        return _first(_difference(w, f, f"{path}[{i}]") for i, (w, f) in enumerate(zip(wanted, found, strict=True)))
    if isinstance(wanted, int | float | complex | np.ndarray | np.generic):
        left, right = np.asarray(wanted), np.asarray(found)
        if left.shape == right.shape and left.dtype.kind in "biufc" and right.dtype.kind in "biufc":
            same = np.allclose(left, right, rtol=1e-9, atol=1e-12, equal_nan=True)
            return "" if same else f"{path} is {found!r} instead of {wanted!r}"
    return "" if wanted == found else f"{path} is {found!r} instead of {wanted!r}"


def _first(complaints: Any) -> str:
    return next(filter(None, complaints), "")
