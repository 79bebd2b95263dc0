"""Constants as lazy tensors: stored as they are, packed, or quantised."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_core.plugin import BlockTensor, FileTensor, Quantization, TensorRef, dtype, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from diffai_core.plugin import DataFile, DType
    from diffai_load_tflite.model import Tensor
    from diffai_load_tflite.quantization import Scales


class Codes(NamedTuple):
    """Elements as they lie in the file, 2 and 4 bits packed with the first one low."""

    file: DataFile
    offset: int
    shape: tuple[int, ...]
    dtype: DType
    numel: int


def codes_of(tensor: Tensor, kind: DType) -> Codes:
    """Return where the elements of a constant lie.

    Raises:
        LoadError: If they are more or fewer bytes than its shape needs.
    """
    assert tensor.data is not None
    count = 1
    for length in tensor.shape:
        count *= length
    n_bytes = -(-count * kind.bits // 8)
    buffer = tensor.table.buffer
    if n_bytes != tensor.data.length:
        reason = (
            f"tensor {shown(tensor.name)} needs {n_bytes:,} bytes ({kind}, shape {list(tensor.shape)}), "
            f"and its buffer has {tensor.data.length:,}"
        )
        raise buffer.error(reason, tensor.data.start)
    return Codes(buffer.file, tensor.data.start, tensor.shape, kind, count)


def stored_tensor(codes: Codes, name: str) -> TensorRef:
    """Return the elements as they are stored."""
    if codes.numel % codes.dtype.packed_group == 0:
        return FileTensor(name=name, shape=codes.shape, dtype=codes.dtype, file=codes.file, offset=codes.offset)
    return BlockTensor(
        name=name,
        shape=codes.shape,
        dtype=codes.dtype,
        open_blocks=partial(_code_blocks, codes),
        shared_storage=(codes.file.path, codes.offset, codes.numel),
    )


def quantized_tensor(codes: Codes, name: str, scales: Scales) -> TensorRef:
    """Return the numbers that the codes stand for."""
    parts = (stored_tensor(codes, f"{name}.codes"), scales.scale)
    scheme = f"{codes.dtype.name}_{'blockwise' if scales.block else 'affine'}"
    return BlockTensor(
        name=name,
        shape=codes.shape,
        dtype=dtype("float32"),
        quantization=Quantization(
            scheme=scheme,
            bits=codes.dtype.bits,
            stored=(*parts, scales.zero_point) if scales.zero_point else parts,
            group_size=scales.block,
            axis=None if scales.block else scales.axis,
        ),
        open_blocks=partial(_dequantized_blocks, codes, scales),
        shared_storage=(codes.file.path, codes.offset, scales.scale.offset),
    )


def _code_blocks(codes: Codes, max_bytes: int) -> Iterator[NDArray[Any]]:
    from diffai_load_tflite.blocks import code_blocks

    return code_blocks(codes, max_bytes)


def _dequantized_blocks(codes: Codes, scales: Scales, max_bytes: int) -> Iterator[NDArray[Any]]:
    from diffai_load_tflite.blocks import dequantized_blocks

    return dequantized_blocks(codes, scales, max_bytes)
