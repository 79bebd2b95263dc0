"""What becomes of an HDF5 file: lazy tensors, a tree of plain values, and what can be neither."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from diffai_lib_hdf5 import (
    UnsupportedError,
    as_bfloat16,
    check_extents,
    fields_of,
    is_truth,
    open_hdf5,
    raw_extents,
    tensor_of,
    words,
)
from diffai_lib_hdf5.headers import DATATYPE
from diffai_lib_hdf5.types import ENUM, OPAQUE, REFERENCE, STRING, VARIABLE, type_in
from diffai_lib_json import parse_json

from diffai_core.plugin import LoadError, NotCompared, Text

if TYPE_CHECKING:
    from diffai_lib_hdf5 import Dataset, Found, Hdf5File, Region

    from diffai_core.plugin import Role, TensorRef

MAX_CONTAINERS = 1_000_000
"""Most objects and arrays of a JSON text in an attribute."""

_OPTIMIZER = re.compile(r"(optimizer_weights|optimizer)/")
_METRICS = re.compile(r"metrics/")
_AS_VALUES = {STRING, VARIABLE, REFERENCE}
_BFLOAT16_BYTES = 2


@dataclass
class Contents:
    """What a file holds, gathered object by object.

    Args:
        tensors: Tensors by name.
        tree: Plain values by key.
        not_readable: What can be neither.
        config: Configuration of the model that stands beside the HDF5 file.
        config_offset: Byte at which it stands.
    """

    tensors: dict[str, TensorRef] = field(default_factory=dict)
    tree: dict[str, Any] = field(default_factory=dict)
    not_readable: list[NotCompared] = field(default_factory=list)
    config: Any = None
    config_offset: int = 0

    def put(self, key: str, value: Any) -> None:
        """Add a value to the tree; a key that is taken gets an ``@`` behind it."""
        while key in self.tree:
            key += "@"
        self.tree[key] = value


def add_file(contents: Contents, region: Region, prefix: str = "") -> None:
    """Add everything that is in an HDF5 file.

    Args:
        contents: Where to add it.
        region: Where the file lies.
        prefix: What the names of its tensors begin with.

    Raises:
        LoadError: If it is damaged, or takes data from other files.
    """
    file = open_hdf5(region)
    extents: list[tuple[int, int, str]] = []
    aliases: dict[str, list[str]] = {}
    for path, first in file.objects.aliases:
        aliases.setdefault(first, []).append(path)
    writes_bfloat16 = False
    for found in file.objects.found:
        gathered = _Object(contents, file, found, prefix, writes_bfloat16=writes_bfloat16)
        try:
            extents += gathered.add(aliases.get(found.path, []))
        except UnsupportedError as error:
            contents.not_readable.append(NotCompared(prefix + found.path.lstrip("/"), error.reason))
        if found.path == "/":
            writes_bfloat16 = _is_model_of_bfloat16(contents.tree)
    check_extents(file, extents)
    for path, target in file.objects.soft:
        contents.put(prefix + path, {"soft link": target})


def role_of(name: str) -> Role:
    """Return what a tensor is for, by the groups into which Keras puts it."""
    if _OPTIMIZER.match(name):
        return "optimizer"
    return "buffers" if _METRICS.match(name) else "weights"


class _Object:
    """One object, and what is made of it."""

    def __init__(self, contents: Contents, file: Hdf5File, found: Found, prefix: str, *, writes_bfloat16: bool) -> None:
        self._writes_bfloat16 = writes_bfloat16
        self._contents = contents
        self._file = file
        self._found = found
        self._prefix = prefix
        self._key = prefix + found.path

    def add(self, aliases: list[str]) -> list[tuple[int, int, str]]:
        """Add it and its further names; return what it has of the file."""
        attributes = self._file.attributes(self._found)
        dataset = self._file.dataset(self._found)
        if dataset is None:
            self._add_links(aliases)
            self._add_group(attributes)
            return []
        extents = raw_extents(dataset)  # first: it says whether the elements can be read
        names = [self._found.path, *aliases]
        is_bfloat16 = self._is_bfloat16(dataset, attributes)
        if is_bfloat16:
            attributes.pop("dtype", None)
        if attributes:
            self._contents.put(f"{self._key}@attributes", attributes)
        if dataset.space.null or dataset.type.kind in _AS_VALUES:
            self._add_links(aliases)
            self._contents.put(self._key, self._file.plain(dataset))
        else:
            self._add_tensors(dataset, names, is_bfloat16=is_bfloat16)
        return [(start, stop, self._found.path) for start, stop in extents]

    def _is_bfloat16(self, dataset: Dataset, attributes: dict[str, Any]) -> bool:
        """Whether Keras says so: it writes such tensors as raw bytes and the type elsewhere."""
        raw = dataset.type.kind == OPAQUE and dataset.type.size == _BFLOAT16_BYTES
        return raw and (attributes.get("dtype") == "bfloat16" or self._writes_bfloat16)

    def _add_links(self, aliases: list[str]) -> None:
        for path in aliases:
            self._contents.put(self._prefix + path, {"hard link": self._found.path})

    def _add_group(self, attributes: dict[str, Any]) -> None:
        if self._found.path == "/" and not self._prefix:
            for name, value in attributes.items():
                self._contents.put(name, _parsed(value))
        elif self._found.links is None:
            kind = self._found.header.first(DATATYPE)
            described = {} if kind is None else {"type": words(type_in(kind))}
            self._contents.put(self._key, described | attributes)
        elif attributes or not self._found.links:
            self._contents.put(self._key, attributes)

    def _add_tensors(self, dataset: Dataset, paths: list[str], *, is_bfloat16: bool) -> None:
        fields, others = self._fields(dataset)
        if others:  # records that hold texts, for instance
            self._contents.put(self._key, self._file.plain(dataset))
            return
        if dataset.type.kind == ENUM and not is_truth(dataset.type):
            order = "big" if dataset.type.big_endian else "little"
            names = {name: int.from_bytes(raw, order) for name, raw in dataset.type.values}  # type: ignore[arg-type]
            self._contents.put(f"{self._key}@names", names)
        for one in fields:
            kept = as_bfloat16(one) if is_bfloat16 else one
            first: TensorRef | None = None
            for path in paths:
                name = self._prefix + path.lstrip("/") + one.path
                first = tensor_of(dataset, kept, name, role_of(name)) if first is None else replace(first, name=name)
                self._add_tensor(first)

    def _fields(self, dataset: Dataset) -> tuple[list[Any], list[str]]:
        try:
            return fields_of(dataset.type)
        except ValueError as error:
            raise self._file.store.region.unsupported(str(error), dataset.address) from error

    def _add_tensor(self, ref: TensorRef) -> None:
        if ref.name in self._contents.tensors:
            reason = f"two tensors would have the name {ref.name!r}"
            raise self._file.store.error(reason, self._found.header.address)
        self._contents.tensors[ref.name] = ref


def _is_model_of_bfloat16(tree: dict[str, Any]) -> bool:
    """Whether the attributes are those of a Keras model with bfloat16 layers; their older files say it only there."""
    return "keras_version" in tree and "'bfloat16'" in repr(tree.get("model_config"))


def _parsed(value: Any) -> Any:
    """Return a text that is a JSON object, such as ``model_config``, as what it says; anything else as it is."""
    if not isinstance(value, str) or not value.startswith("{"):
        return value
    try:
        return parse_json(Text("", value, "utf-8", 0), MAX_CONTAINERS)
    except LoadError:
        return value
