"""Arrays of Python objects: their pickles are read without importing or calling anything that they name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffai_lib_numpy.arrays import add_elements
from diffai_lib_numpy.header import Header
from diffai_lib_numpy.layout import layout_of
from diffai_lib_pickle import BytesSource, FileSource, Rules, Span, load
from diffai_lib_pickle.arrays import NUMPY_NAMES, ArrayValue, numpy_builders
from diffai_lib_pickle.standard import STANDARD_NAMES
from diffai_lib_pickle.tree import divide
from diffai_lib_zip import Held, Region, read_all

from diffai_core.plugin import NotCompared

if TYPE_CHECKING:
    from diffai_lib_numpy.arrays import Contents
    from diffai_lib_pickle import Source
    from diffai_lib_zip import Payload

MAX_PICKLE_BYTES = 256 << 20
"""Largest compressed array of objects; an uncompressed one is read where it lies."""

_KNOWN = STANDARD_NAMES | NUMPY_NAMES


def add_objects(contents: Contents, key: str, payload: Payload, header: Header) -> int:
    """Add an array of objects: arrays in it under their dotted path, all else in the tree; return how far it reaches.

    Args:
        contents: Where to add it.
        key: Its key.
        payload: Its bytes, header included.
        header: Its header.

    Raises:
        LoadError: If the pickle is damaged, or holds another array than the header says.
    """
    source = _source(payload)
    found = load(source, header.length, Rules(numpy_builders()))
    array = found.value
    if not isinstance(array, ArrayValue) or not isinstance(array.data, list) or array.shape != header.shape:
        raise payload.error("the pickle is not the array that the header describes", header.length)
    contents.foreign.extend(found.foreign(_KNOWN, source, payload.file.name))
    words: dict[str, Any] = {"dtype": header.layout.name, "shape": list(header.shape)}
    if array.fortran_order and sum(length > 1 for length in header.shape) > 1:
        words["order"] = "Fortran"
    value = array.data if header.shape else array.data[0]
    arrays, tree = divide({key: value}, source, _is_array)
    contents.add(key, words | ({"elements": tree[key]} if key in tree else {}), payload)
    for name, item in arrays.items():
        _add_inner(contents, name, item, payload, source)
    return found.end


def _source(payload: Payload) -> Source:
    """Return the bytes as the source of a pickle, after checking their checksum."""
    if not payload.compressed:
        payload.reader().finish()
        return FileSource(payload.file, payload.offset, payload.size)
    return BytesSource(read_all(payload, MAX_PICKLE_BYTES), payload.file.name, payload.offset, is_packed=True)


def _is_array(value: Any) -> bool:
    return type(value) is ArrayValue and not isinstance(value.data, list)


def _add_inner(contents: Contents, name: str, value: ArrayValue, payload: Payload, source: Source) -> None:
    try:
        layout = layout_of(value.dtype.descr)
    except ValueError as error:
        contents.not_readable.append(NotCompared(name, str(error)))
        return
    header = Header(layout, value.fortran_order, value.shape, 0)
    add_elements(contents, name, _inner_payload(value, payload, source), header)


def _inner_payload(value: ArrayValue, payload: Payload, source: Source) -> Payload:
    data = value.data
    if isinstance(data, Span):
        if isinstance(source, FileSource):
            return Region(source.file, source.start + data.position, data.length)
        return Held(payload.file, source.read(data.position, data.length), payload.offset)
    assert isinstance(data, bytes)  # lists are no arrays
    return Held(payload.file, data, payload.offset)
