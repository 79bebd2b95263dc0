"""Reading parts of tensors into memory of their own: pages of a mapped file would stay in memory until the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffai_core.plugin import FileTensor, decode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from diffai_core.plugin import TensorRef

_BLOCK = 1 << 22
_BYTE = 8


def blocks_of(ref: TensorRef) -> Iterator[NDArray[Any]]:
    """Yield all elements in row-major order, some MiB at a time.

    Raises:
        LoadError: If the bytes cannot be read.
    """
    if not isinstance(ref, FileTensor) or ref.dtype.bits < _BYTE:
        yield from ref.blocks(_BLOCK)
        return
    step = max(1, _BLOCK * _BYTE // ref.dtype.bits)
    for start in range(0, ref.numel, step):
        yield _elements(ref, start, min(step, ref.numel - start))


def _elements(ref: FileTensor, start: int, count: int) -> NDArray[Any]:
    size = ref.dtype.bits // _BYTE
    return decode(ref.file.read(ref.offset + start * size, count * size), ref.dtype, count)
