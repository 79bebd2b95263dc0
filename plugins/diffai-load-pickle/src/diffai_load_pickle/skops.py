"""Opens archives of skops: a schema of nodes, and arrays as ``.npy`` members."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from diffai_lib_json import parse_json
from diffai_lib_numpy.arrays import Contents, add_array, digest_of
from diffai_lib_pickle import BytesSource, Global, Inert
from diffai_lib_pickle.tree import divide
from diffai_lib_zip import MemberPayload, directory_within, read_all, read_directory

from diffai_core.plugin import Artifact, Foreign, LoadError, NotCompared, Text
from diffai_load_pickle.estimators import with_names
from diffai_load_pickle.gathering import KEY, ROOT_KEY
from diffai_load_pickle.nodes import Nodes, Stored

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diffai_lib_zip import Directory, Member

    from diffai_core.plugin import DataFile, Source, TensorRef

SCHEMA = "schema.json"
MAX_SCHEMA_BYTES = 256 << 20
"""Largest schema that is read."""
MAX_CONTAINERS = 4_000_000
"""Most objects and arrays in a schema."""
MAX_SHOWN = 64 << 10
"""Longest byte string that stands in the tree itself."""
MAX_SCALAR_BYTES = 4096
"""Largest member that is read as a scalar."""


def open_skops(source: Source, _options: Mapping[str, Any]) -> Artifact:
    """Open an archive of skops; nothing that it names is imported or called.

    Returns:
        Arrays as tensors by dotted path, everything else in the tree, as the same object has them in a pickle.

    Raises:
        LoadError: If it is damaged.
    """
    with ExitStack() as stack:
        file = stack.enter_context(source.open())
        artifact = _Archive(file).artifact(source.name)
        stack.pop_all()
    return artifact


class _Archive:
    """An archive, its members by name."""

    def __init__(self, file: DataFile) -> None:
        self._file = file
        directory: Directory = read_directory(file)
        self._members: dict[str, Member] = {member.name: member for member in directory.members}
        self._used = {SCHEMA}

    def artifact(self, name: str) -> Artifact:
        """Read all of it."""
        nodes = Nodes(self._schema(), self._file.name, self._at)
        contents = Contents()
        source = BytesSource(b"", self._file.name, self._at, is_packed=True)
        is_array = isinstance(nodes.value, Stored) and nodes.value.kind == "numpy"
        division = divide(nodes.value, source, _is_array, self._expanded, KEY if is_array else "")
        for key, stored in division.arrays.items():
            self._add(contents, key, stored)
        tree = division.tree
        contents.tree.update(tree if isinstance(tree, dict) and ROOT_KEY not in tree else {ROOT_KEY: tree})
        contents.not_readable += [
            NotCompared(stored.file, "a sparse matrix whose archive is compressed again; save it without compression")
            for stored in nodes.sparse
            if self._payload(stored).compressed
        ]
        unused = self._members.keys() - self._used
        contents.not_readable += [NotCompared(key, "no node of the schema names it") for key in sorted(unused)]
        return Artifact(
            name=name,
            format="skops",
            tensors=contents.tensors,
            tree=contents.tree,
            files=(self._file,),
            foreign=tuple(Foreign(path, self._file.name, self._at) for path in nodes.foreign),
            not_readable=tuple(contents.not_readable),
        )

    @property
    def _at(self) -> int:
        """Where the schema begins, for errors about it."""
        member = self._members.get(SCHEMA)
        return member.start if member else 0

    def _schema(self) -> Any:
        if SCHEMA not in self._members:
            raise LoadError(self._file.name, f"not an archive of skops: it has no {SCHEMA}", 0)
        payload = MemberPayload(self._file, self._members[SCHEMA])
        data = read_all(payload, MAX_SCHEMA_BYTES)
        try:
            text = Text(self._file.name, data.decode(), "utf-8", 0)
        except UnicodeDecodeError as error:
            raise payload.error("is not UTF-8 text", error.start) from error
        try:
            return parse_json(text, MAX_CONTAINERS)
        except LoadError as error:
            raise payload.error(error.reason, error.offset or 0) from error

    def _payload(self, stored: Stored) -> MemberPayload:
        member = self._members.get(stored.file)
        if member is None:
            raise LoadError(
                self._file.name, f"the schema names the member {stored.file!r}, which is not there", self._at
            )
        self._used.add(stored.file)
        return MemberPayload(self._file, member)

    def _expanded(self, value: Any) -> Any:
        """Return what is no array of its own as what it is: scalars, bytes, sparse matrices, named parts."""
        if not isinstance(value, Stored):
            return with_names(value)
        payload = self._payload(value)
        if value.kind == "bytes":
            return read_all(payload, MAX_SHOWN) if payload.size <= MAX_SHOWN else digest_of(payload)
        return self._sparse(value, payload) if value.kind == "scipy" else _scalar(payload)

    def _sparse(self, stored: Stored, payload: MemberPayload) -> Any:
        """Return a sparse matrix as the attributes that it has in a pickle."""
        module, _, name = stored.cls.rpartition(".")
        made = Inert(Global(module, name))
        if payload.compressed:
            return made
        members = directory_within(self._file, payload.member.start, payload.size).members
        parts = {member.name.removesuffix(".npy"): MemberPayload(self._file, member) for member in members}
        parts.pop("format", None)  # the class tells it
        shape = parts.pop("shape", None)
        made.state = {"_shape": None if shape is None else _numbers(shape), **parts}
        return made

    def _add(self, contents: Contents, key: str, array: Stored | MemberPayload) -> None:
        payload = self._payload(array) if isinstance(array, Stored) else array
        add_array(contents, key, payload, exact=True)


def _is_array(value: Any) -> bool:
    return isinstance(value, MemberPayload) or (isinstance(value, Stored) and value.kind == "numpy")


def _small_array(payload: MemberPayload) -> TensorRef | None:
    if payload.size > MAX_SCALAR_BYTES:
        raise payload.error(f"holds {payload.size:,} bytes, too many for a scalar or a shape", 0)
    contents = Contents()
    add_array(contents, KEY, payload, exact=True)
    return contents.tensors.get(KEY)


def _scalar(payload: MemberPayload) -> Any:
    ref = _small_array(payload)
    if ref is None or ref.numel != 1:
        return digest_of(payload)
    value = ref.read().reshape(())
    return value.tobytes() if ref.dtype.kind == "opaque" else value.item()


def _numbers(payload: MemberPayload) -> Any:
    ref = _small_array(payload)
    return digest_of(payload) if ref is None or ref.dtype.kind not in {"int", "uint"} else ref.read().tolist()
