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


def rows_of(ref: TensorRef, rows: NDArray[Any], n_columns: int) -> NDArray[Any]:
    """Return some rows of a tensor seen as a matrix.

    Args:
        ref: The tensor.
        rows: Indices of the rows, increasing, shape ``(n,)``.
        n_columns: Elements of a row.

    Returns:
        Shape ``(n, n_columns)``, in the dtype of the tensor.

    Raises:
        LoadError: If the bytes cannot be read.
    """
    import numpy as np

    if not isinstance(ref, FileTensor) or ref.dtype.bits < _BYTE:
        return _from_blocks(ref, rows, n_columns)
    if len(rows) and int(rows[-1]) - int(rows[0]) == len(rows) - 1:
        return _elements(ref, int(rows[0]) * n_columns, len(rows) * n_columns).reshape(-1, n_columns)
    found = np.empty((len(rows), n_columns), ref.dtype.numpy)
    for place, row in enumerate(rows.tolist()):
        found[place] = _elements(ref, row * n_columns, n_columns)
    return found


def _elements(ref: FileTensor, start: int, count: int) -> NDArray[Any]:
    size = ref.dtype.bits // _BYTE
    return decode(ref.file.read(ref.offset + start * size, count * size), ref.dtype, count)


def _from_blocks(ref: TensorRef, rows: NDArray[Any], n_columns: int) -> NDArray[Any]:
    """Pick the rows out of the blocks, whatever their length."""
    import numpy as np

    found = np.empty((len(rows), n_columns), ref.dtype.numpy)
    flat = found.reshape(-1)
    starts = np.asarray(rows, np.int64) * n_columns
    begin = 0
    for block in ref.blocks(_BLOCK):
        end = begin + len(block)
        first = int(np.searchsorted(starts, begin - n_columns, side="right"))
        last = int(np.searchsorted(starts, end, side="left"))
        for place in range(first, last):
            low, high = max(begin, int(starts[place])), min(end, int(starts[place]) + n_columns)
            target = place * n_columns + low - int(starts[place])
            flat[target : target + high - low] = block[low - begin : high - begin]
        begin = end
    return found
