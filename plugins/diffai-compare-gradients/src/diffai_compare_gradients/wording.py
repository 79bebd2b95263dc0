"""Answers where nothing can be measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_core.plugin import Finding

if TYPE_CHECKING:
    from diffai_compare_gradients.moments import SideState
    from diffai_core.plugin import Comparison


def not_measurable(kind: str, message: str) -> Finding:
    """Return the one finding of an analysis that lacks its input."""
    return Finding(kind, status="not_measurable", level="info", message=message)


def why_not(comparison: Comparison, old: SideState, new: SideState) -> str:
    """Return what is missing and what to give."""
    if comparison.keys.ignore_optimizer_state:
        return "the optimizer's state is left out, as --ignore-optimizer-state asks; run without it"
    optimizers = [*old.training.optimizers, *new.training.optimizers]
    if not optimizers:
        return "needs the state of an optimizer (exp_avg, exp_avg_sq) or saved gradients; give training checkpoints"
    sources = [*old.sources, *new.sources]
    if not sources:
        return _forgetful(comparison, {optimizer.kind or "unknown" for optimizer in optimizers})
    sized = [source for source in sources if source.second is not None]
    if any(source.correction2 is not None for source in sized):
        return "the running means of squared gradients are not finite, or negative: the state is damaged or overflowed"
    if sized:
        return "the files do not say the step or betas that correct running means; needs step and param_groups"
    return "the optimizer keeps no running mean of squared gradients, so that their size is not known"


def _forgetful(comparison: Comparison, found: set[str]) -> str:
    """Return why the state of optimizers of these kinds tells nothing of gradients."""
    kinds = ", ".join(sorted(found))
    if any(kind.endswith("8bit") for kind in found):
        return f"the running means of this optimizer ({kinds}) are in 8-bit codes, which are not decoded"
    left = " of the keys that were selected" if comparison.keys.active else ""
    return f"the state of this optimizer ({kinds}) keeps no running mean of gradients or their squares{left}"
