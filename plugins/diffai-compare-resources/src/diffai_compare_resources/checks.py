"""What users may give: counts, shapes, devices."""

from __future__ import annotations

import math
import re

from diffai_core.plugin import UsageError

_SIZE = re.compile(r"[1-9][0-9]{0,8}(?:[x,][1-9][0-9]{0,8}){0,7}", re.ASCII)
_MOST = 1 << 40


def at_least_one(value: int) -> None:
    """Refuse a count below 1, or beyond all reason.

    Raises:
        UsageError: If it is one.
    """
    if not 1 <= value <= _MOST:
        raise UsageError(f"{value} is not a whole number from 1 to {_MOST}")


def positive(value: float) -> None:
    """Refuse a rate that is not positive and finite.

    Raises:
        UsageError: If it is not.
    """
    if not 0 < value < math.inf:
        raise UsageError(f"{value:g} is not a finite number above 0")


def parse_size(text: str) -> tuple[int, ...]:
    """Return the shape that is written.

    Raises:
        UsageError: If it is none.

    Example:
        >>> parse_size("3x224x224")
        (3, 224, 224)
    """
    if not _SIZE.fullmatch(text):
        raise UsageError(f"{text!r} is not a shape; write for instance 3x224x224")
    return tuple(map(int, re.split("[x,]", text)))


def known_device(name: str) -> None:
    """Refuse a device that is not in the table.

    Raises:
        UsageError: If it is not.
    """
    from diffai_compare_resources.devices import device

    device(name)
