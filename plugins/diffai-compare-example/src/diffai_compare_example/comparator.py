"""From the counts of the pass to findings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffai_core.plugin import Comparison, Finding, PairResult

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from diffai_compare_example.fold import Flips

FLIPS = "diffai_compare_example.fold:SignFlips"


def compare(comparison: Comparison, options: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield a finding for each tensor with flipped signs, one for each changed tensor that cannot tell, and the sum.

    Tensors that were added, removed or left unchanged have no flips and are not mentioned.
    """
    n_flipped = n_values = 0
    for result in comparison.results:
        flips = result.statistics.get(FLIPS)
        if flips is not None and flips.n_values:
            n_flipped += flips.n_flipped
            n_values += flips.n_values
            if flips.n_flipped and flips.n_flipped / flips.n_values >= options["min_flipped_share"]:
                yield _flipped(result, flips)
        elif why := _why_not(result):
            message = f"sign flips of {result.pair.key} cannot be counted: {why}"
            yield Finding("sign_flips", where=result.pair.key, status="not_measurable", level="info", message=message)
    yield Finding(
        "sign_flips",
        level="info",
        values={"n_flipped": n_flipped, "n_values": n_values},
        message=f"{n_flipped:,} of {n_values:,} signs flipped in the tensors that changed",
    )


def _flipped(result: PairResult, flips: Flips) -> Finding:
    share = flips.n_flipped / flips.n_values
    return Finding(
        "sign_flips",
        where=result.pair.key,
        level="info",
        values={"n_flipped": flips.n_flipped, "n_values": flips.n_values, "share": share},
        null={"share": 0.5},  # two unrelated tensors, each symmetric about zero
        message=f"{flips.n_flipped:,} of {flips.n_values:,} signs flipped ({share:.2%})",
    )


def _why_not(result: PairResult) -> str:
    if result.reason:
        return result.reason
    if result.pair.old is not None and result.pair.new is not None and not result.same_shape:
        return f"the shape changed from {result.pair.old.shape} to {result.pair.new.shape}"
    if FLIPS in result.statistics:
        return "no element is a finite number on both sides"
    return ""
