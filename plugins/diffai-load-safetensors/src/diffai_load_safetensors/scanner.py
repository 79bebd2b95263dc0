"""Reads JSON from a stranger piece by piece: duplicate keys refused, every error placed, memory bounded.

``json.loads`` would build the whole document first; 100 MB of ``[[],[],…`` become gigabytes before anybody can object.
Here the caller says what may come next, and only that is built.
"""

from __future__ import annotations

import codecs
import re
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

from diffai_core.plugin import LoadError

if TYPE_CHECKING:
    import json
    from collections.abc import Collection

MAX_MEMBERS = 1_000_000
"""Most keys of one object that are read; the largest real models have a tenth of it."""

SPACE = rb"[ \t\n\r]*+"
NEXT = SPACE + rb"([,}])" + SPACE
_STRING = rb'"((?:[^"\\\x00-\x1f]++|\\.)*+)"'
_KEY = re.compile(_STRING + SPACE + rb":" + SPACE)
_TEXT = re.compile(_STRING)
_NEXT = re.compile(NEXT)
_PAIR = re.compile(_STRING + SPACE + rb":" + SPACE + _STRING + NEXT)
_OPEN = re.compile(rb"\{" + SPACE + rb"(\}?)")
_NULL = re.compile(rb"null")
_SPACES = re.compile(SPACE)
_WINDOWS = (1 << 9, 1 << 16)
_SHOWN = 100


class Scanner:
    """A place in a JSON text, from which values are taken in the order in which they stand.

    Args:
        text: The JSON text, UTF-8.
        file_name: What messages call the file.
        base: Byte offset of ``text`` in the file.
    """

    def __init__(self, text: bytes, file_name: str, base: int = 0) -> None:
        self.text = text
        self.position = 0
        self._file_name = file_name
        self._base = base

    def error(self, reason: str, position: int | None = None) -> LoadError:
        """Return the error for what stands at ``position`` (default: here)."""
        place = self.position if position is None else position
        return LoadError(self._file_name, reason, self._base + place)

    def match(self, pattern: re.Pattern[bytes]) -> re.Match[bytes] | None:
        """Match ``pattern`` here and step behind it; ``None`` if it does not match."""
        found = pattern.match(self.text, self.position)
        if found:
            self.position = found.end()
        return found

    def enter(self) -> bool:
        """Step into the object here; whether it has members.

        Raises:
            LoadError: If this is no object.
        """
        opening = self.match(_OPEN)
        if not opening:
            raise self.error("not a JSON object where one is needed")
        return not opening[1]

    def key(self) -> str:
        """Take a key and its colon.

        Raises:
            LoadError: If there is none.
        """
        start = self.position
        found = self.match(_KEY)
        if not found:
            raise self.error("not JSON: a key in double quotes and a colon are needed")
        return self.decoded(found[1], start)

    def has_more(self) -> bool:
        """Step behind a member; whether another one follows.

        Raises:
            LoadError: If neither a comma nor the closing brace stands here.
        """
        found = self.match(_NEXT)
        if not found:
            raise self.error("not JSON: a comma or a closing brace is needed")
        return found[1] == b","

    def string(self) -> str:
        """Take the string here.

        Raises:
            LoadError: If there is none.
        """
        start = self.position
        found = self.match(_TEXT)
        if not found:
            raise self.error("not a JSON string where one is needed")
        return self.decoded(found[1], start)

    def spaces(self) -> None:
        """Step over white space."""
        self.match(_SPACES)

    def null(self) -> bool:
        """Take ``null`` if it stands here."""
        return self.match(_NULL) is not None

    def string_map(self) -> dict[str, str]:
        """Take the object of strings here.

        Raises:
            LoadError: If this is no object, a key is there twice, a value is not a string, or there are too many.
        """
        pairs: dict[str, str] = {}
        more = self.enter()
        while more:
            start = self.position
            found = self.match(_PAIR)
            if found:
                name, value = self.decoded(found[1], start), self.decoded(found[2], start)
                more = found[3] == b","
            else:  # step by step, to see what is wrong
                name, value = self.key(), self.string()
                more = self.has_more()
            self.check_new(name, pairs, start)
            pairs[name] = value
        return pairs

    def check_new(self, name: str, seen: Collection[str], start: int) -> None:
        """Make sure that the key ``name`` at ``start`` is not among those ``seen``, and that these are not too many.

        Raises:
            LoadError: If it is, or they are.
        """
        if name in seen:
            raise self.error(f"the key {shown(name)} is there twice", start)
        if len(seen) >= MAX_MEMBERS:
            raise self.error(f"more than {MAX_MEMBERS:,} keys in one object", start)

    def value(self) -> Any:
        """Take any value of at most 64 KiB; an object becomes a tuple of (key, value) pairs, an array a list.

        Raises:
            LoadError: If it is longer or no JSON.
        """
        from json import JSONDecodeError

        start = self.position
        for size in _WINDOWS:
            window = self._window(start, size)
            is_all = start + size >= len(self.text)
            try:
                found, end = self._decoder.raw_decode(window)
            except JSONDecodeError as error:
                if is_all:
                    place = start + len(window[: error.pos].encode())
                    raise self.error(f"not JSON: {error.msg}", place) from error
            except (ValueError, RecursionError) as error:
                raise self.error("nested too deeply, or a number that is too long", start) from error
            else:
                if is_all or end < len(window):  # a number at the end of the window may go on behind it
                    self.position = start + len(window[:end].encode())
                    return found
        raise self.error(f"not JSON, or a value of more than {_WINDOWS[-1]:,} bytes", start)

    def finish(self) -> None:
        """Make sure that only white space is left.

        Raises:
            LoadError: If anything else is.
        """
        self.spaces()
        if self.position < len(self.text):
            raise self.error("bytes that are not spaces after the closing brace")

    def decoded(self, raw: bytes, start: int) -> str:
        """Return the string between the quotes of a JSON string that begins at ``start``.

        Raises:
            LoadError: If it is not valid UTF-8, or has an escape that JSON does not know.
        """
        try:
            text = raw.decode()
            if "\\" in text:
                import json

                text = json.loads(f'"{text}"')
                text.encode()  # half of a surrogate pair is no character
        except ValueError as error:
            raise self.error("a string that is not valid UTF-8 or has a wrong escape", start) from error
        return text

    @cached_property
    def _decoder(self) -> json.JSONDecoder:
        from json import JSONDecoder  # most headers need none

        return JSONDecoder(object_pairs_hook=tuple, parse_int=_integer, parse_constant=_no_constant)

    def _window(self, start: int, size: int) -> str:
        try:
            # Not final: the window may end inside a character.
            return codecs.utf_8_decode(self.text[start : start + size], "strict", start + size >= len(self.text))[0]
        except UnicodeDecodeError as error:
            raise self.error("not valid UTF-8", start + error.start) from error


def shown(name: str) -> str:
    """Return ``name`` as messages show it: quoted, control characters escaped, not endless."""
    return repr(name) if len(name) <= _SHOWN else f"{name[:_SHOWN]!r}…"


def _no_constant(name: str) -> NoReturn:
    msg = f"{name} is no JSON"
    raise ValueError(msg)


def _integer(digits: str) -> int | float:
    return -0.0 if digits == "-0" else int(digits)  # no count, and not to be taken for 0
