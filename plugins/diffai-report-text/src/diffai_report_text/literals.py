"""Names and values as text that is safe to print: no control character, no escape sequence, one line."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import date, time
from functools import singledispatch
from typing import TYPE_CHECKING, Any

from diffai_core.plugin import ABSENT

if TYPE_CHECKING:
    from collections.abc import Callable

_MAX_DEPTH = 100
_MAX_INT_BITS = 14_000  # Python writes no longer integers in decimal by default
_SHORT_BYTES = 16
_ASTRAL = 0x10000
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def visible(text: str) -> str:
    r"""Return ``text`` with every character that cannot be printed as an escape.

    Control characters, line breaks, invisible and direction-changing characters and lone surrogates are written as
    ``\u001b``; printable text of any language stays.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def _escape(char: str) -> str:
    short = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(char)
    if short:
        return short
    code = ord(char)
    return f"\\u{code:04x}" if code < _ASTRAL else f"\\U{code:08x}"


def quoted(text: str) -> str:
    """Return ``text`` in double quotes, as in JSON."""
    import json

    return visible(json.dumps(text, ensure_ascii=False))


def name(text: str) -> str:
    """Return a name as it is where it can be printed, and in quotes otherwise, so that no two names look alike."""
    return text if text and text.isprintable() and not text.startswith('"') else quoted(text)


def exact(number: float) -> str:
    """Return a float so that reading it gives the same float."""
    return repr(float(number)) if math.isfinite(number) else not_finite(number)


def not_finite(number: float) -> str:
    """Return NaN or an infinity as text."""
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def literal(value: object, number: Callable[[float], str] = exact) -> str:
    """Return a value as JSON would write it, on one line.

    What JSON lacks: ``NaN``, ``Infinity``; bytes as ``<16 bytes: …>``; anything else as its ``str``. A container inside
    itself and nesting below 100 levels end in ``<…>``.

    Args:
        value: Anything a finding may hold.
        number: How floats are written.
    """
    return _Writer(number).write(value)


class _Writer:
    """Writes one value; remembers the containers it is in."""

    def __init__(self, number: Callable[[float], str]) -> None:
        self._inside: set[int] = set()
        self._number = number

    def write(self, value: Any) -> str:
        if value is None or value is ABSENT:
            return "null"
        if isinstance(value, float):
            return self._number(value)
        if isinstance(value, (Mapping, list, tuple, AbstractSet)):
            return self._container(value)
        if hasattr(value, "tolist") and type(items := value.tolist()) is not type(value):
            return self.write(items)  # arrays and scalars of NumPy
        return scalar(value)

    def _container(self, value: Any) -> str:
        if id(value) in self._inside or len(self._inside) >= _MAX_DEPTH:
            return "<…>"
        self._inside.add(id(value))
        try:
            if isinstance(value, Mapping):
                return f"{{{', '.join(f'{self.write(key)}: {self.write(item)}' for key, item in value.items())}}}"
            items = [self.write(item) for item in value]
            return f"[{', '.join(sorted(items) if isinstance(value, AbstractSet) else items)}]"
        finally:
            self._inside.discard(id(value))


@singledispatch
def scalar(value: object) -> str:
    """Return a value without parts as text."""
    return visible(_ADDRESS.sub("", str(value)))


@scalar.register
def _string(value: str) -> str:
    return quoted(value)


@scalar.register
def _boolean(value: bool) -> str:
    return "true" if value else "false"


@scalar.register
def _integer(value: int) -> str:
    return str(int(value)) if value.bit_length() <= _MAX_INT_BITS else hex(value)


@scalar.register(date)
@scalar.register(time)
def _moment(value: Any) -> str:
    return str(value.isoformat())


@scalar.register(bytes)
@scalar.register(bytearray)
@scalar.register(memoryview)
def _bytes(value: Any) -> str:
    data = bytes(value)
    if len(data) <= _SHORT_BYTES:
        return f"<{len(data)} bytes: {data.hex()}>"
    import hashlib

    return f"<{len(data):,} bytes, blake2b {hashlib.blake2b(data, digest_size=8).hexdigest()}>"
