"""Gradients that were saved themselves: tensors of the role ``gradients``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from diffai_compare_gradients.sums import exact_sum

if TYPE_CHECKING:
    from diffai_compare_gradients.sums import SideSums
    from diffai_core.plugin import Comparison


def dumped(comparison: Comparison, sums: SideSums, side: str) -> dict[str, Any]:
    """Return norm and number of the gradients that one side has saved; nothing if it has none."""
    refs = [
        ref
        for result in comparison.results
        if (ref := getattr(result.pair, side)) is not None
        and ref.role == "gradients"
        and (ref.dtype.kind == "float" or ref.quantization is not None)
    ]
    if not refs:
        return {}
    sums.measure(refs)
    measured = [sums.of(ref) for ref in refs]
    squares = exact_sum(one.squares for one in measured if math.isfinite(one.squares))
    return {
        "grad_norm": math.sqrt(squares),
        "n_gradients": len(refs),
        "n_not_finite": sum(one.n - one.n_finite for one in measured),
    }
