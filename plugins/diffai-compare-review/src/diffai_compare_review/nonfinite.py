"""Did values become NaN or infinite, and nothing else?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_compare_review.gates import counted
from diffai_compare_review.named import Name, evidence
from diffai_compare_review.words import joined

if TYPE_CHECKING:
    from collections.abc import Sequence

    from diffai_core.plugin import PairResult

_FEW = 2


def became_non_finite(changed: Sequence[PairResult]) -> Sequence[PairResult]:
    """Return the tensors of which NEW has fewer finite values than OLD."""
    return [result for result in changed if lost(result) > 0]


def lost(result: PairResult) -> int:
    """Return how many finite values NEW has less."""
    moments = result.statistics.get("moments")
    return 0 if moments is None else int(moments.old.n - moments.new.n)


def non_finite_change(changed: Sequence[PairResult]) -> Name | None:
    """Return the name of a change in which all that changed became NaN or infinite."""
    if not changed or not all(lost(result) > 0 and _rest_is_kept(result) for result in changed):
        return None
    n_lost = sum(map(lost, changed))
    where = joined([result.pair.key for result in changed]) if len(changed) <= _FEW else counted(len(changed), "tensor")
    text = f"NaN or infinite ({n_lost:,} values that were finite, in {where}; a fault, not training)"
    found = evidence("n_lost", n_lost, 0)
    details = {"n_lost": n_lost, "tensors_lost": [result.pair.key for result in changed]}
    return Name("non_finite", text, details, (found,), coverage=1.0)


def _rest_is_kept(result: PairResult) -> bool:
    moments = result.statistics["moments"]
    return not moments.n_finite_pairs or moments.rel_change == 0
