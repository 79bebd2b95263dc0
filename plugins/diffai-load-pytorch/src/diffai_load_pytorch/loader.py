"""Opens what PyTorch saves: a file of any of its formats, or a folder of shards."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from diffai_lib_quantization.logical import logical

from diffai_core.plugin import Artifact, Source
from diffai_load_pytorch.assembly import Assembly
from diffai_load_pytorch.checkpoint import add_file
from diffai_load_pytorch.distributed import add_distributed, is_distributed
from diffai_load_pytorch.sharded import add_folder, add_index, is_index

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diffai_core.plugin import DataFile


def open_pytorch(source: Source, _options: Mapping[str, Any]) -> Artifact:
    """Open a checkpoint, a TorchScript or exported program, an index of shards, or a folder of shards.

    Args:
        source: The file or folder.

    Returns:
        Tensors under the names of the state dict, with dots where dicts are nested; all else in the tree.

    Raises:
        LoadError: If a file is damaged, or files contradict each other.
    """
    with ExitStack() as stack:
        files: list[DataFile] = []
        if source.is_folder:
            assembly = (add_distributed if is_distributed(source) else add_folder)(source, files, stack)
        elif is_index(source):
            assembly = add_index(source, files, stack)
        else:
            file = stack.enter_context(source.open())
            files.append(file)
            assembly = Assembly(file.size)
            add_file(assembly, file)
        tensors = logical(assembly.tensors, source if source.is_folder else Source(source.path.parent))
        stack.pop_all()  # from here on the artefact closes them
    return Artifact(
        name=source.name,
        format="pytorch",
        tensors=tensors,
        tree=assembly.tree,
        graph=assembly.graph,
        files=tuple(files),
        foreign=tuple(assembly.foreign),
        not_readable=tuple(assembly.not_readable),
    )
