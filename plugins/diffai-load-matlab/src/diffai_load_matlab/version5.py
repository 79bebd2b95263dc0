"""Version 5 of the format (MATLAB 5 to 7): elements with a tag, matrices of elements, compressed ones of them."""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, NamedTuple

from diffai_lib_hdf5 import FileRegion, shown

from diffai_core.plugin import LoadError
from diffai_load_matlab.arrays import MAX_TURNED_BYTES, numeric
from diffai_load_matlab.characters import text_of
from diffai_load_matlab.inflating import MAX_RATIO, InflatedRegion
from diffai_load_matlab.sniff import HEAD_BYTES, byte_order
from diffai_load_matlab.stored import TEXT_CODES, stored_type
from diffai_load_matlab.values import Cell, Sparse, Struct, Text, Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from diffai_lib_hdf5 import Region
    from diffai_lib_hdf5.types import Type

    from diffai_core.plugin import DataFile
    from diffai_load_matlab.values import Value

MAX_DEPTH = 64
MAX_ITEMS = 500_000
"""Most cells, structs and fields of a file."""
MAX_WALKED_BYTES = 1 << 30
"""Largest compressed cell or struct: all of it is decompressed to find what is in it."""
MAX_TEXT_BYTES = 16 << 20
MAX_RANK = 64

_UINT8, _INT32, _UINT32, _MATRIX, _COMPRESSED = 2, 5, 6, 14, 15
_INDICES = {_INT32, _UINT32}
"""Some writers say unsigned where MATLAB says signed."""
_CELL, _STRUCT, _OBJECT, _CHAR, _SPARSE, _FUNCTION, _OPAQUE = 1, 2, 3, 4, 5, 16, 17
_CLASSES = {
    6: "float64",
    7: "float32",
    8: "int8",
    9: "uint8",
    10: "int16",
    11: "uint16",
    12: "int32",
    13: "uint32",
    14: "int64",
    15: "uint64",
}
_COMPLEX = {"float64": "complex128", "float32": "complex64"}
_IS_COMPLEX, _IS_LOGICAL = 0x0800, 0x0200
_TAG_BYTES = 8
_MAX_FIELD_NAME = 256


class _Element(NamedTuple):
    """An element: code, where its data are, how many bytes, where the next one starts."""

    code: int
    start: int
    size: int
    end: int


def read_version_5(file: DataFile) -> Iterator[tuple[str, Value]]:
    """Yield name and value of each variable.

    Raises:
        LoadError: If the file is damaged.
    """
    order = byte_order(file.read(0, HEAD_BYTES))
    if not order:
        raise LoadError(file.name, "is no MATLAB file: its head does not end with a version", HEAD_BYTES - 4)
    region = FileRegion(file, 0, file.size)
    names: set[str] = set()
    budget = _Budget()
    place = HEAD_BYTES
    while place < file.size:
        element = _Parser(region, order, budget).element(place, file.size, padded=False)
        name, value = _variable(region, element, order, budget)
        if name in names:
            raise region.error(f"two variables are named {shown(name)}", place)
        if name:  # the variable without a name is where objects keep what only MATLAB can read
            names.add(name)
            yield name, value
        place = element.end


def _variable(region: FileRegion, element: _Element, order: str, budget: _Budget) -> tuple[str, Value]:
    if element.code == _COMPRESSED:
        probe = InflatedRegion(region.file, element.start, element.size, element.size * MAX_RATIO)
        size = _TAG_BYTES + struct.unpack_from(f"{order}I", probe.read("a compressed variable", 0, _TAG_BYTES), 4)[0]
        if size > probe.size:
            reason = f"a compressed variable is said to hold {size:,} bytes, more than its {element.size:,} can be"
            raise region.error(reason, element.start)
        inner = InflatedRegion(region.file, element.start, element.size, size)
        parser = _Parser(inner, order, budget)
        return parser.matrix(parser.element(0, size), 0)
    return _Parser(region, order, budget).matrix(element, 0)


class _Budget:
    """How much of a file may be turned into plain values."""

    def __init__(self) -> None:
        self.n_items = 0
        self.n_text_bytes = 0


class _Parser:
    """Reads the elements of one variable.

    Args:
        region: Where it lies.
        order: ``<`` or ``>``.
        budget: Shared by all variables of a file.
    """

    def __init__(self, region: Region, order: str, budget: _Budget) -> None:
        self._region = region
        self._order = order
        self._budget = budget

    def element(self, at: int, stop: int, *, padded: bool = True) -> _Element:
        """Read the tag at ``at``.

        Raises:
            LoadError: If the element does not end before ``stop``.
        """
        if at + _TAG_BYTES > stop:
            raise self._region.error("an element has no room for its tag", min(at, self._region.size))
        code, size = struct.unpack(f"{self._order}2I", self._region.read("a tag", at, _TAG_BYTES))
        if code >> 16:  # the small form: data stand in the tag itself
            code, size = code & 0xFFFF, code >> 16
            if size > _TAG_BYTES // 2:
                raise self._region.error(f"a small element is said to have {size:,} bytes", at)
            return _Element(code, at + _TAG_BYTES // 2, size, at + _TAG_BYTES)
        start = at + _TAG_BYTES
        if start + size > stop:
            reason = f"an element of {size:,} bytes, where {stop - start:,} are left"
            raise self._region.error(reason, at)
        end = start + size + (-size % 8 if padded else 0)
        return _Element(code, start, size, min(end, stop))

    def matrix(self, element: _Element, depth: int) -> tuple[str, Value]:
        """Read a matrix: its name and value.

        Raises:
            LoadError: If it is damaged or nested too deeply.
        """
        if element.code != _MATRIX:
            raise self._region.error(f"an element of type {element.code} where a matrix is needed", element.start)
        if depth > MAX_DEPTH:
            raise self._region.error(f"cells or structs nested deeper than {MAX_DEPTH} levels", element.start)
        if not element.size:  # an empty item of a cell
            return "", Cell((0, 0), ())
        stop = element.start + element.size
        flags = self.element(element.start, stop)
        if (flags.code, flags.size) != (_UINT32, 8):
            raise self._region.error("a matrix does not begin with its flags", element.start)
        bits = self._numbers(flags, "I")[0]
        kind = bits & 0xFF
        if kind == _OPAQUE:
            return self._opaque(flags.end, stop)
        dims = self.element(flags.end, stop)
        if dims.code not in _INDICES or dims.size % 4 or dims.size // 4 not in range(2, MAX_RANK + 1):
            raise self._region.error("a matrix does not say its shape", dims.start)
        shape = self._numbers(dims, "i")
        if min(shape) < 0:
            raise self._region.error(f"a matrix of shape {shape}", dims.start)
        name = self.element(dims.end, stop)
        return self._name(name), self._value(kind, bits, shape, (name.end, stop), depth)

    def _value(self, kind: int, bits: int, shape: tuple[int, ...], span: tuple[int, int], depth: int) -> Value:
        if kind in _CLASSES:
            return self._numeric(_CLASSES[kind], bits, shape, span)
        if kind == _CHAR:
            return self._text(shape, span)
        if kind == _SPARSE:
            return self._sparse(bits, shape, span)
        if kind in {_CELL, _STRUCT, _OBJECT}:
            if isinstance(self._region, InflatedRegion) and self._region.size > MAX_WALKED_BYTES:
                return Unreadable(f"is a compressed cell or struct of {self._region.size:,} bytes; save it without")
            reader = self._cell if kind == _CELL else self._structs
            return reader(shape, span, depth, has_class=kind == _OBJECT)
        if kind == _FUNCTION:
            return Unreadable("is a function handle, which only MATLAB can read")
        raise self._region.error(f"a matrix of class {kind}, which is not known", span[0])

    def _numeric(self, wanted: str, bits: int, shape: tuple[int, ...], span: tuple[int, int]) -> Value:
        is_complex = bool(bits & _IS_COMPLEX)
        if bits & _IS_LOGICAL:
            wanted = "bool"
        parts = [self._array(math.prod(shape), span)]
        if is_complex:
            parts.append(self._array(math.prod(shape), (parts[0][1].end, span[1])))
        if is_complex and wanted not in _COMPLEX:
            return Unreadable(f"is a complex array of {wanted}, for which there is no type")
        stored, places = parts[0][0], tuple(element.start for _, element in parts)
        if any(found != stored for found, _ in parts):
            return Unreadable("is a complex array whose parts are stored in two types")
        if isinstance(self._region, InflatedRegion) and sum(length > 1 for length in shape) > 1:
            n_bytes = math.prod(shape) * stored.size
            if n_bytes > MAX_TURNED_BYTES:
                return Unreadable(f"is a compressed array of {n_bytes:,} bytes; save it with -v7.3 or uncompressed")
        return numeric(self._region, places, stored, shape, _COMPLEX[wanted] if is_complex else wanted)

    def _array(self, count: int, span: tuple[int, int]) -> tuple[Type, _Element]:
        element = self.element(*span)
        stored = stored_type(element.code, self._order)
        if stored is None:
            raise self._region.error(f"numbers of type {element.code}, which is none", span[0])
        if element.size != count * stored.size:
            reason = f"{count:,} numbers in {element.size:,} bytes, where each takes {stored.size}"
            raise self._region.error(reason, span[0])
        return stored, element

    def _sparse(self, bits: int, shape: tuple[int, ...], span: tuple[int, int]) -> Value:
        """Of the arrays, MATLAB writes more than the matrix has elements; the last column says how many are meant."""
        rows = self.element(*span)
        starts = self.element(rows.end, span[1])
        n_columns = shape[-1] + 1
        if starts.size != 4 * n_columns or not {starts.code, rows.code} <= _INDICES:
            raise self._region.error("a sparse matrix does not have one start for each column", span[0])
        last = self._region.read("the columns of a sparse matrix", starts.start + starts.size - 4, 4)
        n_values = struct.unpack(f"{self._order}i", last)[0]
        if not 0 <= n_values <= rows.size // 4:
            raise self._region.error(f"a sparse matrix of {n_values:,} elements", starts.start)
        values = self.element(starts.end, span[1])
        stored, wanted = stored_type(values.code, self._order), "bool" if bits & _IS_LOGICAL else "float64"
        if bits & _IS_LOGICAL and stored is not None and values.size < n_values * stored.size:
            stored = stored_type(_UINT8, self._order)  # MATLAB says double and writes bytes
        if stored is None or values.size < n_values * stored.size:
            raise self._region.error(f"{n_values:,} values of a sparse matrix in {values.size:,} bytes", values.start)
        places = [values.start]
        if bits & _IS_COMPLEX:
            places.append(self.element(values.end, span[1]).start)
            wanted = _COMPLEX["float64"]
        index = stored_type(_INT32, self._order)
        assert index is not None
        parts = {
            "ir": numeric(self._region, (rows.start,), index, (n_values,), "int32"),
            "jc": numeric(self._region, (starts.start,), index, (n_columns,), "int32"),
            "data": numeric(self._region, tuple(places), stored, (n_values,), wanted),
        }
        return Sparse(shape, parts)

    def _text(self, shape: tuple[int, ...], span: tuple[int, int]) -> Value:
        element = self.element(*span)
        encoding = TEXT_CODES.get(element.code)
        self._budget.n_text_bytes += element.size
        if encoding is None or self._budget.n_text_bytes > MAX_TEXT_BYTES:
            return Unreadable(f"holds characters of type {element.code}, or more than {MAX_TEXT_BYTES >> 20} MiB")
        raw = self._region.read("characters", element.start, element.size)
        found = text_of(raw, encoding, self._order, shape)
        if found is None:
            raise self._region.error(f"{len(raw):,} bytes that are no characters of shape {shape}", element.start)
        return Text(found)

    def _cell(self, shape: tuple[int, ...], span: tuple[int, int], depth: int, *, has_class: bool) -> Value:
        del has_class  # only structs have one
        items = []
        place, stop = span
        for _ in range(self._counted(math.prod(shape), span)):
            element = self.element(place, stop)
            items.append(self.matrix(element, depth + 1)[1])
            place = element.end
        return Cell(shape, tuple(items))

    def _structs(self, shape: tuple[int, ...], span: tuple[int, int], depth: int, *, has_class: bool) -> Value:
        place, stop = span
        class_name = ""
        if has_class:
            element = self.element(place, stop)
            class_name, place = self._name(element), element.end
        width = self.element(place, stop)
        length = next(iter(self._numbers(width, "i")), 0) if width.code in _INDICES else 0
        names = self.element(width.end, stop)
        if not 0 < length <= _MAX_FIELD_NAME or names.size % length:
            raise self._region.error("the names of the fields of a struct are damaged", width.start)
        raw = self._region.read("names of fields", names.start, names.size)
        keys = [_ascii(raw[at : at + length]) for at in range(0, len(raw), length)]
        if len(set(keys)) < len(keys):
            raise self._region.error("a struct has two fields of one name", names.start)
        place = names.end
        items = []
        self._counted(math.prod(shape) * max(len(keys), 1), span)
        for _ in range(math.prod(shape)):
            item = {}
            for key in keys:
                element = self.element(place, stop)
                item[key] = self.matrix(element, depth + 1)[1]
                place = element.end
            items.append(item)
        return Struct(shape, tuple(items), class_name)

    def _counted(self, count: int, span: tuple[int, int]) -> int:
        """Return a number of items that have at least a tag each, after adding it to those of the file."""
        self._budget.n_items += count
        if self._budget.n_items > MAX_ITEMS:
            raise self._region.error(f"more than {MAX_ITEMS:,} cells and fields; they are not read", span[0])
        return count

    def _opaque(self, place: int, stop: int) -> tuple[str, Value]:
        names = []
        for _ in range(3):  # of the variable, of the kind of object, of the class
            element = self.element(place, stop)
            names.append(self._name(element))
            place = element.end
        return names[0], Unreadable(f"is an object of class {shown(names[2])}, which only MATLAB can read")

    def _name(self, element: _Element) -> str:
        return _ascii(self._region.read("a name", element.start, element.size))

    def _numbers(self, element: _Element, code: str) -> tuple[int, ...]:
        raw = self._region.read("numbers", element.start, element.size)
        return struct.unpack(f"{self._order}{len(raw) // 4}{code}", raw[: len(raw) // 4 * 4])


def _ascii(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode("latin-1")
