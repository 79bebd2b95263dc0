"""Whether a checkpoint may hold quantised weights, by the names of its tensors; without importing anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

SUFFIXES = (
    ".qweight",
    ".weight_packed",
    ".weight_scale",
    ".weight_scale_inv",
    ".SCB",
    ".biases",
    ".quant_state.bitsandbytes__nf4",
    ".quant_state.bitsandbytes__fp4",
    "_blocks",
    "_weight_qdata",
    ".qdata",
)
"""How the name of the one part ends by which each layout is recognised."""


def may_be_quantised(names: Iterable[str]) -> bool:
    """Whether it is worth to look for quantised weights among tensors of these names.

    Example:
        >>> may_be_quantised(["model.layers.0.mlp.down_proj.qweight"])
        True
    """
    return any(name.endswith(SUFFIXES) for name in names)
