"""Zarr arrays as lazy tensors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from diffai_lib_hdf5.boxes import cut_for

from diffai_core.plugin import BlockTensor, FileTensor
from diffai_load_jax.roles import role_of
from diffai_load_jax.zarr_spec import ArraySpec, NotReadableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from diffai_core.plugin import TensorRef
    from diffai_load_jax.values import Stored

MAX_CHUNK_BYTES = 64 << 20
"""Largest chunk that is decompressed as a whole; others have to give their rows in order."""
MAX_STREAMS = 16
"""Most compressed chunks that are read side by side."""
MAX_ROW_BYTES = 64 << 20
MAX_READINGS = 64
"""How often one chunk may have to be decompressed, where rows are wanted and chunks are tall."""
MAX_RATIO = 1000
MAX_UNWRITTEN_BYTES = 4 << 30
"""Arrays may declare this many bytes, and ``MAX_RATIO`` times what is stored, before they are refused."""


@dataclass(frozen=True)
class ZarrArray:
    """An array and its chunks. Picklable.

    Args:
        spec: What is said of it.
        chunks: Stored chunks, or shards, by their place in the grid.
        streams: Whether rows are taken from compressed chunks as they come.
    """

    spec: ArraySpec
    chunks: Mapping[tuple[int, ...], Stored]
    streams: bool


def tensor_of(name: str, spec: ArraySpec, chunks: Mapping[tuple[int, ...], Stored]) -> TensorRef:
    """Return an array as a tensor: of the file itself where its elements lie there as they are.

    Raises:
        LoadError: If an uncompressed chunk has another length than it must.
        NotReadableError: If it cannot be read with bounded memory and work.
    """
    only = chunks.get((0,) * len(spec.shape))
    role = role_of(name)
    plain = not spec.codec and not spec.swap and spec.dtype.bits >= 8 and spec.axes == tuple(range(len(spec.shape)))  # noqa: PLR2004 - a byte
    if plain and not spec.shard and only is not None and spec.chunk == spec.shape and only.inline is None:
        if only.size - spec.n_checksum != spec.nbytes:
            raise only.error(f"a chunk of {only.size:,} bytes instead of {spec.nbytes + spec.n_checksum:,}")
        return FileTensor(name=name, shape=spec.shape, dtype=spec.dtype, role=role, file=only.file, offset=only.start)
    array = ZarrArray(spec, dict(chunks), _streams(spec))
    return BlockTensor(
        name=name,
        shape=spec.shape,
        dtype=spec.dtype,
        role=role,
        open_blocks=partial(_blocks, array),
    )


def _blocks(array: ZarrArray, max_bytes: int) -> Iterator[NDArray[Any]]:
    from diffai_load_jax.zarr_read import array_blocks

    return array_blocks(array, max_bytes)


def _streams(spec: ArraySpec) -> bool:
    """Whether rows can be taken from chunks as they come; if not, chunks must be small enough to be decompressed."""
    in_order = spec.axes == tuple(range(len(spec.shape)))
    n_beside = math.prod(-(-length // step) for length, step in zip(spec.shape[1:], spec.chunk[1:], strict=True))
    row_bytes = math.prod(spec.chunk[1:]) * spec.item if spec.chunk[1:] != spec.shape[1:] else 0
    whole_rows = math.prod(spec.shape[1:]) * spec.item if row_bytes else 0
    if in_order and n_beside <= MAX_STREAMS and whole_rows <= MAX_ROW_BYTES:
        return True
    if spec.chunk_bytes > MAX_CHUNK_BYTES:
        reason = f"has chunks of {spec.chunk_bytes:,} bytes whose rows do not follow each other; they are not read"
        raise NotReadableError(reason)
    order = tuple(range(len(spec.shape)))
    n_readings = cut_for(spec.shape, order, spec.item, spec.chunk).n_readings
    if n_readings > MAX_READINGS:
        raise NotReadableError(f"has chunks of shape {spec.chunk}, each of which would be read {n_readings} times")
    return False
