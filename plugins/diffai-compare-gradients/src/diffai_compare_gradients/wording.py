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
        kinds = ", ".join(sorted({optimizer.kind or "unknown" for optimizer in optimizers}))
        left = " of the keys that were selected" if comparison.keys.active else ""
        return f"the state of this optimizer ({kinds}) keeps no running mean of gradients or their squares{left}"
    if any(source.second is not None for source in sources):
        return "the files do not say the step or betas that correct running means; needs step and param_groups"
    return "the optimizer keeps no running mean of squared gradients, so that their size is not known"
