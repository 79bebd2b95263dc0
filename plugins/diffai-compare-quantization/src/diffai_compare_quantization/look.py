"""The second look at one weight: how it is stored, and what rounding to nearest would have cost."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from diffai_compare_quantization.casts import MANTISSA, Cast, Origin, find_cast, origin_of
from diffai_compare_quantization.codes import Errors, plain_errors, scaled_errors
from diffai_compare_quantization.grids import Grid, find_grid
from diffai_compare_quantization.sample import Rows, read_rows, rows_of
from diffai_compare_quantization.scales import Scales, parts_of, scales_of
from diffai_compare_quantization.schemes import (
    CANDIDATES,
    Scheme,
    as_float,
    described,
    gaussian_sqnr,
    rounded,
    scheme_of,
    sqnr_db,
    sqnr_of,
)

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from numpy.typing import NDArray

    from diffai_compare_quantization.targets import Target
    from diffai_core.plugin import TensorRef

Kind = Literal["quantized", "codes", "cast", "recast", "grid", "changed", "identical"]
_OUTLIER = 6.0
_MOST_OUTLIERS = 0.05


@dataclass(frozen=True)
class Look:
    """What was found out about one weight.

    Args:
        target: The weight.
        kind: What became of it: "quantized" with scales, integer "codes" without, "cast" for certain, "recast" to fewer
            bits and changed besides, on a "grid" in float storage, "changed" otherwise, or "identical".
        stored_as: Scheme or dtype of NEW, for people.
        scheme: Rounding to nearest with the levels of NEW; ``None`` if it is not known.
        errors: How far NEW is from OLD.
        bounded: Whether ``errors`` are the least that can be, because the scales of codes are not known.
        rtn_sqnr_db: SQNR of ``scheme`` on sampled rows of OLD, dB.
        outlier_columns: Columns of OLD without which that would be 3 dB more.
        candidates: SQNR of other schemes on sampled rows of NEW, dB, by name: infinite where nothing is lost, minus
            infinity where values would become infinite.
        cast: Which rounding makes NEW of OLD.
        origin: Narrower format that holds the sampled values of NEW.
        grid: Grid on which the sampled values of NEW lie.
        scales: What the scales of NEW are like.
        sampled: Share of the elements in the sample.
    """

    target: Target
    kind: Kind
    stored_as: str
    scheme: Scheme | None = None
    errors: Errors | None = None
    bounded: bool = False
    rtn_sqnr_db: float | None = None
    outlier_columns: int = 0
    candidates: Mapping[str, float] = field(default_factory=dict)
    cast: Cast | None = None
    origin: Origin | None = None
    grid: Grid | None = None
    scales: Scales | None = None
    sampled: float = 0.0

    @property
    def relative_error(self) -> float | None:
        """‖NEW - OLD‖ / ‖OLD‖; ``None`` where OLD is all zero or nothing was measured."""
        if self.errors is None or not self.errors.signal or not math.isfinite(self.errors.noise):
            return None
        return math.sqrt(self.errors.noise / self.errors.signal)

    @property
    def sqnr_db(self) -> float | None:
        """SQNR of NEW against OLD, dB; ``None`` also where nothing was lost."""
        return None if self.errors is None else sqnr_db(self.errors.signal, self.errors.noise)

    @property
    def gaussian_sqnr_db(self) -> float | None:
        """SQNR of ``scheme`` on normal values of this shape, dB."""
        return (
            None
            if self.scheme is None
            else gaussian_sqnr(self.scheme, columns_of(self.target.new), self.target.new.numel)
        )

    @property
    def is_coarser(self) -> bool:
        """Whether NEW is a rounded OLD: quantised, cast, or on a grid."""
        return self.kind not in ("changed", "identical")


def columns_of(ref: TensorRef) -> int:
    """Return the elements of a row: all but the first dimension."""
    return math.prod(ref.shape[1:] if len(ref.shape) > 1 else ref.shape)


def look(target: Target, n_elements: int, predict: Container[str] = ()) -> Look:
    """Look at some rows of a weight, and at all of it where it may be a cast or holds codes.

    Args:
        target: The weight.
        n_elements: How many elements a sample has.
        predict: Names of the weights of which to find out what other schemes would cost.

    Raises:
        LoadError: If the bytes cannot be read as declared.
    """
    if target.has_codes:
        return _codes(target, n_elements)
    if target.new.quantization is not None:
        return _quantized(target, n_elements)
    return _plain(target, n_elements, predict=target.key in predict)


def _codes(target: Target, n_elements: int) -> Look:
    bits = target.new.dtype.bits
    by_tensor = target.scale is not None and target.scale.numel == 1
    scheme = Scheme(target.new.dtype.name, "symmetric", bits, "tensor" if by_tensor else "row")
    errors = scaled_errors(target.old, target.new, target.scale)
    rows = rows_of(target.old, n_elements=n_elements)
    rtn, outliers = _rtn(target, scheme, read_rows(target.old, rows))
    stored = f"{target.new.dtype.name} codes {'without scales' if target.scale is None else 'with scales'}"
    return Look(target, "codes", stored, scheme, errors, target.scale is None, rtn, outliers, sampled=_share(rows))


def _quantized(target: Target, n_elements: int) -> Look:
    scheme = _with_bits_in_use(scheme_of(target.new), target.new)
    errors = target.errors or plain_errors(target.old, target.new)
    common: dict[str, Any] = {"errors": errors, "scales": scales_of(target.new)}
    name = described(target.new)
    if target.identical:
        return Look(target, "identical", name, scheme, **common)
    if scheme is None or target.old.quantization is not None or not _fits(scheme, target.new):
        return Look(target, "quantized", name, scheme, **common)
    rows = rows_of(target.old, n_elements=n_elements)
    rtn, outliers = _rtn(target, scheme, read_rows(target.old, rows))
    return Look(
        target, "quantized", name, scheme, rtn_sqnr_db=rtn, outlier_columns=outliers, sampled=_share(rows), **common
    )


def _with_bits_in_use(scheme: Scheme | None, ref: TensorRef) -> Scheme | None:
    """Return the scheme with the bits that codes have: integers of 4 bits may be stored in bytes."""
    codes = parts_of(ref)[0]
    is_bytes = codes.dtype.name in ("int8", "uint8") and codes.numel == ref.numel
    if scheme is None or scheme.family not in ("symmetric", "affine") or scheme.bits != 8 or not is_bytes:  # noqa: PLR2004 - a byte
        return scheme
    values = read_rows(codes, rows_of(codes))
    if not values.size:
        return scheme
    return replace(scheme, bits=max(math.ceil(math.log2(values.max() - values.min() + 1)), 2))


def _fits(scheme: Scheme, ref: TensorRef) -> bool:
    """Whether the rows of the matrix view are those along which scales are shared."""
    axis = ref.quantization.axis if ref.quantization else None
    return scheme.per == "tensor" or axis in (None, 0)


def _plain(target: Target, n_elements: int, *, predict: bool) -> Look:
    old, new = target.old, target.new
    rows = rows_of(old, new, n_elements=n_elements)
    values = read_rows(new, rows)
    origin = origin_of(new, values)
    whole_rows = values if rows.taken == rows.columns and len(new.shape) > 1 else values[:0]
    grid = find_grid(whole_rows) if origin is None or not origin.name.startswith("float8") else None
    candidates = _candidates(target, whole_rows) if predict and grid is None else {}
    common: dict[str, Any] = {"candidates": candidates, "origin": origin, "grid": grid, "sampled": _share(rows)}
    errors = target.errors or plain_errors(old, new)
    if target.identical:
        return Look(target, "identical", new.dtype.name, errors=errors, **common)
    before = read_rows(old, rows)
    cast = find_cast(old, new, (before, values))
    common |= {"errors": errors, "cast": cast}
    if cast is not None and cast.proved:
        name = cast.best if cast.best == new.dtype.name else f"{cast.best} values in {new.dtype.name}"
        scheme = _cast_scheme(cast.best)
        return Look(target, "cast", name, scheme, **common)
    if grid is not None and str(find_grid(before)) != str(grid):
        rtn, outliers = _rtn(target, grid.scheme, before) if grid.kind != "levels" else (None, 0)
        found = grid.scheme if grid.kind != "levels" else None
        name = f"{grid} in {new.dtype.name}"
        return Look(target, "grid", name, found, rtn_sqnr_db=rtn, outlier_columns=outliers, **common)
    narrower = MANTISSA.get(new.dtype.name, 0) < MANTISSA.get(old.dtype.name, 0) and old.quantization is None
    return Look(target, "recast" if narrower else "changed", new.dtype.name, **common)


def _cast_scheme(best: str) -> Scheme | None:
    """Return the plain cast to a format of which the SQNR of normal values is known."""
    return next((scheme for scheme in CANDIDATES if scheme.name == best), None)


def _share(rows: Rows) -> float:
    return rows.n / rows.numel if rows.numel else 0.0


def _rtn(target: Target, scheme: Scheme, matrix: NDArray[np.float64]) -> tuple[float | None, int]:
    """Return the SQNR of rounding OLD to nearest, and how many columns cost 3 dB of it."""
    if not matrix.size or not np.isfinite(matrix).all():
        return None, 0
    absmax = _absmax(target, "old", matrix)
    found = sqnr_of(matrix, rounded(scheme, matrix, absmax))
    null = gaussian_sqnr(scheme, columns_of(target.new), target.new.numel)
    if found is None or null is None or found > null - 3 or len(target.new.shape) < 2:  # noqa: PLR2004 - a matrix
        return found, 0
    sizes = np.sqrt(np.mean(matrix * matrix, axis=0))
    outliers = sizes > _OUTLIER * np.median(sizes)
    if not 0 < np.count_nonzero(outliers) <= _MOST_OUTLIERS * outliers.size:
        return found, 0
    without = np.where(outliers, 0.0, matrix)
    better = sqnr_of(without, rounded(scheme, without, float(np.abs(without).max())))
    return found, int(np.count_nonzero(outliers)) if better is not None and better > found + 3 else 0


def _absmax(target: Target, side: str, matrix: NDArray[np.float64]) -> float:
    ends = [getattr(target.extrema, f"{side}_{end}", None) for end in ("min", "max")]
    return max(*(abs(float(end)) for end in ends if end is not None), float(np.abs(matrix).max()), 0.0)


def _candidates(target: Target, matrix: NDArray[np.float64]) -> dict[str, float]:
    """Return the SQNR of other schemes on the sampled rows; those with one scale where its range is known."""
    if not matrix.size or not np.isfinite(matrix).all() or not matrix.any():
        return {}
    known = target.extrema is not None or matrix.size == target.new.numel
    absmax = _absmax(target, "new", matrix)
    return {
        scheme.name: _predicted(scheme, matrix, absmax)
        for scheme in CANDIDATES
        if (known or scheme.per != "tensor" or not scheme.scaled) and _is_narrower(scheme, target.new)
    }


def _predicted(scheme: Scheme, matrix: NDArray[np.float64], absmax: float) -> float:
    """Return the SQNR of rounding: infinite where nothing is lost, minus infinity where values become infinite."""
    if not scheme.scaled and np.isinf(as_float(np.array([absmax]), scheme.name)).any():
        return -math.inf
    found = sqnr_of(matrix, rounded(scheme, matrix, absmax))
    return math.inf if found is None else found


def _is_narrower(scheme: Scheme, ref: TensorRef) -> bool:
    return scheme.bits < ref.dtype.bits and matrix_width(ref) >= scheme.group


def matrix_width(ref: TensorRef) -> int:
    """Return the elements of a row of a matrix; 0 for what is none."""
    return columns_of(ref) if len(ref.shape) > 1 else 0
