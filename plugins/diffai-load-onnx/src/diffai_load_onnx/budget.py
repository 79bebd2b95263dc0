"""Bounds on what a description may make us hold in memory, and how long texts are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffai_lib_protobuf import LENGTH

if TYPE_CHECKING:
    from diffai_lib_protobuf import Field, Message
    from diffai_lib_protobuf.source import ByteSource

MAX_ITEMS = 4_000_000
"""Most nodes, attributes, values, tensors and texts of one model together."""
MAX_TEXT_BYTES = 256 << 20
"""Most bytes of names and other texts of one model together."""
MAX_NAME = 64 << 10
"""Longest name in bytes, and longest text that is compared as it is; longer ones are compared by digest."""
_PIECE = 1 << 20


class Budget:
    """Counts what is kept of a model."""

    def __init__(self) -> None:
        self._items = MAX_ITEMS
        self._bytes = MAX_TEXT_BYTES

    def take(self, part: Field | Message, count: int = 1) -> None:
        """Count things that are kept.

        Raises:
            LoadError: If there are too many.
        """
        self._items -= count
        if self._items < 0:
            raise part.error(f"the model describes more than {MAX_ITEMS:,} nodes, attributes, values and texts")

    def name(self, field: Field) -> str:
        """Return a name.

        Raises:
            LoadError: If it is no text or too long, or the model holds too much text.
        """
        self._items -= 1
        self._bytes -= field.value
        if self._items < 0 or self._bytes < 0 or field.wire != LENGTH:
            self._refuse(field)
        return field.text(MAX_NAME)

    def text(self, field: Field) -> Any:
        """Return a text or bytes; size and digest of long ones."""
        if field.expect(LENGTH).value > MAX_NAME:
            return _digest(field.owner.source, field.start, field.value)
        self.take(field)
        self._bytes -= field.value
        if self._bytes < 0:
            self._refuse(field)
        data = field.data(MAX_NAME)
        try:
            return data.decode()
        except UnicodeDecodeError:
            return data

    def digest(self, message: Message) -> dict[str, Any]:
        """Return size and digest of a message that is compared as a whole."""
        self.take(message)
        return _digest(message.source, message.start, message.end - message.start)

    def _refuse(self, field: Field) -> None:
        field.expect(LENGTH)
        self.take(field, 0)
        raise field.error(f"the model holds more than {MAX_TEXT_BYTES >> 20:,} MiB of names and texts")


def _digest(source: ByteSource, start: int, length: int) -> dict[str, Any]:
    import hashlib  # 5 ms that most models need not pay

    digest = hashlib.blake2b(digest_size=32)
    for place in range(start, start + length, _PIECE):
        digest.update(source.read(place, min(_PIECE, start + length - place)))
    return {"bytes": length, "blake2b": digest.hexdigest()}
