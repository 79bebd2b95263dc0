"""Tensors of elements that lie in a file as they are, or packed in odd numbers of bits."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from diffai_core.plugin import BlockTensor, FileTensor, Quantization, dtype
from diffai_load_coreml.stored import KINDS, Stored

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from diffai_core.plugin import TensorRef

_INDICES = frozenset({"bool", "int64", "int32", "uint64", "uint32"})


def tensor_of(stored: Stored, name: str) -> TensorRef:
    """Return elements in a file as a tensor called ``name``."""
    role: Any = "buffers" if stored.code in _INDICES or not stored.shape else "weights"
    kind = KINDS.get(stored.code)
    whole = kind is not None and stored.numel % kind.packed_group == 0 and (kind.bits >= 8 or not stored.high_first)  # noqa: PLR2004 - a byte
    if kind is not None and whole:
        return FileTensor(name=name, shape=stored.shape, dtype=kind, role=role, file=stored.file, offset=stored.offset)
    read_as = kind or dtype("uint8")
    raw = FileTensor(name=name, shape=(stored.nbytes,), dtype=dtype("uint8"), file=stored.file, offset=stored.offset)
    return BlockTensor(
        name=name,
        shape=stored.shape,
        dtype=read_as,
        role=role,
        quantization=None if kind else Quantization(scheme=stored.code, bits=stored.bits, stored=(raw,)),
        open_blocks=partial(_blocks, stored, read_as.name),
        shared_storage=stored.place,
    )


def _blocks(stored: Stored, kind: str, max_bytes: int) -> Iterator[NDArray[Any]]:
    from diffai_load_coreml.decoding import plain_blocks

    return plain_blocks(stored, dtype(kind), max_bytes)
