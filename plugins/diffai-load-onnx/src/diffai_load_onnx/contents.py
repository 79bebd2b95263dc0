"""What is gathered while a model is walked: tensors under unique keys, texts, notes, and who uses what."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_core.plugin import NotCompared
from diffai_load_onnx import schema
from diffai_load_onnx.budget import Budget
from diffai_load_onnx.tensors import MAX_STRINGS, Stored, taken_apart, tensor_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diffai_lib_protobuf import Field, Message

    from diffai_core.plugin import DataFile, TensorRef
    from diffai_load_onnx.external import ExternalFiles

_DOC_NOTE, _DOC_STRING, _METADATA = 12, "doc_string", "metadata_props"


@dataclass
class Scope:
    """The names that a graph defines; those of the graphs around it are seen as well.

    Args:
        path: Stands before the keys of its tensors: empty for the main graph, ``If_3.then_branch/`` for a body.
        parent: The graph around it.
        keys: Keys of its tensors by their names.
    """

    path: str = ""
    parent: Scope | None = None
    keys: dict[str, str] = field(default_factory=dict)

    def key_of(self, name: str) -> str | None:
        """Return the key of the tensor that ``name`` means here."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.keys:
                return scope.keys[name]
            scope = scope.parent
        return None


class Use(NamedTuple):
    """A node that takes tensors.

    Args:
        scope: Where the node is.
        inputs: Names of what it takes.
        output: Name of the first thing that it gives.
        attributes: What it is set to.
        gives_it: Whether the output is what dequantising gives, and not something computed with it.
    """

    scope: Scope
    inputs: tuple[str, ...]
    output: str
    attributes: Mapping[str, Any]
    gives_it: bool = True


class Contents:
    """What a model holds, gathered bit by bit.

    Args:
        file: The file of the model.
        files: Its external data.
    """

    def __init__(self, file: DataFile, files: ExternalFiles) -> None:
        self.budget = Budget()
        self.tensors: dict[str, TensorRef] = {}
        self.strings: dict[str, Any] = {}
        self.sparse: dict[str, list[int]] = {}
        self.notes: dict[str, dict[str, Any]] = {}
        self.not_readable: dict[str, NotCompared] = {}
        self.dequantized: list[Use] = []
        self.uses: list[Use] = []
        self.file = file
        self.external = files

    # -- tensors -----------------------------------------------------------------------------------------------

    def add_tensor(self, message: Message, scope: Scope, name: str = "") -> None:
        """Add the tensor of a TensorProto.

        Args:
            message: The TensorProto.
            scope: The graph that it belongs to.
            name: What to call it; what it calls itself if not given.

        Raises:
            LoadError: If it is damaged, or the graph has another one of this name.
        """
        stored = taken_apart(message)
        if stored.name is not None and not name:
            name = self.budget.name(stored.name)
        if name in scope.keys:
            raise message.error(f"the graph has two tensors with the name {name[:80]!r}")
        key = self._new_key(f"{scope.path}{name}")
        scope.keys[name] = key
        self.add_stored(stored, key)

    def _new_key(self, wanted: str) -> str:
        """Return a key that no tensor has: tensors of two graphs may have one name."""
        key, number = wanted, 2
        while key in self.tensors or key in self.strings:
            key, number = f"{wanted}#{number}", number + 1
        return key

    def add_stored(self, stored: Stored, key: str) -> None:
        """Add a tensor under a key that is its own.

        Raises:
            LoadError: If it is damaged.
        """
        self.budget.take(stored.message)
        for note in stored.notes:
            self.add_note(key, note, is_doc=note.number == _DOC_NOTE)
        if stored.unknown is not None:
            self.add_unknown(stored.unknown, "tensor")
        if stored.is_segment:
            self.cannot_read(key, "a segment of a tensor, whose other segments are in other files")
        elif stored.code == schema.STRING:
            self.strings[key] = {"shape": list(stored.shape), "values": self._strings(stored)}
        elif stored.code not in schema.ELEMENT_TYPES:
            self.cannot_read(key, f"element type {stored.code} is not known; upgrade diffai-load-onnx")
        else:
            self.tensors[key] = _with_role(tensor_of(stored, key, self.external, self.file))

    def _strings(self, stored: Stored) -> list[Any]:
        if stored.is_external:
            raise stored.message.error("texts cannot be external data")
        _, count = stored.data.get(schema.STRING_DATA, (None, 0))
        if count > MAX_STRINGS:
            return [{"count": count, **self.budget.digest(stored.message)}]
        found = [self.budget.text(text) for text in stored.message.fields() if text.number == schema.STRING_DATA]
        wanted = math.prod(stored.dims)
        if len(found) != wanted:
            raise stored.message.error(f"the tensor has {len(found):,} texts instead of {wanted:,}")
        return found

    def add_sparse(self, message: Message, scope: Scope, name: str = "") -> None:
        """Add the values and the indices of a SparseTensorProto as two tensors, its shape beside them.

        Raises:
            LoadError: If it is damaged.
        """
        parts: dict[int, Stored] = {}
        dims: list[int] = []
        for found in message.fields():
            if found.number in {1, 2}:
                parts[found.number] = taken_apart(found.message())
            elif found.number == 3:  # noqa: PLR2004 - dims
                dims.extend(found.all_signed())
                if len(dims) > 64:  # noqa: PLR2004 - NumPy's limit
                    raise found.error("the sparse tensor has more than 64 dimensions")
            else:
                self.add_unknown(found, "sparse tensor")
        if parts.keys() != {1, 2}:
            raise message.error("a sparse tensor without values and indices")
        own_name = parts[1].name
        if own_name is not None and not name:
            name = self.budget.name(own_name)
        if name in scope.keys:
            raise message.error(f"the graph has two tensors with the name {name[:80]!r}")
        key = self._new_key(f"{scope.path}{name}")
        scope.keys[name] = key
        self.sparse[key] = dims
        self.add_stored(parts[1], self._new_key(f"{key}.values"))
        self.add_stored(parts[2], self._new_key(f"{key}.indices"))

    def add_strings(self, scope: Scope, name: str, value: dict[str, Any]) -> None:
        """Add a tensor of texts."""
        scope.keys[name] = key = self._new_key(f"{scope.path}{name}")
        self.strings[key] = value

    def add_plain(self, ref: TensorRef, scope: Scope, name: str) -> str:
        """Add a tensor that is no TensorProto; return its key."""
        key = self._new_key(f"{scope.path}{name}")
        scope.keys[name] = key
        self.tensors[key] = _with_role(replace(ref, name=key))
        return key

    # -- the rest ----------------------------------------------------------------------------------------------

    def add_note(self, where: str, found: Field, *, is_doc: bool) -> None:
        """Add documentation or an entry of metadata of something.

        Raises:
            LoadError: If it is damaged.
        """
        if is_doc:
            if found.value:
                self.notes.setdefault(where, {})[_DOC_STRING] = self.budget.text(found)
            return
        key, value = self.entry(found)
        self.notes.setdefault(where, {}).setdefault(_METADATA, {})[key] = value

    def entry(self, found: Field) -> tuple[str, Any]:
        """Return key and value of a StringStringEntryProto.

        Raises:
            LoadError: If it is damaged.
        """
        key, value = "", ""
        for part in found.message().fields():
            if part.number == 1:
                key = self.budget.name(part)
            elif part.number == 2:  # noqa: PLR2004 - key and value
                value = self.budget.text(part)
            else:
                self.add_unknown(part, "entry of metadata")
        return key, value

    def add_unknown(self, found: Field, what: str) -> None:
        """Say that a field is not understood, once for each kind."""
        where = f"field {found.number} of a {what}"
        if where not in self.not_readable:
            self.cannot_read(where, "is not known; upgrade diffai-load-onnx")

    def cannot_read(self, where: str, reason: str) -> None:
        """Say what is there and cannot be represented."""
        self.not_readable[where] = NotCompared(where, reason)


def _with_role(ref: TensorRef) -> TensorRef:
    """Return the tensor as a buffer if it is of the kind with which graphs compute shapes, indices and conditions."""
    is_buffer = not ref.shape or ref.dtype.name in {"int64", "bool"}
    return replace(ref, role="buffers") if is_buffer else ref
