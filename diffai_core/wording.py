"""Pieces of one-line messages: what an exception says, what a misspelt name may have meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_LONGEST = 300
_NAME = 80


def error_text(error: BaseException) -> str:
    """Return type and message of ``error`` in one line of bounded length.

    Example:
        >>> error_text(KeyError("x")), error_text(MemoryError())
        ("KeyError: 'x'", 'MemoryError')
    """
    try:
        message = " ".join(str(error).split())
    except Exception:  # noqa: BLE001 - a message that cannot be made must not hide the error it belongs to
        message = ""
    shown = message if len(message) <= _LONGEST else f"{message[:_LONGEST]}…"
    return f"{type(error).__name__}: {shown}" if shown else type(error).__name__


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean X?"`` for the known name nearest to ``word``, or nothing.

    The shortest name that begins with ``word`` is the nearest.

    Example:
        >>> did_you_mean("nmupy", ["numpy", "safetensors"]), did_you_mean("x", ["numpy"])
        ('; did you mean numpy?', '')
        >>> did_you_mean("--eps", ["--help", "--epsilon"])
        '; did you mean --epsilon?'
    """
    from difflib import get_close_matches

    names = sorted(known)
    longer = [name for name in names if word and name.startswith(word)]
    near = sorted(longer, key=len) or get_close_matches(word, names, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def shown(name: str) -> str:
    r"""Return a name that a file gives in quotes, on one line and not endless.

    Example:
        >>> shown("a\nb")
        "'a\\nb'"
    """
    return repr(name if len(name) <= _NAME else f"{name[:_NAME]}…")


def listed(names: Iterable[str]) -> str:
    """Return ``names`` sorted and joined with commas, or ``none``."""
    return ", ".join(sorted(names)) or "none"
