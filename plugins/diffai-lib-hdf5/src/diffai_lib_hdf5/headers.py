"""Object headers: the messages that say what a group, dataset or named type is."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from diffai_lib_hdf5.checksum import CHECKSUM_BYTES, check
from diffai_lib_hdf5.region import Cursor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from diffai_lib_hdf5.region import Store

MAX_MESSAGES = 100_000
"""Most messages of one object."""
MAX_BLOCKS = 10_000
"""Most blocks over which the header of an object is spread."""

DATASPACE, LINK_INFO, DATATYPE, OLD_FILL, FILL, LINK, EXTERNAL_FILES, LAYOUT = 1, 2, 3, 4, 5, 6, 7, 8
FILTERS, ATTRIBUTE, CONTINUATION, SYMBOL_TABLE, ATTRIBUTE_INFO = 0x0B, 0x0C, 0x10, 0x11, 0x15

_MAX_KNOWN = 0x17
_FIRST_READ = 512
_V1_PREFIX, _V1_MESSAGE = 16, 8
_SHARED, _FAIL_IF_UNKNOWN = 0x02, 0x80
_TIMES, _PHASES, _CREATION_ORDER = 0x20, 0x10, 0x04
_COMMITTED = 2


class Message(NamedTuple):
    """One message.

    Args:
        kind: Its type.
        body: What it says.
        shared: Whether ``body`` only tells where it is said.
    """

    kind: int
    body: Cursor
    shared: bool


class Header(NamedTuple):
    """An object header.

    Args:
        address: Where it is; identifies the object.
        messages: All messages, in the order of the file.
    """

    address: int
    messages: tuple[Message, ...]

    def all(self, kind: int) -> Iterator[Cursor]:
        """Yield the bodies of the messages of one type, each from its start."""
        for message in self.messages:
            if message.kind == kind:
                yield _body(message)

    def first(self, kind: int) -> Cursor | None:
        """Return the body of the first message of a type, from its start, or ``None``."""
        return next(self.all(kind), None)

    def has(self, kind: int) -> bool:
        """Whether there is a message of a type."""
        return any(message.kind == kind for message in self.messages)


def _body(message: Message) -> Cursor:
    body = Cursor(message.body.store, message.body.data, message.body.origin, message.body.what)
    return shared_body(body, message.kind) if message.shared else body


def shared_body(body: Cursor, kind: int) -> Cursor:
    """Return what a message says that only tells where it is said: a named type, mostly.

    Raises:
        LoadError: If it is not said there.
    """
    version = body.version(1, 2, 3)
    how = body.u8()
    if version == 1:
        body.skip(6)
    if version == 3 and how != _COMMITTED:  # noqa: PLR2004 - the version that has several ways
        raise body.unsupported("a message lies in the file's table of shared messages, which is not read")
    at = body.address
    header = read_header(body.store, body.target())
    for message in header.messages:
        if message.kind == kind and not message.shared:
            return Cursor(body.store, message.body.data, message.body.origin, message.body.what)
    raise body.store.error("a shared message is not where it is said to be", at)


def read_header(store: Store, address: int) -> Header:
    """Read the header of the object at ``address``.

    Raises:
        LoadError: If it is damaged, or has more than ``MAX_MESSAGES`` messages.
    """
    cursor = store.upto("an object header", address, _FIRST_READ)
    read = _newer if cursor.data.startswith(b"OHDR") else _older
    return Header(address, tuple(read(store, address, cursor)))


class _Blocks:
    """The blocks of one header that are still to be read; none twice, not too many."""

    def __init__(self, first: Cursor) -> None:
        self.queue = [first]
        self._seen = {first.origin}

    def add(self, message: Cursor) -> tuple[int, int]:
        """Take the place of a further block from a continuation message.

        Raises:
            LoadError: If the blocks run in a circle, or are too many.
        """
        at = message.address
        start, size = message.target(), message.length()
        if start in self._seen or len(self._seen) >= MAX_BLOCKS:
            raise message.store.error("the blocks of an object header run in a circle, or are too many", at)
        self._seen.add(start)
        return start, size


def _older(store: Store, address: int, cursor: Cursor) -> list[Message]:
    cursor.version(1)
    cursor.skip(1)
    n_messages = cursor.u16()
    cursor.skip(4)
    size = cursor.u32()
    blocks = _Blocks(_whole(store, cursor, address + _V1_PREFIX, size))
    messages: list[Message] = []
    for block in blocks.queue:
        while block.left >= _V1_MESSAGE and len(messages) < n_messages:
            kind, length, flags = block.u16(), block.u16(), block.u8()
            block.skip(3)
            message = _message(block, kind, length, flags)
            messages.append(message)
            if kind == CONTINUATION:
                blocks.queue.append(store.cursor("an object header", *blocks.add(message.body)))
    if len(messages) < n_messages:
        raise store.error(f"an object header holds {len(messages)} of its {n_messages} messages", address)
    return messages


def _whole(store: Store, known: Cursor, start: int, size: int) -> Cursor:
    """Return ``size`` bytes at ``start``, from those that are already there if they are."""
    offset = start - known.origin
    if offset + size <= known.end:
        return Cursor(store, known.data[offset : offset + size], start, known.what)
    return store.cursor(known.what, start, size)


def _newer(store: Store, address: int, cursor: Cursor) -> list[Message]:
    cursor.expect(b"OHDR")
    cursor.version(2)
    flags = cursor.u8()
    cursor.skip(16 if flags & _TIMES else 0)
    cursor.skip(4 if flags & _PHASES else 0)
    size = cursor.uint(1 << (flags & 3))
    prefix = cursor.position
    block = _whole(store, cursor, address, prefix + size + CHECKSUM_BYTES)
    blocks = _Blocks(_checked(block, prefix))
    smallest = 6 if flags & _CREATION_ORDER else 4
    messages: list[Message] = []
    for part in blocks.queue:
        while part.left >= smallest:
            kind, length, message_flags = part.u8(), part.u16(), part.u8()
            part.skip(smallest - 4)
            message = _message(part, kind, length, message_flags)
            messages.append(message)
            if kind == CONTINUATION:
                more = store.cursor("an object header", *blocks.add(message.body))
                more.expect(b"OCHK")
                blocks.queue.append(_checked(more, more.position))
        if len(messages) > MAX_MESSAGES:
            raise part.error(f"an object header has more than {MAX_MESSAGES:,} messages")
    return messages


def _checked(block: Cursor, prefix: int) -> Cursor:
    """Return the part of a block between its first fields and its checksum, which is compared."""
    stop = block.end - CHECKSUM_BYTES
    if stop < prefix:
        raise block.error("a block of an object header is too short")
    check(block, stop)
    return Cursor(block.store, block.data[prefix:stop], block.origin + prefix, block.what)


def _message(block: Cursor, kind: int, length: int, flags: int) -> Message:
    if kind > _MAX_KNOWN and flags & _FAIL_IF_UNKNOWN:
        raise block.unsupported(f"a message of type {kind} that a reader must know, and this one does not")
    return Message(kind, block.part(length, "a message of an object header"), bool(flags & _SHARED))
