"""The header of a safetensors file: read, and checked until every byte of the file has exactly one owner."""

from __future__ import annotations

import re
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_core.plugin import FileTensor, LoadError
from diffai_load_safetensors.dtypes import DTYPES
from diffai_load_safetensors.scanner import NEXT, SPACE, Scanner, shown
from diffai_load_safetensors.sniff import LENGTH_BYTES, MAX_HEADER_BYTES

if TYPE_CHECKING:
    from diffai_core.plugin import DataFile, DType

METADATA_KEY = "__metadata__"
_METADATA_NAME = METADATA_KEY.encode()
MAX_DIMENSIONS = 64
"""NumPy's limit."""
MAX_ARRAY_BITS = 1 << 66
"""2⁶³ bytes, what an index can count; NumPy holds even empty arrays to it, over the dimensions that are not 0."""

_FIELDS = ("data_offsets", "dtype", "shape")
_COLON = SPACE + rb":" + SPACE
_COMMA = SPACE + rb"," + SPACE
_NUMBER = rb"(?:0|[1-9][0-9]{0,19}+)"
_NUMBERS = rb"((?:" + _NUMBER + rb"(?:" + _COMMA + _NUMBER + rb"){0,63}+)?)"
_FIELD = (
    rb'(?:"dtype"' + _COLON + rb'"([A-Z0-9_]++)"'
    rb'|"shape"' + _COLON + rb"\[" + SPACE + _NUMBERS + SPACE + rb"\]"
    rb'|"data_offsets"' + _COLON + rb"\[" + SPACE + rb"(" + _NUMBER + rb")" + _COMMA + rb"(" + _NUMBER + rb")" + SPACE
) + rb"\])"  # fmt: skip
# Three fields in any order: all groups are set if and only if each field is there once.
_MEMBER = re.compile(
    rb'"([^"\\\x00-\x1f]*+)"' + _COLON + rb"\{(?:(?:(?<=\{)|(?<!\{),)" + SPACE + _FIELD + SPACE + rb"){3}\}" + NEXT
)


class Header(NamedTuple):
    """What a file says about itself.

    Args:
        tensors: In the order of their bytes.
        metadata: Its ``__metadata__``; empty if there is none.
    """

    tensors: list[FileTensor]
    metadata: dict[str, str]


def read_header(file: DataFile) -> Header:
    """Read and check the header of ``file``.

    Raises:
        LoadError: If anything in it breaks the format, or does not fit the size of the file.
    """
    text = _header_text(file)
    reader = _HeaderReader(Scanner(text, file.name, LENGTH_BYTES), file, LENGTH_BYTES + len(text))
    header = reader.read()
    if not reader.is_seamless:
        header.tensors.sort(key=attrgetter("offset", "nbytes"))
        _check_cover(header.tensors, file, LENGTH_BYTES + len(text))
    return header


def _header_text(file: DataFile) -> bytes:
    if file.size <= LENGTH_BYTES:
        reason = f"a safetensors file has more than {LENGTH_BYTES} bytes, and this one has {file.size}"
        raise LoadError(file.name, reason, file.size)
    start = file.read(0, LENGTH_BYTES + 1)
    n_header = int.from_bytes(start[:LENGTH_BYTES], "little")
    if n_header > MAX_HEADER_BYTES:
        reason = (
            f"not safetensors: the header would have {n_header:,} bytes, more than the {MAX_HEADER_BYTES:,} allowed"
        )
        raise LoadError(file.name, reason, 0)
    if start[LENGTH_BYTES:] != b"{":
        raise LoadError(file.name, "not safetensors: the header does not begin with '{'", LENGTH_BYTES)
    if n_header > file.size - LENGTH_BYTES:
        missing = n_header - (file.size - LENGTH_BYTES)
        raise LoadError(file.name, f"the file ends inside its header, {missing:,} bytes too early", file.size)
    return file.read(LENGTH_BYTES, n_header)


class _Layout(NamedTuple):
    dtype: DType
    shape: tuple[int, ...]
    nbytes: int


class _HeaderReader:
    """Takes one member after the other from the text of a header."""

    def __init__(self, scanner: Scanner, file: DataFile, data_start: int) -> None:
        self._scanner = scanner
        self._file = file
        self._data_start = data_start
        self._file_size = file.size
        self._layouts: dict[tuple[bytes, bytes], _Layout] = {}  # a model repeats its layers
        self._names: set[str] = set()
        self._header = Header([], {})
        self._cursor = data_start  # behind the last tensor; -1 once one did not begin where the one before it ended

    @property
    def is_seamless(self) -> bool:
        """Whether the tensors cover the data in the order in which they are described, as all known writers do."""
        return self._cursor == self._file_size

    def read(self) -> Header:
        more = self._scanner.enter()
        while more:
            start = self._scanner.position
            found = _MEMBER.match(self._scanner.text, start)
            if found and None not in (fields := found.groups()) and fields[0] != _METADATA_NAME:
                self._take_plain(fields, start)
                self._scanner.position = found.end()
                more = fields[5] == b","
            else:
                self._take_any(start)
                more = self._scanner.has_more()
        self._scanner.finish()
        return self._header

    def _take_plain(self, fields: tuple[bytes, ...], start: int) -> None:
        """Take a tensor that is written as all known writers do."""
        raw_name, code, dims, begin, end, _ = fields
        name = self._scanner.decoded(raw_name, start)
        self._add_name(name, start)
        layout = self._layouts.get((code, dims))
        if layout is None:
            shape = tuple(map(int, dims.split(b","))) if dims else ()
            layout = self._layouts[code, dims] = self._layout(name, code.decode(), shape, start)
        self._add_tensor(name, layout, int(begin), int(end), start)

    def _take_any(self, start: int) -> None:
        """Take the metadata, a tensor in a rare spelling of JSON, or damage that deserves a clear word."""
        name = self._scanner.key()
        self._add_name(name, start)
        if name != METADATA_KEY:
            self._take_tensor(name, start)
        elif not self._scanner.null():  # some writers have nothing to say
            self._header.metadata.update(self._scanner.string_map())

    def _add_name(self, name: str, start: int) -> None:
        self._scanner.check_new(name, self._names, start)
        self._names.add(name)

    def _take_tensor(self, name: str, start: int) -> None:
        fields = self._scanner.value()
        who = f"tensor {shown(name)}"
        if not isinstance(fields, tuple):
            raise self._scanner.error(f"{who} is not described by a JSON object", start)
        keys = [key for key, _ in fields]
        if sorted(keys) != list(_FIELDS):
            listed = ", ".join(shown(key) for key in keys[:5]) or "nothing"
            raise self._scanner.error(
                f"{who} must have dtype, shape and data_offsets once each, and has {listed}", start
            )
        code, shape, offsets = (dict(fields)[key] for key in ("dtype", "shape", "data_offsets"))
        if not isinstance(code, str):
            raise self._scanner.error(f"the dtype of {who} is not a string", start)
        if not _are_counts(shape):
            raise self._scanner.error(f"the shape of {who} is not a list of whole numbers from 0", start)
        if not _are_counts(offsets) or len(offsets) != 2:  # noqa: PLR2004 - begin and end
            raise self._scanner.error(f"the data_offsets of {who} are not two whole numbers from 0", start)
        self._add_tensor(name, self._layout(name, code, tuple(shape), start), offsets[0], offsets[1], start)

    def _layout(self, name: str, code: str, shape: tuple[int, ...], start: int) -> _Layout:
        who = f"tensor {shown(name)}"
        dtype = DTYPES.get(code)
        if dtype is None:
            raise self._scanner.error(
                f"{who} has the unknown dtype {shown(code)}; upgrade diffai-load-safetensors", start
            )
        if len(shape) > MAX_DIMENSIONS:
            raise self._scanner.error(f"{who} has {len(shape):,} dimensions, more than {MAX_DIMENSIONS}", start)
        n_bits = max(dtype.bits, 8)  # of an array in memory, which holds no part of a byte
        for length in shape:
            n_bits *= length or 1
            if n_bits >= MAX_ARRAY_BITS:
                raise self._scanner.error(f"the shape of {who} is larger than any array can be", start)
        n_bits = 0 if 0 in shape else n_bits // max(dtype.bits, 8) * dtype.bits
        if n_bits % 8:
            raise self._scanner.error(
                f"the elements of {who} do not fill whole bytes ({dtype}, shape {list(shape)})", start
            )
        return _Layout(dtype, shape, n_bits // 8)

    def _add_tensor(self, name: str, layout: _Layout, begin: int, end: int, start: int) -> None:
        dtype, shape, nbytes = layout
        if end - begin != nbytes:
            reason = (
                f"tensor {shown(name)} needs {nbytes:,} bytes ({dtype}, shape {list(shape)}), "
                f"and its data_offsets {_place(begin, end)} are {_count(end - begin)} apart"
            )
            raise self._scanner.error(reason, start)
        offset = self._data_start + begin
        missing = offset + nbytes - self._file_size
        if missing > 0:
            reason = f"the file ends here, {_count(missing)} bytes too early for tensor {shown(name)}"
            raise LoadError(self._file.name, reason, self._file_size)
        self._cursor = offset + nbytes if offset == self._cursor else -1
        self._header.tensors.append(FileTensor(name=name, shape=shape, dtype=dtype, file=self._file, offset=offset))


def _check_cover(tensors: list[FileTensor], file: DataFile, data_start: int) -> None:
    """Make sure that the tensors, sorted by place, cover the data without overlaps and holes."""
    place, before = data_start, ""
    for ref in tensors:
        if ref.offset < place:
            reason = f"tensor {shown(ref.name)} begins here, inside tensor {shown(before)}"
            raise LoadError(file.name, reason, ref.offset)
        if ref.offset > place:
            reason = f"{ref.offset - place:,} bytes before tensor {shown(ref.name)} belong to no tensor"
            raise LoadError(file.name, reason, place)
        place, before = ref.offset + ref.nbytes, ref.name
    if place < file.size:
        raise LoadError(file.name, f"{file.size - place:,} bytes at the end of the file belong to no tensor", place)


def _are_counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)


def _place(begin: int, end: int) -> str:
    return f"[{_count(begin)}, {_count(end)}]"


def _count(number: int) -> str:
    return f"{number:,}" if abs(number) < 1 << 64 else "more than 2^64"
