"""Which way a metric is better, as the user says it: ``NAME=max`` or ``NAME=min``."""

from __future__ import annotations

from typing import Literal

from diffai_core.plugin import UsageError

Direction = Literal["max", "min"]
_WAYS: dict[str, Direction] = {"max": "max", "min": "min"}


def check_direction(text: str) -> None:
    """Refuse a direction that means nothing; called before the run.

    Raises:
        UsageError: With what is wrong and what would be right.
    """
    parse_direction(text)


def parse_direction(text: str) -> tuple[str, Direction]:
    """Return the name of a metric and which way it is better.

    Raises:
        UsageError: If it is not written as it must be.

    Example:
        >>> parse_direction("val_score=max")
        ('val_score', 'max')
    """
    name, _, way = (part.strip() for part in text.rpartition("="))
    if not name or way not in _WAYS:
        raise UsageError(f"{text!r} is not NAME=max or NAME=min; write for instance val_score=max")
    return name, _WAYS[way]
