"""A MetaGraph: a graph with its tags, signatures, collections and the files it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_lib_protobuf import LENGTH

from diffai_core.plugin import Graph
from diffai_load_tensorflow.attributes import entry_of
from diffai_load_tensorflow.graphdef import read_graph
from diffai_load_tensorflow.saved_objects import read_saved_objects
from diffai_load_tensorflow.tensor_proto import digest_of, text_of
from diffai_load_tensorflow.types import read_shape, type_name

if TYPE_CHECKING:
    from diffai_lib_protobuf import Field, Message

    from diffai_load_tensorflow.graphdef import GraphContents

_INFO, _GRAPH, _, _COLLECTION, _SIGNATURE, _ASSET, _OBJECTS = range(1, 8)
_MAX_LIST_BYTES = 1 << 20
_VERSION, _TAGS, _TENSORFLOW_VERSION, _STRIPPED_DEFAULTS = 1, 4, 5, 7


class MetaGraph(NamedTuple):
    """What a MetaGraph holds.

    Args:
        tags: What it is for, sorted: ``serve``, ``train`` …
        graph: Its graph.
        tree: What describes it.
        assets: Names of the files it needs, in the folder ``assets``.
    """

    tags: tuple[str, ...]
    graph: Graph
    tree: dict[str, Any]
    assets: tuple[str, ...]


def read_metagraph(message: Message, contents: GraphContents, prefix: str = "") -> MetaGraph:
    """Read a MetaGraph; constants go to ``contents``.

    Args:
        message: The MetaGraph.
        contents: Takes what is found.
        prefix: What stands before the names of its constants.

    Raises:
        LoadError: If it is damaged.
    """
    graph = Graph()
    info: dict[str, Any] = {}
    collections: dict[str, Any] = {}
    signatures: dict[str, Any] = {}
    objects: dict[str, Any] = {}
    assets: dict[str, str] = {}
    for field in message.fields():
        if field.number == _INFO:
            info = _info(field.message())
        elif field.number == _GRAPH:
            graph = read_graph(field.message(), contents, prefix)
        elif field.number == _COLLECTION:
            key, value = entry_of(field)
            collections[key] = _collection(value) if value else []
        elif field.number == _SIGNATURE:
            key, value = entry_of(field)
            signatures[key] = _signature(value) if value else {}
        elif field.number == _ASSET:
            name, tensor = _asset(field.message())
            assets[name] = tensor
        elif field.number == _OBJECTS:
            objects = read_saved_objects(field.message())
    tree = {
        **info,
        "collections": dict(sorted(collections.items())),
        "signatures": dict(sorted(signatures.items())),
        "asset_tensors": assets,
        "saved_objects": objects,
    }
    tags = tuple(sorted(info.get("tags", ())))
    return MetaGraph(tags, graph, {key: value for key, value in tree.items() if value}, tuple(assets))


def _info(message: Message) -> dict[str, Any]:
    found: dict[str, Any] = {"tags": []}
    for field in message.fields():
        if field.number == _TAGS:
            found["tags"].append(field.text())
        elif field.number == _VERSION:
            found["meta_graph_version"] = field.text()
        elif field.number == _TENSORFLOW_VERSION:
            found["tensorflow_version"] = field.text()
        elif field.number == _STRIPPED_DEFAULTS:
            found["stripped_default_attrs"] = field.boolean()
    found["tags"].sort()
    return found


def _collection(message: Message) -> list[Any]:
    """Return the values of a collection, whatever kind of list it is."""
    found: list[Any] = []
    for kind in message.fields():
        for field in kind.message().fields():
            if field.number == 1:
                found.extend(_collected(kind.number, field))
    return found


def _collected(kind: int, field: Field) -> list[Any]:
    if kind == 1:
        return [text_of(field)]
    if field.wire == LENGTH and field.value > _MAX_LIST_BYTES:
        return [digest_of(field.message())]
    if kind == 3:  # noqa: PLR2004 - integers
        return list(field.all_signed())
    if kind == 4:  # noqa: PLR2004 - floats
        return list(field.all_float32())
    return [text_of(field)]


def _signature(message: Message) -> dict[str, Any]:
    found: dict[str, Any] = {"inputs": {}, "outputs": {}, "method": ""}
    for field in message.fields():
        if field.number in {1, 2}:
            key, value = entry_of(field)
            found["inputs" if field.number == 1 else "outputs"][key] = _tensor_info(value) if value else {}
        elif field.number == 3:  # noqa: PLR2004 - method_name
            found["method"] = field.text()
        elif field.number == 4:  # noqa: PLR2004 - defaults of inputs
            key, value = entry_of(field)
            found.setdefault("defaults", {})[key] = digest_of(value) if value else {}
    return {key: dict(sorted(value.items())) if isinstance(value, dict) else value for key, value in found.items()}


def _tensor_info(message: Message) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in message.fields():
        if field.number == 1:
            found["name"] = field.text()
        elif field.number == 2:  # noqa: PLR2004 - dtype
            found["dtype"] = type_name(field.unsigned())
        elif field.number == 3:  # noqa: PLR2004 - shape
            shape = read_shape(field.message())
            found["shape"] = None if shape is None else list(shape)
        else:  # parts of a sparse or composite tensor
            found["parts"] = text_of(field)
    return found


def _asset(message: Message) -> tuple[str, str]:
    name = tensor = ""
    for field in message.fields():
        if field.number == 1:
            tensor = str(_tensor_info(field.message()).get("name", ""))
        elif field.number == 2:  # noqa: PLR2004 - file name
            name = field.text()
    return name, tensor
