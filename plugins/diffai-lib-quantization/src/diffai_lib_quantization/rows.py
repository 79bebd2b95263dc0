"""Layouts that store the rows of a weight one after the other: compressed-tensors, FP8, torchao, NVFP4, int8."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from diffai_core.plugin import FileTensor, LoadError
from diffai_lib_quantization.columns import power_of_two
from diffai_lib_quantization.reading import E2M1, as_float32, read_flat, read_rows, scaled, unpacked
from diffai_lib_quantization.tensor import PIECE_ELEMENTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

Code = Literal["number", "int", "uint", "float4"]
_WORD_GROUP = 32


@dataclass(frozen=True)
class Rows:
    """``(code - zero) * scale + bias``, a scale for each tile of the weight.

    Args:
        codes: Codes, row by row.
        shape: Rows and columns of the weight.
        code: What a code is: a number of one byte, some bits of a word (``uint``), these less half of their range
            (``int``), or a 4-bit float.
        bits: Bits of a code.
        scale: Shape [rows / tile rows, columns / tile columns], rounded up; less than two dimensions for one column.
        tile: Rows and columns that share a scale.
        zero: Zero points in the shape of the scales, or ``None``.
        zero_packed: Whether zero points are codes packed along the first dimension.
        g_idx: Group of each column, or ``None``.
        factor: One number by which scales are multiplied, or ``None``.
        factor_divides: Whether scales are divided by it instead.
        constant: By which values are multiplied at last.
        bias: What is added for each tile, in the shape of the scales, or ``None``.
    """

    codes: FileTensor
    shape: tuple[int, int]
    code: Code
    bits: int
    scale: FileTensor
    tile: tuple[int, int]
    zero: FileTensor | None = None
    zero_packed: bool = False
    g_idx: FileTensor | None = None
    factor: FileTensor | None = None
    factor_divides: bool = False
    constant: float | None = None
    bias: FileTensor | None = None

    def pieces(self) -> Iterator[NDArray[Any]]:
        """Yield the values, whole rows."""
        n_rows, n_columns = self.shape
        step = max(PIECE_ELEMENTS // n_columns, 1)
        if self.zero_packed:
            step = -(-step // _WORD_GROUP) * _WORD_GROUP
        factor = self._factor()
        index = self._index()
        for first in range(0, n_rows, step):
            count = min(step, n_rows - first)
            with np.errstate(all="ignore"):  # damaged scales may be 0, infinite or NaN
                scale = self._scale(first, count)
                scale = scale / factor if self.factor_divides else scale * factor
            zero, bias = self._zero(first, count), self._bias(first, count)
            values = scaled(self._codes(first, count), scale, zero, index, self.tile[1], bias)
            if self.constant is not None:
                values *= np.float32(self.constant)
            yield values

    def _codes(self, first: int, count: int) -> NDArray[np.float32]:
        raw = read_rows(self.codes, first, count)
        if self.code == "number":
            return as_float32(raw, self.codes.dtype)
        codes = unpacked(raw, self.bits, self.shape[1])
        if self.code == "float4":
            return E2M1[codes]
        return codes.astype(np.float32) - np.float32(1 << (self.bits - 1) if self.code == "int" else 0)

    def _tile_rows(self, first: int, count: int) -> tuple[int, int, NDArray[np.int64]]:
        """Return first row and number of rows of the scales of some rows, and which of them each row has."""
        begin, end = first // self.tile[0], (first + count - 1) // self.tile[0] + 1
        return begin, end - begin, np.arange(first, first + count) // self.tile[0] - begin

    def _scale(self, first: int, count: int) -> NDArray[np.float32]:
        begin, n_tiles, which = self._tile_rows(first, count)
        if self.scale.dtype.name == "uint8":
            return power_of_two(_tiled(self.scale, begin, n_tiles))[which]
        return _floats(self.scale, begin, n_tiles)[which]

    def _zero(self, first: int, count: int) -> NDArray[np.float32] | None:
        if self.zero is None:
            return None
        if self.zero_packed:
            place, n_words = first * self.bits // 32, -(-count * self.bits // 32)
            words = np.ascontiguousarray(read_rows(self.zero, place, n_words).T)
            codes = unpacked(words, self.bits, count).T
            return codes.astype(np.float32) - np.float32(1 << (self.bits - 1))
        begin, n_tiles, which = self._tile_rows(first, count)
        return _floats(self.zero, begin, n_tiles)[which]

    def _bias(self, first: int, count: int) -> NDArray[np.float32] | None:
        if self.bias is None:
            return None
        begin, n_tiles, which = self._tile_rows(first, count)
        return _floats(self.bias, begin, n_tiles)[which]

    def _factor(self) -> np.float32:
        if self.factor is None:
            return np.float32(1)
        return np.float32(as_float32(read_flat(self.factor, 0, 1), self.factor.dtype)[0])

    def _index(self) -> NDArray[np.int64] | None:
        if self.g_idx is None:
            return None
        index = read_flat(self.g_idx, 0, self.shape[1]).astype(np.int64)
        if (index == -1).any():  # compressed-tensors: not in use
            return None
        if index.min() < 0 or index.max() >= self.scale.shape[1]:
            reason = f"{self.g_idx.name!r} names groups outside of the {self.scale.shape[1]:,} that there are"
            raise LoadError(self.g_idx.file.name, reason, self.g_idx.offset)
        return index


def _tiled(ref: FileTensor, begin: int, n_tiles: int) -> NDArray[Any]:
    """Return what some rows of tiles have, shape [n_tiles, tiles in a row]."""
    width = ref.shape[1] if len(ref.shape) > 1 else 1
    return read_flat(ref, begin * width, n_tiles * width).reshape(n_tiles, width)


def _floats(ref: FileTensor, begin: int, n_tiles: int) -> NDArray[np.float32]:
    return as_float32(_tiled(ref, begin, n_tiles), ref.dtype)
