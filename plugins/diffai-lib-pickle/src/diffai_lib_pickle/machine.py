"""Runs a pickle's program on records instead of objects: nothing is imported, nothing of it is called."""

from __future__ import annotations

import codecs
import hashlib
import struct
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_core.plugin import Foreign
from diffai_lib_pickle.operations import OPERATIONS
from diffai_lib_pickle.sources import Window
from diffai_lib_pickle.values import OBJECT, Global, Inert, Key, Span, python_3, safe_key, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from diffai_lib_pickle.sources import Source

SPAN_BYTES = 4096
"""Byte strings from this length on stay in the file, as a :class:`Span`."""

_MAX_NAME = 4096
_MAX_TWINS = 1000
_PIECE = 1 << 18
_SIMPLE = (str, bytes, int, float, type(None))
_STOP = ord(".")


@dataclass(frozen=True)
class Limits:
    """How much a pickle may hold; a value takes up to about 100 bytes of memory.

    Args:
        operations: Most operations of its program; it makes at most one value in each.
        text_bytes: Most bytes of text in all.
    """

    operations: int = 5_000_000
    text_bytes: int = 128 << 20


class Call(NamedTuple):
    """What a builder is called with.

    Args:
        args: Positional arguments of the pickle; inert values.
        kwargs: Keyword arguments.
        position: Where in the source the call is.
        target: What the pickle calls.
    """

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    position: int
    target: Global


@dataclass(frozen=True)
class Rules:
    """What a format does with its own names.

    Args:
        builders: Our own code for globals of the format, by full name: called as ``builder(call)`` where the pickle
            calls the global. What it returns takes the place of the object. It may raise ``ValueError``. If what it
            returns has ``set_state(state)``, this is called where the pickle gives the object its state.
        persistent: Called as ``persistent(pid, position)`` for objects that are kept elsewhere; without it they are
            records whose class is ``persistent.id``.
        after_build: Called as ``after_build(value, position)`` when an object has got its state; ``position`` is
            that of the byte behind. Returns ``None``, or what takes the object's place and the position at which
            the pickle goes on (data may follow in the stream, as joblib writes them).
    """

    builders: Mapping[str, Callable[[Call], Any]] = field(default_factory=dict)
    persistent: Callable[[Any, int], Any] | None = None
    after_build: Callable[[Any, int], tuple[Any, int] | None] | None = None


class Unpickled(NamedTuple):
    """The outcome.

    Args:
        value: Plain values, and :class:`Inert`, :class:`Global` and :class:`Span` for what is not plain.
        end: Position behind the pickle.
        globals: Every name that the pickle would import, and where it does first; in order.
    """

    value: Any
    end: int
    globals: dict[Global, int]

    def foreign(
        self, known: Collection[str] | Callable[[Global], bool], source: Source, file_name: str
    ) -> tuple[Foreign, ...]:
        """Return the names that the format does not need.

        Args:
            known: Full names that it does need (``"package.*"`` for all that stands directly in a module or package),
                or a function that tells.
            source: Where the pickle is from.
            file_name: What messages call the file.
        """
        needed = known if callable(known) else partial(_is_listed, known)
        return tuple(
            Foreign(found.path, file_name, source.offset(position))
            for found, position in self.globals.items()
            if not needed(found)
        )


def _is_listed(known: Collection[str], found: Global) -> bool:
    if found.path in known:
        return True
    return "." not in found.name and f"{found.module}.*" in known  # a dotted name may lead through a module to another


def load(source: Source, start: int = 0, rules: Rules | None = None, limits: Limits | None = None) -> Unpickled:
    """Read the pickle that begins at ``start``.

    Args:
        source: Where it is.
        start: Position of its first byte.
        rules: What to do with the names of a format; without them all objects are records.
        limits: How much it may hold.

    Raises:
        LoadError: If it is no pickle, is damaged, or is larger than the limits.
    """
    machine = Machine(Window(source, start), rules or Rules(), limits or Limits())
    try:
        value = machine.run()
    except (ValueError, TypeError, LookupError, OverflowError, struct.error) as error:
        words = str(error) if type(error) is ValueError else f"the pickle is damaged ({type(error).__name__})"
        raise source.error(words, max(start, machine.window.position - 1)) from error
    return Unpickled(value, machine.window.position, machine.globals)


class Machine:
    """The stack machine; its methods are called by the operations of ``operations.py``."""

    def __init__(self, window: Window, rules: Rules, limits: Limits) -> None:
        self.window: Window = window
        self.rules = rules
        self.limits = limits
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.globals: dict[Global, int] = {}
        self._long_keys: dict[Span, Key] = {}
        self._text_left = limits.text_bytes

    def run(self) -> Any:
        """Run the program to its end and return what it leaves."""
        handlers = OPERATIONS
        window = self.window
        for _ in range(self.limits.operations):
            try:
                code = window.data[window.at]
            except IndexError:
                window.refill(1)
                code = window.data[0]
            window.at += 1
            if code == _STOP:
                return self._result()
            handlers[code](self)
        raise ValueError(f"a pickle of more than {self.limits.operations:,} operations; so many are not read")

    def _result(self) -> Any:
        if self.marked or len(self.stack) != 1:
            raise ValueError("the pickle ends in the middle of an object")
        return self.stack[0]

    # -- stack and memo ----------------------------------------------------------------------------------------

    def mark(self) -> None:
        """Begin a group of values."""
        self.marked.append(self.stack)
        self.stack = []

    def to_mark(self) -> list[Any]:
        """End the group and return its values."""
        items = self.stack
        if not self.marked:
            raise ValueError("the pickle closes what it has not opened")
        self.stack = self.marked.pop()
        return items

    def pop(self) -> None:
        """Throw a value away, or an empty group."""
        if self.stack:
            self.stack.pop()
        else:
            self.to_mark()

    def put(self, index: int) -> None:
        """Keep the last value under a number."""
        if index < 0:
            raise ValueError("the pickle keeps a value under a negative number")
        self.memo[index] = self.stack[-1]

    def get(self, index: int) -> None:
        """Take up a value that was kept."""
        try:
            self.stack.append(self.memo[index])
        except KeyError:
            raise ValueError(f"the pickle asks for value {index:,}, which it has not kept") from None

    # -- strings -----------------------------------------------------------------------------------------------

    def text(self, length: int) -> None:
        """Take up text of so many bytes."""
        self._count_text(length)
        self.stack.append(str(self.window.take(length), "utf-8", "surrogatepass"))

    def _count_text(self, length: int) -> None:
        self._text_left -= length
        if self._text_left < 0:
            raise ValueError(
                f"the pickle holds more than {self.limits.text_bytes:,} bytes of text; so many are not read"
            )

    def bytes(self, length: int, *, is_text: bool = False) -> None:
        """Take up a byte string; a long one stays where it is."""
        if length >= SPAN_BYTES:
            self.stack.append(Span(self.window.skip(length), length, is_text))
        elif is_text:
            self.stack.append(_python_2_text(self.window.take(length)))
        else:
            self.stack.append(self.window.take(length))

    def line_text(self) -> None:
        """Take up text of protocol 0."""
        line = self.window.line()
        self._count_text(len(line))
        self.stack.append(line.decode("raw_unicode_escape"))

    def quoted(self) -> None:
        """Take up a quoted string of Python 2."""
        line = self.window.line()
        if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in {b"'", b'"'}:  # noqa: PLR2004 - two quotes
            raise ValueError("a string without quotes")
        self.stack.append(_python_2_text(codecs.escape_decode(line[1:-1])[0]))

    # -- containers --------------------------------------------------------------------------------------------

    def tuple(self, count: int) -> None:
        """Make a tuple of the last values."""
        if len(self.stack) < count:
            raise ValueError("the pickle takes more values than there are")
        self.stack[-count:] = [tuple(self.stack[-count:])]

    def set_items(self, pairs: list[Any]) -> None:
        """Set keys and values, alternating, in the last value."""
        target = self.stack[-1]
        if type(target) is not dict:
            if not isinstance(target, Inert):
                raise ValueError("the pickle sets an entry of what has none")
            if target.items is None:
                target.items = {}
            target = target.items
        if len(pairs) % 2:
            raise ValueError("the pickle sets a key without a value")
        for place in range(0, len(pairs), 2):
            key = pairs[place]
            target[key if type(key) is str else self._key_in(target, key)] = pairs[place + 1]

    def _key_in(self, target: dict[Any, Any], key: Any) -> Any:
        """Return what stands for a key; the text of a tuple that holds records need not tell it from every other."""
        if type(key) is Span:
            return self._long_key(key)
        if type(key) is tuple:
            key = tuple(self._long_key(part) if type(part) is Span else part for part in key)
        found = safe_key(key)
        if type(found) is not Key:
            return found
        text, number = found.text, 1
        self._count_text(len(text))
        if type(key) is tuple and any(not isinstance(part, _SIMPLE) for part in key):
            while found in target:
                number += 1
                if number > _MAX_TWINS:
                    raise ValueError(f"more than {_MAX_TWINS:,} keys of a dict cannot be told apart")
                self._count_text(len(text))
                found = Key(f"{text} ({number})")
        return found

    def _long_key(self, span: Span) -> Key:
        """Return what stands for a key of many bytes; each stretch is read but once."""
        if span not in self._long_keys:
            digest = hashlib.blake2b(digest_size=32)
            for place in range(0, span.length, _PIECE):
                count = min(_PIECE, span.length - place)
                digest.update(self.window.source.read(span.position + place, count))
            self._long_keys[span] = Key(f"{span.length:,} bytes, BLAKE2b {digest.hexdigest()}")
        return self._long_keys[span]

    def extend(self, items: list[Any]) -> None:
        """Append to the last value."""
        target = self.stack[-1]
        if type(target) is list:
            target.extend(items)
            return
        if not isinstance(target, Inert):
            raise ValueError("the pickle appends to what is no list")  # noqa: TRY004 - of the file, not of a caller
        if target.appends is None:
            target.appends = []
        target.appends.extend(items)

    # -- objects -----------------------------------------------------------------------------------------------

    def find(self, module: Any, name: Any) -> None:
        """Note a name and take it up."""
        if type(module) is not str or type(name) is not str or not module or not name:
            raise ValueError("the pickle imports something that has no name")
        if max(len(module), len(name)) > _MAX_NAME:
            raise ValueError(f"the pickle imports something with the name {shown(module)}")
        found = Global(python_3(module), name)
        self.globals.setdefault(found, self.window.position - 1)
        self.stack.append(found)

    def call(self, target: Any, args: Any, kwargs: Any = None) -> None:
        """Record a call, or let a builder answer it."""
        if type(args) is not tuple or not (kwargs is None or type(kwargs) is dict):
            raise ValueError("the pickle calls something without a tuple of arguments")
        target, args, kwargs = _unwrapped(target, args, kwargs)
        position = self.window.position - 1
        builder = self.rules.builders.get(target.path) if type(target) is Global else None
        if builder is None:
            self.stack.append(Inert(target, args, kwargs, position))
        else:
            self.stack.append(builder(Call(args, kwargs or {}, position, target)))

    def build(self) -> None:
        """Give the value before the last its state, which is the last."""
        state = self.stack.pop()
        target = self.stack[-1]
        if not hasattr(target, "set_state"):
            raise ValueError(f"the pickle gives a state to a {type(target).__name__}")
        target.set_state(state)
        if self.rules.after_build is not None:
            done = self.rules.after_build(target, self.window.position)
            if done is not None:
                self.stack[-1], position = done
                self.window.move(position)

    def persistent(self, pid: Any) -> None:
        """Take up what is kept elsewhere."""
        position = self.window.position - 1
        if self.rules.persistent is None:
            self.stack.append(Inert(Global("persistent", "id"), (pid,), None, position))
        else:
            self.stack.append(self.rules.persistent(pid, position))


def _unwrapped(target: Any, args: tuple[Any, ...], kwargs: Any) -> tuple[Any, tuple[Any, ...], Any]:
    """Return the call that ``copyreg``'s helpers stand for."""
    path = target.path if type(target) is Global else ""
    if path == "copyreg.__newobj__" and args:
        return args[0], args[1:], kwargs
    if path == "copyreg.__newobj_ex__" and len(args) == 3 and type(args[1]) is tuple and type(args[2]) is dict:  # noqa: PLR2004 - class, arguments, keywords
        return args[0], args[1], args[2]
    if path == "copyreg._reconstructor" and len(args) == 3:  # noqa: PLR2004 - class, base, value of the base
        return args[0], (() if args[1] == OBJECT else args[2:]), kwargs
    return target, args, kwargs


def _python_2_text(data: bytes) -> str | bytes:
    """Return a string of Python 2, which may be text or bytes."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data
