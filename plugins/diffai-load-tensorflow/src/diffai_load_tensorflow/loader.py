"""Opens a checkpoint, a SavedModel or a graph: a file, or the folder that holds it."""

from __future__ import annotations

import hashlib
import re
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_lib_protobuf import Message

from diffai_core.plugin import Artifact, Foreign, Graph, LoadError, NotCompared, Source, TensorRef, shown
from diffai_load_tensorflow.checkpoint import INDEX_SUFFIX, open_checkpoint
from diffai_load_tensorflow.folder import chosen_prefix, files_beside, is_index, prefixes_in
from diffai_load_tensorflow.graphdef import GraphContents, read_graph
from diffai_load_tensorflow.metagraph import MetaGraph, read_metagraph
from diffai_load_tensorflow.sniff import kind_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diffai_core.plugin import DataFile
    from diffai_load_tensorflow.checkpoint import Checkpoint

SAVED_MODEL = "saved_model.pb"
VARIABLES = "variables"
ASSETS = "assets"
_DATA_FILE = re.compile(r"(.*)\.data-[0-9]{5}-of-[0-9]{5}", re.DOTALL)
_META_GRAPHS = 2
_PIECE_BYTES = 1 << 20


class _Contents(NamedTuple):
    """What an artefact is made of."""

    tensors: dict[str, TensorRef]
    tree: dict[str, Any]
    graph: Graph | None
    files: tuple[DataFile, ...]
    foreign: tuple[Foreign, ...] = ()
    not_readable: tuple[NotCompared, ...] = ()


def open_tensorflow(source: Source, options: Mapping[str, Any]) -> Artifact:  # noqa: ARG001 - every loader's signature
    """Open ``source``: a checkpoint (its index, a data file, its folder), a SavedModel, a MetaGraph or a graph.

    Args:
        source: What to open.
        options: None are known.

    Raises:
        LoadError: If a file breaks its format, or one that is needed is missing.
    """
    with ExitStack() as stack:
        contents = _open_folder(source, stack) if source.is_folder else _open_file(source, stack)
        stack.pop_all()  # from here on the artefact closes them
    return Artifact(name=source.name, format="tensorflow", **contents._asdict())


def _open_folder(folder: Source, stack: ExitStack) -> _Contents:
    if (folder.path / SAVED_MODEL).exists():
        return _open_saved_model(folder, folder.child(SAVED_MODEL), stack)
    prefixes = prefixes_in(folder)
    prefix = chosen_prefix(folder, prefixes)
    found = _checkpoint_contents(open_checkpoint(folder, prefix, stack))
    others = [other for other in prefixes if other != prefix]
    skipped = [NotCompared(f"{other}{INDEX_SUFFIX}", "another checkpoint of the folder") for other in others]
    beside = tuple(stack.enter_context(source.open()) for source in files_beside(folder, others))
    return found._replace(files=found.files + beside, not_readable=found.not_readable + tuple(skipped))


def _checkpoint_contents(checkpoint: Checkpoint) -> _Contents:
    return _Contents(checkpoint.tensors, checkpoint.tree, None, checkpoint.files, not_readable=checkpoint.not_readable)


def _open_file(source: Source, stack: ExitStack) -> _Contents:
    head, size = source.head()
    kind = kind_of(head, size)
    folder = _folder_of(source)
    if kind == "index" or (kind is None and is_index(source)):
        prefix = source.path.name.removesuffix(INDEX_SUFFIX)
        return _checkpoint_contents(open_checkpoint(folder, prefix, stack, source))
    if kind == "state":
        return _checkpoint_contents(open_checkpoint(folder, chosen_prefix(folder, prefixes_in(folder)), stack))
    data_file = _DATA_FILE.fullmatch(source.path.name)
    if kind is None and data_file:
        return _checkpoint_contents(open_checkpoint(folder, data_file[1], stack))
    if kind == "saved model":
        return _open_saved_model(folder, source, stack)
    if kind is None:
        raise LoadError(source.name, "neither a checkpoint's index, nor a SavedModel, nor a graph of TensorFlow", 0)
    return _open_graph(source, kind == "metagraph", stack)


def _folder_of(source: Source) -> Source:
    parent = source.name.rpartition("/")[0]
    return Source(source.path.parent, parent or str(source.path.parent))


def _open_graph(source: Source, is_metagraph: bool, stack: ExitStack) -> _Contents:
    file = stack.enter_context(source.open())
    contents = GraphContents(file)
    if is_metagraph:
        found = read_metagraph(Message.in_file(file), contents)
        return _graph_contents(contents, found.graph, found.tree)
    return _graph_contents(contents, read_graph(Message.in_file(file), contents), {})


def _graph_contents(contents: GraphContents, graph: Graph, tree: dict[str, Any]) -> _Contents:
    return _Contents(
        contents.tensors,
        tree | contents.tree(),
        graph,
        (contents.file,),
        tuple(contents.foreign),
        tuple(contents.not_readable),
    )


def _open_saved_model(folder: Source, model: Source, stack: ExitStack) -> _Contents:
    """Open a SavedModel: graph and what describes it, assets, and the variables if it has any."""
    file = stack.enter_context(model.open())
    contents = GraphContents(file)
    fields = [field for field in Message.in_file(file).fields() if field.number == _META_GRAPHS]
    if not fields:
        raise LoadError(file.name, "the SavedModel holds no MetaGraph", file.size)
    first, *others = (
        read_metagraph(field.message(), contents, f"meta_graph_{number}/" if number else "")
        for number, field in enumerate(fields)
    )
    names = sorted({name for graph in (first, *others) for name in graph.assets})
    files, digests = _assets(folder, names, file, stack)
    tree = first.tree | ({"meta_graphs": [graph.tree for graph in others]} if others else {})
    found = _graph_contents(contents, _with_others(first, others), tree | ({"assets": digests} if digests else {}))
    found = found._replace(files=found.files + files)
    if (folder.path / VARIABLES / f"{VARIABLES}{INDEX_SUFFIX}").exists():
        return _with_variables(found, open_checkpoint(folder, f"{VARIABLES}/{VARIABLES}", stack))
    return found


def _with_others(first: MetaGraph, others: list[MetaGraph]) -> Graph:
    """Return the graph of the first MetaGraph; those of the others are its attribute."""
    if not others:
        return first.graph
    more = {f"{number}: {', '.join(graph.tags)}": graph.graph for number, graph in enumerate(others, 1)}
    graph = first.graph
    return Graph(graph.nodes, graph.inputs, graph.outputs, {**graph.attributes, "meta_graphs": more})


def _assets(
    folder: Source, names: list[str], model: DataFile, stack: ExitStack
) -> tuple[tuple[DataFile, ...], dict[str, Any]]:
    """Return the files that a model needs, such as vocabularies, and the digest of each."""
    files, digests = [], {}
    for name in names:
        try:
            file = stack.enter_context(folder.child(f"{ASSETS}/{name}").open())
        except LoadError as error:
            raise LoadError(error.path, f"{error.reason}; {model.name} needs the asset {shown(name)}") from error
        digest = hashlib.blake2b(digest_size=32)
        for start in range(0, file.size, _PIECE_BYTES):
            digest.update(file.read(start, min(_PIECE_BYTES, file.size - start)))
        files.append(file)
        digests[name] = {"bytes": file.size, "blake2b": digest.hexdigest()}
    return tuple(files), digests


def _with_variables(found: _Contents, checkpoint: Checkpoint) -> _Contents:
    """Add the variables of a model to its graph; a constant that is called like a variable gets another name."""
    tensors = dict(checkpoint.tensors)
    for name, ref in found.tensors.items():
        own = name if name not in checkpoint.tensors else f"{name} (constant)"
        tensors[own] = replace(ref, name=own)
    strings = found.tree.get("strings", {}) | checkpoint.tree.get("strings", {})
    return found._replace(
        tensors=tensors,
        tree=found.tree | checkpoint.tree | ({"strings": strings} if strings else {}),
        files=found.files + checkpoint.files,
        not_readable=found.not_readable + checkpoint.not_readable,
    )
