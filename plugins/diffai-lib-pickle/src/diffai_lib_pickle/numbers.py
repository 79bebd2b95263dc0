"""Numbers as pickles write them, none longer than Python prints."""

from __future__ import annotations

_MAX_DIGITS = 4300
_MAX_BYTES = 1780
"""Of a packed number: as many digits."""


def decimal_number(line: bytes) -> int | bool:
    """Return a number written in digits; ``00`` and ``01`` are how protocol 1 writes booleans.

    Raises:
        ValueError: If it is none, or has more digits than Python reads.
    """
    text = line.strip()
    if text in {b"00", b"01"}:
        return text == b"01"
    digits = text.removesuffix(b"L")
    if len(digits) > _MAX_DIGITS or not digits.removeprefix(b"-").isdigit():
        raise ValueError("a number that is none, or has too many digits")
    return int(digits)


def typed_number(line: bytes) -> float:
    """Return a float written as text.

    Raises:
        ValueError: If it is none.
    """
    if len(line) > _MAX_DIGITS:
        raise ValueError("a number that has too many digits")
    return float(line)


def packed_length(length: int) -> int:
    """Return how many bytes a packed number takes.

    Raises:
        ValueError: If there are more than Python prints.
    """
    if not 0 <= length <= _MAX_BYTES:
        raise ValueError(f"a number of {length:,} bytes; at most {_MAX_BYTES:,} are read")
    return length
