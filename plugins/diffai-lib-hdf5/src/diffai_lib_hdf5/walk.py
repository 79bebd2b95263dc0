"""Finding every object of a file: each group once, links that lead elsewhere told apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from diffai_lib_hdf5.groups import Link, is_group, links_of
from diffai_lib_hdf5.headers import Header, read_header
from diffai_lib_hdf5.region import shown

if TYPE_CHECKING:
    from diffai_lib_hdf5.region import Store

MAX_OBJECTS = 500_000
"""Most objects of a file."""
MAX_DEPTH = 256
"""Deepest nesting of groups."""
MAX_PATH = 4096
"""Longest path."""


class Found(NamedTuple):
    """An object.

    Args:
        path: The first path that leads to it, with a slash before; of the root, ``/``.
        header: Its header.
        links: Its links, if it is a group.
    """

    path: str
    header: Header
    links: tuple[Link, ...] | None


class Objects(NamedTuple):
    """All objects of a file.

    Args:
        found: In the order of their paths, a group before its members.
        aliases: Further paths, and the path under which the same object was found first.
        soft: Paths of soft links, and where they lead.
        paths: Path of every object by the address of its header.
    """

    found: tuple[Found, ...]
    aliases: tuple[tuple[str, str], ...]
    soft: tuple[tuple[str, str], ...]
    paths: dict[int, str]


def find_objects(store: Store, root: int) -> Objects:
    """Find all objects.

    Args:
        store: The file.
        root: Address of the header of the root group.

    Raises:
        LoadError: If a header is damaged, a link leads out of the file, or there are too many objects.
    """
    found: list[Found] = []
    aliases: list[tuple[str, str]] = []
    soft: list[tuple[str, str]] = []
    paths: dict[int, str] = {}
    stack: list[tuple[str, int, int]] = [("/", root, 0)]
    while stack:
        path, address, at = stack.pop()
        if address in paths:
            aliases.append((path, paths[address]))
            continue
        if len(found) >= MAX_OBJECTS or len(path) > MAX_PATH or path.count("/") > MAX_DEPTH:
            raise store.error(f"more objects, or deeper ones, than are read: {shown(path)}", at)
        paths[address] = path
        entry = _entry(store, path, address)
        found.append(entry)
        for link in reversed(entry.links or ()):
            inner = f"{path.rstrip('/')}/{link.name}"
            if link.external:
                reason = f"{shown(inner)} is a link to another file ({shown(link.path)}); such files are never opened"
                raise store.error(reason, link.at)
            if link.address is None:
                soft.append((inner, link.path))
            else:
                stack.append((inner, link.address, link.at))
    return Objects(tuple(found), tuple(aliases), tuple(sorted(soft)), paths)


def _entry(store: Store, path: str, address: int) -> Found:
    header = read_header(store, address)
    links = tuple(links_of(store, header)) if is_group(header) else None
    return Found(path, header, links)
