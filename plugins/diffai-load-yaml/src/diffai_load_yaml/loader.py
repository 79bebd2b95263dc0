"""Opens a YAML file: plain values only, bounded, every error with its place."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from diffai_core.plugin import Artifact, LoadError, Text, read_text
from diffai_load_yaml.build import build_documents

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diffai_core.plugin import Source

MAX_BYTES = 16 << 20
"""Largest file that is read."""
MAX_TAG_DIRECTIVES = 100
"""Most ``%TAG`` lines; each is compared with all before it."""
ROOT_KEY = "$"
"""Key of a document that is not a mapping."""
DOCUMENTS_KEY = "$documents"
"""Key of the documents of a file that has several."""

_TAG_DIRECTIVE = re.compile(r"^%TAG", re.MULTILINE)


def open_yaml(source: Source, _options: Mapping[str, Any]) -> Artifact:
    """Open a YAML file as a tree.

    A mapping is the tree itself. Any other document stands under ``$``, several documents as a list under
    ``$documents``. Values that are aliased are shared, not copied.

    Raises:
        LoadError: If it is not YAML, repeats a key within a mapping, holds more than plain values, contains itself,
            or is larger or nested deeper than is read.
    """
    file = source.open()
    try:
        tree = as_tree(_parse(read_text(file, MAX_BYTES)))
    except BaseException:
        file.close()
        raise
    return Artifact(name=source.name, format="yaml", tree=tree, files=(file,))


def as_tree(documents: list[Any]) -> dict[str, Any]:
    """Return documents as a mapping, so that no two different files give the same; none is ``null``."""
    if len(documents) > 1:
        return {DOCUMENTS_KEY: documents}
    document = documents[0] if documents else None
    if isinstance(document, dict) and not {ROOT_KEY, DOCUMENTS_KEY} & document.keys():
        return document
    return {ROOT_KEY: document}


def _parse(text: Text) -> list[Any]:
    n_directives = len(_TAG_DIRECTIVE.findall(text.content))
    if n_directives > MAX_TAG_DIRECTIVES:
        reason = f"has {n_directives:,} %TAG directives; more than {MAX_TAG_DIRECTIVES:,} are not read"
        raise LoadError(text.name, reason)
    try:
        return build_documents(text)
    except yaml.reader.ReaderError as error:
        n_before = len(text.content.encode()[: error.position].decode("utf-8", "ignore"))
        raise text.error(f"not YAML: {error.reason}", n_before) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        index = mark.index if mark else 0
        problem = ", ".join(part for part in (error.context, error.problem) if part)
        raise text.error(f"not YAML: {problem} ({text.place(index)})", index) from error
