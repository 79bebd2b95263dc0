"""What the two sides are called in a title."""

from __future__ import annotations

import re

_STEP = re.compile(r"[^/\\]*[/\\]")


def short_names(old: str, new: str) -> tuple[str, str]:
    """Return the two paths without the folders that both begin with.

    Example:
        >>> short_names("/models/a/v1.pt", "/models/a/v2.pt"), short_names("v1/w.bin", "v2/w.bin")
        (('v1.pt', 'v2.pt'), ('v1/w.bin', 'v2/w.bin'))
    """
    start = 0
    while (step := _STEP.match(old, start)) and new.startswith(step[0], start):
        start = step.end()
    return (old[start:], new[start:]) if start < min(len(old), len(new)) else (old, new)
