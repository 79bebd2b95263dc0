"""Schemes of quantisation: what rounding to nearest makes of a matrix, and of a normally distributed one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np

from diffai_core.plugin import dtype

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from diffai_core.plugin import TensorRef

Family = Literal["symmetric", "signed", "affine", "float", "nf4", "fp4", "power_of_two_fp4"]
Per = Literal["tensor", "row", "group"]

SCALE_BITS = 16
"""Bits that a scale of a candidate scheme takes."""

_NF4 = (
    *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635),
    *(-0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725),
    *(0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
)
_FP4_SIZES = (0.0, 0.0052083333, 0.16666667, 0.25, 0.33333333, 0.5, 0.66666667, 1.0)
_E2M1_SIZES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
_FP4 = tuple(sorted({sign * size for size in _FP4_SIZES for sign in (-1.0, 1.0)}))
_E2M1 = tuple(sorted({sign * size / 6 for size in _E2M1_SIZES for sign in (-1.0, 1.0)}))
NF4 = np.array(_NF4)
"""The levels of NF4 (Dettmers et al. 2023), as bitsandbytes has them."""


LARGEST = {"float16": 65504.0, "bfloat16": 3.3895313892515355e38, "float8_e4m3fn": 448.0, "float8_e5m2": 57344.0}
"""The largest finite number of each float format."""


@dataclass(frozen=True)
class Scheme:
    """How values are rounded.

    Args:
        name: What it is called.
        family: The kind of levels.
        bits: Bits of a code.
        per: What shares a scale; "tensor" also for formats without one.
        group: Consecutive elements of a row that share a scale, with ``per="group"``.
        scaled: Whether there is a scale; a plain cast has none.
    """

    name: str
    family: Family
    bits: int
    per: Per = "tensor"
    group: int = 0
    scaled: bool = True

    def bits_per_weight(self, columns: int, numel: int) -> float:
        """Return the bits that an element takes, scales of 16 bits (and zero points) included; each row has its own."""
        if not self.scaled:
            return float(self.bits)
        overhead = SCALE_BITS + (self.bits if self.family == "affine" else 0)
        if self.per == "tensor":
            return self.bits + overhead / max(numel, 1)
        n_scales = -(-columns // self.group) if self.per == "group" else 1
        return self.bits + overhead * n_scales / max(columns, 1)


CANDIDATES = (
    Scheme("float16", "float", 16, scaled=False),
    Scheme("bfloat16", "float", 16, scaled=False),
    Scheme("float8_e4m3fn per row", "float", 8, "row"),
    Scheme("int8 per tensor", "symmetric", 8),
    Scheme("int8 per row", "symmetric", 8, "row"),
    Scheme("int8 groups of 32", "symmetric", 8, "group", 32),
    Scheme("int4 groups of 32", "symmetric", 4, "group", 32),
    Scheme("int4 groups of 128", "symmetric", 4, "group", 128),
    Scheme("nf4 groups of 64", "nf4", 4, "group", 64),
)
"""Schemes whose cost is predicted for a model that is not quantised."""

_GGUF: dict[str, tuple[Family, int, int]] = {
    "q8_0": ("symmetric", 8, 32),
    "q4_0": ("signed", 4, 32),
    "q5_0": ("signed", 5, 32),
    "q4_1": ("affine", 4, 32),
    "q5_1": ("affine", 5, 32),
    "q2_k": ("affine", 2, 16),
    "q3_k": ("signed", 3, 16),
    "q4_k": ("affine", 4, 32),
    "q5_k": ("affine", 5, 32),
    "q6_k": ("signed", 6, 16),
}
_AFFINE = ("affine", "gptq", "awq", "mlx", "linear")
_MOST_BITS = 8
_BNB_GROUP = 64


def scheme_of(ref: TensorRef) -> Scheme | None:
    """Return rounding to nearest with the levels and scales that a quantised tensor has; ``None`` if it is unknown.

    The parts that the levels of K-quants are computed from are rounded themselves, which is left out.
    """
    found = ref.quantization
    if found is None:
        return None
    name = found.scheme.lower()
    if name in _GGUF:
        family, bits, group = _GGUF[name]
        return Scheme(found.scheme, family, bits, "group", group)
    per: Per = "group" if found.group_size else "tensor" if found.axis is None and not _is_by_row(name) else "row"
    family_of = _family(name, found.bits, [part.name for part in found.stored])
    if family_of is None or name.startswith(("iq", "tq", "lut", "sparse")):
        return None
    group = found.group_size or 0
    if family_of in {"nf4", "fp4"} and not group:
        per, group = "group", _BNB_GROUP
    return Scheme(found.scheme, family_of, int(found.bits), per, group)


def _is_by_row(name: str) -> bool:
    return name.startswith("bnb_int8") or "per_channel" in name


def _family(name: str, bits: float, parts: list[str]) -> Family | None:
    if "nf4" in name:
        return "nf4"
    if "mxfp4" in name:
        return "power_of_two_fp4"
    if "fp4" in name or "float4" in name:
        return "fp4"
    if "float8" in name or "fp8" in name:
        return "float"
    if bits != int(bits) or not 1 < bits <= _MOST_BITS:
        return None
    has_zero = any("zero" in part or "offset" in part for part in parts)
    return "affine" if has_zero or any(word in name for word in _AFFINE) else "symmetric"


def described(ref: TensorRef) -> str:
    """Return the scheme of a tensor and what shares a scale, for people."""
    found = ref.quantization
    if found is None:
        return ref.dtype.name
    if found.group_size:
        return f"{found.scheme} groups of {found.group_size}"
    if found.scheme.lower() in _GGUF or found.axis is None:
        return found.scheme
    return f"{found.scheme} per row" if found.axis == 0 else f"{found.scheme} along axis {found.axis}"


def rounded(scheme: Scheme, matrix: NDArray[np.float64], absmax: float | None = None) -> NDArray[np.float64]:
    """Return ``matrix`` rounded to the nearest levels of ``scheme``.

    Args:
        scheme: The scheme.
        matrix: Finite values, shape ``(rows, columns)``.
        absmax: Largest magnitude of the whole tensor, where ``matrix`` is a part of it and the scale is shared by all.
    """
    if not scheme.scaled:
        return as_float(matrix, scheme.name)
    groups = _grouped(matrix, scheme)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
        found = _AT[scheme.family](groups, scheme, absmax if scheme.per == "tensor" else None)
    flat = np.where(np.isfinite(found), found, 0.0).reshape(matrix.shape[0], -1) if matrix.size else matrix
    return flat[:, : matrix.shape[1]] if scheme.per != "tensor" else flat.reshape(matrix.shape)


def as_float(values: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    """Return ``values`` rounded to nearest, ties to even, to a float of at most 16 bits; infinite beyond it."""
    kind = dtype(name).numpy
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        found: NDArray[np.float64] = values.astype(np.float32).astype(kind).astype(np.float64)
        return np.where(np.isnan(found) & ~np.isnan(values), np.copysign(np.inf, values), found)


def _grouped(matrix: NDArray[np.float64], scheme: Scheme) -> NDArray[np.float64]:
    """Return the values, shape ``(groups, elements of a group)``; the last group of a row is filled up with zeros."""
    rows, columns = matrix.shape
    if scheme.per == "tensor":
        return matrix.reshape(1, -1)
    if scheme.per == "row":
        return matrix
    missing = -columns % scheme.group
    padded = np.pad(matrix, ((0, 0), (0, missing))) if missing else matrix
    return padded.reshape(rows * (columns + missing) // scheme.group, scheme.group)


def _sizes(groups: NDArray[np.float64], absmax: float | None) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.abs(groups).max(axis=1, keepdims=True)
    return found if absmax is None else np.full_like(found, absmax)


def _symmetric(groups: NDArray[np.float64], scheme: Scheme, absmax: float | None) -> NDArray[np.float64]:
    top = 2 ** (scheme.bits - 1) - 1
    steps = _sizes(groups, absmax) / top
    found: NDArray[np.float64] = np.clip(np.rint(groups / steps), -top - 1, top) * steps
    return found


def _signed(groups: NDArray[np.float64], scheme: Scheme, _absmax: float | None) -> NDArray[np.float64]:
    """Put the value of largest magnitude at the outermost code, which there is on one side only, as GGUF does."""
    top = 2 ** (scheme.bits - 1)
    largest = np.take_along_axis(groups, np.abs(groups).argmax(axis=1)[:, None], axis=1)
    steps = largest / -top
    found: NDArray[np.float64] = np.clip(np.rint(groups / steps), -top, top - 1) * steps
    return found


def _affine(groups: NDArray[np.float64], scheme: Scheme, absmax: float | None) -> NDArray[np.float64]:
    low = np.minimum(groups.min(axis=1, keepdims=True), 0.0) if absmax is None else np.full((1, 1), -absmax)
    high = np.maximum(groups.max(axis=1, keepdims=True), 0.0) if absmax is None else np.full((1, 1), absmax)
    top = 2**scheme.bits - 1
    steps = (high - low) / top
    found: NDArray[np.float64] = np.clip(np.rint((groups - low) / steps), 0, top) * steps + low
    return found


def _scaled_float(groups: NDArray[np.float64], scheme: Scheme, absmax: float | None) -> NDArray[np.float64]:
    kind = "float8_e5m2" if "e5m2" in scheme.name else "float8_e4m3fn"
    steps = _sizes(groups, absmax) / LARGEST[kind]
    return as_float(groups / steps, kind) * steps


def _codebook(
    groups: NDArray[np.float64], levels: NDArray[np.float64], sizes: NDArray[np.float64]
) -> NDArray[np.float64]:
    middles = (levels[1:] + levels[:-1]) / 2
    found: NDArray[np.float64] = levels[np.searchsorted(middles, groups / sizes)] * sizes
    return found


def _nf4(groups: NDArray[np.float64], _scheme: Scheme, absmax: float | None) -> NDArray[np.float64]:
    return _codebook(groups, NF4, _sizes(groups, absmax))


def _fp4(groups: NDArray[np.float64], scheme: Scheme, absmax: float | None) -> NDArray[np.float64]:
    levels = _FP4 if scheme.name.startswith("bnb") else _E2M1
    return _codebook(groups, np.array(levels), _sizes(groups, absmax))


def _power_of_two(groups: NDArray[np.float64], _scheme: Scheme, absmax: float | None) -> NDArray[np.float64]:
    exponents = np.frexp(_sizes(groups, absmax))[1] - 1 - 2
    return _codebook(groups, np.array(_E2M1), 6 * np.ldexp(1.0, exponents))


_AT = {
    "symmetric": _symmetric,
    "signed": _signed,
    "affine": _affine,
    "float": _scaled_float,
    "nf4": _nf4,
    "fp4": _fp4,
    "power_of_two_fp4": _power_of_two,
}


def sqnr_db(signal: float, noise: float) -> float | None:
    """Return 10 log10(signal / noise) of two sums of squares; ``None`` where either is 0 or not finite.

    Example:
        >>> sqnr_db(100.0, 1.0)
        20.0
    """
    if not (math.isfinite(signal) and math.isfinite(noise) and signal > 0 and noise > 0):
        return None
    return 10 * (math.log10(signal) - math.log10(noise))


def sqnr_of(matrix: NDArray[np.float64], other: NDArray[np.float64]) -> float | None:
    """Return the SQNR of ``other`` against ``matrix`` in dB."""
    noise = matrix - other
    return sqnr_db(float(np.sum(matrix * matrix)), float(np.sum(noise * noise)))


_WIDEST = 4096
_N_NORMAL = 1 << 18


@lru_cache(maxsize=256)
def gaussian_sqnr(scheme: Scheme, columns: int, numel: int) -> float | None:
    """Return the SQNR of ``scheme`` on independent normal values of the same shape, in dB.

    Measured on 262,144 values that are always the same (0.1 dB). Where one scale holds for the tensor, its largest
    magnitude is the median of that of ``numel`` normal values.
    """
    columns = max(min(columns, _WIDEST), 1)
    matrix = _normal(max(_N_NORMAL // columns, 1) * columns).reshape(-1, columns)
    absmax = _normal_absmax(numel)
    if scheme.scaled and scheme.per == "tensor":
        matrix = np.clip(matrix, -absmax, absmax)
    return sqnr_of(matrix, rounded(scheme, matrix, absmax))


def _normal_absmax(n: int) -> float:
    """Return the median of the largest magnitude of ``n`` normal values."""
    from statistics import NormalDist

    tail = -math.expm1(-math.log(2) / max(n, 1)) / 2
    return -NormalDist().inv_cdf(tail)


@lru_cache(maxsize=8)
def _normal(n: int) -> NDArray[np.float64]:
    """Return ``n`` normal values, from hashes of their indices (splitmix64) by the method of Box and Muller."""
    radius, angle = (
        uniform(2 * np.arange(n, dtype=np.uint64)),
        uniform(2 * np.arange(n, dtype=np.uint64) + np.uint64(1)),
    )
    found: NDArray[np.float64] = np.sqrt(-2 * np.log(radius)) * np.cos(2 * np.pi * angle)
    found.flags.writeable = False
    return found


def uniform(indices: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Return a hash of each index as a number above 0 and at most 1."""
    with np.errstate(over="ignore"):
        mixed = (indices + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    found: NDArray[np.float64] = ((mixed >> np.uint64(11)).astype(np.float64) + 1) / 2**53
    return found
