"""Version 4 of the format: one matrix after the other, each with a header of 20 bytes and no head before."""

from __future__ import annotations

import struct
import sys
from typing import TYPE_CHECKING

from diffai_lib_hdf5 import FileRegion, shown

from diffai_load_matlab.arrays import numeric
from diffai_load_matlab.sniff import MATRIX_HEADER_BYTES, MAX_NAME, order_of_version_4
from diffai_load_matlab.stored import stored_type_of_version_4
from diffai_load_matlab.values import Sparse, Text, Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from diffai_lib_hdf5.types import Type

    from diffai_core.plugin import DataFile
    from diffai_load_matlab.values import Value

MAX_TEXT_BYTES = 16 << 20
_TEXT, _SPARSE = 1, 2


def read_version_4(file: DataFile) -> Iterator[tuple[str, Value]]:
    """Yield name and value of each variable.

    Raises:
        LoadError: If the file is damaged.
    """
    region = FileRegion(file, 0, file.size)
    names: set[str] = set()
    place = 0
    while place < file.size:
        head = file.read(place, min(MATRIX_HEADER_BYTES + MAX_NAME, file.size - place))
        order = order_of_version_4(head, file.size - place)
        if not order:
            raise region.error("no matrix of version 4 starts here, or it ends after the file does", place)
        kind, rows, columns, imaginary, n_name = struct.unpack_from(f"{order}5i", head)
        stored = stored_type_of_version_4(kind // 10 % 10, order)
        name = head[MATRIX_HEADER_BYTES : MATRIX_HEADER_BYTES + n_name - 1].decode("latin-1")
        if name in names:
            raise region.error(f"two variables are named {shown(name)}", place)
        names.add(name)
        start = place + MATRIX_HEADER_BYTES + n_name
        n_bytes = rows * columns * stored.size
        places = (start, start + n_bytes) if imaginary else (start,)
        yield name, _value(region, kind % 10, stored, (rows, columns), places)
        place = start + n_bytes * len(places)


def _value(region: FileRegion, use: int, stored: Type, shape: tuple[int, int], places: tuple[int, ...]) -> Value:
    if use == _TEXT:
        return _text(region, stored, shape, places[0])
    if use == _SPARSE:
        return _sparse(region, stored, shape, places[0])
    wanted = "float32" if stored.size == 4 and stored.float_layout else "float64"  # noqa: PLR2004 - a single
    complex_name = "complex64" if wanted == "float32" else "complex128"
    return numeric(region, places, stored, shape, complex_name if len(places) > 1 else wanted)


def _text(region: FileRegion, stored: Type, shape: tuple[int, int], place: int) -> Value:
    """Characters are stored as numbers, mostly as doubles."""
    n_rows, n_columns = shape
    if n_rows * n_columns * stored.size > MAX_TEXT_BYTES:
        return Unreadable(f"holds more than {MAX_TEXT_BYTES >> 20} MiB of characters")
    codes = numeric(region, (place,), stored, shape, "float64").tensor("").read()
    if codes.size and not (codes.min() >= 0 and codes.max() <= sys.maxunicode and (codes % 1 == 0).all()):
        raise region.error("numbers that are no characters", place)
    rows = ["".join(map(chr, row)) for row in codes.astype("u4").tolist()]
    return Text(rows[0] if n_rows == 1 else rows)


def _sparse(region: FileRegion, stored: Type, shape: tuple[int, int], place: int) -> Value:
    """Three or four columns: row, column, value, imaginary part; the last row holds the shape."""
    n_rows, n_columns = shape
    if n_rows < 1 or n_columns not in {3, 4}:
        raise region.error(f"a sparse matrix in {n_rows} rows and {n_columns} columns", place)
    step = n_rows * stored.size
    last = [
        numeric(region, (place + column * step + step - stored.size,), stored, (1,), "float64").scalar()
        for column in (0, 1)
    ]
    parts = {
        key: numeric(region, (place + column * step,), stored, (n_rows - 1,), "float64")
        for column, key in enumerate(("row", "column", "data", "imaginary")[:n_columns])
    }
    return Sparse(tuple(int(number) if abs(number) < 2**53 else -1 for number in last), parts)
