"""Datatypes: what the elements of a dataset or attribute are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from diffai_lib_hdf5.headers import DATATYPE, shared_body

if TYPE_CHECKING:
    from diffai_lib_hdf5.region import Cursor

MAX_NESTING = 32
"""Deepest nesting of types that is read."""
MAX_MEMBERS = 100_000
"""Most members of one compound or enumeration."""

(
    INTEGER,
    FLOAT,
    TIME,
    STRING,
    BITFIELD,
    OPAQUE,
    COMPOUND,
    REFERENCE,
    ENUM,
    VARIABLE,
    ARRAY,
    COMPLEX,
) = range(12)

_CHARACTERS = ("ASCII", "UTF-8")
_ROUNDED_UP_TO = 8


class FloatLayout(NamedTuple):
    """Where the bits of a float are."""

    precision: int
    exponent_at: int
    exponent_bits: int
    mantissa_bits: int
    bias: int


class Member(NamedTuple):
    """A member of a compound: name, byte at which it starts, type."""

    name: str
    offset: int
    type: Type


class Type(NamedTuple):
    """A datatype.

    Args:
        kind: One of the kinds of this module.
        size: Bytes of one element.
        big_endian: Whether its bytes come highest first.
        signed: Whether integers have a sign.
        whole: Whether every bit of an integer is used.
        float_layout: The bits of a float, if it is one.
        padding: How strings end: 0 with a NUL, 1 with NULs, 2 with spaces.
        is_text: Whether elements of variable length are strings.
        object_reference: Whether a reference is to a whole object, as an address.
        tag: Name of an opaque type.
        members: Members of a compound.
        values: Names and raw values of an enumeration.
        base: Type of the elements of an array, enumeration, complex number or variable-length sequence.
        dims: Shape of an array.
    """

    kind: int
    size: int
    big_endian: bool = False
    signed: bool = False
    whole: bool = True
    float_layout: FloatLayout | None = None
    padding: int = 0
    is_text: bool = False
    object_reference: bool = False
    tag: str = ""
    members: tuple[Member, ...] = ()
    values: tuple[tuple[str, bytes], ...] = ()
    base: Type | None = None
    dims: tuple[int, ...] = ()


def type_in(cursor: Cursor, *, shared: bool = False) -> Type:
    """Take a datatype.

    Args:
        cursor: Where it stands.
        shared: Whether it only says where it stands.

    Raises:
        LoadError: If it is damaged.
    """
    return _type(shared_body(cursor, DATATYPE) if shared else cursor, 0)


def _type(cursor: Cursor, depth: int) -> Type:
    if depth > MAX_NESTING:
        raise cursor.error(f"a datatype is nested deeper than {MAX_NESTING} levels")
    first = cursor.u8()
    kind, version = first & 15, first >> 4
    bits, size = cursor.uint(3), cursor.u32()
    if not 1 <= version <= 5 or kind > COMPLEX or not size:  # noqa: PLR2004 - versions of datatypes
        raise cursor.error(f"a datatype of kind {kind}, version {version} and {size} bytes is not known")
    return _READERS[kind](cursor, _Head(version, bits, size, depth))


class _Head(NamedTuple):
    version: int
    bits: int
    size: int
    depth: int


def _integer(cursor: Cursor, head: _Head) -> Type:
    offset, precision = cursor.u16(), cursor.u16()
    whole = offset == 0 and precision == 8 * head.size
    return Type(INTEGER, head.size, bool(head.bits & 1), signed=bool(head.bits & 8), whole=whole)


def _bitfield(cursor: Cursor, head: _Head) -> Type:
    return _integer(cursor, head)._replace(kind=BITFIELD, signed=False)


def _float(cursor: Cursor, head: _Head) -> Type:
    offset, precision = cursor.u16(), cursor.u16()
    exponent_at, exponent_bits, mantissa_at, mantissa_bits = (cursor.u8() for _ in range(4))
    bias = cursor.u32()
    sign_at, implied = head.bits >> 8 & 0xFF, head.bits >> 4 & 3 == 2  # noqa: PLR2004 - the leading bit is left out
    usual = (offset, mantissa_at, sign_at) == (0, 0, precision - 1) and implied and not head.bits & 0x40
    layout = FloatLayout(precision, exponent_at, exponent_bits, mantissa_bits, bias)
    return Type(FLOAT, head.size, bool(head.bits & 1), float_layout=layout if usual else None)


def _time(cursor: Cursor, head: _Head) -> Type:
    cursor.skip(2)
    return Type(TIME, head.size, bool(head.bits & 1))


def _string(_cursor: Cursor, head: _Head) -> Type:
    return Type(STRING, head.size, padding=head.bits & 15)


def _opaque(cursor: Cursor, head: _Head) -> Type:
    tag = cursor.take(min(head.bits & 0xFF, cursor.left)).partition(b"\0")[0]
    return Type(OPAQUE, head.size, tag=cursor.name(tag))


def _compound(cursor: Cursor, head: _Head) -> Type:
    n_members = head.bits & 0xFFFF
    width = _bytes_for(head.size)
    members = []
    for _ in range(n_members):
        name = _name(cursor, padded=head.version < 3)  # noqa: PLR2004 - where padding went away
        offset = cursor.uint(width if head.version >= 3 else 4)  # noqa: PLR2004 - where padding went away
        dims = _old_dims(cursor) if head.version == 1 else ()
        inner = _type(cursor, head.depth + 1)
        if dims:
            inner = Type(ARRAY, inner.size * math.prod(dims), base=inner, dims=dims)
        if not inner.size or offset + inner.size > head.size:
            raise cursor.error("a member of a compound type reaches beyond its end")
        members.append(Member(name, offset, inner))
    if len({member.name for member in members}) < len(members):
        raise cursor.error("a compound type has two members of one name")
    return Type(COMPOUND, head.size, members=tuple(members))


def _bytes_for(size: int) -> int:
    return max(1, -(-size.bit_length() // 8))


def _name(cursor: Cursor, *, padded: bool) -> str:
    raw = cursor.text()
    if padded:
        cursor.skip(-(len(raw) + 1) % _ROUNDED_UP_TO)
    return cursor.name(raw)


def _old_dims(cursor: Cursor) -> tuple[int, ...]:
    """Take the shape of a member, as the first version writes it."""
    rank = cursor.u8()
    cursor.skip(11)
    dims = tuple(cursor.u32() for _ in range(4))
    return dims[: min(rank, 4)]


def _reference(_cursor: Cursor, head: _Head) -> Type:
    return Type(REFERENCE, head.size, object_reference=head.bits & 15 == 0)


def _enum(cursor: Cursor, head: _Head) -> Type:
    base = _type(cursor, head.depth + 1)
    if base.kind != INTEGER or base.size != head.size:
        raise cursor.error("an enumeration is not one of integers")
    names = [_name(cursor, padded=head.version < 3) for _ in range(head.bits & 0xFFFF)]  # noqa: PLR2004 - as above
    return Type(
        ENUM, head.size, base.big_endian, values=tuple((name, cursor.take(base.size)) for name in names), base=base
    )


def _variable(cursor: Cursor, head: _Head) -> Type:
    if head.size != 8 + cursor.store.address_bytes:
        raise cursor.error(f"an element of variable length takes {head.size} bytes, which is not possible")
    base = _type(cursor, head.depth + 1)
    return Type(VARIABLE, head.size, is_text=head.bits & 15 == 1, base=base)


def _array(cursor: Cursor, head: _Head) -> Type:
    rank = cursor.u8()
    cursor.skip(3 if head.version < 3 else 0)  # noqa: PLR2004 - where permutations went away
    dims = tuple(cursor.u32() for _ in range(rank))
    cursor.skip(4 * rank if head.version < 3 else 0)  # noqa: PLR2004 - where permutations went away
    base = _type(cursor, head.depth + 1)
    if not math.prod(dims) or math.prod(dims) * base.size != head.size:
        raise cursor.error(f"an array type of {head.size:,} bytes does not hold {dims} elements of {base.size}")
    return Type(ARRAY, head.size, base=base, dims=dims)


def _complex(cursor: Cursor, head: _Head) -> Type:
    base = _type(cursor, head.depth + 1)
    if base.kind != FLOAT or 2 * base.size != head.size:
        raise cursor.error("a complex type is not one of two floats")
    return Type(COMPLEX, head.size, base.big_endian, base=base)


_READERS = (
    *(_integer, _float, _time, _string, _bitfield, _opaque),
    *(_compound, _reference, _enum, _variable, _array, _complex),
)
