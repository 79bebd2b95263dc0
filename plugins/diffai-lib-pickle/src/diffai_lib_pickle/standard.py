"""Objects of the standard library that pickles are full of, as plain values."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from diffai_lib_pickle.values import Inert

MAPPINGS = frozenset({"collections.OrderedDict", "collections.defaultdict", "collections.Counter", "builtins.dict"})
SEQUENCES = frozenset({"builtins.set", "builtins.frozenset", "builtins.list", "builtins.tuple", "collections.deque"})
BYTES = frozenset({"builtins.bytes", "builtins.bytearray"})
DEQUE = "collections.deque"
SETS = frozenset({"builtins.set", "builtins.frozenset"})

STANDARD_NAMES = frozenset(
    {
        *MAPPINGS,
        *SEQUENCES,
        *(f"builtins.{name}" for name in ("complex", "bytearray", "bytes", "str", "int", "float", "bool", "object")),
        *(f"builtins.{name}" for name in ("range", "slice", "type", "NoneType", "Ellipsis", "NotImplemented")),
        *("copyreg._reconstructor", "copyreg.__newobj__", "copyreg.__newobj_ex__", "_codecs.encode"),
        *(f"datetime.{name}" for name in ("datetime", "date", "time", "timedelta", "timezone")),
        *("decimal.Decimal", "fractions.Fraction", "uuid.UUID", "argparse.Namespace", "types.SimpleNamespace"),
        *(f"pathlib.{name}" for name in ("Path", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")),
        *(f"pathlib._local.{name}" for name in ("Path", "PosixPath", "WindowsPath", "PurePosixPath")),
    }
)
"""Names of plain data types, which no format has to explain, for ``known``."""


def plain_standard(value: Inert) -> Any:
    """Return a date, number or path as a plain value.

    Raises:
        KeyError: If it is none of these.
        ValueError: If it is damaged.
    """
    return _PLAIN[value.path](value)


def plain_bytes(value: Inert) -> bytes:
    """Return what ``bytes(…)`` or ``bytearray(…)`` makes, from bytes or from text in Latin-1 as protocol 2 has it.

    Raises:
        ValueError: If it is made from something else.
    """
    data = value.args[0] if value.args else b""
    if type(data) is str and len(value.args) == 2:  # noqa: PLR2004 - text, encoding
        return data.encode("latin-1")
    if type(data) is not bytes:
        raise ValueError("bytes that are none")
    return data


def _complex(value: Inert) -> str:
    return str(complex(*value.args))


def _datetime(value: Inert) -> str:
    if len(value.args) > 1:
        raise KeyError(value.path)  # its time zone is an object of its own
    data = _latin(value.args[0])
    if len(data) != 10:  # noqa: PLR2004 - year (2), month, day, hour, minute, second, microsecond (3)
        raise ValueError("a date that is none")
    day = dt.date(data[0] << 8 | data[1], data[2] & 127, data[3])
    time = dt.time(data[4], data[5], data[6], int.from_bytes(data[7:], "big"))
    return dt.datetime.combine(day, time).isoformat()


def _date(value: Inert) -> str:
    data = _latin(value.args[0])
    if len(data) != 4:  # noqa: PLR2004 - year (2), month, day
        raise ValueError("a date that is none")
    return dt.date(data[0] << 8 | data[1], data[2], data[3]).isoformat()


def _latin(data: Any) -> bytes:
    if type(data) is str:
        return data.encode("latin-1")
    if type(data) is not bytes:
        raise ValueError("a date that is none")
    return data


def _timedelta(value: Inert) -> str:
    days, seconds, microseconds = (*value.args, 0, 0, 0)[:3]
    return str(dt.timedelta(days, seconds, microseconds))


def _text(value: Inert) -> str:
    if len(value.args) != 1 or type(value.args[0]) not in {str, int}:
        raise ValueError("a number that is none")
    return str(value.args[0])


def _fraction(value: Inert) -> str:
    if len(value.args) == 1:
        return _text(value)
    if len(value.args) != 2 or not all(type(part) is int for part in value.args):  # noqa: PLR2004 - over, under
        raise ValueError("a number that is none")
    over, under = value.args
    return f"{over}/{under}" if under != 1 else str(over)


def _path(value: Inert) -> str:
    parts = [part for part in value.args if type(part) is str]
    return "/".join(parts).replace("//", "/", 1)


def _uuid(value: Inert) -> str:
    number = value.attributes().get("int")
    if type(number) is not int:
        raise ValueError("a UUID that is none")
    return f"{number:032x}"


_PLAIN: dict[str, Callable[[Inert], Any]] = {
    "builtins.bytearray": plain_bytes,
    "builtins.bytes": plain_bytes,
    "builtins.complex": _complex,
    "datetime.datetime": _datetime,
    "datetime.date": _date,
    "datetime.timedelta": _timedelta,
    "decimal.Decimal": _text,
    "fractions.Fraction": _fraction,
    "uuid.UUID": _uuid,
    **{name: _path for name in STANDARD_NAMES if name.startswith("pathlib.")},
}
