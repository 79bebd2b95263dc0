"""A logical tensor that takes the place of the parts it is stored in."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from diffai_core.plugin import BlockTensor, FileTensor, Quantization, block_length, dtype, regroup

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from diffai_core.plugin import TensorRef

PIECE_ELEMENTS = 1 << 16
"""Elements that are dequantised at a time: the steps in between then stay in the cache."""
MAX_COLUMNS = 1 << 18
"""Most columns of a weight that is dequantised; what is wider stays as it is stored."""


class Decoder(Protocol):
    """Computes values from stored parts. Picklable."""

    def pieces(self) -> Iterator[NDArray[Any]]:
        """Yield all values in row-major order, float32, some at a time in arrays of any shape."""
        ...


class Found(NamedTuple):
    """A logical tensor and the names of the parts that it stands for."""

    ref: TensorRef
    parts: tuple[str, ...]


@dataclass(frozen=True)
class Scheme:
    """What is said of a tensor besides its values; see :class:`diffai_core.plugin.Quantization`."""

    name: str
    bits: float
    group_size: int | None = None
    axis: int | None = None


def logical(
    name: str, shape: tuple[int, ...], decoder: Decoder, scheme: Scheme, parts: tuple[FileTensor, ...]
) -> Found:
    """Return the tensor ``name`` that ``decoder`` computes from ``parts``."""
    quantization = Quantization(
        scheme=scheme.name, bits=scheme.bits, stored=parts, group_size=scheme.group_size, axis=scheme.axis
    )
    ref = BlockTensor(
        name=name,
        shape=shape,
        dtype=dtype("float32"),
        role=parts[0].role,
        open_blocks=partial(blocks, decoder, shape),
        shared_storage=(scheme.name, shape, *(part.storage for part in parts)),
        quantization=quantization,
    )
    return Found(ref, tuple(part.name for part in parts))


def blocks(decoder: Decoder, shape: tuple[int, ...], max_bytes: int) -> Iterator[NDArray[Any]]:
    """Yield the values of ``decoder`` in blocks of whole rows where a row fits."""
    length = block_length(shape, dtype("float32"), max_bytes)
    pieces = (piece.reshape(-1) for piece in decoder.pieces()) if math.prod(shape) else ()
    yield from regroup(pieces, length, dtype("float32"))


class Parts:
    """Tensors of a checkpoint, looked up by what their names begin with.

    Args:
        tensors: All tensors.
        prefix: What the names of the parts begin with, its dot included.
    """

    def __init__(self, tensors: Mapping[str, TensorRef], prefix: str) -> None:
        self._tensors = tensors
        self.prefix = prefix

    def __contains__(self, suffix: str) -> bool:
        return self.prefix + suffix in self._tensors

    def get(self, suffix: str, *dtypes: str, ndim: int | None = None) -> FileTensor | None:
        """Return a part that lies in a file as it is; ``None`` if there is none of these dtypes and dimensions."""
        ref = self._tensors.get(self.prefix + suffix)
        if not isinstance(ref, FileTensor) or (dtypes and ref.dtype.name not in dtypes):
            return None
        return ref if ndim is None or len(ref.shape) == ndim else None


FLOATS = ("float32", "float16", "bfloat16")
FLOATS8 = ("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz")


def integer(config: Mapping[str, Any] | None, key: str) -> int | None:
    """Return the whole number that a configuration holds under ``key``, if there is one."""
    value = (config or {}).get(key)
    return value if type(value) is int else None
