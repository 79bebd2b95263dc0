"""Version 7.3 of the format: HDF5, with MATLAB's classes as attributes and cells as references."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from diffai_lib_hdf5 import (
    Element,
    FileRegion,
    UnsupportedError,
    check_extents,
    fields_of,
    open_hdf5,
    raw_extents,
    shown,
    tensor_of,
)

from diffai_core.plugin import dtype
from diffai_load_matlab.arrays import scalar_of
from diffai_load_matlab.characters import text_of
from diffai_load_matlab.values import Cell, Numeric, Sparse, Struct, Text, Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from diffai_lib_hdf5 import Dataset, Field, Found

    from diffai_core.plugin import DataFile
    from diffai_load_matlab.values import Value

MAX_DEPTH = 64
MAX_ITEMS = 500_000
MAX_TEXT_BYTES = 16 << 20
MAX_RANK = 32

_INNER = re.compile(r"#(refs|subsystem)#")
_NUMBERS = {"double", "single", "logical", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))}
_TEXT_BYTES = {1: "latin-1", 2: "utf-16", 4: "utf-32"}


def read_version_73(file: DataFile) -> Iterator[tuple[str, Value]]:
    """Yield name and value of each variable.

    Raises:
        LoadError: If the file is damaged.
    """
    yield from _Reader(file).variables()


class _Reader:
    """An open file of version 7.3."""

    def __init__(self, file: DataFile) -> None:
        self._file = open_hdf5(FileRegion(file, 0, file.size))
        self._objects = {found.path: found for found in self._file.objects.found}
        self._extents: dict[str, list[tuple[int, int, str]]] = {}
        self._n_items = 0

    def variables(self) -> Iterator[tuple[str, Value]]:
        """Yield the variables in the order of their names."""
        root = self._file.objects.found[0]
        for link in root.links or ():
            if not _INNER.fullmatch(link.name):
                yield link.name, self._value(f"/{link.name}", 0)
        check_extents(self._file, [extent for extents in self._extents.values() for extent in extents])

    def _value(self, path: str, depth: int) -> Value:
        self._n_items += 1
        found = self._objects.get(path)
        if found is None:
            return Unreadable("is a link or a second name of another variable, which MATLAB does not write")
        if depth > MAX_DEPTH or self._n_items > MAX_ITEMS:
            at = found.header.address
            raise self._file.store.error("cells and structs that are too many, or nested too deeply", at)
        try:
            return self._known(found, depth)
        except UnsupportedError as error:
            return Unreadable(error.reason)

    def _known(self, found: Found, depth: int) -> Value:
        attributes = self._file.attributes(found)
        kind = attributes.get("MATLAB_class", "")
        if "MATLAB_object_decode" in attributes:
            return Unreadable(f"is an object of class {shown(str(kind))}, which only MATLAB can read")
        dataset = self._file.dataset(found)
        if dataset is None:
            return self._group(found, attributes, depth)
        return self._empty(dataset, kind) if attributes.get("MATLAB_empty") else self._filled(dataset, kind, depth)

    def _filled(self, dataset: Dataset, kind: str, depth: int) -> Value:
        if kind in _NUMBERS:
            return self._numeric(dataset, is_logical=kind == "logical")
        if kind == "char":
            return self._text(dataset)
        if kind == "cell":
            return Cell(dataset.space.shape[::-1], tuple(self._referenced(dataset, depth)))
        return Unreadable(f"is of class {shown(str(kind))}, which only MATLAB can read")

    def _group(self, found: Found, attributes: dict[str, Any], depth: int) -> Value:
        names = [link.name for link in found.links or ()]
        if "MATLAB_sparse" in attributes:
            return self._sparse(found, attributes, names)
        fields = {name: self._field(f"{found.path}/{name}", depth) for name in names}
        shapes = {value.shape for value in fields.values() if isinstance(value, _Fields)}
        class_name = str(attributes.get("MATLAB_class", "struct")).replace("struct", "", 1)
        if not shapes or any(not isinstance(value, _Fields) for value in fields.values()):
            item = {name: value for name, value in fields.items() if not isinstance(value, _Fields)}
            return Struct((1, 1), (item,), class_name)
        if len(shapes) > 1:
            raise self._file.store.error("the fields of a struct array differ in shape", found.header.address)
        (shape,) = shapes
        items = tuple(
            {name: value.items[number] for name, value in fields.items() if isinstance(value, _Fields)}
            for number in range(math.prod(shape))
        )
        return Struct(shape, items, class_name)

    def _field(self, path: str, depth: int) -> Value | _Fields:
        """Return a field of a struct, or of each struct of an array: that is told by references without a class."""
        found = self._objects.get(path)
        if found is not None:
            dataset = self._file.dataset(found)
            attributes = self._file.attributes(found)
            if dataset is not None and dataset.type.object_reference and "MATLAB_class" not in attributes:
                return _Fields(dataset.space.shape[::-1], tuple(self._referenced(dataset, depth)))
        return self._value(path, depth + 1)

    def _referenced(self, dataset: Dataset, depth: int) -> Iterator[Value]:
        paths = self._file.plain(self._checked(dataset))
        for path in _flat(paths):
            if path is None:
                yield Cell((0, 0), ())
            elif isinstance(path, str):
                yield self._value(path, depth + 1)
            else:
                yield Unreadable("is a cell that does not refer to its items, which MATLAB does not write")

    def _checked(self, dataset: Dataset, order: tuple[int, ...] | None = None) -> Dataset:
        if dataset.path not in self._extents:
            self._extents[dataset.path] = [(*span, dataset.path) for span in raw_extents(dataset, order)]
        return dataset

    def _empty(self, dataset: Dataset, kind: str) -> Value:
        """An empty array is written as its shape."""
        shape = tuple(_flat(self._file.plain(self._checked(dataset))))
        plain = len(shape) <= MAX_RANK and all(type(length) is int and 0 <= length < 1 << 63 for length in shape)
        if not plain or math.prod(shape):
            raise self._file.store.error(f"an empty array of shape {shape}", dataset.address)
        if kind == "char":
            return Text("")
        if kind in {"cell", "struct"}:
            return Cell(shape, ()) if kind == "cell" else Struct(shape, ())
        names = {"double": "float64", "single": "float32", "logical": "bool"}
        wanted = names.get(kind, kind)
        if kind not in _NUMBERS:
            return Unreadable(f"is an empty array of class {shown(kind)}")
        return _empty_array(shape, wanted)

    def _numeric(self, dataset: Dataset, *, is_logical: bool) -> Value:
        fields, others = fields_of(dataset.type)
        if others or len(fields) != 1 or fields[0].dims:
            return Unreadable("is an array of records, which MATLAB does not write")
        (field,) = fields
        if is_logical and field.element.size == 1:
            field = field._replace(element=Element(dtype("bool"), 0))
        return self._array(dataset, field, dataset.space.shape[::-1])

    def _array(self, dataset: Dataset, field: Field, shape: tuple[int, ...]) -> Numeric:
        self._checked(dataset, tuple(reversed(range(len(shape)))))
        make = partial(tensor_of, dataset, field, turned=True)
        is_complex = field.element.dtype.kind == "complex"
        return Numeric(shape, make, partial(scalar_of, make), is_complex=is_complex)

    def _text(self, dataset: Dataset) -> Value:
        shape = dataset.space.shape[::-1]
        encoding = _TEXT_BYTES.get(dataset.type.size)
        if encoding is None or dataset.nbytes > MAX_TEXT_BYTES:
            return Unreadable(f"holds characters of {dataset.type.size} bytes, or more than {MAX_TEXT_BYTES >> 20} MiB")
        raw = self._checked(dataset).raw()
        found = text_of(raw, encoding, ">" if dataset.type.big_endian else "<", shape or (1, 1))
        if found is None:
            raise self._file.store.error(f"{len(raw):,} bytes that are no characters of shape {shape}", dataset.address)
        return Text(found)

    def _sparse(self, found: Found, attributes: dict[str, Any], names: list[str]) -> Value:
        parts = {}
        for name in ("data", "ir", "jc"):
            path = f"{found.path}/{name}"
            dataset = self._file.dataset(self._objects[path]) if name in names and path in self._objects else None
            value = None if dataset is None else self._numeric(dataset, is_logical=False)
            if isinstance(value, Numeric):
                parts[name] = value
            elif name == "jc":
                return Unreadable("is a sparse matrix without its columns")
        rows = attributes["MATLAB_sparse"]
        columns = math.prod(parts["jc"].shape) - 1
        if attributes.get("MATLAB_class") == "logical" and "data" in parts:
            data = parts["data"]
            parts["data"] = replace(data, tensor=partial(_as_bool, data.tensor))
        return Sparse((rows if isinstance(rows, int) else -1, columns), parts)


class _Fields:
    """One field of all structs of an array."""

    def __init__(self, shape: tuple[int, ...], items: tuple[Value, ...]) -> None:
        self.shape = shape
        self.items = items


def _as_bool(make: Any, name: str) -> Any:
    ref = make(name)
    return replace(ref, dtype=dtype("bool")) if ref.dtype.bits == 8 else ref  # noqa: PLR2004 - a byte


def _empty_array(shape: tuple[int, ...], wanted: str) -> Numeric:
    from diffai_core.plugin import BlockTensor

    def make(name: str) -> BlockTensor:
        return BlockTensor(name=name, shape=shape, dtype=dtype(wanted), open_blocks=_no_blocks)

    return Numeric(shape, make, lambda: None)


def _no_blocks(_max_bytes: int) -> Iterator[Any]:
    return iter(())


def _flat(value: Any) -> Iterator[Any]:
    """Yield the items of nested lists."""
    if isinstance(value, list):
        for item in value:
            yield from _flat(item)
    else:
        yield value
