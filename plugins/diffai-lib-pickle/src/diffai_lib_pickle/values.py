"""What an inert pickle gives where real unpickling would give objects: records of what was asked for."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PYTHON_2 = {"__builtin__": "builtins", "copy_reg": "copyreg", "cPickle": "pickle", "UserDict": "collections"}
_SHOWN = 200
_MAX_KEY_PARTS = 64
_MAX_KEY_TEXT = 4096
_SETS = frozenset({"builtins.set", "builtins.frozenset"})
_INT_64 = 1 << 63


class Global(NamedTuple):
    """Something importable that a pickle names; it was not imported.

    Args:
        module: Module, in Python 3 spelling (``builtins`` for ``__builtin__``).
        name: Name in the module, dotted for nested classes.
    """

    module: str
    name: str

    @property
    def path(self) -> str:
        """Module and name with a dot between."""
        return f"{self.module}.{self.name}"


class Key(NamedTuple):
    """Stands for a key of a dict, or a member of a set, whose hash a file could choose: a tuple, a huge number.

    Args:
        text: The key as Python writes it; two keys are equal if their texts are.
    """

    text: str


class Span(NamedTuple):
    """Bytes that were left where they are because they are many.

    Args:
        position: Where they begin in the source of the pickle.
        length: How many.
        is_text: Whether Python 2 wrote them as ``str``, so that they may be text.
    """

    position: int
    length: int
    is_text: bool = False


class Inert:
    """An object that real unpickling would make: what was to be called, with what, and what it was given afterwards.

    Attributes:
        cls: What was to be called: a :class:`Global`, or any value that a pickle calls.
        args: Positional arguments.
        kwargs: Keyword arguments.
        state: What ``__setstate__`` or ``__dict__`` was to receive; ``None`` if nothing.
        items: Entries that were set (``obj[key] = value``); ``None`` if none.
        appends: Elements that were appended or added; ``None`` if none.
        position: Where in the source the object is made.
    """

    __slots__ = ("appends", "args", "cls", "items", "kwargs", "position", "state")

    def __init__(self, cls: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None, position: int = 0) -> None:
        self.cls = cls
        self.args = args
        self.kwargs = kwargs
        self.state: Any = None
        self.items: dict[Any, Any] | None = None
        self.appends: list[Any] | None = None
        self.position = position

    @property
    def path(self) -> str:
        """Full name of what was to be called; empty if it is no global."""
        return self.cls.path if type(self.cls) is Global else ""

    def set_state(self, state: Any) -> None:
        """Keep a state; one that comes later adds to it, as attributes do.

        Raises:
            ValueError: If two states cannot be joined.
        """
        if type(self.state) is dict and type(state) is dict:
            self.state = self.state | state
        elif self.state is None:
            self.state = state
        else:
            raise ValueError("an object is given its state twice")

    def attributes(self) -> dict[Any, Any]:
        """Return the attributes that the usual ``__setstate__`` would set; empty if the state is something else."""
        state = self.state
        if type(state) is dict:
            return state
        if type(state) is tuple and len(state) == 2 and all(part is None or type(part) is dict for part in state):  # noqa: PLR2004 - __dict__ and slots
            return {**(state[0] or {}), **(state[1] or {})}
        return {}

    def __repr__(self) -> str:
        return f"Inert({self.path or '…'})"


SET = Global("builtins", "set")
FROZENSET = Global("builtins", "frozenset")
BYTEARRAY = Global("builtins", "bytearray")
OBJECT = Global("builtins", "object")


def python_3(module: str) -> str:
    """Return the name of a module as Python 3 has it."""
    return _PYTHON_2.get(module, module)


def shown(value: str) -> str:
    """Return a text in quotes, shortened to what a message bears."""
    return repr(value if len(value) <= _SHOWN else f"{value[:_SHOWN]}…")


def safe_key(key: Any) -> Any:
    """Return a key of a dict whose hash no file can choose so that a dict becomes slow.

    Raises:
        ValueError: If it cannot be a key.
    """
    if key is None or type(key) in {str, bytes, bool, float, Global, Key}:
        return key
    if type(key) is int:
        return key if -_INT_64 <= key < _INT_64 else Key(str(key))
    if type(key) is tuple:
        return Key(_tuple_text(key, [_MAX_KEY_PARTS]))
    if type(key) in {list, dict}:
        raise ValueError(f"the pickle has a {type(key).__name__} as the key of a dict")
    return key  # records are keys by identity


def record_text(record: Inert) -> str:
    """Return a record that is a key as text: all that it holds, members of sets in the order of their texts.

    What is beyond ``_MAX_KEY_PARTS`` parts, or ``_MAX_KEY_TEXT`` characters of one, is told by an ellipsis.
    """
    return _record_text(record, [_MAX_KEY_PARTS])


def _tuple_text(key: tuple[Any, ...], left: list[int]) -> str:
    """Return a tuple as Python writes it; ``left`` is how many more parts may come, whatever is nested in what."""
    left[0] -= len(key) + 1
    if left[0] < 0:
        raise ValueError(f"the pickle has a tuple of more than {_MAX_KEY_PARTS} parts as the key of a dict")
    longest = max((len(part) for part in key if type(part) in {str, bytes}), default=0)
    if longest > _MAX_KEY_TEXT:
        raise ValueError(f"the pickle has a tuple with a text of {longest:,} characters as the key of a dict")
    parts = [_tuple_text(part, left) if type(part) is tuple else _part_text(part, left) for part in key]
    return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"


def _part_text(part: Any, left: list[int]) -> str:
    if type(part) in {str, bytes} and len(part) > _MAX_KEY_TEXT:
        return f"{part[:_MAX_KEY_TEXT]!r}… ({len(part):,} characters)"
    if part is None or type(part) in {str, bytes, bool, int, float}:
        return repr(part)
    return _composed_text(part, left)


def _composed_text(part: Any, left: list[int]) -> str:
    if isinstance(part, Key):
        return part.text
    if isinstance(part, Global):
        return part.path
    if isinstance(part, Inert):
        return _record_text(part, left)
    if type(part) in {tuple, list}:
        return f"({', '.join(_parts(part, left))})"
    if type(part) is dict:
        return f"{{{', '.join(_parts([item for pair in islice(part.items(), left[0] + 1) for item in pair], left))}}}"
    return f"<{type(part).__name__}>"


def _record_text(record: Inert, left: list[int]) -> str:
    held = (*record.args, *(record.kwargs or {}).items())
    held += tuple(part for part in (record.state, record.items, record.appends) if part is not None)
    if record.path in _SETS and len(held) == 1 and type(held[0]) is list:
        return f"{record.path}({', '.join(sorted(_parts(held[0], left)))})"
    return f"{record.path}({', '.join(_parts(held, left))})"


def _parts(items: Sequence[Any], left: list[int]) -> list[str]:
    """Return the texts of items, up to an ellipsis once too many parts have come."""
    found: list[str] = []
    for item in items:
        left[0] -= 1
        if left[0] < 0:
            return [*found, "…"]
        found.append(_part_text(item, left))
    return found
