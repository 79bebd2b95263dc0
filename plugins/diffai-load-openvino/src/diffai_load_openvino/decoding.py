"""Reads elements that are packed in OpenVINO's own ways, and computes the numbers of quantised constants."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from diffai_core.plugin import block_length, decode
from diffai_load_openvino.decompression import group_length
from diffai_load_openvino.precisions import STORED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from diffai_core.plugin import DType
    from diffai_load_openvino.constants import Constant

_NF4 = (
    *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635),
    *(-0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725),
    *(0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
)
"""The 16 levels of 4-bit NormalFloat (Dettmers et al., QLoRA, 2023, appendix E)."""


class Affine(NamedTuple):
    """How numbers are computed: ``(codes - zero) * scale``, each step rounded to ``dtype``."""

    codes: Constant
    scale: Constant
    zero: Constant | None
    dtype: DType
    shape: tuple[int, ...]


def plain_blocks(constant: Constant, dtype: DType, max_bytes: int) -> Iterator[NDArray[Any]]:
    """Yield the elements of ``constant`` as blocks of ``dtype``.

    Args:
        constant: What to read.
        dtype: Type of the arrays.
        max_bytes: Bytes of a block.

    Raises:
        LoadError: If the file has become shorter.
    """
    for start, count in _ranges(constant.shape, dtype, max_bytes):
        yield _elements(constant, start, count).astype(dtype.numpy, copy=False)


def affine_blocks(plan: Affine, max_bytes: int) -> Iterator[NDArray[Any]]:
    """Yield the numbers of a quantised constant.

    Raises:
        LoadError: If the file has become shorter.
    """
    wide = np.dtype(np.float64 if plan.dtype.name == "float64" else np.float32)
    narrow = plan.dtype.numpy
    exact = plan.dtype.name != "bfloat16" and all(
        _is_small(part) for part in (plan.codes, plan.zero) if part is not None
    )
    scales = _Spread(plan.scale, plan.codes.shape, narrow, wide)
    zeros = plan.zero and _Spread(plan.zero, plan.codes.shape, narrow, wide)
    for start, count in _ranges(plan.shape, plan.dtype, max_bytes):
        with np.errstate(all="ignore"):  # what overflows is infinite there too
            values = _elements(plan.codes, start, count)
            values = values.astype(wide) if exact else values.astype(narrow).astype(wide)
            if zeros:
                values -= zeros.read(start, count)
                values = values if exact else values.astype(narrow).astype(wide)
            values *= scales.read(start, count)
            yield values.astype(narrow, copy=False)


def _is_small(part: Constant) -> bool:
    """Whether elements are whole numbers of so few bits that they and their differences need no rounding."""
    return part.code in {"u8", "i8", "u6", "u4", "i4", "u3", "u2", "u1"}


def _ranges(shape: tuple[int, ...], dtype: DType, max_bytes: int) -> Iterator[tuple[int, int]]:
    total = math.prod(shape)
    step = block_length(shape, dtype, max(max_bytes, 1))
    for start in range(0, total, step):
        yield start, min(step, total - start)


class _Spread:
    """The scale, or zero point, of each element.

    Args:
        part: The scales.
        shape: Shape of the codes.
        narrow: Type to which they are rounded.
        wide: Type in which they are given.
    """

    def __init__(self, part: Constant, shape: tuple[int, ...], narrow: np.dtype[Any], wide: np.dtype[Any]) -> None:
        self._part = part
        self._narrow = narrow
        self._wide_type = wide
        self._shape = shape
        self._wide = (1,) * (len(shape) - len(part.shape)) + part.shape
        self._group = group_length(self._wide, shape)
        self._all: NDArray[Any] | None = None

    def read(self, start: int, count: int) -> NDArray[Any]:
        """Return the scales of ``count`` elements from ``start`` on."""
        if self._group is not None:
            return self._of_groups(start, count, self._group)
        if self._all is None:
            self._all = self._parts(0, self._part.numel)
        index = np.zeros(count, np.int64)
        flat = np.arange(start, start + count)
        step = 1
        for axis in reversed(range(len(self._shape))):
            if self._wide[axis] > 1:
                index += flat % self._shape[axis] * step
                step *= self._wide[axis]
            flat //= self._shape[axis]
        found: NDArray[Any] = self._all[index]
        return found

    def _of_groups(self, start: int, count: int, group: int) -> NDArray[Any]:
        first, last = start // group, (start + count - 1) // group
        repeats = np.full(last - first + 1, group)
        repeats[-1] = start + count - last * group
        repeats[0] -= start - first * group
        return np.repeat(self._parts(first, last - first + 1), repeats)

    def _parts(self, first: int, count: int) -> NDArray[Any]:
        return _elements(self._part, first, count).astype(self._narrow).astype(self._wide_type)


def _elements(constant: Constant, start: int, count: int) -> NDArray[Any]:
    """Return elements as an array of a type that holds them; ``nf4`` as its levels."""
    if constant.code in _UNPACK:
        n_group, n_bytes, unpack = _UNPACK[constant.code]
        first = start // n_group
        n_groups = -(-(start + count) // n_group) - first
        data = constant.file.read(constant.offset + first * n_bytes, n_groups * n_bytes)
        found = unpack(np.frombuffer(data, np.uint8).reshape(-1, n_bytes))
        return found.reshape(-1)[start - first * n_group :][:count]
    if constant.code == "nf4":
        return np.array(_NF4, np.float32)[_stored(constant, STORED["u4"], start, count).astype(np.uint8)]
    return _stored(constant, STORED[constant.code], start, count)


def _stored(constant: Constant, dtype: DType, start: int, count: int) -> NDArray[Any]:
    group = dtype.packed_group
    begin = start // group * group
    n_whole = -(-(start + count - begin) // group) * group
    data = constant.file.read(constant.offset + dtype.nbytes(begin), dtype.nbytes(n_whole))
    return decode(data, dtype, n_whole)[start - begin :][:count]


def _bits(raw: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.unpackbits(raw, axis=1)


def _pairs(raw: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the four pairs of bits of each byte, the high ones first."""
    return np.stack([raw >> shift & 3 for shift in (6, 4, 2, 0)], axis=-1).reshape(len(raw), -1).astype(np.uint8)


def _threes(raw: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Two bytes hold the low two bits of eight numbers, the third their high bits."""
    return _pairs(raw[:, :2]) | np.unpackbits(raw[:, 2:], axis=1) << np.uint8(2)


def _sixes(raw: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Two bytes hold the low four bits of four numbers, the third their high two."""
    low = np.stack([raw[:, 0] >> 4, raw[:, 0] & 15, raw[:, 1] >> 4, raw[:, 1] & 15], axis=1)
    return low.astype(np.uint8) | _pairs(raw[:, 2:]) << np.uint8(4)


_UNPACK = {"u1": (8, 1, _bits), "u3": (8, 3, _threes), "u6": (4, 3, _sixes)}
