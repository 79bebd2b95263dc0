"""What the extension in C++ offers; ``native/module.cpp`` is its source."""

from typing import Any

MEMORY_BYTES: int
"""Scratch memory of one worker, in bytes."""

SOURCES: str
"""Digest of the sources it was built from."""

STATISTICS: tuple[str, ...]
"""The statistics in the order in which their memory is passed."""

def measure(
    instruction_set: str,
    request: Any,
    states: tuple[Any, ...],
    leaves: Any,
    memory: Any,
    old: Any,
    old_offset: int,
    old_mapped: bool,
    new: Any,
    new_offset: int,
    new_mapped: bool,
    /,
) -> int: ...
def compare(
    memory: Any, old: Any, old_offset: int, old_mapped: bool, new: Any, new_offset: int, new_mapped: bool, count: int, /
) -> int: ...
def is_local(descriptor: int, /) -> bool: ...
def instruction_sets() -> list[str]: ...
