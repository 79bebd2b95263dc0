"""What other schemes would cost, and which is the smallest that a limit allows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from diffai_compare_quantization.judge import median
from diffai_compare_quantization.look import columns_of
from diffai_compare_quantization.schemes import CANDIDATES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from diffai_compare_quantization.look import Look
    from diffai_compare_quantization.schemes import Scheme


def predictions(looks: Sequence[Look]) -> list[dict[str, Any]]:
    """Return what rounding the matrices of NEW to nearest would cost, a row for each scheme that all of them allow.

    Estimated from sampled rows. A SQNR is ``None`` where nothing is lost, or where values become infinite; how many
    matrices that is the case for stands beside it.
    """
    matrices = [look for look in looks if look.candidates]
    return [
        _row(scheme, matrices)
        for scheme in CANDIDATES
        if matrices and all(scheme.name in look.candidates for look in matrices)
    ]


def _row(scheme: Scheme, matrices: Sequence[Look]) -> dict[str, Any]:
    rated = [(look.candidates[scheme.name], look.target.key) for look in matrices]
    n_elements = sum(look.target.new.numel for look in matrices)
    refs = [look.target.new for look in matrices]
    n_bits = sum(scheme.bits_per_weight(columns_of(ref), ref.numel) * ref.numel for ref in refs)
    least, worst = min(rated)
    return {
        "scheme": scheme.name,
        "bits_per_weight": n_bits / n_elements,
        "bytes": math.ceil(n_bits / 8),
        "sqnr_db": _plain(median([value for value, _ in rated])),
        "worst_sqnr_db": _plain(least),
        "worst": worst,
        "n_matrices": len(matrices),
        "n_lossless": sum(value == math.inf for value, _ in rated),
        "n_overflow": sum(value == -math.inf for value, _ in rated),
    }


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None


def recommended(found: Sequence[Mapping[str, Any]], most_error: float) -> str | None:
    """Return the scheme of fewest bits whose relative error is at most ``most_error`` in every matrix; or ``None``."""
    least_db = -20 * math.log10(most_error) if most_error > 0 else math.inf
    fitting = [row for row in found if not row["n_overflow"] and _worst(row) >= least_db]
    return min(fitting, key=lambda row: row["bits_per_weight"])["scheme"] if fitting else None


def _worst(row: Mapping[str, Any]) -> float:
    found = row["worst_sqnr_db"]
    return math.inf if found is None else float(found)
