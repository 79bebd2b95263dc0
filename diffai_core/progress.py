"""A line on the terminal for work that takes longer than a second."""

from __future__ import annotations

import os
import sys
import time
from threading import Lock
from typing import Self

from diffai_core import streams

_QUIET_SECONDS = 1.0
_REDRAW_SECONDS = 0.2
_USUAL_WIDTH = 80
_MINUTE, _HOUR = 60, 3600


class Progress:
    """Counts the work done and, from the second second on, shows it on standard error.

    The line is plain text without colours or escapes. It is taken away at the end.

    Args:
        shown: Whether there is a terminal to show it on.
    """

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown
        self._lock = Lock()
        self._begun = time.monotonic()
        self._due = self._begun + _QUIET_SECONDS
        self._bytes, self._all_bytes = 0, 0
        self._tensors, self._all_tensors = 0, 0
        self._length = 0

    def expect(self, n_bytes: int, n_tensors: int = 0) -> None:
        """See :meth:`diffai_core.meter.Meter.expect`."""
        with self._lock:
            self._all_bytes += n_bytes
            self._all_tensors += n_tensors

    def add(self, n_bytes: int, n_tensors: int = 0) -> None:
        """See :meth:`diffai_core.meter.Meter.add`."""
        with self._lock:
            self._bytes += n_bytes
            self._tensors += n_tensors
            if self._shown and (now := time.monotonic()) >= self._due:
                self._due = now + _REDRAW_SECONDS
                self._draw(_fitting(self._facts(now - self._begun), _width()))

    def _facts(self, seconds: float) -> list[str]:
        """Return what there is to say, the most important first."""
        share, rate = min(self._bytes / max(self._all_bytes, 1), 1.0), self._bytes / seconds
        left = (self._all_bytes - self._bytes) / rate if rate else 0.0
        return [
            f"diffai: {share:.0%} of {self._all_bytes / 1e9:.1f} GB",
            f"{rate / 1e9:.1f} GB/s",
            f"{_duration(left)} left",
            f"{self._tensors:,} of {self._all_tensors:,} tensors",
        ]

    def _draw(self, text: str) -> None:
        streams.tell(f"\r{text.ljust(self._length)}\r")
        self._length = len(text)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._shown = False
            if self._length:
                streams.tell(f"\r{' ' * self._length}\r")


def _width() -> int:
    """Return how many characters a line of the terminal holds; the last column is left free, so that nothing wraps."""
    try:
        columns = os.get_terminal_size(sys.stderr.fileno()).columns
    except (AttributeError, OSError, ValueError):
        columns = 0
    return (columns or _USUAL_WIDTH) - 1


def _fitting(facts: list[str], width: int) -> str:
    """Join as many facts as fit, at least the first, cut."""
    text = facts[0][:width]
    for fact in facts[1:]:
        if len(text) + len(fact) + 2 > width:
            break
        text += f", {fact}"
    return text


def _duration(seconds: float) -> str:
    """Write a duration in its two largest units.

    Example:
        >>> _duration(0.4), _duration(75), _duration(7300)
        ('1 s', '1 min 15 s', '2 h 1 min')
    """
    whole = max(round(seconds), 1)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
