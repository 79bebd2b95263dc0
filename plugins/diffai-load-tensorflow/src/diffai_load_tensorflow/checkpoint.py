"""A checkpoint: tensors of its data files, texts and the graph of objects as a tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_lib_protobuf import Message

from diffai_core.plugin import LoadError, NotCompared, Source, shown
from diffai_load_tensorflow.bundle import Bundle, Piece, read_bundle
from diffai_load_tensorflow.objects import OBJECT_GRAPH, read_objects
from diffai_load_tensorflow.roles import role_of
from diffai_load_tensorflow.stored import Part, Stored, partitioned_tensor, stored_tensor
from diffai_load_tensorflow.strings import digest, is_large, read_strings
from diffai_load_tensorflow.types import STRING, element_type, type_name
from diffai_load_tensorflow.wording import text_or_bytes

if TYPE_CHECKING:
    from contextlib import ExitStack

    from diffai_core.plugin import DataFile, TensorRef

INDEX_SUFFIX = ".index"


class Checkpoint(NamedTuple):
    """What a checkpoint holds."""

    tensors: dict[str, TensorRef]
    tree: dict[str, Any]
    files: tuple[DataFile, ...]
    not_readable: tuple[NotCompared, ...]


def open_checkpoint(folder: Source, prefix: str, stack: ExitStack, index_source: Source | None = None) -> Checkpoint:
    """Open the checkpoint ``prefix`` in ``folder``.

    Args:
        folder: Where it lies.
        prefix: Name of its files without ``.index``.
        stack: Takes the files, to be closed on failure.
        index_source: Its index, if that is called otherwise.

    Raises:
        LoadError: If it is damaged, or a data file is missing.
    """
    index = stack.enter_context((index_source or folder.child(f"{prefix}{INDEX_SUFFIX}")).open())
    bundle = read_bundle(index)
    reader = _Reader(bundle, index, _open_shards(folder, prefix, bundle, index, stack))
    for name, piece in bundle.pieces.items():
        reader.add(name, piece)
    files = (index, *reader.shards.values())
    strings = {"strings": reader.strings} if reader.strings else {}
    return Checkpoint(reader.tensors, reader.tree | strings, files, tuple(reader.not_readable))


def _open_shards(folder: Source, prefix: str, bundle: Bundle, index: DataFile, stack: ExitStack) -> dict[int, DataFile]:
    """Open the data files that something lies in."""
    pieces = [piece for piece in bundle.pieces.values() if not piece.slices]
    used = {piece.shard: piece for piece in [*pieces, *(part for parts in bundle.parts.values() for part in parts)]}
    shards = {}
    for number in sorted(used):
        if number >= bundle.n_shards:
            reason = f"a tensor lies in data file {number:,}, and there are {bundle.n_shards:,}"
            raise LoadError(index.name, reason, used[number].place)
        source = folder.child(f"{prefix}.data-{number:05}-of-{bundle.n_shards:05}")
        try:
            shards[number] = stack.enter_context(source.open())
        except LoadError as error:
            raise LoadError(index.name, f"its data file {error.path} cannot be read: {error.reason}") from error
    return shards


class _Reader:
    """Turns the pieces of a bundle into tensors and texts."""

    def __init__(self, bundle: Bundle, index: DataFile, shards: dict[int, DataFile]) -> None:
        self.shards = shards
        self.tensors: dict[str, TensorRef] = {}
        self.strings: dict[str, Any] = {}
        self.tree: dict[str, Any] = {}
        self.not_readable: list[NotCompared] = []
        self._bundle = bundle
        self._index = index

    def add(self, name: str, piece: Piece) -> None:
        """Add one tensor.

        Raises:
            LoadError: If it does not lie in its data file as it is described.
        """
        kind = element_type(piece.type)
        if kind is not None:
            self.tensors[name] = self._tensor(name, piece)
        elif piece.type == STRING and not piece.slices:
            self._check_place(name, piece)
            shard = self.shards[piece.shard]
            if is_large(piece):
                self.strings[name] = digest(shard, piece)
            else:
                self._add_texts(name, piece, read_strings(shard, name, piece))
        else:
            reason = f"has elements of type {type_name(piece.type)}, which this loader cannot read"
            self.not_readable.append(NotCompared(name, reason))

    def _tensor(self, name: str, piece: Piece) -> TensorRef:
        role = role_of(name, self._bundle.pieces)
        if not piece.slices:
            return stored_tensor(self._stored(name, piece), name, role)
        found = self._bundle.parts[name]
        parts = [Part(part, self._stored(name, where)) for part, where in zip(piece.slices, found, strict=True)]
        return partitioned_tensor(tuple(parts), piece.shape, name, role)

    def _stored(self, name: str, piece: Piece) -> Stored:
        self._check_place(name, piece)
        kind = element_type(piece.type)
        assert kind is not None
        stored = Stored(self.shards[piece.shard], piece.offset, piece.shape, kind, self._bundle.is_big_endian)
        if stored.nbytes != piece.size:
            reason = (
                f"tensor {shown(name)} needs {stored.nbytes:,} bytes ({kind}, shape {list(piece.shape)}), "
                f"and has {piece.size:,}"
            )
            raise LoadError(self._index.name, reason, piece.place)
        return stored

    def _check_place(self, name: str, piece: Piece) -> None:
        shard = self.shards[piece.shard]
        missing = piece.offset + piece.size - shard.size
        if missing > 0:
            reason = f"the file ends here, {missing:,} bytes too early for tensor {shown(name)}"
            raise LoadError(shard.name, reason, shard.size)

    def _add_texts(self, name: str, piece: Piece, texts: list[bytes]) -> None:
        if name == OBJECT_GRAPH and not piece.shape:
            shard = self.shards[piece.shard]
            at = piece.offset + piece.size - len(texts[0])
            self.tree["objects"] = read_objects(Message.in_memory(texts[0], shard.name, at))
        else:
            values = [text_or_bytes(text) for text in texts]
            self.strings[name] = {"shape": list(piece.shape), "values": values} if piece.shape else values[0]
