"""The operations of the pickle format, protocols 0 to 5."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from diffai_lib_pickle.numbers import decimal_number, packed_length, typed_number
from diffai_lib_pickle.values import BYTEARRAY, FROZENSET, SET, Inert, Span, safe_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from diffai_lib_pickle.machine import Machine

    Operation = Callable[[Machine], None]

_NEWEST_PROTOCOL = 5
_UINT16 = struct.Struct("<H").unpack
_INT32 = struct.Struct("<i").unpack
_UINT64 = struct.Struct("<Q").unpack
_FLOAT64 = struct.Struct(">d").unpack


def _unknown(_: Machine) -> None:
    raise ValueError("an operation that pickles do not have")


def _constant(value: Any) -> Operation:
    return lambda m: m.stack.append(value)


def _proto(m: Machine) -> None:
    version = m.window.byte()
    if version > _NEWEST_PROTOCOL:
        raise ValueError(f"a pickle of protocol {version}; up to {_NEWEST_PROTOCOL} are read")


def _frame(m: Machine) -> None:
    m.window.check(_UINT64(m.window.take(8))[0])


# -- numbers ---------------------------------------------------------------------------------------------------


def _binint(m: Machine) -> None:
    m.stack.append(_INT32(m.window.take(4))[0])


def _binint1(m: Machine) -> None:
    m.stack.append(m.window.byte())


def _binint2(m: Machine) -> None:
    m.stack.append(_UINT16(m.window.take(2))[0])


def _binfloat(m: Machine) -> None:
    m.stack.append(_FLOAT64(m.window.take(8))[0])


def _packed(m: Machine, length: int) -> None:
    m.stack.append(int.from_bytes(m.window.take(packed_length(length)), "little", signed=True))


# -- containers ------------------------------------------------------------------------------------------------


def _appends(m: Machine) -> None:
    m.extend(m.to_mark())


def _append(m: Machine) -> None:
    m.extend([m.stack.pop()])


def _setitems(m: Machine) -> None:
    m.set_items(m.to_mark())


def _setitem(m: Machine) -> None:
    value = m.stack.pop()
    m.set_items([m.stack.pop(), value])


def _list(m: Machine) -> None:
    items = m.to_mark()
    m.stack.append(items)


def _dict(m: Machine) -> None:
    items = m.to_mark()
    m.stack.append({})
    m.set_items(items)


def _tuple(m: Machine) -> None:
    items = m.to_mark()
    m.stack.append(tuple(items))


def _tuple1(m: Machine) -> None:
    m.stack[-1] = (m.stack[-1],)


def _empty_set(m: Machine) -> None:
    m.stack.append(Inert(SET, (), None, m.window.position - 1))


def _frozenset(m: Machine) -> None:
    items = m.to_mark()
    for item in items:
        safe_key(item)
    m.stack.append(Inert(FROZENSET, (items,), None, m.window.position - 1))


# -- memo ------------------------------------------------------------------------------------------------------


def _binput(m: Machine) -> None:
    m.memo[m.window.byte()] = m.stack[-1]


def _long_binput(m: Machine) -> None:
    m.memo[m.window.uint32()] = m.stack[-1]


def _memoize(m: Machine) -> None:
    m.memo[len(m.memo)] = m.stack[-1]


# -- objects ---------------------------------------------------------------------------------------------------


def _global(m: Machine) -> None:
    module = m.window.line().decode("utf-8")
    m.find(module, m.window.line().decode("utf-8"))


def _stack_global(m: Machine) -> None:
    name = m.stack.pop()
    m.find(m.stack.pop(), name)


def _extension(m: Machine, length: int) -> None:
    m.find("copyreg", f"extension {int.from_bytes(m.window.take(length), 'little')}")


def _reduce(m: Machine) -> None:
    args = m.stack.pop()
    m.call(m.stack.pop(), args)


def _newobj_ex(m: Machine) -> None:
    kwargs = m.stack.pop()
    args = m.stack.pop()
    m.call(m.stack.pop(), args, kwargs)


def _inst(m: Machine) -> None:
    args = tuple(m.to_mark())
    _global(m)
    m.call(m.stack.pop(), args)


def _obj(m: Machine) -> None:
    cls, *args = m.to_mark()
    m.call(cls, tuple(args))


def _bytearray(m: Machine) -> None:
    position = m.window.position - 1
    m.bytes(_UINT64(m.window.take(8))[0])
    data = m.stack.pop()
    m.stack.append(data if type(data) is Span else Inert(BYTEARRAY, (data,), None, position))


def _next_buffer(_: Machine) -> None:
    raise ValueError("the pickle has buffers that were kept elsewhere")


def _persid(m: Machine) -> None:
    m.persistent(m.window.line().decode("utf-8"))


_OPERATIONS: dict[bytes, Operation] = {
    b"\x80": _proto,
    b"\x95": _frame,
    b"(": lambda m: m.mark(),
    b"0": lambda m: m.pop(),
    b"1": lambda m: _drop(m.to_mark()),
    b"2": lambda m: m.stack.append(m.stack[-1]),
    # numbers and constants
    b"N": _constant(None),
    b"\x88": _constant(True),
    b"\x89": _constant(False),
    b"I": lambda m: m.stack.append(decimal_number(m.window.line())),
    b"L": lambda m: m.stack.append(decimal_number(m.window.line())),
    b"F": lambda m: m.stack.append(typed_number(m.window.line())),
    b"J": _binint,
    b"K": _binint1,
    b"M": _binint2,
    b"G": _binfloat,
    b"\x8a": lambda m: _packed(m, m.window.byte()),
    b"\x8b": lambda m: _packed(m, _INT32(m.window.take(4))[0]),
    # strings
    b"S": lambda m: m.quoted(),
    b"T": lambda m: m.bytes(m.window.uint32(), is_text=True),
    b"U": lambda m: m.bytes(m.window.byte(), is_text=True),
    b"B": lambda m: m.bytes(m.window.uint32()),
    b"C": lambda m: m.bytes(m.window.byte()),
    b"\x8e": lambda m: m.bytes(_UINT64(m.window.take(8))[0]),
    b"\x96": _bytearray,
    b"V": lambda m: m.line_text(),
    b"X": lambda m: m.text(m.window.uint32()),
    b"\x8c": lambda m: m.text(m.window.byte()),
    b"\x8d": lambda m: m.text(_UINT64(m.window.take(8))[0]),
    # containers
    b")": _constant(()),
    b"]": lambda m: m.stack.append([]),
    b"}": lambda m: m.stack.append({}),
    b"\x8f": _empty_set,
    b"t": _tuple,
    b"\x85": _tuple1,
    b"\x86": lambda m: m.tuple(2),
    b"\x87": lambda m: m.tuple(3),
    b"l": _list,
    b"d": _dict,
    b"a": _append,
    b"e": _appends,
    b"s": _setitem,
    b"u": _setitems,
    b"\x90": _appends,
    b"\x91": _frozenset,
    # memo
    b"p": lambda m: m.put(decimal_number(m.window.line())),
    b"q": _binput,
    b"r": _long_binput,
    b"\x94": _memoize,
    b"g": lambda m: m.get(decimal_number(m.window.line())),
    b"h": lambda m: m.get(m.window.byte()),
    b"j": lambda m: m.get(m.window.uint32()),
    # objects
    b"c": _global,
    b"\x93": _stack_global,
    b"\x82": lambda m: _extension(m, 1),
    b"\x83": lambda m: _extension(m, 2),
    b"\x84": lambda m: _extension(m, 4),
    b"R": _reduce,
    b"\x81": _reduce,
    b"\x92": _newobj_ex,
    b"i": _inst,
    b"o": _obj,
    b"b": lambda m: m.build(),
    b"P": _persid,
    b"Q": lambda m: m.persistent(m.stack.pop()),
    b"\x97": _next_buffer,
    b"\x98": _next_buffer,
}


def _drop(_: list[Any]) -> None:
    """Forget values that the pickle throws away."""


OPERATIONS: list[Operation] = [_OPERATIONS.get(bytes([code]), _unknown) for code in range(256)]
