"""OCDBT, the key-value store of TensorStore: a manifest, and a B-tree in data files beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from diffai_core.plugin import LoadError
from diffai_load_jax.codecs import decompressed
from diffai_load_jax.crc32c import crc32c
from diffai_load_jax.values import Stored

if TYPE_CHECKING:
    from collections.abc import Callable

    from diffai_core.plugin import DataFile

MANIFEST = "manifest.ocdbt"
MAX_NODE_BYTES = 8 << 20
"""Largest node, packed or not; the writer's own limit for one that is not packed."""
MAX_KEYS = 200_000
"""Most keys of a store."""
MAX_HEIGHT = 16
MAX_PATH = 4096

_MANIFEST_MAGIC, _NODE_MAGIC = bytes.fromhex("0cdb3a2a"), bytes.fromhex("0cdb20de")
_HEADER_BYTES = 12
_CHECKSUM_BYTES = 4
_SMALLEST = 18
_VARINT_BYTES = 10
_NUMBERED = 1
_CODECS = {0: "", 1: "zstd"}


class _Node(NamedTuple):
    """A node that is still to be read: where it is, its height, what its keys and its files begin with."""

    value: Stored
    height: int
    prefix: bytes
    base: bytes


class _Body:
    """The decompressed body of a manifest or node, from which numbers are taken one after the other."""

    def __init__(self, data: bytes, value: Stored) -> None:
        self.data = data
        self.at = 0
        self._value = value

    def error(self, reason: str) -> LoadError:
        """Return the error that places ``reason`` where the body is stored."""
        return self._value.error(reason)

    def take(self, count: int) -> bytes:
        """Take ``count`` bytes."""
        if self.at + count > len(self.data):
            raise self.error("a node of an OCDBT store ends in the middle of a field")
        self.at += count
        return self.data[self.at - count : self.at]

    def u8(self) -> int:
        """Take a byte."""
        return self.take(1)[0]

    def varint(self) -> int:
        """Take a number of seven bits a byte."""
        found = 0
        for index in range(_VARINT_BYTES):
            byte = self.u8()
            found |= (byte & 0x7F) << 7 * index
            if byte < 0x80:  # noqa: PLR2004 - the last byte of a number
                return found
        raise self.error("a number without end in a node of an OCDBT store")

    def varints(self, count: int) -> list[int]:
        """Take ``count`` numbers."""
        if count > len(self.data) - self.at:
            raise self.error(f"{count:,} numbers in {len(self.data) - self.at:,} bytes of a node")
        return [self.varint() for _ in range(count)]

    def count(self) -> int:
        """Take a number of things that have a byte each at least."""
        found = self.varint()
        if found > len(self.data) - self.at:
            raise self.error(f"{found:,} entries in {len(self.data) - self.at:,} bytes of a node")
        return found


def read_ocdbt(manifest: DataFile, opened: Callable[[str], DataFile]) -> dict[str, Stored]:
    """Return the newest version of a store: where each value is, by key.

    Args:
        manifest: The manifest.
        opened: Opens a file of the store's folder by relative path; refuses one outside.

    Raises:
        LoadError: If the store is damaged, has too many keys, or names files outside of its folder.
    """
    reader = _Reader(opened)
    root = reader.root(Stored(manifest, 0, manifest.size))
    nodes = [root] if root else []
    while nodes:
        nodes.extend(reader.node(nodes.pop()))
    reader.check_sizes(manifest)
    return reader.values


class _Reader:
    def __init__(self, opened: Callable[[str], DataFile]) -> None:
        self.values: dict[str, Stored] = {}
        self._opened = opened
        self._files: dict[bytes, DataFile] = {}
        self._seen: set[tuple[str, int]] = set()

    def root(self, value: Stored) -> _Node | None:
        """Read the manifest; return the root of its newest version, ``None`` if that has no keys."""
        body = _body(value, _MANIFEST_MAGIC)
        body.take(16)
        kind = body.varint()
        if kind == _NUMBERED:
            raise value.error("the manifest is one of several that are numbered, which are not read")
        body.varints(2)
        body.u8()
        if body.varint():
            body.take(4)
        files = _file_table(body, b"")
        n_versions = body.count()
        if not n_versions:
            raise value.error("the manifest names no version")
        body.varints(n_versions)
        heights = body.take(n_versions)
        ids, offsets, lengths, n_keys = (body.varints(n_versions) for _ in range(4))
        if not n_keys[-1] or not lengths[-1]:
            return None
        path, base = _file_of(body, files, ids[-1])
        return _Node(self._stored(body, path, offsets[-1], lengths[-1]), heights[-1], b"", base)

    def node(self, node: _Node) -> list[_Node]:
        """Read a node: add the values of a leaf, return the children of another."""
        place = (node.value.file.path, node.value.start)
        if place in self._seen or node.height > MAX_HEIGHT:
            raise node.value.error("the nodes of an OCDBT store run in a circle, or are too many")
        self._seen.add(place)
        body = _body(node.value, _NODE_MAGIC)
        if body.u8() != node.height:
            raise node.value.error(f"a node of an OCDBT store is not of height {node.height}")
        files = _file_table(body, node.base)
        n_entries = body.count()
        if not n_entries:
            raise node.value.error("a node of an OCDBT store is empty")
        return self._children(body, node, files, n_entries) if node.height else self._leaf(body, node, files, n_entries)

    def _children(self, body: _Body, node: _Node, files: list[tuple[bytes, bytes]], n_entries: int) -> list[_Node]:
        prefixes, suffixes = [0, *body.varints(n_entries - 1)], body.varints(n_entries)
        common = body.varints(n_entries)
        keys = _joined(body, prefixes, suffixes)
        ids, offsets, lengths = (body.varints(n_entries) for _ in range(3))
        children = []
        for key, shared, number, offset, length in zip(keys, common, ids, offsets, lengths, strict=True):
            if shared > len(key):
                raise body.error("a node of an OCDBT store shares more than its key")
            path, base = _file_of(body, files, number)
            value = self._stored(body, path, offset, length)
            children.append(_Node(value, node.height - 1, node.prefix + key[:shared], base))
        return children

    def _leaf(self, body: _Body, node: _Node, files: list[tuple[bytes, bytes]], n_entries: int) -> list[_Node]:
        prefixes, suffixes = [0, *body.varints(n_entries - 1)], body.varints(n_entries)
        keys = _joined(body, prefixes, suffixes)
        lengths, kinds = body.varints(n_entries), body.varints(n_entries)
        if max(kinds) > 1:
            raise body.error("a value of an OCDBT store is neither in its node nor in a file")
        n_outside = sum(kinds)
        places = iter(zip(body.varints(n_outside), body.varints(n_outside), strict=True))
        for key, length, kind in zip(keys, lengths, kinds, strict=True):
            if kind:
                number, offset = next(places)
                value = self._stored(body, _file_of(body, files, number)[0], offset, length)
            else:
                value = Stored(node.value.file, node.value.start, length, body.take(length))
            self._add(body, node.prefix + key, value)
        return []

    def _add(self, body: _Body, key: bytes, value: Stored) -> None:
        try:
            name = key.decode()
        except UnicodeDecodeError as error:
            raise body.error("a key of an OCDBT store is not UTF-8") from error
        if name in self.values or len(self.values) >= MAX_KEYS:
            raise body.error(f"the key {name[:100]!r} is there twice, or there are more than {MAX_KEYS:,}")
        self.values[name] = value

    def _stored(self, body: _Body, path: bytes, offset: int, length: int) -> Stored:
        file = self._files.get(path)
        if file is None:
            try:
                name = path.decode()
            except UnicodeDecodeError as error:
                raise body.error("the name of a data file is not UTF-8") from error
            file = self._files[path] = self._opened(name)
        if offset + length > file.size:
            reason = f"an OCDBT store has {length:,} bytes here, and the file ends after {file.size:,}"
            raise LoadError(file.name, reason, min(offset, file.size))
        return Stored(file, offset, length)

    def check_sizes(self, manifest: DataFile) -> None:
        """Make sure that values do not share bytes, so that no small store stands for a large one."""
        total = sum(value.size for value in self.values.values() if value.inline is None)
        if total > sum(file.size for file in self._files.values()):
            raise LoadError(manifest.name, f"the values of the store declare {total:,} bytes, more than its files hold")


def _body(value: Stored, magic: bytes) -> _Body:
    """Return the body of a manifest or node, after comparing its length and checksum."""
    if value.size > MAX_NODE_BYTES or value.size < _SMALLEST:
        raise value.error(f"a node of {value.size:,} bytes in an OCDBT store, which is not possible")
    data = value.read(0, value.size)
    stop = len(data) - _CHECKSUM_BYTES
    if data[:4] != magic or int.from_bytes(data[4:_HEADER_BYTES], "little") != len(data):
        raise value.error("no node of an OCDBT store of this length starts here")
    if crc32c(data[:stop]) != int.from_bytes(data[stop:], "little"):
        raise value.error("a node of an OCDBT store and its checksum disagree; it is damaged")
    version, codec = data[_HEADER_BYTES], data[_HEADER_BYTES + 1]
    if version or codec not in _CODECS:
        raise value.error(f"a node of an OCDBT store of version {version} and compression {codec}, which are not known")
    packed = value.part(_HEADER_BYTES + 2, stop - _HEADER_BYTES - 2)
    return _Body(decompressed(packed, _CODECS[codec], MAX_NODE_BYTES), value)


def _file_table(body: _Body, transitive: bytes) -> list[tuple[bytes, bytes]]:
    """Take the table of data files: the path of each, and what the paths of files named there begin with."""
    n_files = body.count()
    if not n_files:
        return []
    prefixes, suffixes = [0, *body.varints(n_files - 1)], body.varints(n_files)
    bases = body.varints(n_files)
    paths = _joined(body, prefixes, suffixes)
    if any(base > len(path) for base, path in zip(bases, paths, strict=True)):
        raise body.error("the base of a data file is longer than its path")
    return [(transitive + path, transitive + path[:base]) for base, path in zip(bases, paths, strict=True)]


def _file_of(body: _Body, files: list[tuple[bytes, bytes]], number: int) -> tuple[bytes, bytes]:
    if number >= len(files):
        raise body.error(f"data file {number} of {len(files)}")
    return files[number]


def _joined(body: _Body, prefixes: list[int], suffixes: list[int]) -> list[bytes]:
    """Take keys or paths that leave out what they share with the one before."""
    found: list[bytes] = []
    last = b""
    for prefix, suffix in zip(prefixes, suffixes, strict=True):
        if prefix > len(last) or prefix + suffix > MAX_PATH:
            raise body.error("a key or path that shares more than there is, or is too long")
        last = last[:prefix] + body.take(suffix)
        found.append(last)
    return found
