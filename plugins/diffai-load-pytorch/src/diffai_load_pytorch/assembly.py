"""Gathers what the pickles of a file hold into the facets of an artefact."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from diffai_lib_numpy.arrays import Contents, add_elements
from diffai_lib_numpy.header import Header
from diffai_lib_numpy.layout import layout_of
from diffai_lib_pickle import FileSource, Inert, Span, load
from diffai_lib_pickle.arrays import ArrayValue
from diffai_lib_pickle.tree import divide
from diffai_lib_zip import Held, Region

from diffai_core.plugin import LoadError, NotCompared
from diffai_load_pytorch.modules import expand
from diffai_load_pytorch.names import is_known
from diffai_load_pytorch.tensors import cost_of, tensor_ref, unreadable
from diffai_load_pytorch.values import TensorValue

if TYPE_CHECKING:
    from diffai_lib_pickle import Source, Unpickled
    from diffai_lib_zip import Payload

    from diffai_core.plugin import DataFile, Graph, Role

ROOT = "tensor"
"""Name of a tensor that is all that a file holds."""

FROZEN_KEY = "__frozen__"
SUBCLASSES_KEY = "__subclasses__"
ATTRIBUTES_KEY = "__attributes__"

_MOST_SHARING = 16
_ALWAYS_ALLOWED = 1 << 30
_OPTIMIZER = re.compile(r"(?:\w+_)?(?:optimizer|optim|opt)s?(?:_(?:states?|state_dicts?|dict))?")
_OPTIMIZER_KEYS = {"state", "param_groups", "defaults"}
_EMA = re.compile(r"(?:\w+_)?ema(?:_\w+)?")
_GRADIENTS = re.compile(r"grads?|gradients?")


class Assembly(Contents):
    """What has been found so far.

    Args:
        file_bytes: Bytes of all files; tensors may be views of the same bytes, but not without end.
    """

    def __init__(self, file_bytes: int) -> None:
        super().__init__()
        self.graph: Graph | None = None
        self._left = _MOST_SHARING * file_bytes + _ALWAYS_ALLOWED

    def add_pickle(
        self, found: Unpickled, source: Source, file: DataFile, prefix: str = "", *, big_endian: bool = False
    ) -> None:
        """Add all that a pickle holds.

        Args:
            found: The pickle; its storages have payloads.
            source: Where it is from.
            file: The file around it.
            prefix: What comes before each name.
            big_endian: Whether the bytes of tensors are in the other order.

        Raises:
            LoadError: If something in it is damaged, or two things have one name.
        """
        self.add_foreign(found, source, file)
        tree = _Adder(self, source, file, big_endian=big_endian).add(found.value, prefix or _root(found.value))
        self.add_tree(tree, prefix, file)

    def add_foreign(self, found: Unpickled, source: Source, file: DataFile) -> None:
        """List what a pickle names beyond PyTorch."""
        self.foreign.extend(found.foreign(is_known, source, file.name))

    def add_rest(self, found: Unpickled, source: Source, name: str) -> None:
        """Tell of what follows the pickle in a member that should hold nothing else."""
        if found.end < source.size:
            self.not_readable.append(NotCompared(name, f"{source.size - found.end:,} bytes follow the pickle"))

    def load_plain(self, source: FileSource, position: int = 0) -> Unpickled:
        """Read a pickle of plain values, such as those around the one of the tensors; it can name code as any can.

        Raises:
            LoadError: If it is damaged.
        """
        found = load(source, position)
        self.add_foreign(found, source, source.file)
        return found

    def add_tree(self, tree: Any, prefix: str, file: DataFile) -> None:
        """Add plain values, below a prefix where there is one.

        Raises:
            LoadError: If there is something else already.
        """
        entries = {prefix: tree} if prefix else tree if isinstance(tree, dict) else {"value": tree}
        for key, value in entries.items():
            if key in self.tree:
                raise LoadError(file.name, f"two parts have the name {key[:80]!r}")
            if not (prefix and value == {}):
                self.tree[key] = value

    def add_tensor(self, name: str, value: TensorValue, role: Role, file: DataFile, *, big_endian: bool) -> None:
        """Add a tensor.

        Raises:
            LoadError: If there is one of that name.
        """
        if name in self.tensors:
            raise LoadError(file.name, f"two tensors have the name {name[:80]!r}")
        reason = unreadable(value)
        if not reason and cost_of(value) > self._left:
            reason = "its elements, or those of tensors before it, are used so often that they outgrow the file by far"
        if reason:
            self.not_readable.append(NotCompared(name, reason))
        else:
            self._left -= cost_of(value)
            self.tensors[name] = tensor_ref(name, value, role, big_endian=big_endian)


def _root(value: Any) -> str:
    return ROOT if is_array(expand(value)) else ""


def is_array(value: Any) -> bool:
    """Whether a value is an array and no part of the tree."""
    kind = type(value)
    return kind is TensorValue or (kind is ArrayValue and not value.dtype.has_objects and type(value.data) is not list)


class _Adder:
    """Adds one pickle to an assembly."""

    def __init__(self, assembly: Assembly, source: Source, file: DataFile, *, big_endian: bool) -> None:
        self._assembly = assembly
        self._source = source
        self._file = file
        self._big_endian = big_endian
        self._seen: set[int] = set()

    def add(self, value: Any, prefix: str) -> Any:
        """Add the arrays; return the tree."""
        all_optimizer = _is_optimizer(value)
        arrays, tree = divide(value, self._source, is_array, expand, prefix)
        notes: dict[str, dict[str, Any]] = {}
        for name, item in arrays.items():
            if isinstance(item, TensorValue):
                is_state = all_optimizer and not item.is_parameter
                role: Role = "optimizer" if is_state else role_of(name, item)
                self._assembly.add_tensor(name, item, role, self._file, big_endian=self._big_endian)
                self._note(name, item, notes)
            else:
                self._add_array(name, item)
        frozen = [
            name
            for name, item in arrays.items()
            if type(item) is TensorValue and item.is_parameter and not item.requires_grad
        ]
        if frozen:
            notes[FROZEN_KEY] = dict.fromkeys(frozen, True)
        return tree | notes if isinstance(tree, dict) else {"value": tree, **notes} if notes else tree

    def _note(self, name: str, value: TensorValue, notes: dict[str, dict[str, Any]]) -> None:
        """Note the class of a subclass, and what it keeps besides; tensors among that are named below it."""
        if value.subclass:
            notes.setdefault(SUBCLASSES_KEY, {})[name] = value.subclass
        if value.state is not None and id(value) not in self._seen:
            self._seen.add(id(value))
            kept = self.add(value.state, name)
            if kept != {}:
                notes.setdefault(ATTRIBUTES_KEY, {})[name] = kept

    def _add_array(self, name: str, value: ArrayValue) -> None:
        try:
            layout = layout_of(value.dtype.descr)
        except ValueError as error:
            self._assembly.not_readable.append(NotCompared(name, str(error)))
            return
        header = Header(layout, value.fortran_order, value.shape, 0)
        add_elements(self._assembly, name, self._payload(value), header)

    def _payload(self, value: ArrayValue) -> Payload:
        data = value.data
        if isinstance(data, Span):
            if isinstance(self._source, FileSource):
                return Region(self._file, self._source.start + data.position, data.length)
            return Held(self._file, self._source.read(data.position, data.length), self._source.offset(0))
        assert isinstance(data, bytes)  # lists are no arrays
        return Held(self._file, data, self._source.offset(value.position))


def _is_optimizer(value: Any) -> bool:
    """Whether a value is the state dict of an optimizer, or an optimizer as a whole."""
    held = value.attributes() if isinstance(value, Inert) else value
    return isinstance(held, dict) and {"state", "param_groups"} <= held.keys() <= _OPTIMIZER_KEYS


def role_of(name: str, value: TensorValue | None = None) -> Role:
    """Return what a tensor is for, by where in a checkpoint it is."""
    first = name.partition(".")[0]
    if _OPTIMIZER.fullmatch(first):
        return "optimizer"
    if _EMA.fullmatch(first):
        return "ema"
    if _GRADIENTS.fullmatch(first):
        return "gradients"
    return "buffers" if value is not None and value.is_buffer else "weights"
