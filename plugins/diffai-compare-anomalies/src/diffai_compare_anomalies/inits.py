"""Which tensors look as a library initialises them: their distribution is still that of the draw."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from diffai_lib_layers import matrix_shape

from diffai_compare_anomalies.flags import Flag

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from diffai_compare_anomalies.sides import SideTensor
    from diffai_core.plugin import TensorRef

_LEAST_UNIFORM = 1024
_LEAST_NORMAL = 16_384
_SIGMAS = 5.0
_NATS = 12.0
"""The largest of n uniform values is short of the bound by more than 12/n with probability e^-12."""

_KOLMOGOROV = 1.95
"""99.9 % quantile of D·√n."""

_RUNS, _RUN = 8, 2048
"""A sample: so many runs of so many values, enough to tell a draw from anything else of the same kurtosis."""

_ROUNDING = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "float32": 2.0**-23, "float64": 2.0**-52}


class Draw(NamedTuple):
    """A distribution that a library draws initial weights from.

    Args:
        name: What it is called.
        kind: ``uniform`` between -scale and scale, or ``normal`` with that standard deviation.
        scale: Bound or standard deviation.
    """

    name: str
    kind: str
    scale: float


def candidate(tensor: SideTensor) -> Draw | None:
    """Return the draw that range, spread and kurtosis of a tensor agree with, if there is one."""
    n, name, quantization = tensor.counts.n, tensor.ref.dtype.name, tensor.ref.quantization
    if n < _LEAST_UNIFORM or not tensor.can_vary or name not in _ROUNDING or quantization is not None:
        return None
    if not tensor.is_matrix:
        return None
    return next((draw for draw in _draws(tensor) if _agrees(tensor, draw)), None)


def _draws(tensor: SideTensor) -> Iterator[Draw]:
    n_out, n_in = matrix_shape(tensor.ref) or (0, 0)
    if not n_out or not n_in:
        return
    yield Draw("nn.Linear and nn.Conv (uniform, 1/√fan_in)", "uniform", 1 / math.sqrt(n_in))
    yield Draw("Xavier uniform", "uniform", math.sqrt(6 / (n_in + n_out)))
    yield Draw("Kaiming uniform", "uniform", math.sqrt(6 / n_in))
    yield Draw("normal with std 0.02", "normal", 0.02)
    yield Draw("normal with std 1 (nn.Embedding)", "normal", 1.0)
    yield Draw("Xavier normal", "normal", math.sqrt(2 / (n_in + n_out)))
    yield Draw("Kaiming normal (fan_in)", "normal", math.sqrt(2 / n_in))
    yield Draw("Kaiming normal (fan_out)", "normal", math.sqrt(2 / n_out))


def _agrees(tensor: SideTensor, draw: Draw) -> bool:
    n, centred, kurtosis = tensor.counts.n, tensor.centred, tensor.higher.ex_kurtosis
    if centred.mean is None or centred.std is None or kurtosis is None:
        return False
    rounding = _ROUNDING[tensor.ref.dtype.name]
    if draw.kind == "uniform":
        share, std = tensor.max_abs / draw.scale, draw.scale / math.sqrt(3)
        return (
            n >= _LEAST_UNIFORM
            and 1 - _NATS / n - rounding <= share <= 1 + rounding
            and abs(kurtosis + 1.2) <= _SIGMAS * math.sqrt(24 / n)
            and abs(centred.mean) <= _SIGMAS * std / math.sqrt(n)
        )
    return (
        n >= _LEAST_NORMAL
        and abs(centred.std / draw.scale - 1) <= _SIGMAS / math.sqrt(2 * n) + rounding / 8
        and abs(kurtosis) <= _SIGMAS * math.sqrt(24 / n)
        and abs(centred.mean) <= _SIGMAS * draw.scale / math.sqrt(n)
    )


def distance(ref: TensorRef, draw: Draw) -> tuple[float, int]:
    """Return the Kolmogorov-Smirnov distance of a tensor from a draw, and how many values it rests on.

    Of a large tensor evenly spaced runs are read, 16,384 values together.
    """
    values = np.sort(_sample(ref))
    n = len(values)
    if draw.kind == "uniform":
        expected = np.clip((values / draw.scale + 1) / 2, 0, 1)
    else:
        from scipy.special import ndtr

        expected = ndtr(values / draw.scale)
    above = np.arange(1, n + 1) / n - expected
    return float(max(above.max(), (1 / n - above).max())), n


def _sample(ref: TensorRef) -> NDArray[np.float64]:
    """Return all values of a small tensor, or evenly spaced runs of a large one, whatever its blocks are."""
    if ref.numel <= _RUNS * _RUN:
        return np.concatenate([block.astype(np.float64) for block in ref.blocks(1 << 20)])
    starts = [index * (ref.numel - _RUN) // (_RUNS - 1) for index in range(_RUNS)]
    places = np.add.outer(starts, np.arange(_RUN)).reshape(-1)
    return replace(ref, shape=(ref.numel,)).read_rows(places).astype(np.float64)


def untrained_flag(tensor: SideTensor, draw: Draw, found: float, n: int) -> Flag | None:
    """Return that a tensor is as it was drawn, if the distance says so."""
    limit = _KOLMOGOROV / math.sqrt(n) + _ROUNDING[tensor.ref.dtype.name] / 2
    if found > limit:
        return None
    message = f"its values are distributed as {draw.name} draws them: never trained, or frozen since"
    more = {"draw": draw.name, "scale": draw.scale, "n_sampled": n}
    return Flag(tensor.key, "untrained", found, message, None, limit, "calibrated", "hint", more)
