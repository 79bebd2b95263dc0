"""Opens a TensorFlow Lite model: constants as tensors, its graph, and what describes it as a tree."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from diffai_core.plugin import Artifact, LoadError, NotCompared, TensorRef, shown
from diffai_load_tflite.attached import attached_files
from diffai_load_tflite.flatbuffer import U32, FlatBuffer
from diffai_load_tflite.graph import read_graph
from diffai_load_tflite.model import read_model
from diffai_load_tflite.quantization import described, scales_of
from diffai_load_tflite.sparse import sparse_tensor
from diffai_load_tflite.strings import read_strings
from diffai_load_tflite.tensors import codes_of, quantized_tensor, stored_tensor
from diffai_load_tflite.types import STRING, element_type, type_name
from diffai_load_tflite.wording import plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diffai_core.plugin import DataFile, Source
    from diffai_load_tflite.flatbuffer import Table
    from diffai_load_tflite.model import Model, Subgraph, Tensor

IDENTIFIER = b"TFL3"
_MAX_SHARING = 64
"""Subgraphs share their weights, but not without end."""
_VERSION, _DESCRIPTION, _METADATA, _SIGNATURES = 0, 3, 6, 7
_SIGNATURE_INPUTS, _SIGNATURE_OUTPUTS, _SIGNATURE_KEY, _SIGNATURE_SUBGRAPH = 0, 1, 2, 4


@dataclass
class _Contents:
    """What a file holds, gathered tensor by tensor."""

    tensors: dict[str, TensorRef] = field(default_factory=dict)
    strings: dict[str, Any] = field(default_factory=dict)
    quantization: dict[str, Any] = field(default_factory=dict)
    not_readable: list[NotCompared] = field(default_factory=list)
    n_bytes: int = 0


def open_tflite(source: Source, options: Mapping[str, Any]) -> Artifact:  # noqa: ARG001 - every loader's signature
    """Open ``source``.

    Args:
        source: The file.
        options: None are known.

    Raises:
        LoadError: If the file breaks the format.
    """
    file = source.open()
    try:
        return _artifact(source, file)
    except BaseException:
        file.close()
        raise


def _artifact(source: Source, file: DataFile) -> Artifact:
    if file.size < 4 + len(IDENTIFIER) or file.read(4, len(IDENTIFIER)) != IDENTIFIER:
        raise LoadError(file.name, f"no TensorFlow Lite model: {IDENTIFIER.decode()} does not stand at byte 4", 4)
    model = read_model(FlatBuffer(file))
    contents = _Contents()
    for subgraph in model.subgraphs:
        for tensor in subgraph.tensors:
            _add(contents, tensor, subgraph)
    return Artifact(
        name=source.name,
        format="tflite",
        tensors=contents.tensors,
        tree=_tree(model, contents),
        graph=read_graph(model),
        files=(file,),
        not_readable=tuple(contents.not_readable),
    )


def _add(contents: _Contents, tensor: Tensor, subgraph: Subgraph) -> None:
    """Add a tensor of a subgraph: its elements if it is a constant, and what else is known of it."""
    scales = None
    contents.n_bytes += tensor.data.length if tensor.data else 0
    buffer = tensor.table.buffer
    if contents.n_bytes > _MAX_SHARING * buffer.file.size:
        raise buffer.error("the same bytes are the elements of too many tensors", tensor.table.at)
    if tensor.is_external:
        reason = "its elements lie in another file (an external buffer), which is not read"
        contents.not_readable.append(NotCompared(tensor.name, reason))
    elif tensor.data is not None:
        kind = element_type(tensor.type)
        if kind is None:
            _add_other(contents, tensor)
        elif tensor.sparsity is not None:
            contents.tensors[tensor.name] = sparse_tensor(tensor, kind, tensor.sparsity)
        else:
            codes, scales = codes_of(tensor, kind), scales_of(tensor, subgraph.tensors)
            contents.tensors[tensor.name] = (
                quantized_tensor(codes, tensor.name, scales) if scales else stored_tensor(codes, tensor.name)
            )
    parameters = described(tensor, constant=scales is not None)
    if parameters:
        contents.quantization[tensor.name] = parameters


def _add_other(contents: _Contents, tensor: Tensor) -> None:
    """Add a constant whose elements are no numbers."""
    if tensor.type == STRING:
        contents.strings[tensor.name] = read_strings(tensor)
    else:
        reason = f"a constant of type {type_name(tensor.type)}, which this loader cannot read"
        contents.not_readable.append(NotCompared(tensor.name, reason))


def _tree(model: Model, contents: _Contents) -> dict[str, Any]:
    root = model.root
    tree = {
        "version": root.whole(_VERSION, U32),
        "description": root.text(_DESCRIPTION),
        "metadata": _metadata(model),
        "signatures": _signatures(model),
        "quantization": contents.quantization,
        "strings": contents.strings,
        "attached_files": attached_files(root.buffer.file),
    }
    return {key: value for key, value in tree.items() if value not in ("", {})}


def _metadata(model: Model) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for table in model.root.tables(_METADATA):
        name, number = table.text(0), table.whole(1, U32)
        if number >= len(model.buffers):
            reason = f"metadata {shown(name)} lies in buffer {number:,}, and there are {len(model.buffers):,}"
            raise table.buffer.error(reason, table.at)
        data = model.buffers[number]
        _put(found, name, plain(table.buffer.take(*data)) if data else b"", table)
    return found


def _signatures(model: Model) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for table in model.root.tables(_SIGNATURES):
        number = table.whole(_SIGNATURE_SUBGRAPH, U32)
        if number >= len(model.subgraphs):
            reason = f"a signature refers to subgraph {number:,}, and there are {len(model.subgraphs):,}"
            raise table.buffer.error(reason, table.at)
        subgraph = model.subgraphs[number]
        signature = {
            "subgraph": subgraph.name,
            "inputs": _tensor_map(table, _SIGNATURE_INPUTS, subgraph),
            "outputs": _tensor_map(table, _SIGNATURE_OUTPUTS, subgraph),
        }
        _put(found, table.text(_SIGNATURE_KEY), signature, table)
    return found


def _tensor_map(table: Table, slot: int, subgraph: Subgraph) -> dict[str, str]:
    found: dict[str, str] = {}
    for entry in table.tables(slot):
        index = entry.whole(1, U32)
        if index >= len(subgraph.tensors):
            reason = f"a signature refers to tensor {index:,}, and its subgraph has {len(subgraph.tensors):,}"
            raise entry.buffer.error(reason, entry.at)
        _put(found, entry.text(0), subgraph.tensors[index].name, entry)
    return found


def _put(found: dict[str, Any], name: str, value: Any, table: Table) -> None:
    if name in found:
        raise table.buffer.error(f"{shown(name)} is there twice", table.at)
    found[name] = value
