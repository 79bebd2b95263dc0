"""Divides what a pickle holds into arrays by dotted path and a tree of plain values."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_lib_pickle.arrays import ArrayValue, DTypeValue, ScalarValue
from diffai_lib_pickle.standard import BYTES, DEQUE, MAPPINGS, SEQUENCES, SETS, plain_standard
from diffai_lib_pickle.values import Global, Inert, Key, Span, record_text

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable

    from diffai_lib_pickle.sources import Source

MAX_DEPTH = 200
"""Levels of nesting that are read."""

MAX_VALUES = 2_000_000
"""Values that are visited; one that is shared counts each time it holds an array, else once."""

MAX_ARRAYS = 100_000
"""Arrays that are found; one that is shared counts for each path to it."""

MAX_PATH = 8192
"""Characters of the longest path to an array or to what may hold one."""

MAX_TEXT = 64 << 20
"""Characters of all paths to arrays, and of all keys that are objects."""

CLASS_KEY = "__class__"
ARGUMENTS_KEY = "__args__"
STATE_KEY = "__state__"
ITEMS_KEY = "__items__"
KEY_KEY = "__key__"
MAXLEN_KEY = "__maxlen__"
CYCLE_KEY = "__cycle__"

_SHOWN_BYTES = 1 << 16
_PIECE = 1 << 18
_PLAIN = (str, int, float, bool, type(None), bytes)
_NAMING = (*_PLAIN, Global, Key, Inert, DTypeValue)
"""Keys whose text tells them."""
_ABSENT: Any = type("_Absent", (), {})()
"""Stands for a part of which nothing remains in the tree, because all of it is arrays."""


class Division(NamedTuple):
    """What a pickle holds.

    Args:
        arrays: Arrays by dotted path, in the order of the pickle.
        tree: All the rest: dicts with string keys, lists, and plain values.
    """

    arrays: dict[str, Any]
    tree: Any


def divide(
    value: Any,
    source: Source,
    is_array: Callable[[Any], bool],
    expand: Callable[[Any], Any] | None = None,
    prefix: str = "",
) -> Division:
    """Divide a value.

    Sharing is kept: a value that two places share is one object of the tree. What contains itself is marked with
    ``{"__cycle__": levels}``, the number of levels up to itself.

    Args:
        value: As ``load`` gives it.
        source: Where it is from, for bytes that were left there.
        is_array: Tells what goes to ``arrays``; it decides first.
        expand: Called with everything that is no plain value, dict, list or tuple: returns what to go on with, or
            the same value. For instance a mapping of the parts of a module.
        prefix: What comes before each path.

    Raises:
        LoadError: If it is nested too deeply or too often shared to be visited, or a part of it is damaged.
    """
    divider = _Divider(source, is_array, expand)
    tree = divider.part(value, prefix)
    return Division(divider.arrays, {} if tree is _ABSENT else tree)


class _Divider:
    def __init__(self, source: Source, is_array: Callable[[Any], bool], expand: Callable[[Any], Any] | None) -> None:
        self.arrays: dict[str, Any] = {}
        self._source = source
        self._is_array = is_array
        self._expand = expand or (lambda value: value)
        self._done: dict[
            int, tuple[Any, Any]
        ] = {}  # of values without arrays: the value, so that it lives, and its tree
        self._above: dict[int, int] = {}
        self._lowest = MAX_DEPTH + 1  # level to which a cycle led
        self._left = MAX_VALUES
        self._text_left = MAX_TEXT
        self._twins: dict[str, int] = {}  # how often a path was taken already

    def part(self, value: Any, path: str) -> Any:
        """Return the tree of a value, ``_ABSENT`` if it is all arrays."""
        if type(value) in _PLAIN:
            return value
        if id(value) in self._done:
            return self._done[id(value)][1]
        level = len(self._above)
        if id(value) in self._above:
            self._lowest = min(self._lowest, self._above[id(value)])
            return {CYCLE_KEY: level - self._above[id(value)]}
        self._left -= 1
        if level >= MAX_DEPTH:
            raise self._source.error(f"nested deeper than {MAX_DEPTH} levels", 0)
        if self._left < 0:
            raise self._source.error(f"holds more than {MAX_VALUES:,} values, counted as often as they are shared", 0)
        if self._is_array(value):
            self._add_array(value, path)
            return _ABSENT
        self._above[id(value)] = level
        n_arrays = len(self.arrays)
        try:
            tree = self._converted(value, path)
        except ValueError as error:
            raise self._source.error(str(error), getattr(value, "position", 0)) from error
        finally:
            del self._above[id(value)]
        if self._lowest >= level:
            self._lowest = MAX_DEPTH + 1
            if len(self.arrays) == n_arrays:
                self._done[id(value)] = value, tree
        return tree

    def _count_text(self, length: int) -> None:
        self._text_left -= length
        if self._text_left < 0:
            raise self._source.error(f"holds names of more than {MAX_TEXT:,} characters in all", 0)

    def _add_array(self, value: Any, path: str) -> None:
        if len(self.arrays) == MAX_ARRAYS:
            raise self._source.error(f"holds more than {MAX_ARRAYS:,} arrays, counted as often as they are shared", 0)
        self._count_text(len(path))
        self.arrays[_free(path, self.arrays, self._twins)] = value

    def _converted(self, value: Any, path: str) -> Any:
        kind = type(value)
        if kind is dict:
            return self._mapping(value.items(), path)
        if kind is list or kind is tuple:
            return self._sequence(value, path)
        expanded = self._expand(value)
        if expanded is not value:
            return self.part(expanded, path)
        if kind is Inert:
            return self._object(value, path)
        if kind is ArrayValue:
            return self._described_array(value, path)
        return self._plain(value)

    def _plain(self, value: Any) -> Any:
        if isinstance(value, Global):
            return value.path
        if isinstance(value, Key):
            return value.text
        if isinstance(value, Span):
            return self._span(value)
        if isinstance(value, DTypeValue):
            return str(value.descr)
        if isinstance(value, ScalarValue):
            return self.part(value.value, "")
        raise TypeError(f"a {type(value).__name__} is no value of a tree")

    def _mapping(self, pairs: Iterable[tuple[Any, Any]], path: str) -> Any:
        tree: dict[str, Any] = {}
        is_empty = True
        names: set[str] = set()
        twins: dict[str, int] = {}
        for number, (key, item) in enumerate(pairs):
            is_empty = False
            name = key if type(key) is str else self._key(key, number)
            if name in names:
                name = _free(f"{name} ({type(key).__name__})", names, twins)
            names.add(name)
            if type(item) in _PLAIN and isinstance(key, _NAMING):
                tree[name] = item
                continue
            below = _below(path, name)
            if not isinstance(key, _NAMING) and not _is_number(key):
                kept = self.part(key, f"{below}.{KEY_KEY}")
                tree |= {} if kept is _ABSENT else {f"{name}.{KEY_KEY}": kept}
            found = self.part(item, below)
            if found is not _ABSENT:
                tree[name] = found
        return tree if tree or is_empty else _ABSENT

    def _key(self, key: Any, number: int) -> str:
        """Return the name of an entry: its key as text, or its number if the key is an array or the like."""
        if isinstance(key, Global):
            return key.path
        if isinstance(key, Key):
            return key.text
        if isinstance(key, Inert):
            text = record_text(key)
            self._count_text(len(text))
            return text
        if isinstance(key, DTypeValue):
            return str(key.descr)
        plain = key.value if isinstance(key, ScalarValue) else key
        return str(plain if type(plain) in _PLAIN else number)

    def _sequence(self, items: Iterable[Any], path: str) -> Any:
        found = [
            item if type(item) in _PLAIN else self.part(item, _below(path, str(i))) for i, item in enumerate(items)
        ]
        if not any(item is _ABSENT for item in found):
            return found
        return {str(i): item for i, item in enumerate(found) if item is not _ABSENT} or _ABSENT

    def _object(self, value: Inert, path: str) -> Any:
        try:
            return self._standard(value, path)
        except KeyError:
            return self._mapping(_fields(value), path)
        except (ValueError, TypeError, IndexError, OverflowError) as error:
            raise self._source.error(f"{value.path} is damaged ({error})", value.position) from error

    def _standard(self, value: Inert, path: str) -> Any:
        """Return what an object of the standard library holds.

        Raises:
            KeyError: If it is none.
        """
        name = value.path
        if name in MAPPINGS:
            kept = ((STATE_KEY, value.state),) if value.state else ()
            return self._mapping([*_entries(value), *kept], path)
        if name in SEQUENCES and not value.state:
            items = [*_elements(value), *(value.appends or ())]
            if name == DEQUE and value.args[1:] not in {(), (None,)}:
                return self._mapping(((MAXLEN_KEY, value.args[1]), (ITEMS_KEY, items)), path)
            found = self._sequence(items, path)
            return (
                sorted(found, key=repr)
                if name in SETS and type(found) is list and all(map(_is_plain, found))
                else found
            )
        if name in BYTES and value.args and type(value.args[0]) is Span:
            return self._span(value.args[0])
        return plain_standard(value)

    def _described_array(self, value: ArrayValue, path: str) -> Any:
        """Return an array that the caller does not take: objects as a list, the rest by digest."""
        fields: dict[str, Any] = {"dtype": str(value.dtype.descr), "shape": value.shape}
        if isinstance(value.data, list):
            fields["elements"] = value.data
        else:
            fields["data"] = self._digest(value.data)
        if value.state is not None:
            fields[STATE_KEY] = value.state
        return self._mapping(fields.items(), path)

    def _span(self, value: Span) -> Any:
        if value.length > _SHOWN_BYTES:
            return self._digest(value)
        data = self._source.read(value.position, value.length)
        if value.is_text:
            try:
                return data.decode("utf-8")
            except UnicodeDecodeError:
                return data
        return data

    def _digest(self, value: bytes | Span) -> dict[str, Any]:
        digest = hashlib.blake2b(digest_size=32)
        if isinstance(value, bytes):
            digest.update(value)
            return {"bytes": len(value), "blake2b": digest.hexdigest()}
        for place in range(0, value.length, _PIECE):
            digest.update(self._source.read(value.position + place, min(_PIECE, value.length - place)))
        return {"bytes": value.length, "blake2b": digest.hexdigest()}


def _free(name: str, taken: Container[str], twins: dict[str, int]) -> str:
    """Return a name that is not taken; ``twins`` counts how often each was, so that many cost no more than one."""
    found = name
    while found in taken:
        twins[name] = twins.get(name, 1) + 1
        found = f"{name} ({twins[name]})"
    return found


def _below(path: str, name: str) -> str:
    """Return the path of an entry.

    Raises:
        ValueError: If it is longer than ``MAX_PATH``.
    """
    if len(path) + len(name) >= MAX_PATH:
        raise ValueError(f"a value stands under a name of more than {MAX_PATH:,} characters")
    return f"{path}.{name}" if path else name


def _is_number(key: Any) -> bool:
    return isinstance(key, ScalarValue) and _is_plain(key.value)


def _is_plain(value: Any) -> bool:
    return type(value) in _PLAIN


def _entries(value: Inert) -> Iterable[tuple[Any, Any]]:
    """Return the entries of a mapping: given at once, as pairs, or set one by one."""
    for argument in value.args:
        if type(argument) is dict:
            yield from argument.items()
        elif type(argument) is list:
            yield from argument
        elif argument is not None and type(argument) is not Global:
            raise ValueError("a mapping made from something else")
    yield from (value.items or {}).items()


def _elements(value: Inert) -> Iterable[Any]:
    items = value.args[0] if value.args else ()
    if type(items) in {list, tuple}:
        return items
    if isinstance(items, Inert) and items.path in SEQUENCES:
        return [*_elements(items), *(items.appends or ())]
    raise ValueError("a sequence made from something else")


def _fields(value: Inert) -> Iterable[tuple[Any, Any]]:
    """Return class and contents of an object that nobody knows: attributes beside each other, the rest by its kind."""
    yield CLASS_KEY, value.cls
    if value.args:
        yield ARGUMENTS_KEY, value.args
    yield from (value.kwargs or {}).items()
    attributes = value.attributes()
    if value.state is not None and not attributes and value.state != {}:
        yield STATE_KEY, value.state
    yield from attributes.items()
    if value.items:
        yield from value.items.items() if not attributes else ((ITEMS_KEY, value.items),)
    if value.appends:
        yield ITEMS_KEY, value.appends
