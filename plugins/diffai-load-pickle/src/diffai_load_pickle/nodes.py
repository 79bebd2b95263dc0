"""Turns the schema of skops into what a pickle of the same object would give."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_lib_json import parse_json
from diffai_lib_pickle import Global, Inert

from diffai_core.plugin import LoadError, Text
from diffai_load_pickle.names import is_data

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_DEPTH = 100
"""Deepest nesting of nodes that is read."""

_SET = Global("builtins", "set")
_SLICE = Global("builtins", "slice")
_PLAIN_CLASSES = frozenset({"builtins.dict", "builtins.list", "builtins.tuple", "collections.OrderedDict"})
_SCALARS = 1_000


class Stored(NamedTuple):
    """Something that is kept in a member of the archive.

    Args:
        file: Name of the member.
        kind: ``numpy`` (an array), ``scalar`` (an array that holds a scalar), ``scipy`` (a sparse matrix) or ``bytes``.
        cls: Full name of its class.
    """

    file: str
    kind: str
    cls: str


class Nodes:
    """The nodes of a schema, read.

    Args:
        schema: The root, as JSON has it.
        name: What errors call the file.
        offset: Where the schema begins.

    Attributes:
        value: What the root stands for.
        sparse: Sparse matrices, in order.
        foreign: Full names that the nodes would import beyond plain data and estimators, in order.
    """

    def __init__(self, schema: Any, name: str, offset: int) -> None:
        self._name = name
        self._offset = offset
        self._seen: dict[int, Any] = {}
        self.foreign: dict[str, None] = {}
        self.sparse: list[Stored] = []
        self._readers: dict[str, Callable[[dict[str, Any], int], Any]] = {
            "JsonNode": self._json,
            "CachedNode": self._cached,
            "DictNode": self._dict,
            "DefaultDictNode": self._default_dict,
            "ListNode": self._sequence,
            "TupleNode": self._sequence,
            "SetNode": self._set,
            "NdArrayNode": self._array,
            "SparseMatrixNode": self._sparse,
            "BytesNode": self._bytes,
            "BytearrayNode": self._bytes,
            "FunctionNode": self._global,
            "TypeNode": self._global,
            "SliceNode": self._slice,
        }
        if not isinstance(schema, dict) or "__loader__" not in schema:
            raise self._error("the schema is no node")
        self.value = self._value(schema, 0)

    def _error(self, reason: str) -> LoadError:
        return LoadError(self._name, f"not an archive of skops: {reason}", self._offset)

    def _value(self, node: Any, depth: int) -> Any:
        """Return what a node, or a list or mapping of nodes, stands for."""
        if depth > MAX_DEPTH:
            raise self._error(f"nodes are nested more than {MAX_DEPTH} deep")
        if isinstance(node, list):
            return [self._value(part, depth + 1) for part in node]
        if not isinstance(node, dict):
            return node
        loader = node.get("__loader__")
        if not isinstance(loader, str):
            return {key: self._value(part, depth + 1) for key, part in node.items()}
        found = self._readers.get(loader)
        value = self._object(node, depth + 1) if found is None else found(node, depth + 1)
        if isinstance(node.get("__id__"), int):
            self._seen[node["__id__"]] = value
        return value

    def _class(self, node: dict[str, Any]) -> Global:
        name, module = node.get("__class__"), node.get("__module__")
        if not isinstance(name, str) or not isinstance(module, str):
            raise self._error("a node has no class")
        found = Global(module, name)
        if not is_data(found):
            self.foreign[found.path] = None
        return found

    def _object(self, node: dict[str, Any], depth: int) -> Inert:
        """Return the record of an object; of a kind of node that nobody knows, with all that it holds."""
        made = Inert(self._class(node))
        reduced = node.get("__reduce__")
        if isinstance(reduced, dict):
            args = self._value(reduced.get("args"), depth)
            made.args = args if isinstance(args, tuple) else (args,)
        content = self._value(node.get("content"), depth)
        if content is not None:
            made.state = content
        return made

    def _json(self, node: dict[str, Any], _depth: int) -> Any:
        content = node.get("content")
        if not node.get("is_json", True) or not isinstance(content, str):
            return content
        try:
            return parse_json(Text(self._name, content, "utf-8", 0), _SCALARS)
        except LoadError as error:
            raise self._error(f"the value of a node is damaged ({error.reason})") from error

    def _cached(self, node: dict[str, Any], _depth: int) -> Any:
        if node.get("__id__") not in self._seen:
            raise self._error("a node refers to one that does not stand before it")
        return self._seen[node["__id__"]]

    def _dict(self, node: dict[str, Any], depth: int) -> Any:
        content = node.get("content")
        if not isinstance(content, dict):
            raise self._error("a node of a mapping holds none")
        found = {key: self._value(part, depth) for key, part in content.items()}
        cls = self._class(node)
        if cls.path in _PLAIN_CLASSES:
            return found
        made = Inert(cls)
        made.items = found
        return made

    def _default_dict(self, node: dict[str, Any], depth: int) -> Any:
        content = node.get("content")
        if not isinstance(content, dict) or "main" not in content:
            raise self._error("a node of a mapping holds none")
        self._value(content.get("default_factory"), depth)
        return self._value(content["main"], depth)

    def _sequence(self, node: dict[str, Any], depth: int) -> Any:
        content = node.get("content")
        if not isinstance(content, list):
            raise self._error("a node of a list holds none")
        items = [self._value(part, depth) for part in content]
        cls = self._class(node)
        if cls.path not in _PLAIN_CLASSES:
            return Inert(cls, tuple(items))
        return tuple(items) if cls.name == "tuple" else items

    def _set(self, node: dict[str, Any], depth: int) -> Inert:
        content = node.get("content")
        if not isinstance(content, list):
            raise self._error("a node of a set holds none")
        return Inert(_SET, ([self._value(part, depth) for part in content],))

    def _array(self, node: dict[str, Any], depth: int) -> Any:
        cls = self._class(node)
        if node.get("type") == "numpy":
            return Stored(self._file(node), "numpy" if cls.name == "ndarray" else "scalar", cls.path)
        items = self._value(node.get("content"), depth)
        shape = self._value(node.get("shape"), depth)
        if not isinstance(items, list) or not isinstance(shape, tuple):
            raise self._error("a node of an array holds none")
        for _ in shape[1:]:
            items = [part for row in items for part in (row if isinstance(row, list) else [row])]
        return {"dtype": "|O8", "shape": shape, "elements": items}

    def _sparse(self, node: dict[str, Any], _depth: int) -> Stored:
        found = Stored(self._file(node), "scipy", self._class(node).path)
        self.sparse.append(found)
        return found

    def _bytes(self, node: dict[str, Any], _depth: int) -> Stored:
        return Stored(self._file(node), "bytes", self._class(node).path)

    def _file(self, node: dict[str, Any]) -> str:
        name = node.get("file")
        if not isinstance(name, str):
            raise self._error("a node names no member")
        return name

    def _global(self, node: dict[str, Any], _depth: int) -> Global:
        return self._class(node)

    def _slice(self, node: dict[str, Any], depth: int) -> Inert:
        content = node.get("content")
        if not isinstance(content, dict):
            raise self._error("a node of a slice holds none")
        return Inert(_SLICE, tuple(self._value(content.get(key), depth) for key in ("start", "stop", "step")))
