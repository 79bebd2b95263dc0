"""NumPy's arrays, dtypes and scalars in pickles, rebuilt without NumPy: a type, a shape, and where the bytes are."""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, Any

from diffai_lib_pickle.standard import BYTES, plain_bytes
from diffai_lib_pickle.values import Global, Inert, Span

if TYPE_CHECKING:
    from collections.abc import Callable

    from diffai_lib_pickle.machine import Call

MAX_DIMENSIONS = 64
_MAX_ITEM_BYTES = (1 << 31) - 1
_MAX_BYTES = (1 << 63) - 1
_MAX_NESTED = 32
_MULTIARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")
_NUMERIC = ("numpy.core.numeric", "numpy._core.numeric")
_SCALARS = {"f2": "e", "f4": "f", "f8": "d", "b1": "?"} | {
    f"{kind}{size}": code
    for kind, codes in (("i", "bhiq"), ("u", "BHIQ"))
    for size, code in zip((1, 2, 4, 8), codes, strict=True)
}

NUMPY_NAMES = frozenset(
    {
        *(f"{module}.{name}" for module in _MULTIARRAY for name in ("_reconstruct", "scalar")),
        *(f"{module}._frombuffer" for module in _NUMERIC),
        *("numpy.ndarray", "numpy.dtype", "numpy.matrix", "numpy.recarray", "numpy.rec.recarray"),
        *(
            "numpy.core.records.recarray",
            "numpy.ma.core._mareconstruct",
            "numpy.ma.core.MaskedArray",
            "numpy.ma.MaskedArray",
        ),
        *(
            "_codecs.encode",
            "ml_dtypes.*",
            "numpy.dtypes.*",
            "numpy.float64",
            "numpy.float32",
            "numpy.int64",
            "numpy.bool",
        ),
        *("numpy.int32", "numpy.float16", "numpy.uint8", "numpy.int8", "numpy.bool_", "numpy.record", "numpy.void"),
    }
)
"""Names that pickles of arrays and scalars need, for ``known``."""


class DTypeValue:
    """A ``numpy.dtype``.

    Attributes:
        code: What it was made from: ``"f4"``, ``"V8"``, the name of a type of ml_dtypes.
    """

    __slots__ = ("_names", "_order", "_state", "_unit", "code")

    def __init__(self, code: str) -> None:
        self.code = code
        self._order = ""
        self._unit = ""
        self._state: tuple[Any, ...] = ()

    def set_state(self, state: Any) -> None:
        """Take byte order, unit, fields and the like.

        Raises:
            ValueError: If it is not the state of a dtype.
        """
        if type(state) is not tuple or len(state) < 5 or state[1] not in {"<", ">", "|", "="}:  # noqa: PLR2004 - version, order, subarray, names, fields
            raise ValueError("the state of a NumPy dtype is damaged")
        self._order = state[1]
        self._state = state
        if self.code[:1] in {"M", "m"} and len(state) > 8:  # noqa: PLR2004 - the ninth holds the unit
            self._unit = _unit(state[8])

    @property
    def has_objects(self) -> bool:
        """Whether the elements are Python objects, or records that hold some."""
        return self._has_objects(_MAX_NESTED)

    def _has_objects(self, depth: int) -> bool:
        if self.code in {"O", "O8", "O4", "object"}:
            return True
        if not depth or not self._state:
            return False
        fields = self._state[4] if type(self._state[4]) is dict else {}
        parts = [field[0] for field in fields.values() if type(field) is tuple and field]
        parts += self._state[2][:1] if type(self._state[2]) is tuple else ()
        return any(isinstance(part, DTypeValue) and part._has_objects(depth - 1) for part in parts)  # noqa: SLF001 - of the same class

    @property
    def descr(self) -> Any:
        """The type as ``numpy.dtype.descr`` gives it (a string where there are no fields).

        Raises:
            ValueError: If it is damaged, nested too deeply, or its fields overlap.
        """
        return self._described(_MAX_NESTED)[0]

    @property
    def size(self) -> int:
        """Bytes of one element.

        Raises:
            ValueError: As ``descr``.
        """
        return self._described(_MAX_NESTED)[1]

    def _described(self, depth: int) -> tuple[Any, int, tuple[int, ...]]:
        """Return description, bytes of one element, and shape of an element that is an array."""
        if not depth:
            raise ValueError("a NumPy dtype is nested too deeply")
        subarray = self._state[2] if self._state else None
        if subarray is not None:
            return _subarray(subarray, depth)
        if self._state and self._state[3] is not None:
            return *self._record(depth), ()
        return self._plain(), _itemsize(self.code, self._state), ()

    def _plain(self) -> str:
        if self.code[:1] in "SUVa" and self._state:
            size = _itemsize(self.code, self._state)
            return f"{self._order or '|'}{self.code[0]}{size // 4 if self.code[0] == 'U' else size}"
        known = self.code[:1] in "biufcMmO?" and not self.code[1:2].isalpha()
        order = (self._order or "<").replace("=", "<")
        return f"{order}{self.code}{self._unit}" if known else self.code

    def _record(self, depth: int) -> tuple[Any, int]:
        names, fields, size = self._state[3], self._state[4], self._state[5]
        if (
            type(names) is not tuple
            or type(fields) is not dict
            or type(size) is not int
            or not 0 <= size <= _MAX_ITEM_BYTES
        ):
            raise ValueError("the fields of a NumPy dtype are damaged")
        descr: list[Any] = []
        place = 0
        for name in names:
            part, offset = fields[name][:2]
            if not isinstance(part, DTypeValue) or type(offset) is not int or type(name) is not str:
                raise ValueError("a field of a NumPy dtype is damaged")
            kind, item, shape = part._described(depth - 1)  # noqa: SLF001 - of the same class
            if offset < place:
                return f"|V{size}", size  # fields that overlap: only the bytes can be compared
            if offset > place:
                descr.append(("", f"|V{offset - place}"))
            descr.append((name, kind, shape) if shape else (name, kind))
            place = offset + item * math.prod(shape)
        if place > size:
            raise ValueError("the fields of a NumPy dtype are longer than it")
        if place < size:
            descr.append(("", f"|V{size - place}"))
        return descr, size


def _subarray(value: Any, depth: int) -> tuple[Any, int, tuple[int, ...]]:
    if type(value) is not tuple or len(value) != 2 or not isinstance(value[0], DTypeValue):  # noqa: PLR2004 - type, shape
        raise ValueError("the state of a NumPy dtype is damaged")
    shape = value[1] if type(value[1]) is tuple else (value[1],)
    descr, size, inner = value[0]._described(depth - 1)  # noqa: SLF001 - of the same class
    return descr, size, checked_shape(shape + inner)


def _itemsize(code: str, state: tuple[Any, ...]) -> int:
    digits = code[1:]
    size: Any = int(digits) if digits.isdigit() and len(digits) < 11 else 0  # noqa: PLR2004 - digits of 2^31
    size = size * 4 if code[:1] == "U" else size
    if len(state) > 5 and type(state[5]) is int and state[5] > 0:  # noqa: PLR2004 - the item size
        size = state[5]
    if not 0 <= size <= _MAX_ITEM_BYTES:
        raise ValueError("a NumPy dtype is larger than NumPy allows")
    return int(size)


def _unit(value: Any) -> str:
    """Return the unit of a datetime: ``[ns]``."""
    data = value[1] if type(value) is tuple and len(value) == 2 and type(value[1]) is tuple else value  # noqa: PLR2004 - metadata, unit
    if type(data) is not tuple or len(data) < 2:  # noqa: PLR2004 - unit and count
        return ""
    unit, count = data[0], data[1]
    text = unit.decode("ascii", "replace") if type(unit) is bytes else unit
    if type(text) is not str or type(count) is not int:
        raise ValueError("the unit of a NumPy datetime is damaged")
    return "" if text == "generic" else f"[{'' if count == 1 else count}{text}]"


class ArrayValue:
    """A ``numpy.ndarray``.

    Attributes:
        cls: Its class, which may be a subclass.
        shape: Length of each dimension.
        dtype: Type of the elements.
        fortran_order: Whether the first index runs fastest.
        data: The bytes of the elements, or a :class:`Span` of them, or a list of the elements if they are objects.
        state: What a subclass keeps besides.
        position: Where in the source it is made.
    """

    __slots__ = ("cls", "data", "dtype", "fortran_order", "position", "shape", "state")

    def __init__(self, cls: Any, position: int) -> None:
        self.cls = cls
        self.position = position
        self.shape: tuple[int, ...] = (0,)
        self.dtype = DTypeValue("f8")
        self.fortran_order = False
        self.data: bytes | Span | list[Any] = b""
        self.state: Any = None

    def set_state(self, state: Any) -> None:
        """Take shape, type and elements.

        Raises:
            ValueError: If it is not the state of an array, or the elements do not fit.
        """
        fields = state[1:] if type(state) is tuple and len(state) == 5 else state  # noqa: PLR2004 - the first is a version
        if type(fields) is not tuple or len(fields) < 4 or not isinstance(fields[1], DTypeValue):  # noqa: PLR2004 - shape, dtype, order, data
            self.state = state  # of a subclass that keeps the array elsewhere
            return
        self.take(*fields[:4])

    def take(self, shape: Any, dtype: DTypeValue, fortran_order: Any, data: Any) -> None:
        """Set all that an array is.

        Raises:
            ValueError: If it does not fit together.
        """
        self.shape = checked_shape(shape)
        self.dtype = dtype
        self.fortran_order = bool(fortran_order)
        n_elements = math.prod(self.shape)
        if dtype.has_objects:
            if type(data) is not list or len(data) != n_elements:
                raise ValueError(f"a NumPy array of {n_elements:,} objects does not hold so many")
            self.data = data
            return
        self.data = _bytes_of(data)
        held = self.data.length if type(self.data) is Span else len(self.data)
        if held != n_elements * dtype.size:
            raise ValueError(
                f"a NumPy array of {n_elements:,} elements of {dtype.size} bytes does not fill {held:,} bytes"
            )


def checked_shape(shape: Any) -> tuple[int, ...]:
    """Return a shape that an array can have.

    Raises:
        ValueError: If it is none.
    """
    if (
        type(shape) is not tuple
        or len(shape) > MAX_DIMENSIONS
        or not all(type(length) is int and 0 <= length < 1 << 63 for length in shape)
        or math.prod(max(length, 1) for length in shape) > _MAX_BYTES
    ):
        raise ValueError("the shape of an array is none that it can have")
    return shape


def _bytes_of(data: Any) -> bytes | Span:
    if type(data) in {bytes, Span}:
        return data  # type: ignore[no-any-return]
    if type(data) is str:  # Python 2
        return data.encode("utf-8", "surrogatepass")
    if isinstance(data, Inert) and data.path in BYTES:
        return plain_bytes(data) if not data.args or type(data.args[0]) is not Span else data.args[0]
    raise ValueError("the elements of a NumPy array are no bytes")


class ScalarValue:
    """A NumPy scalar.

    Attributes:
        dtype: Its type.
        data: Its bytes, or the object it holds.
    """

    __slots__ = ("data", "dtype")

    def __init__(self, dtype: DTypeValue, data: Any) -> None:
        self.dtype = dtype
        self.data = data

    @property
    def value(self) -> Any:
        """The number as a plain value; bytes in hexadecimal where the type is no plain number."""
        if type(self.data) is not bytes:
            return self.data
        descr = self.dtype.descr
        code = _SCALARS.get(descr[1:]) if isinstance(descr, str) else None
        if code is None or struct.calcsize(f"<{code}") != len(self.data):
            return f"{descr}: {self.data.hex()}"
        return struct.unpack(f"{'>' if descr[0] == '>' else '<'}{code}", self.data)[0]


def _dtype(call: Call) -> DTypeValue:
    code = call.args[0] if call.args else None
    if type(code) is Global:
        code = code.name.removesuffix("_")
    if type(code) is bytes:
        code = code.decode("ascii", "replace")
    if type(code) is not str or len(code) > 64:  # noqa: PLR2004 - names of types are short
        raise ValueError("a NumPy dtype is made from something else than a name")
    return DTypeValue(code)


def _reconstruct(call: Call) -> ArrayValue:
    return ArrayValue(call.args[0] if call.args else None, call.position)


def _scalar(call: Call) -> ScalarValue:
    if not call.args or not isinstance(call.args[0], DTypeValue):
        raise ValueError("a NumPy scalar without a dtype")
    data = call.args[1] if len(call.args) > 1 else b""
    return ScalarValue(call.args[0], data.encode("utf-8", "surrogatepass") if type(data) is str else data)


def _frombuffer(call: Call) -> ArrayValue:
    data, dtype, shape, order = call.args
    if not isinstance(dtype, DTypeValue):
        raise ValueError("a NumPy array without a dtype")  # noqa: TRY004 - of the file, not of a caller
    made = ArrayValue(Global("numpy", "ndarray"), call.position)
    made.take(shape, dtype, order == "F", data)
    return made


def _encode(call: Call) -> Any:
    """Undo how protocol 2 writes bytes: as text in Latin-1."""
    if len(call.args) == 2 and type(call.args[0]) is str and call.args[1] in {"latin1", "latin-1"}:  # noqa: PLR2004 - text, encoding
        return call.args[0].encode("latin-1")
    return Inert(call.target, call.args, dict(call.kwargs), call.position)


def numpy_builders() -> dict[str, Callable[[Call], Any]]:
    """Return the builders for arrays, dtypes and scalars: they give ``ArrayValue``, ``DTypeValue``, ``ScalarValue``."""
    return {
        "numpy.dtype": _dtype,
        "_codecs.encode": _encode,
        **{f"{module}._reconstruct": _reconstruct for module in _MULTIARRAY},
        **{f"{module}.scalar": _scalar for module in _MULTIARRAY},
        **{f"{module}._frombuffer": _frombuffer for module in _NUMERIC},
    }
