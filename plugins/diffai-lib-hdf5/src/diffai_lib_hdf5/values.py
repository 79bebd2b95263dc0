"""Elements as plain Python values: attributes, strings, references, values of variable length."""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, Any

from diffai_lib_hdf5.elements import element_of, is_truth
from diffai_lib_hdf5.heaps import GlobalHeaps
from diffai_lib_hdf5.region import Cursor
from diffai_lib_hdf5.types import (
    ARRAY,
    BITFIELD,
    COMPLEX,
    COMPOUND,
    ENUM,
    FLOAT,
    INTEGER,
    REFERENCE,
    STRING,
    VARIABLE,
    Type,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from diffai_lib_hdf5.region import Store

MAX_VALUES = 1_000_000
"""Most single values of a file that are turned into plain ones."""
MAX_VALUE_BYTES = 64 << 20
"""Most bytes of such values."""

_NUL_PADDED, _SPACE_PADDED = 1, 2


class Values:
    """Turns elements into plain values; as many as the bounds allow.

    Args:
        store: The file.
        paths: Path of every object by the address of its header, for references.
    """

    def __init__(self, store: Store, paths: Mapping[int, str]) -> None:
        self._store = store
        self._paths = paths
        self._heaps = GlobalHeaps(store)
        self._n_values = 0
        self._n_bytes = 0

    def shaped(self, type_: Type, shape: tuple[int, ...], data: Cursor) -> Any:
        """Take the elements of a shape as nested lists; a scalar as it is.

        Raises:
            LoadError: If one is damaged, or they are too many.
        """
        self._count(math.prod(shape), data)
        return self._nested(type_, shape, data)

    def _nested(self, type_: Type, shape: tuple[int, ...], data: Cursor) -> Any:
        if not shape:
            return self.element(type_, data)
        return [self._nested(type_, shape[1:], data) for _ in range(shape[0])] if math.prod(shape) else []

    def element(self, type_: Type, data: Cursor) -> Any:
        """Take one element.

        Raises:
            LoadError: If it is damaged.
        """
        if type_.kind == ENUM:
            return self._named(type_, data)
        if type_.kind == ARRAY and type_.base is not None:
            return self.shaped(type_.base, type_.dims, data)
        take = _TAKERS.get(type_.kind)
        return data.take(type_.size) if take is None else take(self, type_, data)

    def _count(self, n_values: int, data: Cursor, n_bytes: int = 0) -> None:
        self._n_values += n_values
        self._n_bytes += n_bytes
        if self._n_values > MAX_VALUES or self._n_bytes > MAX_VALUE_BYTES:
            reason = f"more than {MAX_VALUES:,} values or {MAX_VALUE_BYTES >> 20} MiB of text outside of tensors"
            raise data.unsupported(reason)

    def _named(self, type_: Type, data: Cursor) -> Any:
        assert type_.base is not None
        raw = data.take(type_.size)
        if is_truth(type_) and raw in {b"\0", b"\1"}:
            return raw == b"\1"
        inside = Cursor(self._store, raw, data.address, data.what)
        return next((name for name, value in type_.values if value == raw), None) or self.element(type_.base, inside)

    def _integer(self, type_: Type, data: Cursor) -> int:
        order = "big" if type_.big_endian else "little"
        return int.from_bytes(data.take(type_.size), order, signed=type_.signed)  # type: ignore[arg-type]

    def _float(self, type_: Type, data: Cursor) -> Any:
        raw = data.take(type_.size)
        element = element_of(type_)
        name = element.dtype.name if element else ""
        ordered = raw[::-1] if type_.big_endian else raw
        if name in _FORMATS:
            return struct.unpack(_FORMATS[name], ordered)[0]
        return struct.unpack("<f", b"\0\0" + ordered)[0] if name == "bfloat16" else raw

    def _string(self, type_: Type, data: Cursor) -> Any:
        raw = data.take(type_.size)
        self._count(0, data, len(raw))
        if type_.padding == _SPACE_PADDED:
            return _text(raw.rstrip(b" "))
        return _text(raw.rstrip(b"\0") if type_.padding == _NUL_PADDED else raw.partition(b"\0")[0])

    def _compound(self, type_: Type, data: Cursor) -> dict[str, Any]:
        start = data.position
        found = {}
        self._count(len(type_.members), data)
        for member in type_.members:
            data.position = start + member.offset
            found[member.name] = self.element(member.type, data)
        data.position = start
        data.skip(type_.size)
        return found

    def _complex(self, type_: Type, data: Cursor) -> dict[str, Any]:
        assert type_.base is not None
        return {"r": self.element(type_.base, data), "i": self.element(type_.base, data)}

    def _reference(self, type_: Type, data: Cursor) -> Any:
        raw = data.take(type_.size)
        if not type_.object_reference:
            return "a reference to a part of a dataset"
        address = int.from_bytes(raw, "little")
        if address in {0, (1 << 8 * type_.size) - 1}:
            return None
        return self._paths.get(address, "a reference to something that is not in the file")

    def _variable(self, type_: Type, data: Cursor) -> Any:
        count, at = data.u32(), data.address
        address, index = data.pointer(), data.u32()
        assert type_.base is not None
        if not count or not address:
            return "" if type_.is_text else []
        size = count * (1 if type_.is_text else type_.base.size)
        raw = self._heaps.read(address, index)
        if len(raw) < size:
            raise self._store.error(f"a value of {size:,} bytes lies in {len(raw):,} bytes of a global heap", at)
        self._count(0, data, size)
        if type_.is_text:
            return _text(raw[:size].partition(b"\0")[0])
        inside = Cursor(self._store, raw, address, "a value of variable length")
        return self.shaped(type_.base, (count,), inside)


_FORMATS = {"float16": "<e", "float32": "<f", "float64": "<d"}
_TAKERS: dict[int, Callable[[Values, Type, Cursor], Any]] = {
    INTEGER: Values._integer,  # noqa: SLF001 - the table of the class's own methods
    BITFIELD: Values._integer,  # noqa: SLF001 - the table of the class's own methods
    FLOAT: Values._float,  # noqa: SLF001 - the table of the class's own methods
    STRING: Values._string,  # noqa: SLF001 - the table of the class's own methods
    COMPOUND: Values._compound,  # noqa: SLF001 - the table of the class's own methods
    COMPLEX: Values._complex,  # noqa: SLF001 - the table of the class's own methods
    REFERENCE: Values._reference,  # noqa: SLF001 - the table of the class's own methods
    VARIABLE: Values._variable,  # noqa: SLF001 - the table of the class's own methods
}


def _text(raw: bytes) -> str | bytes:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw
