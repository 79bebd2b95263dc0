"""Few elements that differ in one bit each: a fault of storage or memory, not training."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from diffai_compare_review.survey import elements_of
from diffai_core.plugin import FileTensor, regroup

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from diffai_core.plugin import PairResult, TensorRef

MOST_SHARE = 1e-4
"""Share of changed elements above which it is no fault."""
ONE_BIT = 0.9
"""Share of the changed elements that differ in one bit."""
_MOST_CHANGED = 1000
_CHUNK = 1 << 20
_MOST_READ = 1 << 24
"""Elements that are read to find the changed ones; those found by the pass come first."""


class Flips(NamedTuple):
    """Changed elements whose bits were looked at.

    Args:
        n_changed: All changed elements.
        n_looked: Those whose bits were looked at.
        one_bit_share: Share of those that differ in one bit.
        places: Tensor, index into its elements, byte in the file of NEW (or ``None``) and bit, for the first 20.
    """

    n_changed: int
    n_looked: int
    one_bit_share: float
    places: list[dict[str, Any]]


_MOST_PLACES = 20


def bit_flips(changed: Sequence[PairResult], model: Sequence[PairResult]) -> Flips | None:
    """Return the changed elements if they are few and nearly all differ in one bit."""
    n_changed = sum(result.statistics["changes"].n_changed for result in changed if "changes" in result.statistics)
    if not 0 < n_changed <= _MOST_CHANGED or n_changed > max(MOST_SHARE * elements_of(model), 1):
        return None
    n_looked = n_one_bit = 0
    n_left = _MOST_READ
    places: list[dict[str, Any]] = []
    for result in changed:
        old, new = result.pair.old, result.pair.new
        if old is None or new is None or old.dtype != new.dtype or old.dtype.bits < 8:  # noqa: PLR2004 - whole bytes
            return None
        for index, before, after in _changed_elements(result, old, new, read=old.numel <= n_left):
            bits = np.bitwise_xor(np.frombuffer(before, np.uint8), np.frombuffer(after, np.uint8))
            flipped = np.flatnonzero(np.unpackbits(bits, bitorder="little"))
            n_looked += 1
            n_one_bit += len(flipped) == 1
            if len(flipped) == 1 and len(places) < _MOST_PLACES:
                places.append(_place(new, index, int(flipped[0])))
        n_left -= old.numel
    if not n_looked or n_one_bit < ONE_BIT * n_looked:
        return None
    return Flips(n_changed, n_looked, n_one_bit / n_looked, places)


def _changed_elements(
    result: PairResult, old: TensorRef, new: TensorRef, *, read: bool
) -> list[tuple[int, bytes, bytes]]:
    """Return index and bytes of the changed elements; of the one that changed most where not all are read."""
    extrema = result.statistics.get("extrema")
    one = None if extrema is None else extrema.max_abs_diff_index
    files = isinstance(old, FileTensor) and isinstance(new, FileTensor)
    if one is not None and files and (result.statistics["changes"].n_changed == 1 or not read):
        a, b = (replace(ref, shape=(ref.numel,)).read_rows([one]) for ref in (old, new))
        return [(one, a.tobytes(), b.tobytes())]
    return _search(old, new) if read else []


def _search(old: TensorRef, new: TensorRef) -> list[tuple[int, bytes, bytes]]:
    found: list[tuple[int, bytes, bytes]] = []
    start = 0
    for left, right in zip(*(regroup(ref.blocks(_CHUNK), _CHUNK, ref.dtype) for ref in (old, new)), strict=True):
        width = left.dtype.itemsize
        differ = np.any(_bytes(left, width) != _bytes(right, width), axis=1)
        found += [(start + int(at), left[at].tobytes(), right[at].tobytes()) for at in np.flatnonzero(differ)]
        start += len(left)
    return found


def _bytes(values: NDArray[Any], width: int) -> NDArray[np.uint8]:
    return np.ascontiguousarray(values).view(np.uint8).reshape(-1, width)


def _place(ref: TensorRef, index: int, bit: int) -> dict[str, Any]:
    offset = ref.offset + index * ref.dtype.bits // 8 + bit // 8 if isinstance(ref, FileTensor) else None
    return {"tensor": ref.name, "index": index, "file_offset": offset, "bit": bit}
