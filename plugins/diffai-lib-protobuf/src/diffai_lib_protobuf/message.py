"""Messages and their fields, as the wire format has them: numbers, places and lengths, no schema.

Only what is asked for is read: a field of ten gigabytes costs as much as one of ten bytes, until its data are wanted.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple, Self

from diffai_lib_protobuf.source import FileBytes, MemoryBytes
from diffai_lib_protobuf.varint import read_varint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from diffai_core.plugin import DataFile, LoadError
    from diffai_lib_protobuf.source import ByteSource

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
"""Wire types: a number of variable length, 8 bytes, bytes with their length before them, 4 bytes."""

MAX_DEPTH = 100
"""Deepest nesting of messages that is followed; protobuf's own limit."""
MAX_TEXT = 1 << 20
"""Longest text or byte string that is read without being asked to, in bytes."""
MAX_FIELDS = 1 << 16
"""Most fields that :meth:`Message.by_number` gathers without being asked to."""

_KINDS = {VARINT: "a number", FIXED64: "8 bytes", LENGTH: "data with a length", FIXED32: "4 bytes"}
_LARGEST_TAG = (1 << 32) - 1
_MOST_BYTES_BEFORE_DATA = 20  # a tag and a number, of ten bytes each
_SIGN = 1 << 63
_CONTINUED = 0x80


class Field(NamedTuple):
    """One field of a message, not yet interpreted.

    Args:
        number: Its number, 1 or more.
        wire: Its wire type: ``VARINT``, ``FIXED32``, ``FIXED64`` or ``LENGTH``.
        value: The number, unsigned; of a ``LENGTH`` field the length of its data in bytes.
        start: Where its value or data begin in the source.
        owner: The message that it belongs to.
    """

    number: int
    wire: int
    value: int
    start: int
    owner: Message

    def error(self, reason: str) -> LoadError:
        """Return an error that names the file and the place of the field."""
        return self.owner.source.error(reason, self.start)

    def expect(self, wire: int) -> Self:
        """Return the field itself.

        Raises:
            LoadError: If it has another wire type.
        """
        if self.wire != wire:
            raise self.error(f"field {self.number} holds {_KINDS[self.wire]} instead of {_KINDS[wire]}")
        return self

    # -- one number --------------------------------------------------------------------------------------------

    def unsigned(self) -> int:
        """Return the number of a ``VARINT`` field: ``uint64``, ``uint32``, ``enum``."""
        return self.expect(VARINT).value

    def signed(self) -> int:
        """Return the number of a ``VARINT`` field in two's complement of 64 bits: ``int64``, ``int32``, ``enum``."""
        value = self.expect(VARINT).value
        return value - (1 << 64) if value & _SIGN else value

    def zigzag(self) -> int:
        """Return the number of a ``VARINT`` field of type ``sint64`` or ``sint32``."""
        value = self.expect(VARINT).value
        return value >> 1 ^ -(value & 1)

    def boolean(self) -> bool:
        """Return the truth value of a ``VARINT`` field."""
        return self.expect(VARINT).value != 0

    def float32(self) -> float:
        """Return the number of a ``FIXED32`` field of type ``float``."""
        (value,) = struct.unpack("<f", struct.pack("<I", self.expect(FIXED32).value))
        return float(value)

    def float64(self) -> float:
        """Return the number of a ``FIXED64`` field of type ``double``."""
        (value,) = struct.unpack("<d", struct.pack("<Q", self.expect(FIXED64).value))
        return float(value)

    # -- data --------------------------------------------------------------------------------------------------

    def message(self) -> Message:
        """Return the message in a ``LENGTH`` field, unread.

        Raises:
            LoadError: If messages are nested too deeply.
        """
        owner = self.owner
        if self.wire != LENGTH:
            self.expect(LENGTH)
        if owner.depth >= MAX_DEPTH:
            raise self.error(f"messages are nested more than {MAX_DEPTH} deep")
        return _new(Message, (owner.source, self.start, self.start + self.value, owner.depth + 1))

    def data(self, limit: int = MAX_TEXT) -> bytes:
        """Return the bytes of a ``LENGTH`` field.

        Raises:
            LoadError: If there are more than ``limit``.
        """
        if self.wire != LENGTH:
            self.expect(LENGTH)
        if self.value > limit:
            raise self.error(f"field {self.number} has {self.value:,} bytes, more than the {limit:,} allowed")
        return self.owner.source.read(self.start, self.value)

    def text(self, limit: int = MAX_TEXT) -> str:
        """Return the text of a ``LENGTH`` field.

        Raises:
            LoadError: If it is no UTF-8, or longer than ``limit`` bytes.
        """
        try:
            return self.data(limit).decode()
        except UnicodeDecodeError as error:
            reason = f"the text in field {self.number} is not UTF-8"
            raise self.owner.source.error(reason, self.start + error.start) from error

    # -- repeated numbers, packed or not -----------------------------------------------------------------------

    def all_unsigned(self) -> Iterator[int]:
        """Yield the number of a ``VARINT`` field, or all of a packed one."""
        if self.wire == VARINT:
            yield self.value
            return
        position, end, source = self.start, self.start + self.expect(LENGTH).value, self.owner.source
        while position < end:
            begin, data = source.window(position, min(_MOST_BYTES_BEFORE_DATA, end - position))
            at, stop = position - begin, min(len(data), end - begin)
            while at < stop and (at + _MOST_BYTES_BEFORE_DATA <= stop or begin + stop == end):
                value, at = read_varint(source, data, at, stop, begin)
                yield value
            position = begin + at

    def all_signed(self) -> Iterator[int]:
        """Yield the number of a ``VARINT`` field, or all of a packed one, in two's complement of 64 bits."""
        for value in self.all_unsigned():
            yield value - (1 << 64) if value & _SIGN else value

    def all_float32(self) -> Iterator[float]:
        """Yield the number of a ``FIXED32`` field, or all of a packed one, of type ``float``."""
        return self._all_fixed(FIXED32, "<f")

    def all_float64(self) -> Iterator[float]:
        """Yield the number of a ``FIXED64`` field, or all of a packed one, of type ``double``."""
        return self._all_fixed(FIXED64, "<d")

    def packed_count(self, wire: int) -> int:
        """Return how many numbers of 4 bytes (``FIXED32``) or 8 bytes (``FIXED64``) the field holds, packed or not.

        Raises:
            LoadError: If it holds something else, or a part of a number.
        """
        if self.wire == wire:
            return 1
        count, rest = divmod(self.expect(LENGTH).value, _SIZES[wire])
        if rest:
            raise self.error(f"field {self.number} has {self.value:,} bytes, which are no numbers of {_SIZES[wire]}")
        return count

    def _all_fixed(self, wire: int, code: str) -> Iterator[float]:
        size, position = _SIZES[wire], self.start
        left = self.packed_count(wire)
        while left:
            count = min(left, 1024)
            for (value,) in struct.iter_unpack(code, self.owner.source.read(position, count * size)):
                yield value
            position, left = position + count * size, left - count


_SIZES = {FIXED32: 4, FIXED64: 8}
_new = tuple.__new__  # half the cost of calling the class, for what is done a million times


class Message(NamedTuple):
    """A stretch of bytes that holds a message. Picklable, if it is in a file.

    Args:
        source: Where the bytes are.
        start: First byte.
        end: First byte behind it.
        depth: How many messages it lies in.
    """

    source: ByteSource
    start: int
    end: int
    depth: int = 0

    @classmethod
    def in_file(cls, file: DataFile, start: int = 0, length: int | None = None) -> Message:
        """Return the message in a file: all of it, or ``length`` bytes from ``start`` on.

        Raises:
            LoadError: If the file does not hold so many.
        """
        source = FileBytes(file)
        end = file.size if length is None else start + length
        if not 0 <= start <= end <= file.size:
            raise source.error(f"the file ends here, {end - file.size:,} bytes too early", file.size)
        return cls(source, start, end)

    @classmethod
    def in_memory(cls, data: bytes, name: str, offset: int = 0) -> Message:
        """Return the message that ``data`` hold.

        Args:
            data: The bytes.
            name: How errors call the file that they come from.
            offset: Where they begin in that file.
        """
        return cls(MemoryBytes(data, name, offset), 0, len(data))

    def error(self, reason: str) -> LoadError:
        """Return an error that names the file and where the message begins."""
        return self.source.error(reason, self.start)

    def fields(self) -> Iterator[Field]:
        """Yield the fields in the order of the file; data are skipped.

        Raises:
            LoadError: If the bytes are no message: a number of more than 64 bits, a length that ends behind the
                message, field number 0, a group (wire types 3 and 4) or an unknown wire type.
        """
        source, position, end, _ = self
        begin, data, stop = 0, b"", 0
        while position < end:
            at = position - begin
            if at + _MOST_BYTES_BEFORE_DATA > stop and begin + stop < end:
                begin, data = source.window(position, min(_MOST_BYTES_BEFORE_DATA, end - position))
                at, stop = position - begin, min(len(data), end - begin)
            tag = data[at]
            at += 1
            if tag >= _CONTINUED:
                tag, at = read_varint(source, data, at - 1, stop, begin)
            wire = tag & 7
            if not wire & 5:  # VARINT or LENGTH: what nearly all fields are
                start = begin + at
                if at < stop and data[at] < _CONTINUED:
                    value = data[at]
                    at += 1
                else:
                    value, at = read_varint(source, data, at, stop, begin)
                position = begin + at
                if wire == LENGTH:
                    start = position
                    position += value
                    if position > end:
                        raise _too_long(self, tag, value, start)
            else:
                size = _fixed_size(self, tag, begin + at)
                start, position = begin + at, begin + at + size
                if position > end:
                    raise _too_long(self, tag, size, start)
                value = int.from_bytes(data[at : at + size], "little")
            if not 7 < tag <= _LARGEST_TAG:  # noqa: PLR2004 - three bits of wire type
                raise source.error(f"the field number {tag >> 3} is not allowed", start)
            yield _new(Field, (tag >> 3, wire, value, start, self))

    def by_number(self, limit: int = MAX_FIELDS) -> dict[int, list[Field]]:
        """Return all fields by their numbers, those of one number in the order of the file.

        Raises:
            LoadError: If there are more than ``limit`` fields, or the bytes are no message.
        """
        found: dict[int, list[Field]] = {}
        for count, field in enumerate(self.fields(), 1):
            if count > limit:
                raise self.error(f"the message has more than {limit:,} fields")
            found.setdefault(field.number, []).append(field)
        return found


def _fixed_size(message: Message, tag: int, position: int) -> int:
    wire, number = tag & 7, tag >> 3
    if wire in {FIXED32, FIXED64}:
        return 4 if wire == FIXED32 else 8
    what = f"is a group (wire type {wire})" if wire in {3, 4} else f"has the unknown wire type {wire}"
    raise message.source.error(f"field {number} {what}, which this format does not use", position)


def _too_long(message: Message, tag: int, length: int, start: int) -> LoadError:
    missing = start + length - message.end
    if message.end == message.source.size:
        return message.source.error(
            f"the file ends here, {missing:,} bytes too early for field {tag >> 3}", message.end
        )
    reason = f"field {tag >> 3} has {length:,} bytes, {missing:,} more than its message"
    return message.source.error(reason, start)
