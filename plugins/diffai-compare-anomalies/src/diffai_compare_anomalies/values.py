"""What single values of a tensor tell: not finite, near the end of the range, subnormal, all the same."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from diffai_compare_anomalies.flags import Flag

if TYPE_CHECKING:
    from collections.abc import Iterator

    from diffai_compare_anomalies.sides import SideTensor

_GREATEST = {"float16": 65504.0, "bfloat16": 3.3895313892515355e38, "float32": 3.4028234663852886e38}
_GREATEST |= {"float64": 1.7976931348623157e308}
_NEAR = 0.5
_SMALLEST_NORMAL = {"float16": 2.0**-14, "bfloat16": 2.0**-126, "float32": 2.0**-126, "float64": 2.0**-1022}
_SUBNORMAL_SHARE = 0.01
_NULL_FACTOR = 3.0
_FEW = 16


def value_flags(tensor: SideTensor) -> Iterator[Flag]:
    """Yield what is wrong with the values of one tensor."""
    yield from _not_finite(tensor)
    if tensor.ref.is_parameter and tensor.is_float and tensor.ref.quantization is None:
        yield from _near_overflow(tensor)
        yield from _subnormal(tensor)
    if tensor.ref.is_parameter and tensor.is_constant:
        yield _constant(tensor)


def _not_finite(tensor: SideTensor) -> Iterator[Flag]:
    counts = tensor.counts
    n = counts.n - counts.n_finite
    if not n:
        return
    kinds = {"NaN": counts.n_nan, "Inf": counts.n_pos_inf, "-Inf": counts.n_neg_inf}
    said = ", ".join(f"{count:,} {kind}" for kind, count in kinds.items() if count)
    more = {"n_nan": counts.n_nan, "n_pos_inf": counts.n_pos_inf, "n_neg_inf": counts.n_neg_inf, "n": counts.n}
    yield Flag(tensor.key, "non_finite", n, f"{said} among {counts.n:,} values", 0, 0, "convention", more=more)


def _near_overflow(tensor: SideTensor) -> Iterator[Flag]:
    limit = _GREATEST.get(tensor.ref.dtype.name)
    if limit is not None and tensor.max_abs > _NEAR * limit:
        value = tensor.max_abs / limit
        message = f"its largest value is {value:.0%} of the largest {tensor.ref.dtype.name}"
        yield Flag(tensor.key, "near_dtype_max", value, message, None, _NEAR, "convention")


def _subnormal(tensor: SideTensor) -> Iterator[Flag]:
    counts, least = tensor.counts, _SMALLEST_NORMAL.get(tensor.ref.dtype.name)
    rms = tensor.centred.rms
    if least is None or not counts.n or not rms or counts.n_subnormal < _FEW:
        return
    share = counts.n_subnormal / counts.n
    null = math.erf(least / rms / math.sqrt(2))
    if share > max(_SUBNORMAL_SHARE, _NULL_FACTOR * null):
        message = f"{share:.1%} of its values are subnormal, where normally distributed ones would be {null:.1%}"
        more = {"n_subnormal": counts.n_subnormal}
        yield Flag(tensor.key, "subnormal_share", share, message, null, _SUBNORMAL_SHARE, "convention", more=more)


def _constant(tensor: SideTensor) -> Flag:
    value = tensor.greatest
    role, part = tensor.place.role, tensor.place.part
    default = (value == 0 and (part == "bias" or role == "lora_b")) or (
        value == 1 and role in {"norm", "bn"} and part == "weight"
    )
    why = ": the default of such a tensor, never trained or left as it was" if default else ""
    shown = f"{value:g}" if isinstance(value, float) else value
    more = {"n": tensor.counts.n, "is_default": default}
    return Flag(tensor.key, "constant", value, f"all {tensor.counts.n:,} values are {shown}{why}", None, more=more)
