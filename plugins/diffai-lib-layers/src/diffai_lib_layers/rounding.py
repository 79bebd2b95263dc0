"""How much one rounding to a dtype changes a tensor: the yardstick for a change that may be no more than a cast."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diffai_core.plugin import TensorRef

ROUNDING = {
    "float64": 4.6e-17,
    "float32": 2.5e-8,
    "float16": 2.07e-4,
    "bfloat16": 1.66e-3,
    "float8_e4m3fn": 2.65e-2,
    "float8_e5m2": 5.3e-2,
}
"""Norm of the rounding error over the norm of the tensor, of normally distributed weights (of fp8 with a scale for the
tensor); measured."""


def rounding_of(*refs: TensorRef | None) -> float | None:
    """Return the relative RMS error of one rounding to the coarsest of the dtypes.

    Args:
        refs: Tensors, for instance both sides of a pair; ``None`` is left out.

    Returns:
        The error, without unit; ``None`` if it is not known for one of the dtypes: integers, quantised tensors.
    """
    known = [None if ref.quantization is not None else ROUNDING.get(ref.dtype.name) for ref in refs if ref is not None]
    found = [rounding for rounding in known if rounding is not None]
    return max(found) if found and len(found) == len(known) else None
