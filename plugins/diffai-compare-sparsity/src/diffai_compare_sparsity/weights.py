"""What the zeros of one weight are like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from diffai_compare_sparsity.masks import count_common_zeros
from diffai_compare_sparsity.patterns import (
    Pattern,
    exactly_two,
    find_pattern,
    jaccard_null,
    near_zero_share,
    share_2_4,
)
from diffai_core.plugin import Relation

if TYPE_CHECKING:
    from diffai_core.plugin import PairResult, TensorRef

NEAR = 1e-3
"""Fraction of the root mean square below which a weight is near zero."""
SPARSE = 0.01
"""Share of zeros from which a weight is called sparse."""
_STRUCTURED = 0.9
_HALF = 0.45
_CHANGED = frozenset({Relation.CHANGED, Relation.WITHIN_TOLERANCE})


@dataclass(frozen=True)
class Weight:
    """A weight of one side or of both.

    Args:
        result: What the pass has measured.
    """

    result: PairResult

    @property
    def key(self) -> str:
        """Name in NEW, or in OLD if it was removed."""
        return self.result.pair.key

    @property
    def new(self) -> TensorRef | None:
        """The tensor of NEW."""
        return self.result.pair.new

    @property
    def is_paired(self) -> bool:
        """Whether the elements of both sides stand against each other."""
        return self.result.same_shape

    def n_zero(self, side: str) -> int | None:
        """Return the zeros of a side; ``None`` if they were not counted."""
        counts = self.result.statistics.get("counts")
        return None if counts is None or getattr(self.result.pair, side) is None else int(getattr(counts, side).n_zero)

    def share(self, side: str) -> float | None:
        """Return the share of zeros of a side."""
        n_zero, ref = self.n_zero(side), getattr(self.result.pair, side)
        return None if n_zero is None or not ref.numel else n_zero / ref.numel

    @property
    def masks_differ(self) -> bool:
        """Whether both sides have zeros and only their elements tell which of them are common."""
        return self.is_paired and self.result.relation in _CHANGED and bool(self.n_zero("old") and self.n_zero("new"))

    def lines(self, which: str, side: str) -> tuple[int, int] | None:
        """Return how many rows (or columns) of a matrix are all zero, and how many there are."""
        found, ref = self.result.statistics.get(which), getattr(self.result.pair, side)
        if found is None or ref is None or len(ref.shape) < 2 or not ref.numel:  # noqa: PLR2004 - a matrix
            return None
        zeros = getattr(found, f"n_zero_{side}")
        return int((zeros == found.length).sum()), len(zeros)

    def groups(self, side: str) -> list[int] | None:
        """Return how many groups of four along the rows have 0 to 4 zeros."""
        found, ref = self.result.statistics.get("sparsity"), getattr(self.result.pair, side)
        if found is None or ref is None or len(ref.shape) < 2:  # noqa: PLR2004 - a matrix
            return None
        return [int(count) for count in getattr(found, side)]


@dataclass(frozen=True)
class Seen:
    """What the second look found.

    Args:
        near_zero: Share of the elements of NEW that are near zero and not zero, estimated.
        old_pattern: N:M pattern of OLD.
        new_pattern: N:M pattern of NEW.
        n_both: Elements that are zero on both sides; ``None`` if no elements stand against each other.
    """

    near_zero: float | None = None
    old_pattern: Pattern | None = None
    new_pattern: Pattern | None = None
    n_both: int | None = None


def second_look(weight: Weight) -> Seen:
    """Look at some elements of NEW, and for a pattern where nearly half of a matrix is zero.

    Raises:
        LoadError: If the bytes cannot be read as declared.
    """
    moments = weight.result.statistics.get("moments")
    rms = moments.new.rms if moments is not None and weight.new is not None else None
    near = near_zero_share(weight.new, NEAR * rms) if rms and weight.new is not None else None
    old_pattern, new_pattern = (_pattern(weight, side) for side in ("old", "new"))
    return Seen(near, old_pattern, new_pattern, _n_both(weight))


def _n_both(weight: Weight) -> int | None:
    n_old, n_new = weight.n_zero("old"), weight.n_zero("new")
    if not weight.is_paired or n_old is None or n_new is None:
        return None
    old, new = weight.result.pair.old, weight.result.pair.new
    if weight.masks_differ and old is not None and new is not None:
        return count_common_zeros(old, new)
    return min(n_old, n_new)  # the same elements, or no zeros on one side


def second_look_bytes(weight: Weight) -> int:
    """Return about how many bytes :func:`second_look` reads."""
    sides = ("old", "new")
    refs = [
        getattr(weight.result.pair, side) for side in sides if weight.masks_differ or _may_have_pattern(weight, side)
    ]
    return sum(ref.nbytes for ref in refs)


def _may_have_pattern(weight: Weight, side: str) -> bool:
    share = weight.share(side)
    return share is not None and _HALF <= share < 1


def _pattern(weight: Weight, side: str) -> Pattern | None:
    return find_pattern(getattr(weight.result.pair, side)) if _may_have_pattern(weight, side) else None


def row_of(weight: Weight, seen: Seen) -> dict[str, Any]:
    """Return the numbers of one weight, plain values."""
    share, n_zero, n_old, n_both = weight.share("new"), weight.n_zero("new"), weight.n_zero("old"), seen.n_both
    row: dict[str, Any] = {
        "tensor": weight.key,
        "class": class_of(weight, seen, "new"),
        "zero_share_old": weight.share("old"),
        "zero_share": share,
        "n_zero_old": n_old,
        "n_zero": n_zero,
        "near_zero_share": seen.near_zero,
        "pattern_old": _named(seen.old_pattern),
        "pattern": _named(seen.new_pattern),
    }
    counts = weight.result.statistics.get("counts")
    if n_zero is not None and counts is not None:
        row["n_neg_zero"] = int(counts.new.n_neg_zero)
    if n_both is not None and n_zero is not None and n_old is not None:
        row |= _overlap(n_old, n_zero, n_both, weight.new.numel if weight.new else 0)
    for which in ("rows", "columns"):
        for side, ending in (("old", "_old"), ("new", "")):
            lines = weight.lines(which, side)
            row[f"zero_{which}{ending}"] = None if lines is None else lines[0]
    groups = weight.groups("new")
    if groups and share and sum(groups):
        row |= _groups(groups, share)
    return row


def _named(pattern: Pattern | None) -> str | None:
    return None if pattern is None else f"{pattern} along axis {pattern.axis}"


def _overlap(n_old: int, n_new: int, n_both: int, n: int) -> dict[str, Any]:
    either = n_old + n_new - n_both
    return {
        "newly_zero": n_new - n_both,
        "regrown": n_old - n_both,
        "mask_jaccard": n_both / either if either else None,
        "mask_jaccard_null": jaccard_null(n_old / n, n_new / n) if n else None,
    }


def _groups(groups: list[int], share: float) -> dict[str, Any]:
    n_groups = sum(groups)
    return {
        "zeros_per_4": groups,
        "share_2_4": sum(groups[2:]) / n_groups,
        "share_2_4_null": share_2_4(share),
        "exactly_two_share": groups[2] / n_groups,
        "exactly_two_null": exactly_two(share),
    }


def class_of(weight: Weight, seen: Seen, side: str) -> str | None:
    """Return what the zeros of a side are: a word for each kind, ``None`` if they were not counted.

    - ``never_pruned``: all zero on both sides, as weights are that begin with zeros and were not trained;
    - ``all_zero``: all zero on this side alone;
    - an N:M pattern, with its axis where that is not the one of the inputs;
    - ``structured`` (whole rows or columns), ``unstructured``, or ``dense`` (under 1 %).
    """
    share, other = weight.share(side), weight.share("old" if side == "new" else "new")
    if share is None:
        return None
    if share == 1:
        return "never_pruned" if other in (1, None) else "all_zero"
    pattern = seen.new_pattern if side == "new" else seen.old_pattern
    if pattern is not None:
        return str(pattern) if pattern.axis in _inputs(getattr(weight.result.pair, side)) else _named(pattern)
    if share < SPARSE:
        return "dense"
    return "structured" if _in_lines(weight, side) >= _STRUCTURED else "unstructured"


def _inputs(ref: TensorRef) -> tuple[int, ...]:
    """Return the dimensions along which hardware looks for a pattern; both where a name does not tell the layout."""
    from diffai_lib_layers import is_transposed, place

    if is_transposed(ref):
        return (0,)
    return (1,) if place(ref.name).part == "weight" else (0, 1)


def _in_lines(weight: Weight, side: str) -> float:
    """Return the share of the zeros that are in rows or columns that are all zero."""
    n_zero, rows, columns = weight.n_zero(side), weight.lines("rows", side), weight.lines("columns", side)
    if not n_zero or rows is None or columns is None:
        return 0.0
    covered = rows[0] * columns[1] + columns[0] * rows[1] - rows[0] * columns[0]
    return covered / n_zero
