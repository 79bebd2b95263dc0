"""Open file descriptors: how many there may be, and how long each one lasts."""

from __future__ import annotations

import os
from itertools import islice
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from diffai_core.files import DataFile

MOST_OPEN = 64
"""Files of one directory that are open at once: few enough for both sides under the usual limits of a process."""


class OpenFiles:
    """Bounds how many files are open at once: beyond that, those opened longest ago are released until read again.

    Args:
        most: How many may be open.
    """

    def __init__(self, most: int = MOST_OPEN) -> None:
        self._most = most
        self._files: dict[DataFile, None] = {}  # in the order of opening
        self._lock = Lock()

    def add(self, file: DataFile) -> None:
        """Count a file that was just opened, and release others for it."""
        with self._lock:
            self._files[file] = None
            surplus = list(islice(self._files, max(0, len(self._files) - self._most)))
            for other in surplus:
                del self._files[other]
        for other in surplus:
            other.release()

    def discard(self, file: DataFile) -> None:
        """Forget a file that is no longer open."""
        with self._lock:
            self._files.pop(file, None)

    def __reduce__(self) -> tuple[Any, ...]:
        return OpenFiles, (self._most,)


class Descriptor:
    """A descriptor that, once retired, is closed when its last reader lets go of it.

    Closed at once, its number could be given to another file while a thread still reads from it. One that is never
    retired stays open, so that a loader that forgets a file is found out.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self._retired = False

    def retire(self) -> None:
        """Close it when nobody uses it any more."""
        self._retired = True

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        if self._retired:
            close(self.number)
