"""What kind of value something is, and when two values are equal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from numbers import Integral, Rational, Real
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from diffai_core.plugin import Tolerance

OBJECT, ARRAY, NUMBER, STRING, BYTES, COMPLEX = "Object", "Array", "Number", "String", "Bytes", "Complex"

CONTAINERS = frozenset({OBJECT, ARRAY})

_ATOMS = frozenset({str, int, float, bool, type(None), bytes})
_FEW = 8  # elements of a container up to which it is compared at once
_LONG = 4096  # characters or bytes from which a comparison is worth remembering
_NAMES: dict[type, str] = {
    str: STRING,
    bool: "Boolean",
    int: NUMBER,
    float: NUMBER,
    type(None): "Null",
    dict: OBJECT,
    list: ARRAY,
    tuple: ARRAY,
    bytes: BYTES,
    bytearray: BYTES,
    datetime: "DateTime",
    date: "Date",
    time: "Time",
    timedelta: "Duration",
    set: "Set",
    frozenset: "Set",
    complex: COMPLEX,
}
_ABSTRACT: tuple[tuple[type, str], ...] = (
    (str, STRING),
    (Real, NUMBER),
    (Mapping, OBJECT),
    (list, ARRAY),
    (tuple, ARRAY),
    (bytes, BYTES),
    (bytearray, BYTES),
)


def type_name(value: object) -> str:
    """Return the kind of a value: ``Number`` for any number, ``Array`` for lists and tuples, and so on.

    Example:
        >>> type_name(1), type_name(1.0), type_name(True), type_name(None), type_name(())
        ('Number', 'Number', 'Boolean', 'Null', 'Array')
    """
    known = _NAMES.get(type(value))
    if known is not None:
        return known
    return next((name for kind, name in _ABSTRACT if isinstance(value, kind)), type(value).__name__)


def is_container(value: object) -> bool:
    """Whether a value has parts with paths of their own."""
    return type_name(value) in CONTAINERS


def plainly_equal(old: Any, new: Any) -> bool:
    """Whether two containers hold nothing but equal scalars, so that no walk is needed; ``False`` where in doubt."""
    if type(old) is not type(new) or type(old) not in {dict, list, tuple} or len(old) != len(new):
        return False
    if type(old) is dict:
        return (
            set(map(type, old)) <= {str}
            and list(old) == list(new)
            and _equal_atoms(list(old.values()), list(new.values()))
        )
    return _equal_atoms(old, new)


def _equal_atoms(old: Sequence[Any], new: Sequence[Any]) -> bool:
    kinds = list(map(type, old))
    if not set(kinds) <= _ATOMS or kinds != list(map(type, new)):
        return False
    # A long text that stands here many times would be read as often.
    has_long = any(len(atom) > _LONG for atom in old if type(atom) is str or type(atom) is bytes)
    return not has_long and bool(old == new)


class Sameness:
    """Says quickly whether two values are equal wherever they stand.

    Numbers are compared exactly, whatever their Python type; NaN is equal to NaN. Remembers comparisons of long
    texts, because aliases can make two texts meet at millions of paths.

    Args:
        tolerance: How far numbers may differ at every path.
        ignore_case: Whether upper and lower case are the same.
        ignore_whitespace: Whether white space is left out, as by ``diff -w``.
    """

    def __init__(self, tolerance: Tolerance, *, ignore_case: bool = False, ignore_whitespace: bool = False) -> None:
        self._tolerance = tolerance
        self._ignore_case = ignore_case
        self._ignore_whitespace = ignore_whitespace
        self._long: dict[tuple[int, int], tuple[object, object, bool]] = {}

    def __call__(self, old: Any, new: Any) -> bool:
        """Whether both are equal; containers of more than a few scalars only if they are one object."""
        if old is new:
            return True
        kind = type(old)
        if kind is list or kind is dict:
            return kind is type(new) and len(old) == len(new) <= _FEW and self._same_few(old, new)
        return self._same_scalar(old, new)

    def _same_few(self, old: Any, new: Any) -> bool:
        if type(old) is list:
            return all(map(self._same_scalar, old, new))
        if set(map(type, old)) | set(map(type, new)) <= {str} and old.keys() == new.keys():
            return all(self._same_scalar(value, new[key]) for key, value in old.items())
        return False

    def _same_scalar(self, old: Any, new: Any) -> bool:
        kind = type(old)
        if kind is type(new):
            if kind is str or kind is bytes:
                return self._same_text(old, new)
            if kind is float or kind is int:
                return _same_number(old, new) or within(old, new, self._tolerance)
        return self._same_by_name(old, new)

    def _same_by_name(self, old: Any, new: Any) -> bool:
        name = type_name(old)
        if name != type_name(new) or name in CONTAINERS:
            return old is new
        if name == NUMBER:
            return _same_number(plain_number(old), plain_number(new)) or within(old, new, self._tolerance)
        if name == STRING:
            return self._same_text(str(old), str(new))
        if name == COMPLEX:
            return _same_number(old.real, new.real) and _same_number(old.imag, new.imag)
        return equality(old, new) is True

    def _same_text(self, old: Any, new: Any) -> bool:
        if len(old) < _LONG or len(new) < _LONG:
            return self._equal_text(old, new)
        key = id(old), id(new)
        if key not in self._long:
            self._long[key] = (old, new, self._equal_text(old, new))  # holding both keeps their ids theirs
        return self._long[key][2]

    def _equal_text(self, old: Any, new: Any) -> bool:
        if old == new or isinstance(old, bytes):
            return bool(old == new)
        return (self._ignore_case or self._ignore_whitespace) and self._folded(old) == self._folded(new)

    def _folded(self, text: str) -> str:
        if self._ignore_whitespace:
            text = "".join(text.split())
        return text.casefold() if self._ignore_case else text


def equality(old: object, new: object) -> bool | None:
    """Whether two values of one type are equal; ``None`` if they cannot tell."""
    if type(old).__eq__ is object.__eq__:  # which would compare addresses
        return None
    try:
        found: object = old == new
    except Exception:  # noqa: BLE001 - values of any class, which may refuse as they like
        return None
    return found if isinstance(found, bool) else None


def plain_number(value: Any) -> Any:
    """Return a number as an ``int``, a ``float`` or a ``Fraction`` of the same value."""
    if type(value) in {int, float}:  # a short cut past the slow checks
        return value
    if isinstance(value, Integral):
        return int(value)
    return value if isinstance(value, Rational) else float(value)


def _same_number(old: Any, new: Any) -> bool:
    return bool(old == new) or (old != old and new != new)  # noqa: PLR0124 - true of NaN only


def within(old: Any, new: Any, tolerance: Tolerance) -> bool:
    """Whether ``|new - old| <= atol + rtol * |old|``, computed without rounding.

    Infinities and NaN are within no tolerance of anything else.
    """
    if tolerance.exact:
        return False
    old, new = plain_number(old), plain_number(new)
    if not (_is_finite(old) and _is_finite(new)):
        return False
    if not (math.isfinite(tolerance.atol) and math.isfinite(tolerance.rtol)):
        return True
    if isinstance(old, float) and isinstance(new, float):
        return _within_floats(old, new, tolerance)
    return _within_exactly(old, new, tolerance)


def _is_finite(number: Any) -> bool:
    return not isinstance(number, float) or math.isfinite(number)


def _within_floats(old: float, new: float, tolerance: Tolerance) -> bool:
    """Decide what rounding cannot change with floats, which is fast, and the rest exactly."""
    difference = abs(new - old)
    limit = tolerance.atol + tolerance.rtol * abs(old)
    margin = limit * 1e-12
    if 1e-280 < limit < math.inf and abs(difference - limit) > margin:  # noqa: PLR2004 - far from underflow
        return difference < limit
    return _within_exactly(old, new, tolerance)


def _within_exactly(old: Any, new: Any, tolerance: Tolerance) -> bool:
    from fractions import Fraction

    limit = Fraction(tolerance.atol) + Fraction(tolerance.rtol) * abs(Fraction(old))
    return abs(Fraction(new) - Fraction(old)) <= limit
