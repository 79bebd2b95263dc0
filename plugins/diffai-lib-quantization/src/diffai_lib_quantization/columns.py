"""Layouts that store the transposed weight, so that its rows are columns of the file: GPTQ, AWQ, MXFP4 of experts.

Strips of columns are read, as many as fit into some megabytes, and turned in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from diffai_core.plugin import FileTensor, LoadError
from diffai_lib_quantization.reading import E2M1, as_float32, read_columns, read_flat, scaled, unpacked
from diffai_lib_quantization.tensor import PIECE_ELEMENTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

STRIP_BYTES = 8 << 20
_WORD_GROUP = 32
"""So many codes of any width fill whole words."""
_AWQ_WORD = 8
_AWQ_ORDER = [0, 4, 1, 5, 2, 6, 3, 7]
"""Which nibble of a word, the lowest first, holds each of eight consecutive codes (AutoAWQ's GEMM order, undone)."""


def _strips(total: int, column_bytes: int, multiple: int) -> Iterator[tuple[int, int]]:
    """Yield first column and number of columns of each strip."""
    step = max(STRIP_BYTES // column_bytes // multiple, 1) * multiple
    for first in range(0, total, step):
        yield first, min(step, total - first)


def _whole(ref: FileTensor) -> tuple[int, int, int]:
    return 0, ref.shape[0], ref.shape[1]


@dataclass(frozen=True)
class Gptq:
    """``scales[g] * (code - zero[g])`` with ``g = g_idx[column]`` (AutoGPTQ 0.7, ``qlinear_cuda_old``).

    Args:
        qweight: int32 [in * bits / 32, out]; codes along the first dimension.
        qzeros: int32 [groups, out * bits / 32]; codes along the second.
        scales: float16 [groups, out].
        g_idx: int32 [in], group of each input; ``None`` where groups are runs of inputs.
        bits: Bits of a code.
        zero_offset: What is added to a stored zero point: 1 in version 1 of the format, 0 in version 2.
    """

    qweight: FileTensor
    qzeros: FileTensor
    scales: FileTensor
    g_idx: FileTensor | None
    bits: int
    zero_offset: int

    def pieces(self) -> Iterator[NDArray[Any]]:
        """Yield the values, rows of outputs."""
        n_in = self.qweight.shape[0] * 32 // self.bits
        n_groups, n_out = self.scales.shape
        index = self._index(n_in, n_groups)
        column_bytes = 4 * self.qweight.shape[0] + 8 * n_groups
        for first, count in _strips(n_out, column_bytes, _WORD_GROUP):
            words = np.ascontiguousarray(read_columns(self.qweight, first, count, _whole(self.qweight)).T)
            scale = as_float32(read_columns(self.scales, first, count, _whole(self.scales)), self.scales.dtype).T
            zero = self._zeros(first, count).T
            step = max(PIECE_ELEMENTS // n_in, 1)
            for row in range(0, count, step):
                part = slice(row, row + step)
                codes = unpacked(words[part], self.bits, n_in).astype(np.float32)
                yield scaled(codes, scale[part], zero[part], index, -(-n_in // n_groups))

    def _zeros(self, first: int, count: int) -> NDArray[np.float32]:
        """Return zero points of some outputs, shape [groups, count]."""
        place, n_words = first * self.bits // 32, -(-count * self.bits // 32)
        codes = unpacked(read_columns(self.qzeros, place, n_words, _whole(self.qzeros)), self.bits, count)
        return ((codes + np.uint8(self.zero_offset)) & np.uint8((1 << self.bits) - 1)).astype(np.float32)

    def _index(self, n_in: int, n_groups: int) -> NDArray[np.int64] | None:
        if self.g_idx is None:
            return None
        index = read_flat(self.g_idx, 0, n_in).astype(np.int64)
        if index.size and (index.min() < 0 or index.max() >= n_groups):
            reason = f"{self.g_idx.name!r} names groups outside of the {n_groups:,} that there are"
            raise LoadError(self.g_idx.file.name, reason, self.g_idx.offset)
        if n_in % n_groups == 0 and np.array_equal(index, np.arange(n_in) // (n_in // n_groups)):
            return None
        return index


@dataclass(frozen=True)
class Awq:
    """``(code - zero[g]) * scales[g]``, four bits, eight codes woven into a word (AutoAWQ 0.2, ``dequantize_gemm``).

    Args:
        qweight: int32 [in, out / 8].
        qzeros: int32 [groups, out / 8].
        scales: float16 [groups, out].
    """

    qweight: FileTensor
    qzeros: FileTensor
    scales: FileTensor

    def pieces(self) -> Iterator[NDArray[Any]]:
        """Yield the values, rows of outputs."""
        n_in, n_words = self.qweight.shape
        n_groups = self.scales.shape[0]
        for first, count in _strips(n_words, 4 * n_in + 36 * n_groups, 1):
            words = read_columns(self.qweight, first, count, _whole(self.qweight))
            zero = _awq_codes(read_columns(self.qzeros, first, count, _whole(self.qzeros))).T
            raw = read_columns(self.scales, first * _AWQ_WORD, count * _AWQ_WORD, _whole(self.scales))
            scale = as_float32(raw, self.scales.dtype).T
            step = max(PIECE_ELEMENTS // n_in // _AWQ_WORD, 1)
            for word in range(0, count, step):
                part = slice(word * _AWQ_WORD, (word + step) * _AWQ_WORD)
                codes = np.ascontiguousarray(_awq_codes(words[:, word : word + step]).T)
                yield scaled(codes, scale[part], zero[part], None, n_in // n_groups)


def _awq_codes(words: NDArray[Any]) -> NDArray[np.float32]:
    """Return the codes in words of shape [rows, n], shape [rows, 8 * n]."""
    codes = unpacked(words, 4, words.shape[1] * _AWQ_WORD)
    return codes.reshape(len(words), -1, _AWQ_WORD)[:, :, _AWQ_ORDER].reshape(len(words), -1).astype(np.float32)


@dataclass(frozen=True)
class TransposedMxfp4:
    """4-bit floats with a power of two for 32 of them, each expert's matrix transposed (gpt-oss).

    Args:
        blocks: uint8 [experts, out, groups, 16], the low nibble first.
        scales: uint8 [experts, out, groups]; 127 stands for 1.
    """

    blocks: FileTensor
    scales: FileTensor

    def pieces(self) -> Iterator[NDArray[Any]]:
        """Yield the values, rows of inputs: shape of the whole is [experts, 32 * groups, out]."""
        n_experts, n_out, n_groups, n_bytes = self.blocks.shape
        for expert in range(n_experts):
            bytes_of = expert * n_out * n_groups * n_bytes, n_out, n_groups * n_bytes
            scales_of = expert * n_out * n_groups, n_out, n_groups
            for first, count in _strips(n_groups, n_out * (n_bytes + 1), 1):
                raw = read_columns(self.blocks, first * n_bytes, count * n_bytes, bytes_of)
                scale = power_of_two(read_columns(self.scales, first, count, scales_of))
                step = max(PIECE_ELEMENTS // (2 * n_bytes * n_out), 1)
                for group in range(0, count, step):
                    part = raw[:, group * n_bytes : (group + step) * n_bytes]
                    codes = E2M1[unpacked(part, 4, 2 * part.shape[1])]
                    yield scaled(codes, scale[:, group : group + step], None).T


def power_of_two(exponents: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return 2 ** (exponent - 127) for each byte; 255 is NaN (OCP Microscaling Formats 1.0, E8M0)."""
    with np.errstate(all="ignore"):
        values = np.ldexp(np.float32(1), exponents.astype(np.int32) - 127)
    return np.where(exponents == 255, np.float32(np.nan), values).astype(np.float32)  # noqa: PLR2004 - all bits set
