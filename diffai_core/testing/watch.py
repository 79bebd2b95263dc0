"""What a piece of code does to the process: bytes read, descriptors left open."""

from __future__ import annotations

import gc
import os
import re
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffai_core.files import DataFile

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAPPING = re.compile(r"^[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \d+ +(?P<path>.+)$")


def descriptors_left_open(before: int) -> int:
    """Return how many more file descriptors are open than ``before``, once forgotten objects are gone."""
    if descriptor_count() > before:
        gc.collect()
    return max(descriptor_count() - before, 0)


def descriptor_count() -> int:
    """Return how many file descriptors the process holds; 0 where the operating system does not say."""
    for folder in ("/proc/self/fd", "/dev/fd"):
        if Path(folder).is_dir():
            return len(os.listdir(folder))  # noqa: PTH208 - iterdir would be a generator that holds one more
    return 0


@dataclass
class Reads:
    """Bytes that the process took from files while it was watched."""

    n_bytes: int = 0


@contextmanager
def count_reads(folder: Path) -> Iterator[Reads]:
    """Count the bytes read inside the ``with`` block, by system calls and through maps of files in ``folder``.

    The kernel is the witness (``/proc/self/io``, ``/proc/self/smaps``), so reads of C libraries count too.

    Raises:
        NotImplementedError: If the operating system keeps no such account.
    """
    before = _bytes_read() + _bytes_mapped(folder)
    reads = Reads()
    yield reads
    reads.n_bytes = _bytes_read() + _bytes_mapped(folder) - before


def _bytes_read() -> int:
    try:
        account = Path("/proc/self/io").read_text(encoding="ascii")
    except OSError as error:
        raise NotImplementedError("only Linux counts the bytes a process reads") from error
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
