"""Find installed plugins without importing them: the entry points of the group ``diffai``.

``importlib.metadata`` costs 30 ms of CPU to import and parses every distribution's metadata, so plain
``*.dist-info`` and ``*.egg-info`` folders are read here directly. Where Python is set up so that they do not tell
all (archives on ``sys.path``, other metadata finders), ``importlib.metadata`` is asked instead. Paths are texts here,
because ``pathlib`` would cost another 5 ms.
"""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from functools import partial, reduce
from importlib import import_module
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

GROUP = "diffai"
_NO_VERSION = "(unknown version)"
_SUFFIXES = (".dist-info", ".egg-info")


class FoundPlugin(NamedTuple):
    """An entry point that has not been loaded.

    Args:
        name: Name of the entry point, for instance ``load-numpy``.
        dist: Name of the distribution.
        version: Version of the distribution.
        load: Imports and returns the plugin; may raise anything.
        package: The top-level package of the plugin, to tell its own modules from those it needs.
    """

    name: str
    dist: str
    version: str
    load: Callable[[], Any]
    package: str = ""

    @property
    def label(self) -> str:
        """Distribution and version, as messages begin."""
        return f"{self.dist} {self.version}"


class _Metadata(NamedTuple):
    entry_points: str
    name: str
    version: str


def find_plugins(path: Iterable[str] | None = None, group: str = GROUP) -> tuple[FoundPlugin, ...]:
    """Return the installed plugins, sorted by entry point and distribution.

    Args:
        path: Folders to look in instead of ``sys.path``.
        group: Entry point group.
    """
    folders = list(sys.path if path is None else path)
    read = _by_importlib if _needs_importlib(folders) else _by_folder
    found = [plugin for metadata in read(folders, group) for plugin in _entry_points(metadata, group)]
    return tuple(sorted(found, key=lambda plugin: (plugin.name, plugin.dist, plugin.version)))


def load_object(value: str) -> Any:
    """Import what the right-hand side of an entry point names: ``package.module`` or ``package.module:object``.

    Extras in square brackets are ignored, as installers do.
    """
    module, _, attributes = value.partition("[")[0].partition(":")
    return reduce(getattr, filter(None, attributes.strip().split(".")), import_module(module.strip()))


def _entry_points(metadata: _Metadata, group: str) -> Iterator[FoundPlugin]:
    section = ""
    for line in map(str.strip, metadata.entry_points.splitlines()):
        if line.startswith("["):
            section = line.strip("[]").strip()
        elif section == group and line and not line.startswith(("#", ";")):
            name, _, value = (part.strip() for part in line.partition("="))
            package = re.split(r"[.:\[\s]", value, maxsplit=1)[0]
            yield FoundPlugin(name, metadata.name, metadata.version, partial(load_object, value), package)


def _needs_importlib(folders: list[str]) -> bool:
    finders = (finder for finder in sys.meta_path if hasattr(finder, "find_distributions"))
    return any(finder is not PathFinder for finder in finders) or any(map(os.path.isfile, folders))


def _by_importlib(folders: list[str], group: str) -> Iterator[_Metadata]:
    from importlib.metadata import distributions

    seen = set()
    for dist in distributions(path=folders):
        name = dist.metadata["Name"] or "(unnamed)"
        text = dist.read_text("entry_points.txt") or ""
        if _normalised(name) not in seen and group in text:
            yield _Metadata(text, name, dist.metadata["Version"] or _NO_VERSION)
        seen.add(_normalised(name))


def _by_folder(folders: list[str], group: str) -> Iterator[_Metadata]:
    seen = set()
    for folder in dict.fromkeys(folders):
        for stem, metadata_folder in _metadata_folders(folder or "."):
            key = _normalised(stem)
            if key in seen:  # shadowed by an earlier folder, as imports are
                continue
            seen.add(key)
            text = _read(f"{metadata_folder}/entry_points.txt")
            if group in text:
                yield _Metadata(text, *_name_and_version(metadata_folder, stem))


def _metadata_folders(folder: str) -> Iterator[tuple[str, str]]:
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208 - names are all that is needed, for hundreds of entries
    except OSError:  # sys.path may name folders that are not there
        return
    for name in names:
        if name.lower().endswith(_SUFFIXES):
            yield name.rpartition(".")[0].partition("-")[0], f"{folder}/{name}"
    if folder.lower().endswith(".egg"):
        yield os.path.basename(folder).partition("-")[0], f"{folder}/EGG-INFO"  # noqa: PTH119 - see above


def _read(path: str) -> str:
    with suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - see above
        return file.read()
    return ""  # most distributions have no entry points


def _name_and_version(metadata_folder: str, stem: str) -> tuple[str, str]:
    """Read the two header fields; parsing the whole metadata would cost more than importing the plugin."""
    text = _read(f"{metadata_folder}/METADATA") or _read(f"{metadata_folder}/PKG-INFO")
    header = text.partition("\n\n")[0]
    name = re.search(r"^Name:[ \t]*(\S.*?)\s*$", header, re.MULTILINE | re.IGNORECASE)
    version = re.search(r"^Version:[ \t]*(\S.*?)\s*$", header, re.MULTILINE | re.IGNORECASE)
    return name[1] if name else stem, version[1] if version else _NO_VERSION


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
