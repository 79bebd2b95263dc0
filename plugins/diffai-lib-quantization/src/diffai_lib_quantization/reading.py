"""Reads parts of tensors that lie in files: some rows, or some columns, never more than was asked for."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from diffai_core.plugin import DType, FileTensor


def read_flat(ref: FileTensor, start: int, count: int) -> NDArray[Any]:
    """Return ``count`` elements from element ``start`` on, in row-major order.

    Raises:
        LoadError: If the file ends before.
    """
    itemsize = ref.dtype.bits // 8
    buffer = np.empty(count * itemsize, np.uint8)
    ref.file.read_into(ref.offset + start * itemsize, buffer.data)
    return buffer.view(ref.dtype.numpy)


def read_rows(ref: FileTensor, first: int, count: int) -> NDArray[Any]:
    """Return ``count`` rows from ``first`` on, shape [count, elements of a row].

    Raises:
        LoadError: If the file ends before.
    """
    width = math.prod(ref.shape[1:])
    return read_flat(ref, first * width, count * width).reshape(count, width)


def read_columns(ref: FileTensor, first: int, count: int, matrix: tuple[int, int, int]) -> NDArray[Any]:
    """Return ``count`` columns from ``first`` on of a matrix inside a tensor, shape [rows, count].

    Args:
        ref: The tensor.
        first: First column.
        count: Number of columns.
        matrix: Element at which the matrix begins, its rows, its columns.

    Raises:
        LoadError: If the file ends before.
    """
    start, n_rows, width = matrix
    if count == width:
        return read_flat(ref, start, n_rows * width).reshape(n_rows, width)
    itemsize = ref.dtype.bits // 8
    found = np.empty((n_rows, count * itemsize), np.uint8)
    place = ref.offset + (start + first) * itemsize
    for row in found:
        ref.file.read_into(place, row.data)
        place += width * itemsize
    return found.view(ref.dtype.numpy)


def as_float32(array: NDArray[Any], element: DType) -> NDArray[np.float32]:
    """Return elements as float32; all types of at most 24 bits of precision are exact."""
    if element.bits == 8 and element.kind == "float":  # noqa: PLR2004 - a byte, for which a table is twice as fast
        found: NDArray[np.float32] = _table(element)[array.view(np.uint8)]
        return found
    return array.astype(np.float32)


@cache
def _table(element: DType) -> NDArray[np.float32]:
    with np.errstate(all="ignore"):
        return np.arange(256, dtype=np.uint8).view(element.numpy).astype(np.float32)


def unpacked(words: NDArray[Any], bits: int, count: int) -> NDArray[np.uint8]:
    """Return codes of ``bits`` bits that lie without gaps in little-endian words, the low bits first.

    Args:
        words: Shape [rows, words of a row], contiguous.
        bits: Bits of a code, 1 to 8.
        count: Codes in a row.

    Returns:
        Shape [rows, count].
    """
    raw = np.ascontiguousarray(words).view(np.uint8).reshape(len(words), -1)
    if bits == 8:  # noqa: PLR2004 - a byte
        return raw[:, :count]
    if 8 % bits == 0:
        shifts = np.arange(0, 8, bits, dtype=np.uint8)
        codes = (raw[:, :, None] >> shifts) & np.uint8((1 << bits) - 1)
        return codes.reshape(len(raw), -1)[:, :count]
    flags = np.unpackbits(raw, axis=1, count=count * bits, bitorder="little")
    return np.packbits(flags.reshape(len(raw), count, bits), axis=2, bitorder="little")[:, :, 0]


E2M1 = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0], np.float32)
"""Values of 4-bit floats with two bits of exponent and one of mantissa (OCP Microscaling Formats 1.0, table 5)."""


def scaled(
    codes: NDArray[np.float32],
    scale: NDArray[np.float32],
    zero: NDArray[np.float32] | None,
    index: NDArray[np.int64] | None = None,
    width: int | None = None,
    bias: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Return ``(codes - zero) * scale + bias``, where columns share scales.

    Args:
        codes: Shape [rows, columns]; overwritten.
        scale: Shape [rows, groups].
        zero: Shape [rows, groups], or ``None``.
        index: Group of each column, where groups are no runs of columns.
        width: Columns of a group, the last one may have fewer; ``None`` where the groups are equally wide.
        bias: Shape [rows, groups], or ``None``.
    """
    n_rows, n_columns = codes.shape
    n_groups = scale.shape[1]
    if index is None and n_columns != n_groups * (width or n_columns // n_groups):
        index = np.arange(n_columns) // (width or 1)
    with np.errstate(all="ignore"):  # damaged scales may be infinite or NaN
        if index is not None:
            codes -= 0 if zero is None else zero[:, index]
            codes *= scale[:, index]
            if bias is not None:  # adding 0 would change the sign of -0.0
                codes += bias[:, index]
            return codes
        grouped = codes.reshape(n_rows, n_groups, -1)
        grouped -= 0 if zero is None else zero[:, :, None]
        grouped *= scale[:, :, None]
        if bias is not None:
            grouped += bias[:, :, None]
    return grouped.reshape(n_rows, n_columns)
