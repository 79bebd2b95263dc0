"""The weights of one side with what the pass measured of them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Literal

from diffai_lib_layers import is_matrix

from diffai_compare_architecture.reading import blocks_of

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    from diffai_core.plugin import Comparison, PairResult, TensorRef

SideName = Literal["old", "new"]
_LEAST = 16
"""Tensors of fewer elements can be alike by chance."""


@dataclass(frozen=True)
class Weight:
    """A tensor of one side.

    Args:
        ref: The tensor.
        n_zero: Elements that are 0; ``None`` if they were not counted, as of complex ones.
        dead_rows: Rows of a matrix that are zero throughout; ``None`` if it is none, or was not measured.
        look: What two equal tensors have in common; ``None`` for constants and what was not measured.
    """

    ref: TensorRef
    n_zero: int | None
    dead_rows: int | None
    look: Hashable


def weights_of(comparison: Comparison, side: SideName) -> list[Weight]:
    """Return the weights of one side, tied storage once."""
    found: dict[Hashable, Weight] = {}
    for result in comparison.results:
        ref = getattr(result.pair, side)
        if ref is not None and ref.is_parameter and ref.numel and ref.storage not in found and _is_number(ref):
            found[ref.storage] = _weight(result, ref, side)
    return list(found.values())


def _is_number(ref: TensorRef) -> bool:
    return ref.quantization is not None or ref.dtype.kind in {"float", "complex"}


def _weight(result: PairResult, ref: TensorRef, side: SideName) -> Weight:
    counts, moments, rows = (_of(result, name) for name in ("counts", "moments", "rows"))
    n_zero = None if counts is None or ref.dtype.kind == "complex" else getattr(counts, side).n_zero
    dead = None
    if rows is not None and is_matrix(ref):
        dead = int((rows.old_all_zero if side == "old" else rows.new_all_zero).sum())
    centred = None if moments is None else getattr(moments, side)
    varies = centred is not None and centred.n >= _LEAST and centred.m2
    look = (ref.shape, ref.stored_as, n_zero, centred) if varies else None
    return Weight(ref, n_zero, dead, look)


def _of(result: PairResult, name: str) -> Any:
    return result.statistics.get(name)


def duplicates_of(comparison: Comparison, weights: Sequence[Weight]) -> list[tuple[str, ...]]:
    """Return groups of tensors that hold the same values in storage of their own, each group and all groups sorted.

    Only tensors of equal shape and statistics are read; constants, such as norms that are all one, are none.
    """
    groups: dict[Hashable, list[TensorRef]] = defaultdict(list)
    for weight in weights:
        if weight.look is not None:
            groups[weight.look].append(weight.ref)
    alike = [ref for group in groups.values() if len(group) > 1 for ref in group]
    same: dict[Hashable, list[str]] = defaultdict(list)
    for ref, digest in zip(alike, comparison.map(_digest, alike, nbytes=lambda ref: ref.nbytes), strict=True):
        same[ref.shape, ref.stored_as, digest].append(ref.name)
    return sorted(tuple(sorted(names)) for names in same.values() if len(names) > 1)


def _digest(ref: TensorRef) -> bytes:
    import numpy as np

    state = blake2b(digest_size=16)
    for block in blocks_of(ref):
        state.update(np.ascontiguousarray(block).view(np.uint8).data)
    return state.digest()


def total(numbers: Iterable[int | None]) -> int:
    """Return the sum of what is known."""
    return sum(number for number in numbers if number is not None)
