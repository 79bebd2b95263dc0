"""Whether the scales of a quantised tensor can be scales."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from diffai_compare_quantization.sample import numbers

if TYPE_CHECKING:
    from diffai_core.plugin import TensorRef

_MOST = 1 << 26
"""Scales of one tensor that are looked at, at most."""


class Scales(NamedTuple):
    """Counts of scales that cannot be right, or that make all of their elements 0.

    Args:
        n: All scales.
        n_zero: Zeros.
        n_not_finite: NaN and infinities.
        n_negative: Negative ones; not counted where they are right, beside the biases of MLX.
    """

    n: int = 0
    n_zero: int = 0
    n_not_finite: int = 0
    n_negative: int = 0

    def faults(self, n_elements: int, n_zero_before: int | None) -> list[str]:
        """Return what is wrong, for people.

        Args:
            n_elements: Elements of the tensor.
            n_zero_before: Zeros among them in OLD, if it is known: what is under a zero scale must be among them.
        """
        found = [
            f"{count:,} {what}"
            for count, what in ((self.n_not_finite, "NaN or infinite"), (self.n_negative, "negative"))
            if count
        ]
        lost = self.n_zero * n_elements // self.n if self.n else 0
        if n_zero_before is not None and lost > n_zero_before:
            found.append(f"{self.n_zero:,} zero, over elements that are not zero in OLD")
        return found


def scales_of(ref: TensorRef) -> Scales | None:
    """Return what the scales of a quantised tensor are like; ``None`` if they do not lie beside the codes.

    Raises:
        LoadError: If the bytes cannot be read as declared.
    """
    parts = [part for part in parts_of(ref) if _is_scale(part)]
    signed = any(part.name.endswith("biases") for part in parts_of(ref))
    total = Scales()
    for part in parts:
        if part.numel > _MOST:
            return None
        for block in part.blocks(1 << 20):
            values = numbers(block)
            n_negative = 0 if signed else np.sum(values < 0)
            counts = (values.size, np.sum(values == 0), np.sum(~np.isfinite(values)), n_negative)
            total = Scales(*(old + int(count) for old, count in zip(total, counts, strict=True)))
    return total if parts else None


def parts_of(ref: TensorRef) -> tuple[TensorRef, ...]:
    """Return what a quantised tensor is computed from."""
    return ref.quantization.stored if ref.quantization else ()


def _is_scale(part: TensorRef) -> bool:
    """Whether a stored part holds scales: floats that the format calls so."""
    leaf = part.name.lower().rpartition(".")[2].rpartition(":")[2]
    return (
        part.dtype.kind == "float"
        and part.dtype.name != "float8_e8m0fnu"
        and ("scale" in leaf or leaf in {"absmax", "scb"})
    )
