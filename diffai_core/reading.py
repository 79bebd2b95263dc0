"""Read paired tensors side by side: raw bytes to see whether they differ, then leaf by leaf as arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from diffai_core.artifact import FileTensor
from diffai_core.dtypes import canonical, decode
from diffai_core.errors import LoadError
from diffai_core.wording import error_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from diffai_core.artifact import TensorRef

SCAN_BYTES = 1 << 17
"""Bytes compared at a time: two such pieces stay in the L2 cache (measured best between 64 and 256 KiB)."""

_FEW = 64
_MOST_EMPTY_BLOCKS = 1000

BLOCK_BYTES = 1 << 20
"""Size of the blocks asked of loaders that decode."""


def same_bytes(old: FileTensor, new: FileTensor, start: int, stop: int) -> bool:
    """Whether bytes ``start`` to ``stop`` of two tensors in files are equal.

    Raises:
        LoadError: If a file ends before.
    """
    old_buffer, new_buffer = bytearray(SCAN_BYTES), bytearray(SCAN_BYTES)
    place = start
    while place + SCAN_BYTES <= stop:
        old.file.read_into(old.offset + place, old_buffer)
        new.file.read_into(new.offset + place, new_buffer)
        if old_buffer != new_buffer:
            return False
        place += SCAN_BYTES
    rest = stop - place
    return old.file.read(old.offset + place, rest) == new.file.read(new.offset + place, rest)


def same_leaf_bytes(old: LeafReader, new: LeafReader) -> bool:
    """Whether the last leaves of two tensors of one dtype hold the same bytes."""
    import numpy as np

    # Most leaves that differ do so at once, and then nothing else has to be looked at.
    if old.current[:_FEW].tobytes() != new.current[:_FEW].tobytes():
        return False
    old_bytes, new_bytes = (np.ascontiguousarray(side.current).view(np.uint8) for side in (old, new))
    return bool(np.array_equal(old_bytes, new_bytes))


def checked_blocks(ref: TensorRef) -> Iterator[NDArray[Any]]:
    """Yield the blocks of a tensor that its loader decodes, held to what the loader promised.

    Raises:
        LoadError: If the loader fails, or yields anything but 1-D arrays of the declared dtype.
    """
    import numpy as np

    expected, n_empty = ref.dtype.numpy, 0
    for block in _guarded_blocks(ref):
        if not isinstance(block, np.ndarray) or block.ndim != 1 or block.dtype != expected:
            found = f"{block.ndim}-D {block.dtype}" if isinstance(block, np.ndarray) else type(block).__name__
            raise _broken_loader(ref, f"yields {found} where 1-D {expected} is declared")
        n_empty = 0 if block.size else n_empty + 1
        if n_empty > _MOST_EMPTY_BLOCKS:
            raise _broken_loader(ref, "yields nothing but empty blocks")
        yield canonical(block, ref.dtype)


def _guarded_blocks(ref: TensorRef) -> Iterator[Any]:
    try:
        yield from ref.blocks(BLOCK_BYTES)
    except (LoadError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        raise _broken_loader(ref, f"failed ({error_text(error)})") from error


def _broken_loader(ref: TensorRef, reason: str) -> LoadError:
    return LoadError(f"tensor {ref.name!r}", f"its loader {reason}; report it to the loader's authors")


class LeafReader(Protocol):
    """Hands out consecutive elements of one tensor as 1-D arrays; ``current`` is the last of them."""

    current: NDArray[Any]

    def leaf(self, start: int, count: int) -> NDArray[Any]:
        """Return ``count`` elements from ``start`` on; valid until the next call."""
        ...


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Return a view through which no statistic can change what the others see."""
    view = array.view()
    view.flags.writeable = False
    return view


class FileLeaves:
    """Leaves of a tensor that lies in a file; any order of access.

    They are always read into a buffer: a map of a file that another program shortens would end the process.
    """

    def __init__(self, ref: FileTensor) -> None:
        self._ref = ref
        self._buffer: NDArray[Any] | None = None
        self.current: NDArray[Any]

    def leaf(self, start: int, count: int) -> NDArray[Any]:
        """Return ``count`` elements at ``start``, in a buffer that the next call overwrites."""
        ref = self._ref
        raw = self._read(ref.offset + ref.dtype.nbytes(start), ref.dtype.nbytes(count))
        self.current = _read_only(decode(raw, ref.dtype, count))
        return self.current

    def _read(self, begin: int, n_bytes: int) -> memoryview:
        from diffai_core.accumulators.workspace import aligned

        if self._buffer is None or self._buffer.size < n_bytes:
            self._buffer = aligned(n_bytes, "u1")
        raw = self._buffer[:n_bytes].data
        self._ref.file.read_into(begin, raw)
        return raw


class StreamLeaves:
    """Leaves of a tensor that its loader decodes from the start; access in order only.

    Raises:
        LoadError: If the loader yields more or fewer elements than the tensor declares.
    """

    def __init__(self, ref: TensorRef) -> None:
        self._ref = ref
        self._blocks = checked_blocks(ref)
        self._block: NDArray[Any] | None = None
        self._used = 0
        self.current: NDArray[Any]

    def leaf(self, start: int, count: int) -> NDArray[Any]:
        """Return the next ``count`` elements, joined where they span blocks."""
        import numpy as np

        pieces: list[NDArray[Any]] = []
        missing = count
        while missing:
            block = self._current(start + count - missing)
            piece = block[self._used : self._used + missing]
            self._used += len(piece)
            missing -= len(piece)
            # A block may be overwritten when the next one is asked for.
            pieces.append(piece.copy() if missing else piece)
        self.current = _read_only(pieces[0] if len(pieces) == 1 else np.concatenate(pieces))
        return self.current

    def finish(self) -> None:
        """Run the loader to its end, so that its closing checks (checksums) happen and nothing is left over."""
        if self._block is not None and self._used < len(self._block):
            raise self._wrong("more")
        for block in self._blocks:
            if len(block):
                raise self._wrong("more")

    def _current(self, place: int) -> NDArray[Any]:
        while self._block is None or self._used == len(self._block):
            self._block = next(self._blocks, None)
            self._used = 0
            if self._block is None:
                raise self._wrong("fewer", place)
        return self._block

    def _wrong(self, word: str, place: int | None = None) -> LoadError:
        after = "" if place is None else f" (it ends after {place:,})"
        return LoadError(
            self._ref.name, f"the tensor holds {word} elements than the {self._ref.numel:,} declared{after}"
        )


def leaf_reader(ref: TensorRef) -> FileLeaves | StreamLeaves:
    """Return the reader that suits the tensor."""
    return FileLeaves(ref) if isinstance(ref, FileTensor) else StreamLeaves(ref)
