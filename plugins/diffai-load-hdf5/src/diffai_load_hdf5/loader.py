"""Opens HDF5 files, and Keras archives, which hold one."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from diffai_lib_hdf5 import FileRegion

from diffai_core.plugin import Artifact
from diffai_load_hdf5.archive import MODEL_CONFIG, add_archive
from diffai_load_hdf5.contents import Contents, add_file
from diffai_load_hdf5.foreign import foreign_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from diffai_core.plugin import DataFile, Source


def open_file(source: Source, _options: Mapping[str, Any]) -> Artifact:
    """Open an HDF5 file.

    Args:
        source: The file.

    Returns:
        Tensors under the paths of the datasets; in the tree the attributes of the root under their names, those of
        other objects under the path, and datasets that are no arrays of numbers.

    Raises:
        LoadError: If it is damaged, or takes data from other files.
    """
    return _open(source, "hdf5", lambda contents, file: add_file(contents, FileRegion(file, 0, file.size)))


def open_keras(source: Source, _options: Mapping[str, Any]) -> Artifact:
    """Open a Keras archive: the weights where they lie in it, configuration and metadata as tree.

    Args:
        source: The file.

    Raises:
        LoadError: If the archive, its JSON or its HDF5 file is damaged.
    """
    return _open(source, "keras", add_archive)


def _open(source: Source, name: str, add: Callable[[Contents, DataFile], None]) -> Artifact:
    contents = Contents()
    with ExitStack() as stack:
        file = stack.enter_context(source.open())
        add(contents, file)
        stack.pop_all()
    configs = [contents.config, contents.tree.get(MODEL_CONFIG)]
    return Artifact(
        name=source.name,
        format=name,
        tensors=contents.tensors,
        tree=contents.tree,
        files=(file,),
        foreign=foreign_of(configs, file.name, contents.config_offset),
        not_readable=tuple(contents.not_readable),
    )
