"""Opens a JSON file: strict, bounded, every error with its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffai_lib_json import parse_json

from diffai_core.plugin import Artifact, read_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diffai_core.plugin import Source

MAX_BYTES = 256 << 20
"""Largest file that is read."""
MAX_CONTAINERS = 4_000_000
"""Most objects and arrays in a file; they take up to a hundred times their text."""
ROOT_KEY = "$"
"""Key of a document that is not an object."""


def open_json(source: Source, _options: Mapping[str, Any]) -> Artifact:
    """Open a JSON file as a tree.

    An object is the tree itself. Any other document, and an object with the key ``$``, stands under ``$``.

    Raises:
        LoadError: If it is not JSON, repeats a key within an object, holds a number that cannot be represented,
            or is larger or nested deeper than can be read.
    """
    file = source.open()
    try:
        tree = as_tree(parse_json(read_text(file, MAX_BYTES), MAX_CONTAINERS))
    except BaseException:
        file.close()
        raise
    return Artifact(name=source.name, format="json", tree=tree, files=(file,))


def as_tree(document: Any) -> dict[str, Any]:
    """Return a document as a mapping, so that no two different documents give the same."""
    if isinstance(document, dict) and ROOT_KEY not in document:
        return document
    return {ROOT_KEY: document}
