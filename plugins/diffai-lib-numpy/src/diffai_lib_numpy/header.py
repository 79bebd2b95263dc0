"""The header of an array in NumPy's format, versions 1 to 3, read strictly."""

from __future__ import annotations

import ast
import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_lib_zip.wording import brief, short

from diffai_lib_numpy.layout import Layout, is_shape, layout_of

if TYPE_CHECKING:
    from diffai_lib_zip.payload import Payload, Reader

MAGIC = b"\x93NUMPY"
MAX_HEADER_BYTES = 1 << 16

_MAX_BYTES = (1 << 63) - 1
_KEYS = {"descr", "fortran_order", "shape"}
_LENGTH_BYTES = {1: 2, 2: 4, 3: 4}
_ENCODINGS = {1: "latin-1", 2: "latin-1", 3: "utf-8"}
# Brackets, commas, plain numbers and strings: with nothing else in it, a text is parsed without warning, without deep
# recursion and without surprises. Python 2 wrote long numbers with an L.
_STRING = r"(?:[^'\"\\\x00-\x1f]|\\(?:[\\'\"nrt]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}))"
_TOKEN = re.compile(
    rf"[ \n{{}}()\[\]:,]|u?'(?:{_STRING}|\")*+'|u?\"(?:{_STRING}|')*+\"|-?\d{{1,19}}(?!\d)L?|True|False"
)
_TEXT = re.compile(rf"(?:{_TOKEN.pattern})*+")
_NUMBER = r"(?:0|[1-9]\d{0,18})"
_USUAL = re.compile(
    r"\{'descr': '([\w<>|=\[\]]*)', 'fortran_order': (True|False), "
    rf"'shape': \(((?:{_NUMBER},|(?:{_NUMBER}, )+{_NUMBER})?)\), \}} *\n",
    re.ASCII,
)


class Header(NamedTuple):
    """What precedes the data of an array.

    Args:
        layout: Type of the elements.
        fortran_order: Whether the first index runs fastest.
        shape: Length of each dimension.
        length: Bytes before the data.
    """

    layout: Layout
    fortran_order: bool
    shape: tuple[int, ...]
    length: int

    @property
    def nbytes(self) -> int:
        """Bytes of the data; not known from the header if they are pickled objects."""
        return math.prod(self.shape) * self.layout.size


def read_header(payload: Payload, reader: Reader) -> Header:
    """Read the header at the start of ``payload``.

    Raises:
        LoadError: If it is not one that NumPy writes.
    """
    if payload.size < len(MAGIC) + 2:
        raise payload.error("ends inside the header of an array", payload.size)
    start = reader.read(0, len(MAGIC) + 2)
    if not start.startswith(MAGIC):
        raise payload.error("does not start as a NumPy array does", 0)
    version = start[6]
    if version not in _LENGTH_BYTES or start[7]:
        raise payload.error(f"version {version}.{start[7]} of the format is not known; 1.0, 2.0 and 3.0 are", 6)
    place = len(start) + _LENGTH_BYTES[version]
    if payload.size < place:
        raise payload.error("ends inside the header of an array", payload.size)
    length = int.from_bytes(reader.read(len(start), _LENGTH_BYTES[version]), "little")
    if length > MAX_HEADER_BYTES:
        raise payload.error(f"a header of {length:,} bytes is refused; at most {MAX_HEADER_BYTES:,} are read", 8)
    if payload.size < place + length:
        reason = f"a header of {length:,} bytes is declared, and only {payload.size - place:,} bytes follow"
        raise payload.error(reason, payload.size)
    try:
        text = reader.read(place, length).decode(_ENCODINGS[version])
        return _parse(text, place + length)
    except UnicodeDecodeError as error:
        raise payload.error(f"the header is not UTF-8 ({error.reason})", place + error.start) from error
    except ValueError as error:
        raise payload.error(str(error), place) from error


def _parse(text: str, length: int) -> Header:
    descr, fortran_order, shape = _entries(text)
    if not is_shape(shape):
        raise ValueError(f"the shape {brief(shape)} is not one of a NumPy array")
    if type(fortran_order) is not bool:
        raise ValueError(f"fortran_order is {brief(fortran_order)} instead of True or False")
    layout = layout_of(descr)
    shapes = [(shape, layout.size), *((shape + field.shape, field.element.size) for field in layout.fields)]
    for dims, size in shapes:
        if not is_shape(dims) or math.prod(max(n, 1) for n in dims) * max(size, 1) > _MAX_BYTES:
            raise ValueError(
                f"an array of shape {brief(dims)} and type {short(layout.name)} is larger than NumPy allows"
            )
    return Header(layout, fortran_order, shape, length)


def _entries(text: str) -> tuple[Any, Any, Any]:
    """Return descr, fortran_order and shape from the dictionary that a header is.

    Raises:
        ValueError: If it is anything else.
    """
    usual = _USUAL.fullmatch(text)
    if usual:  # as numpy.save writes it; half the time of opening an archive of many members
        return usual[1], usual[2] == "True", tuple(int(length) for length in usual[3].split(",") if length)
    return _python_entries(text)


def _python_entries(text: str) -> tuple[Any, Any, Any]:
    if not _TEXT.fullmatch(text):
        raise ValueError("the header is not a Python dictionary of plain values")
    plain = _TOKEN.sub(lambda token: token[0].removesuffix("L"), text) if "L" in text else text
    try:
        body = ast.parse(plain.strip(), mode="eval").body
        pairs = [] if not isinstance(body, ast.Dict) else list(zip(body.keys, body.values, strict=True))
        values = {key.value: ast.literal_eval(value) for key, value in pairs if isinstance(key, ast.Constant)}
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError("the header is not a Python dictionary of plain values") from error
    if len(pairs) != len(_KEYS) or values.keys() != _KEYS:
        raise ValueError("the header does not hold exactly descr, fortran_order and shape")
    return values["descr"], values["fortran_order"], values["shape"]
