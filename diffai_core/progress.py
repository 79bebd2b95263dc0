"""A line on the terminal for work that takes longer than a second."""

from __future__ import annotations

import time
from typing import Self

from diffai_core import streams

_QUIET_SECONDS = 1.0
_REDRAW_SECONDS = 0.2


class Progress:
    """Counts payload bytes done and, from the second second on, shows them on standard error.

    Args:
        shown: Whether there is a terminal to show it on.
    """

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown
        self._begun = time.monotonic()
        self._drawn = self._begun + _QUIET_SECONDS - _REDRAW_SECONDS
        self._done = 0
        self._dirty = False

    def __call__(self, n_bytes: int) -> None:
        """Count ``n_bytes`` more."""
        self._done += n_bytes
        now = time.monotonic()
        if self._shown and now - self._drawn >= _REDRAW_SECONDS:
            self._drawn = now
            self._draw(now - self._begun)

    def _draw(self, seconds: float) -> None:
        gigabytes = self._done / 1e9
        streams.tell(f"\r\x1b[Kdiffai: {gigabytes:.1f} GB compared, {gigabytes / seconds:.1f} GB/s")
        self._dirty = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._dirty:
            streams.tell("\r\x1b[K")
