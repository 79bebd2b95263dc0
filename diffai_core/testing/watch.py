"""What a piece of code does to the process: bytes read, descriptors left open."""

from __future__ import annotations

import gc
import os
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from diffai_core.files import DataFile

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAPPING = re.compile(r"^[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \d+ +(?P<path>.+)$")


def descriptor_count() -> int:
    """Return how many file descriptors the process holds, once forgotten objects are gone.

    0 where the operating system does not say.
    """
    gc.collect()
    for folder in ("/proc/self/fd", "/dev/fd"):
        if Path(folder).is_dir():
            return len(os.listdir(folder))  # noqa: PTH208 - iterdir would be a generator that holds one more
    return 0


def bytes_taken(folder: Path) -> int:
    """Return the bytes this process has read, by system calls and through the open maps of files in ``folder``.

    The kernel is the witness (``/proc/self/io``, ``/proc/self/smaps``), so reads of C libraries count too. Skips the
    test where the operating system keeps no such account.
    """
    if not Path("/proc/self/io").exists():
        pytest.skip("only Linux counts the bytes that a process reads")
    return _bytes_read() + _bytes_mapped(folder)


def _bytes_read() -> int:
    account = Path("/proc/self/io").read_text(encoding="ascii")
    return int(account.split("rchar:")[1].split()[0])


def _bytes_mapped(folder: Path) -> int:
    """Return how many bytes of maps of files in ``folder`` were touched."""
    total = 0
    counted = False
    for line in Path("/proc/self/smaps").read_text(encoding="utf-8", errors="replace").splitlines():
        mapping = _MAPPING.match(line)
        if mapping:
            counted = mapping["path"].startswith(f"{folder.resolve()}/")
        elif counted and line.startswith("Rss:"):
            total += int(line.split()[1]) * 1024
    return total


@contextmanager
def closing_reopened_files() -> Iterator[None]:
    """Close every ``DataFile`` that is opened inside the ``with`` block, such as those of unpickled tensors."""
    opened: list[DataFile] = []
    original = DataFile.__init__

    def remember(self: DataFile, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        opened.append(self)

    DataFile.__init__ = remember  # type: ignore[method-assign]
    try:
        yield
    finally:
        DataFile.__init__ = original  # type: ignore[method-assign]
        for file in opened:
            file.close()
