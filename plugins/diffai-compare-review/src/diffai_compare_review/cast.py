"""Is NEW a rounding of OLD, or OLD one of NEW?"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from diffai_compare_review.causes import Cause

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from diffai_compare_review.look import Look
    from diffai_compare_review.matrix import Matrix

    Stored = NDArray[Any] | Matrix
    Rounding = Callable[[NDArray[Any]], NDArray[Any]]

_NARROW = ("bfloat16", "float16", "float8_e4m3fn", "float8_e5m2")
_MANY = 1 << 16
"""Elements of a small tensor that are all checked."""
_CHUNK = 1 << 20
_FEWEST = 4
"""Changed elements among those checked that it takes: unchanged ones are a rounding of themselves."""


class _Hypothesis(NamedTuple):
    """How one side comes from the other: ``rounding`` of OLD gives NEW, or of NEW gives OLD if ``backward``."""

    label: str
    rounding: Rounding
    backward: bool = False

    def holds(self, old: NDArray[Any], new: NDArray[Any]) -> bool:
        """Whether all these elements are explained."""
        source, target = (new, old) if self.backward else (old, new)
        return _equal(self.rounding(source), target)


def cast_cause(look: Look) -> Cause | None:
    """Return the cast that makes every element looked at equal; a near miss is no cast."""
    pair = look.result.pair
    if pair.old is None or pair.new is None or {pair.old.dtype.kind, pair.new.dtype.kind} != {"float"}:
        return None
    old, new = _elements(look)
    for hypothesis in _hypotheses(old, new):
        n_changed = _explained(hypothesis, old, new)
        if n_changed >= min(_FEWEST, look.statistics["changes"].n_changed, old.size):
            return _cause(hypothesis, old, new, n_changed)
    return None


def _cause(hypothesis: _Hypothesis, old: Stored, new: Stored, n_changed: int) -> Cause:
    direction = "backward" if hypothesis.backward else "forward"
    details = {
        "old_dtype": old.dtype.name,
        "new_dtype": new.dtype.name,
        "rounding": hypothesis.label,
        "direction": direction,
        "n_checked": int(old.size),
        "n_rounded": n_changed,
        "equal_share": 1.0,
    }
    stored = f", stored as {new.dtype.name}" if old.dtype == new.dtype else f"{old.dtype.name} -> {new.dtype.name}, "
    told = f"{hypothesis.label}{stored}" if old.dtype == new.dtype else f"{stored}{hypothesis.label}"
    return Cause("dtype_cast", f"{told}{', OLD is the rounding of NEW' if hypothesis.backward else ''}", details)


def _elements(look: Look) -> tuple[Stored, Stored]:
    """Return what is checked: all elements of a small tensor and in a full look, else those of the window."""
    if look.effort.full or look.old.size <= _MANY:
        return look.old, look.new
    return look.window.stored_old, look.window.stored_new


def _hypotheses(old_values: Stored, new_values: Stored) -> Iterator[_Hypothesis]:
    """Yield the roundings that could be, the simplest first."""
    old, new = old_values.dtype, new_values.dtype
    if old == new:
        if not _may_be_narrow(old_values, new_values):
            return
        narrow = [name for name in _NARROW if _numpy(name).itemsize < old.itemsize]
        roundings = [_Hypothesis(f"rounded to {name}", partial(_through, name=name)) for name in narrow]
        if old == np.float32:
            roundings.append(_Hypothesis("truncated to bfloat16", _truncated_in_place))
        yield from roundings
        yield from (_Hypothesis(label, rounding, backward=True) for label, rounding, _ in roundings)
        return
    backward = new.itemsize > old.itemsize
    narrower = old if backward else new
    yield _Hypothesis("rounded to nearest", partial(_to, dtype=narrower), backward)
    if {old.name, new.name} == {"float32", "bfloat16"}:
        yield _Hypothesis("truncated", _truncated, backward)
    if not backward:
        for name in _NARROW[:2]:
            if name not in {old.name, new.name}:
                yield _Hypothesis(f"rounded to {name} and then to nearest", partial(_by_way_of, name=name, dtype=new))


def _may_be_narrow(old: Stored, new: Stored) -> bool:
    """Whether the last bits of one side may all be zero, as those of values of a narrower dtype are."""
    unused = {2: 0x7, 4: 0x1FFF, 8: 0x1FFFFFFF}.get(old.dtype.itemsize)
    if unused is None or old.dtype.name not in {"float16", "bfloat16", "float32", "float64"}:
        return False
    words = [np.ascontiguousarray(side[:1]).view(f"u{side.dtype.itemsize}") for side in (old, new)]
    return not all(np.any(word & word.dtype.type(unused)) for word in words)


def _explained(hypothesis: _Hypothesis, old: Stored, new: Stored) -> int:
    """Return how many of the elements changed, all of them as the hypothesis says; -1 if one did not."""
    if not hypothesis.holds(old[:1], new[:1]):
        return -1
    n_changed = 0
    step = max(_CHUNK // old.shape[1], 1)
    for start in range(0, len(old), step):
        a, b = old[start : start + step], new[start : start + step]
        if not hypothesis.holds(a, b):
            return -1
        n_changed += int(np.count_nonzero(a.astype(np.float64) != b.astype(np.float64)))
    return n_changed


def _numpy(name: str) -> np.dtype[Any]:
    if name == "float16":
        return np.dtype(np.float16)
    import ml_dtypes

    found: np.dtype[Any] = np.dtype(getattr(ml_dtypes, name))
    return found


def _to(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    with np.errstate(all="ignore"):  # what is beyond the narrow dtype becomes infinite, as in any cast
        return values.astype(dtype)


def _through(values: NDArray[Any], name: str) -> NDArray[Any]:
    return _to(values, _numpy(name)).astype(values.dtype)


def _by_way_of(values: NDArray[Any], name: str, dtype: np.dtype[Any]) -> NDArray[Any]:
    return _to(_to(values, _numpy(name)), dtype)


def _truncated(values: NDArray[Any]) -> NDArray[Any]:
    """Return float32 cut to its upper 16 bits, as bfloat16."""
    upper = np.ascontiguousarray(values).view(np.uint32) >> np.uint32(16)
    return upper.astype(np.uint16).view(_numpy("bfloat16"))


def _truncated_in_place(values: NDArray[Any]) -> NDArray[Any]:
    return (np.ascontiguousarray(values).view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)


def _equal(left: NDArray[Any], right: NDArray[Any]) -> bool:
    """Whether all elements are equal in value, NaN to NaN."""
    with np.errstate(invalid="ignore"):
        return bool(np.all((left == right) | (np.isnan(left) & np.isnan(right))))
