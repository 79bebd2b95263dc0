"""Opens an ONNX model."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from diffai_lib_protobuf import Message

from diffai_core.plugin import Artifact, Graph
from diffai_load_onnx.check import check
from diffai_load_onnx.contents import Contents, Scope
from diffai_load_onnx.external import ExternalFiles
from diffai_load_onnx.graphs import function_of, graph_of, opset_of
from diffai_load_onnx.quantization import with_dequantized

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diffai_lib_protobuf import Field

    from diffai_core.plugin import DataFile, Source

_GRAPH, _OPSET, _METADATA, _TRAINING, _FUNCTION, _DEVICES = 7, 8, 14, 20, 25, 26
_IR_VERSION, _MODEL_VERSION = 1, 5
_TEXTS = {2: "producer_name", 3: "producer_version", 4: "domain", 6: "doc_string"}
_FIRST_WITH_OPSETS = 3
_INITIALIZATION, _ALGORITHM = 1, 2
_BINDINGS = {3: "initialization_binding", 4: "update_binding"}


def open_onnx(source: Source, options: Mapping[str, Any]) -> Artifact:
    """Open an ONNX model and find its external data.

    Args:
        source: The file of the model.
        options: ``onnx_check``: whether the ``onnx`` package is to check it.

    Returns:
        Its weights by name, wherever they are stored; its graph; in the tree its metadata and texts.

    Raises:
        LoadError: If it is damaged, or data that it needs are missing or outside of its folder.
    """
    with ExitStack() as stack:
        file = stack.enter_context(source.open())
        external = ExternalFiles(source)
        stack.callback(external.close)
        artifact = _Model(file, external).read(source.name)
        if options.get("onnx_check"):
            check(file)
        stack.pop_all()  # from here on the artefact closes them
    return artifact


class _Model:
    """A ModelProto being read."""

    def __init__(self, file: DataFile, external: ExternalFiles) -> None:
        self._file = file
        self._contents = Contents(file, external)
        self._tree: dict[str, Any] = {}
        self._attributes: dict[str, Any] = {}
        self._graph: Graph | None = None

    def read(self, name: str) -> Artifact:
        message = Message.in_file(self._file)
        for found in message.fields():
            self._take(found)
        if self._graph is None or not self._is_complete():
            missing = "graph" if self._graph is None else "opset_import"
            raise message.source.error(f"the file ends here, and the model has no {missing}", self._file.size)
        contents = self._contents
        graph = Graph(
            self._graph.nodes,
            self._graph.inputs,
            self._graph.outputs,
            {**dict(sorted(self._attributes.items())), **self._graph.attributes},
        )
        return Artifact(
            name=name,
            format="onnx",
            tensors=with_dequantized(contents),
            tree=self._whole_tree(),
            graph=graph,
            files=(self._file, *contents.external.files),
            not_readable=tuple(contents.not_readable.values()),
        )

    def _is_complete(self) -> bool:
        """Whether it says which operators it uses, as all but the first two versions must, behind the graph."""
        return "opset_import" in self._attributes or self._attributes.get("ir_version", 0) < _FIRST_WITH_OPSETS

    def _whole_tree(self) -> dict[str, Any]:
        contents = self._contents
        parts = {"strings": contents.strings, "sparse": contents.sparse, "notes": contents.notes}
        return self._tree | {key: part for key, part in parts.items() if part}

    def _take(self, found: Field) -> None:  # noqa: C901 - one case for each field of the format
        number, contents = found.number, self._contents
        if number == _GRAPH:
            if self._graph is not None:
                raise found.error("the model has two graphs")
            self._graph = graph_of(found.message(), contents, Scope())
        elif number == _IR_VERSION:
            self._attributes["ir_version"] = found.signed()
        elif number == _MODEL_VERSION:
            self._tree["model_version"] = found.signed()
        elif number in _TEXTS:
            text = contents.budget.text(found)
            self._tree |= {_TEXTS[number]: text} if text else {}
        elif number == _OPSET:
            domain, version = opset_of(found.message(), contents)
            self._attributes.setdefault("opset_import", {})[domain] = version
        elif number == _METADATA:
            key, value = contents.entry(found)
            self._tree.setdefault("metadata_props", {})[key] = value
        elif number == _FUNCTION:
            self._take_function(found)
        elif number == _TRAINING:
            self._take_training(found)
        elif number == _DEVICES:
            self._tree.setdefault("configuration", []).append(contents.budget.digest(found.message()))
        else:
            contents.add_unknown(found, "model")

    def _take_function(self, found: Field) -> None:
        name, function = function_of(found.message(), self._contents)
        functions = self._attributes.setdefault("functions", {})
        if name in functions:
            raise found.error(f"the model has two functions with the name {name[:80]!r}")
        functions[name] = function

    def _take_training(self, found: Field) -> None:
        """Take how the model is trained: two more graphs, and which values they update."""
        steps = self._attributes.setdefault("training_info", [])
        path, step = f"training_info[{len(steps)}]", dict[str, Any]()
        steps.append(step)
        contents = self._contents
        for part in found.message().fields():
            if part.number in {_INITIALIZATION, _ALGORITHM}:
                name = "initialization" if part.number == _INITIALIZATION else "algorithm"
                step[name] = graph_of(part.message(), contents, Scope(f"{path}.{name}/"))
            elif part.number in _BINDINGS:
                key, value = contents.entry(part)
                step.setdefault(_BINDINGS[part.number], {})[key] = value
            else:
                contents.add_unknown(part, "training step")
