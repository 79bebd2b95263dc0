"""The tensors of a GGUF file: checked against its size, and against each other."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from diffai_core.plugin import BlockTensor, FileTensor, LoadError, NotCompared, Quantization, dtype
from diffai_load_gguf.blocks import dequantised, swapped
from diffai_load_gguf.cursor import shown
from diffai_load_gguf.types import BLOCK_TYPES, NAMES_OF_OTHERS, OPAQUE_TYPES, PLAIN_TYPES

if TYPE_CHECKING:
    from diffai_core.plugin import DataFile, TensorRef
    from diffai_load_gguf.header import Header, TensorInfo
    from diffai_load_gguf.types import BlockType

_MAX_ARRAY_BYTES = 1 << 63
"""What an index of NumPy can count, over the dimensions that are not 0."""
_WIDEST = 8


class Tensors(NamedTuple):
    """The tensors of a file, and what of it cannot be read."""

    refs: list[TensorRef]
    not_readable: list[NotCompared]


class _Span(NamedTuple):
    begin: int
    end: int
    name: str


def find_tensors(file: DataFile, header: Header) -> Tensors:
    """Return the tensors that ``header`` describes.

    Raises:
        LoadError: If one is not inside the file, not where alignment puts it, or inside another one.
    """
    finder = _Finder(file, header)
    for info in header.infos:
        finder.add(info)
    finder.check_cover()
    return finder.found


class _Finder:
    def __init__(self, file: DataFile, header: Header) -> None:
        self.found = Tensors([], [])
        self._file = file
        self._header = header
        self._spans: list[_Span] = []
        self._n_unknown = 0

    def add(self, info: TensorInfo) -> None:
        """Add one tensor, or say why it cannot be read."""
        if info.offset % self._header.alignment:
            raise self._error(info, f"begins at {info.offset:,}, no multiple of the alignment {self._header.alignment}")
        if math.prod(length or 1 for length in info.shape) * _WIDEST >= _MAX_ARRAY_BYTES:
            raise self._error(info, f"is larger than any array can be (shape {list(info.shape)})")
        if info.kind in PLAIN_TYPES:
            self._add_plain(info)
        elif info.kind in BLOCK_TYPES:
            self._add_quantised(info, BLOCK_TYPES[info.kind])
        elif info.kind in OPAQUE_TYPES:
            self.found.refs.append(self._blocks(info, OPAQUE_TYPES[info.kind]))
        else:
            self._add_unknown(info)

    def _add_plain(self, info: TensorInfo) -> None:
        element = PLAIN_TYPES[info.kind]
        offset = self._placed(info, element.nbytes(math.prod(info.shape)))
        if self._header.big_endian and element.bits > 8:  # noqa: PLR2004 - a byte has no order
            open_blocks = partial(swapped, self._file, offset, element, info.shape)
            ref: TensorRef = BlockTensor(name=info.name, shape=info.shape, dtype=element, open_blocks=open_blocks)
        else:
            ref = FileTensor(name=info.name, shape=info.shape, dtype=element, file=self._file, offset=offset)
        self.found.refs.append(ref)

    def _add_quantised(self, info: TensorInfo, block: BlockType) -> None:
        stored = self._blocks(info, block)
        if self._header.big_endian and block.swapped is None:
            self.found.refs.append(stored)
            return
        swaps = block.swapped or () if self._header.big_endian else ()
        self.found.refs.append(
            BlockTensor(
                name=info.name,
                shape=info.shape,
                dtype=dtype("float32"),
                open_blocks=partial(dequantised, self._file, stored.offset, info.kind, info.shape, swaps),
                quantization=Quantization(
                    scheme=block.name, bits=block.bits, stored=(stored,), group_size=block.group_size
                ),
            )
        )

    def _blocks(self, info: TensorInfo, block: BlockType) -> FileTensor:
        """Return the blocks of a tensor as they lie in the file."""
        row = info.shape[-1] if info.shape else 1
        if row % block.elements:
            reason = f"has rows of {row:,} elements, no multiple of the {block.elements} in a block of {block.name}"
            raise self._error(info, reason)
        shape = (*info.shape[:-1], row // block.elements)
        offset = self._placed(info, math.prod(shape) * block.nbytes)
        stored_dtype = block.stored_dtype(big_endian=self._header.big_endian)
        return FileTensor(name=info.name, shape=shape, dtype=stored_dtype, file=self._file, offset=offset)

    def _add_unknown(self, info: TensorInfo) -> None:
        self._placed(info, 0)
        self._n_unknown += 1
        name = NAMES_OF_OTHERS.get(info.kind)
        told = f"type {name}, of which there are several layouts" if name else f"the unknown type {info.kind}"
        self.found.not_readable.append(NotCompared(info.name, f"it has {told}; no released tool writes it"))

    def _placed(self, info: TensorInfo, nbytes: int) -> int:
        """Return the byte of the file at which a tensor begins."""
        begin = self._header.data_start + info.offset
        missing = begin + nbytes - self._file.size
        if missing > 0:
            reason = f"the file ends here, {missing:,} bytes too early for tensor {shown(info.name)}"
            raise LoadError(self._file.name, reason, self._file.size)
        self._spans.append(_Span(begin, begin + nbytes, info.name))
        return begin

    def check_cover(self) -> None:
        """Make sure that no tensor is inside another one; say which bytes belong to none.

        Raises:
            LoadError: If one is.
        """
        place, before = self._header.data_start, ""
        for span in sorted(self._spans):
            if span.begin < place and span.end > span.begin:
                reason = f"tensor {shown(span.name)} begins here, inside tensor {shown(before)}"
                raise LoadError(self._file.name, reason, span.begin)
            self._check_gap(place, span.begin)
            place, before = max(place, span.end), span.name
        self._check_gap(place, self._file.size)

    def _check_gap(self, begin: int, end: int) -> None:
        if end - begin >= self._header.alignment and not self._n_unknown:
            reason = f"{end - begin:,} bytes that belong to no tensor"
            self.found.not_readable.append(NotCompared(f"byte {begin:,}", reason))

    def _error(self, info: TensorInfo, reason: str) -> LoadError:
        return LoadError(self._file.name, f"tensor {shown(info.name)} {reason}", info.place)
