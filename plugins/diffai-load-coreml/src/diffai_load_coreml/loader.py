"""Opens a Core ML model: an ``.mlmodel`` file, or a package that holds one and its weights."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from diffai_lib_protobuf import Message

from diffai_core.plugin import Artifact, Graph, LoadError, Node, Source, Value
from diffai_load_coreml.blobs import Blobs
from diffai_load_coreml.collected import Collected
from diffai_load_coreml.network import Network
from diffai_load_coreml.plain import Plain
from diffai_load_coreml.program import Program
from diffai_load_coreml.schema import fields_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diffai_lib_protobuf import Field

    from diffai_core.plugin import DataFile

MANIFEST = "Manifest.json"
MAX_MANIFEST_BYTES = 1 << 20
_VERSION, _FIRST_KIND = 1, 200


def open_coreml(source: Source, options: Mapping[str, Any]) -> Artifact:  # noqa: ARG001 - every loader's signature
    """Open ``source``: an ``.mlmodel``, or an ``.mlpackage`` folder.

    Args:
        source: What to open.
        options: None are known.

    Raises:
        LoadError: If the model is damaged, or names weights that are not there, not inside its folder, or other
            than it says.
    """
    with ExitStack() as files:
        manifest = files.enter_context(source.child(MANIFEST).open()) if source.is_folder else None
        described = source if manifest is None else _root_of(source, manifest)
        file = files.enter_context(described.open())
        blobs = Blobs(described, file.name, files)
        collected = Collected()
        tree, graph = _Model(file, blobs, collected).read(Message.in_file(file), "")
        artifact = Artifact(
            name=source.name,
            format="coreml",
            tensors=collected.tensors,
            tree=tree,
            graph=graph,
            files=(*([] if manifest is None else [manifest]), file, *blobs.files),
            foreign=tuple(collected.foreign),
            not_readable=tuple(collected.not_readable),
        )
        files.pop_all()  # from here on the artefact closes them
    return artifact


def _root_of(package: Source, manifest: DataFile) -> Source:
    """Return the file that the manifest of a package names as its model."""
    if manifest.size > MAX_MANIFEST_BYTES:
        raise LoadError(manifest.name, f"has {manifest.size:,} bytes; at most {MAX_MANIFEST_BYTES:,} are read", 0)
    try:
        said = json.loads(manifest.read(0, manifest.size))
        path = said["itemInfoEntries"][said["rootModelIdentifier"]]["path"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise LoadError(manifest.name, "is damaged: it does not say which file is the model", 0) from error
    if not isinstance(path, str):
        raise LoadError(manifest.name, "is damaged: the path of the model is no text", 0)
    return package.child(f"Data/{path}")


class _Model:
    """Reads a model, and the models inside it.

    Args:
        file: The file of the model.
        blobs: The files of its weights.
        collected: Takes its tensors.
    """

    def __init__(self, file: DataFile, blobs: Blobs, collected: Collected) -> None:
        self._file = file
        self._blobs = blobs
        self._collected = collected

    def read(self, message: Message, prefix: str) -> tuple[dict[str, Any], Graph | None]:
        """Return tree and graph.

        Args:
            message: The model.
            prefix: What stands before the names of its tensors.

        Raises:
            LoadError: If it is damaged or no Core ML model.
        """
        kinds = fields_of("Model")
        parts, kind = self._parts(message)
        plain = Plain(self._file, self._collected, {})
        tree: dict[str, Any] = {}
        for number, field in sorted(parts.items()):
            if number < _FIRST_KIND:
                known = kinds.get(number)
                if known is None:
                    self._collected.lost(f"{prefix}field {number}", "is not known")
                    continue
                tree[known.name] = plain.one(field, known.type, f"{prefix}{known.name}")
        if kind.number not in kinds:
            self._collected.lost(f"{prefix}model", f"a model of the unknown kind {kind.number}")
            return tree, None
        name, type_ = kinds[kind.number].name, kinds[kind.number].type
        said, graph = self._kind(kind, name, type_, prefix, tree.get("description", {}))
        return tree | {name: said}, graph

    def _parts(self, message: Message) -> tuple[dict[int, Field], Field]:
        """Return the fields of a model, and of these the one that says what kind of model it is."""
        parts: dict[int, Field] = {}
        kind = None
        for field in message.fields():
            is_kind = field.number >= _FIRST_KIND
            if field.number in parts or (is_kind and kind is not None):
                raise field.error("a model must say each thing once, and be of one kind")
            parts[field.number] = field
            kind = field if is_kind else kind
        if _VERSION not in parts or kind is None:
            raise message.error("is no Core ML model: it has no version, or does not say what kind of model it is")
        return parts, kind

    def _kind(
        self, field: Field, name: str, type_: str, prefix: str, description: Mapping[str, Any]
    ) -> tuple[dict[str, Any], Graph | None]:
        message = field.message()
        if name == "mlProgram":
            return Program(self._file, self._blobs, self._collected, prefix).read(message)
        ends = [_features(description.get(key, [])) for key in ("input", "output")]
        if name.startswith("neuralNetwork"):
            return Network(self._file, self._collected, prefix).read(message, type_, *ends)
        stages: list[tuple[dict[str, Any], Graph | None]] = []
        special = {
            "Model": lambda inner, _: stages.append(self.read(inner.message(), f"{prefix}models[{len(stages)}]."))
        }
        said = Plain(self._file, self._collected, special).message(message, type_, f"{prefix}{name}")
        if name == "linkedModel":
            self._collected.lost(f"{prefix}{name}", "the model that it links to is another file; compare that too")
        if not stages:
            return said, None
        nodes = (Node("model", str(index), attributes=_body(graph)) for index, (_, graph) in enumerate(stages))
        return said | {"models": [tree for tree, _ in stages]}, Graph(tuple(nodes), *ends)


def _body(graph: Graph | None) -> dict[str, Any]:
    return {} if graph is None else {"body": graph}


def _features(described: Any) -> dict[str, Value]:
    """Return inputs or outputs of a model from its description."""
    found = {}
    for feature in described if isinstance(described, list) else []:
        type_ = feature.get("type", {})
        array = type_.get("multiArrayType")
        kind = (
            str(array.get("dataType", "")).lower() if array else next((key for key in type_ if key != "isOptional"), "")
        )
        found[str(feature.get("name", ""))] = Value(kind, tuple(array["shape"]) if array and "shape" in array else None)
    return found
