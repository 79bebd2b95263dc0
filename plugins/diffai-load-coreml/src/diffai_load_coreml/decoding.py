"""Reads elements of any number of bits, and computes the numbers of compressed weights by rows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from diffai_core.plugin import DType, LoadError, block_length, decode, dtype
from diffai_load_coreml.recipes import Affine, Lookup, Recipe, Sparse
from diffai_load_coreml.stored import KINDS, Stored

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_BITS_OF_A_BYTE = 8


def plain_blocks(stored: Stored, kind: DType, max_bytes: int) -> Iterator[NDArray[Any]]:
    """Yield elements as they are stored, as blocks of ``kind``.

    Raises:
        LoadError: If the file has become shorter.
    """
    for start, count in _ranges(stored.shape, kind, max_bytes):
        yield elements(stored, start, count).astype(kind.numpy, copy=False)


def recipe_blocks(recipe: Recipe, shape: tuple[int, ...], max_bytes: int) -> Iterator[NDArray[Any]]:
    """Yield the numbers that compressed weights stand for.

    Args:
        recipe: How they are computed.
        shape: Shape of the numbers.
        max_bytes: Bytes of a block.

    Raises:
        LoadError: If the file has become shorter, or codes point behind their table, or mask and values disagree.
    """
    compute = _computation(recipe)
    kind = dtype(recipe.kind)
    for start, count in _ranges(shape, kind, max_bytes):
        with np.errstate(all="ignore"):  # what overflows is infinite there too
            yield compute(start, count).astype(kind.numpy, copy=False)


def _computation(recipe: Recipe) -> Any:
    if isinstance(recipe, Affine):
        return _AffineNumbers(recipe).read
    if isinstance(recipe, Lookup):
        return _LookedUp(recipe).read
    return _SparseNumbers(recipe).read


def _ranges(shape: tuple[int, ...], kind: DType, max_bytes: int) -> Iterator[tuple[int, int]]:
    total = math.prod(shape)
    step = block_length(shape, kind, max(max_bytes, 1))
    for start in range(0, total, step):
        yield start, min(step, total - start)


class _AffineNumbers:
    def __init__(self, recipe: Affine) -> None:
        self._recipe = recipe
        self._wide: np.dtype[Any] = np.dtype(np.float64 if recipe.adds else np.float32)
        self._scale = Spread(recipe.scale, recipe.codes.shape, self._wide)
        self._offset = recipe.offset and Spread(recipe.offset, recipe.codes.shape, self._wide)

    def read(self, start: int, count: int) -> NDArray[Any]:
        values: NDArray[Any] = elements(self._recipe.codes, start, count).astype(self._wide)
        scale: NDArray[Any] = self._scale.read(start, count)
        if self._offset is None:
            return np.asarray(values * scale)
        offset: NDArray[Any] = self._offset.read(start, count)
        return np.asarray(values * scale + offset if self._recipe.adds else (values - offset) * scale)


class _LookedUp:
    def __init__(self, recipe: Lookup) -> None:
        self._codes = recipe.codes
        self._length = recipe.table.shape[-1]
        groups = recipe.table.shape[:-1]
        self._tables = elements(recipe.table, 0, recipe.table.numel)
        self._group = BlockIndex(groups, recipe.codes.shape) if groups else None

    def read(self, start: int, count: int) -> NDArray[Any]:
        codes = elements(self._codes, start, count).astype(np.int64)
        if codes.size and int(codes.max()) >= self._length:
            reason = f"a code here points behind its table of {self._length} values"
            raise LoadError(self._codes.file.name, reason, self._codes.offset)
        if self._group is not None:
            codes += self._group.read(start, count) * self._length
        found: NDArray[Any] = self._tables[codes]
        return found


class _SparseNumbers:
    """Reads ranges in order; the place in the values follows from the bits before."""

    def __init__(self, recipe: Sparse) -> None:
        self._recipe = recipe
        self._taken = 0

    def read(self, start: int, count: int) -> NDArray[Any]:
        values = self._recipe.values
        there = elements(self._recipe.mask, start, count).astype(np.bool_)
        n_there = int(np.count_nonzero(there))
        whole = start + count == self._recipe.mask.numel
        if self._taken + n_there > values.numel or (whole and self._taken + n_there < values.numel):
            reason = f"the mask here does not have as many ones as there are values ({values.numel:,})"
            raise LoadError(self._recipe.mask.file.name, reason, self._recipe.mask.offset)
        found = np.zeros(count, KINDS[values.code].numpy)
        found[there] = elements(values, self._taken, n_there)
        self._taken += n_there
        return found


class BlockIndex:
    """Which of several blocks an element lies in.

    Args:
        blocks: How many blocks there are along each dimension.
        shape: Shape of the elements; each length is a multiple.
    """

    def __init__(self, blocks: tuple[int, ...], shape: tuple[int, ...]) -> None:
        self._blocks = blocks
        self._shape = shape
        self.run = run_length(blocks, shape)

    def read(self, start: int, count: int) -> NDArray[np.int64]:
        """Return the number of the block for ``count`` elements from ``start`` on, in row-major order."""
        flat = np.arange(start, start + count)
        if self.run is not None:
            return flat // self.run
        index = np.zeros(count, np.int64)
        step = 1
        for n_blocks, length in zip(reversed(self._blocks), reversed(self._shape), strict=True):
            if n_blocks > 1:
                index += flat % length // (length // n_blocks) * step
                step *= n_blocks
            flat //= length
        return index


def run_length(blocks: tuple[int, ...], shape: tuple[int, ...]) -> int | None:
    """Return how many consecutive elements a block holds; ``None`` if its elements do not lie in a row.

    Example:
        >>> run_length((16, 4), (16, 32)), run_length((1, 4), (16, 32))
        (8, None)
    """
    n_leading = max((axis + 1 for axis, n_blocks in enumerate(blocks) if n_blocks > 1), default=0)
    if n_leading == 0:
        return math.prod(shape) or 1
    if blocks[: n_leading - 1] != shape[: n_leading - 1]:
        return None
    return math.prod(shape[n_leading - 1 :]) // blocks[n_leading - 1]


class Spread:
    """The scale, or offset, of each element.

    Args:
        part: The scales.
        shape: Shape of the codes.
        wide: Type in which they are given.
    """

    def __init__(self, part: Stored, shape: tuple[int, ...], wide: np.dtype[Any]) -> None:
        self._part = part
        self._wide = wide
        self._index = BlockIndex((1,) * (len(shape) - len(part.shape)) + part.shape, shape)
        self._all: NDArray[Any] | None = None

    def read(self, start: int, count: int) -> NDArray[Any]:
        """Return the scales of ``count`` elements from ``start`` on."""
        run = self._index.run
        if run is not None:
            first, last = start // run, (start + count - 1) // run
            repeats = np.full(last - first + 1, run)
            repeats[-1] = start + count - last * run
            repeats[0] -= start - first * run
            return np.repeat(elements(self._part, first, last - first + 1).astype(self._wide), repeats)
        if self._all is None:
            self._all = elements(self._part, 0, self._part.numel).astype(self._wide)
        found: NDArray[Any] = self._all[self._index.read(start, count)]
        return found


def elements(stored: Stored, start: int, count: int) -> NDArray[Any]:
    """Return ``count`` elements from ``start`` on, those of odd numbers of bits as ``uint8``.

    Raises:
        LoadError: If the file has become shorter.
    """
    kind = KINDS.get(stored.code)
    if kind is not None and (kind.bits >= _BITS_OF_A_BYTE or not stored.high_first):
        group = kind.packed_group
        begin = start // group * group
        n_whole = -(-(start + count - begin) // group) * group
        data = stored.file.read(stored.offset + kind.nbytes(begin), kind.nbytes(n_whole))
        return decode(data, kind, n_whole)[start - begin :][:count]
    return _unpacked(stored, kind, start, count)


def _unpacked(stored: Stored, kind: DType | None, start: int, count: int) -> NDArray[Any]:
    """Return elements from a stream of bits, in which they may lie across bytes."""
    bits = stored.bits
    begin = start * bits // 8
    end = -(-(start + count) * bits // 8)
    raw = np.frombuffer(stored.file.read(stored.offset + begin, end - begin), np.uint8)
    order: Any = "big" if stored.high_first else "little"
    stream = np.unpackbits(raw, bitorder=order)[start * bits - begin * 8 :][: count * bits].reshape(count, bits)
    places = range(bits - 1, -1, -1) if stored.high_first else range(bits)
    codes = np.zeros(count, np.uint8)
    for column, place in enumerate(places):
        codes |= stream[:, column] << np.uint8(place)
    if kind is not None and kind.kind == "int":
        sign = np.uint8(1 << (bits - 1))
        codes = (codes ^ sign) - sign
    return codes.view(kind.numpy) if kind is not None else codes
