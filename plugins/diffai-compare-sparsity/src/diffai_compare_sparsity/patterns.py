"""N:M patterns of zeros, and what random zeros of the same number would give."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from diffai_core.plugin import FileTensor, decode, regroup

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from diffai_core.plugin import TensorRef

WIDTHS = (4, 8, 16)
"""Lengths M of the groups that are looked at."""
_MOST_ELEMENTS = 1 << 28
_RARE = math.log(1e-6)
_RUN = 1024
_N_RUNS = 16


class Pattern(NamedTuple):
    """No more than ``kept`` of each ``width`` consecutive elements along ``axis`` are not zero.

    Args:
        kept: N.
        width: M.
        axis: Dimension along which elements are grouped.
    """

    kept: int
    width: int
    axis: int

    def __str__(self) -> str:
        return f"{self.kept}:{self.width}"


def share_2_4(zero_share: float) -> float:
    """Return the share of groups of four with two zeros or more, if each element is zero with this probability.

    Example:
        >>> share_2_4(0.5)
        0.6875
    """
    kept = 1 - zero_share
    return 1 - kept**4 - 4 * zero_share * kept**3


def exactly_two(zero_share: float) -> float:
    """Return the share of groups of four with exactly two zeros, if each element is zero with this probability.

    Example:
        >>> exactly_two(0.5)
        0.375
    """
    return 6 * zero_share**2 * (1 - zero_share) ** 2


def jaccard_null(old_share: float, new_share: float) -> float | None:
    """Return the overlap of two independent masks: zeros in both over zeros in either; ``None`` without zeros."""
    both = old_share * new_share
    either = old_share + new_share - both
    return both / either if either else None


def find_pattern(ref: TensorRef) -> Pattern | None:
    """Return the sparsest N:M pattern, N at most M/2, of which no group is an exception; ``None`` if there is none.

    Inputs are along the second axis of PyTorch's weights, and along the first of Keras's and of GPT-2's. What as
    many random zeros would do with a chance of one in a million is no pattern.

    Raises:
        LoadError: If the bytes cannot be read as declared.
    """
    if len(ref.shape) < 2 or not 0 < ref.numel <= _MOST_ELEMENTS:  # noqa: PLR2004 - a matrix
        return None
    kept = _whole(ref) != 0
    found = [pattern for axis in (1, 0) for pattern in _along(np.moveaxis(kept, axis, -1), axis)]
    return min(found, key=lambda pattern: pattern.kept / pattern.width, default=None)


def _whole(ref: TensorRef) -> NDArray[Any]:
    """Return all elements; of a file not through the map, whose pages would stay in memory."""
    if isinstance(ref, FileTensor) and ref.dtype.bits >= 8:  # noqa: PLR2004 - a byte
        return decode(ref.file.read(ref.offset, ref.nbytes), ref.dtype, ref.numel).reshape(ref.shape)
    return ref.read()


def _along(kept: NDArray[np.bool_], axis: int) -> list[Pattern]:
    found = []
    for width in WIDTHS:
        whole = kept.shape[-1] // width * width
        groups = kept[..., :whole].reshape(-1, width)
        if not groups.any():
            continue
        most = int(np.count_nonzero(groups, axis=1).max())
        if 2 * most <= width and _log_chance(np.count_nonzero(groups) / groups.size, most, width) * len(groups) < _RARE:
            found.append(Pattern(most, width, axis))
    return found


def _log_chance(kept_share: float, most: int, width: int) -> float:
    """Return the logarithm of the chance that a group of random zeros keeps at most so many."""
    terms = (math.comb(width, k) * kept_share**k * (1 - kept_share) ** (width - k) for k in range(most + 1))
    return math.log(min(math.fsum(terms), 1.0))


def near_zero_share(ref: TensorRef, limit: float) -> float | None:
    """Return the share of elements that are not zero and whose magnitude is below ``limit``, of some elements.

    Looked at are 16 runs of 1,024 elements at equal distances; of tensors that must be decoded, the first 16,384.

    Raises:
        LoadError: If the bytes cannot be read as declared.
    """
    values = _some(ref)
    if not values.size:
        return None
    sizes = np.abs(values)
    return float(np.mean((sizes > 0) & (sizes < limit)))


def _some(ref: TensorRef) -> NDArray[Any]:
    wanted = _RUN * _N_RUNS
    if isinstance(ref, FileTensor) and ref.dtype.bits >= 8 and ref.numel > wanted:  # noqa: PLR2004 - a byte
        size = ref.dtype.bits // 8
        starts = [i * (ref.numel - _RUN) // (_N_RUNS - 1) for i in range(_N_RUNS)]
        raw = b"".join(ref.file.read(ref.offset + start * size, _RUN * size) for start in starts)
        return _numbers(np.frombuffer(raw, ref.dtype.numpy))
    return _numbers(next(regroup(ref.blocks(1 << 20), wanted, ref.dtype), np.empty(0)))


def _numbers(elements: NDArray[Any]) -> NDArray[Any]:
    with np.errstate(invalid="ignore"):  # signalling NaN
        numbers = elements if elements.dtype.kind == "c" else elements.astype(np.float64)
    found: NDArray[Any] = numbers[np.isfinite(numbers)]
    return found
