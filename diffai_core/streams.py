"""Standard output and standard error as they are: closed, full, of any encoding, or with nobody who reads.

What is meant for standard output gets there or is an error. Standard error is where errors are told: what cannot be
told there is lost, and the exit code speaks alone.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from diffai_core.errors import DiffaiError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

_STANDARD = 3
"""Standard input, output and error have the numbers below this one."""


class OutputError(DiffaiError):
    """Standard output does not take what is to be written."""


def write(text: str) -> None:
    """Write ``text`` to standard output; characters that its encoding lacks are escaped.

    Raises:
        BrokenPipeError: If its reader has gone.
        OutputError: If it is closed, or takes no more.
    """
    out = sys.stdout
    if out is None:
        raise OutputError("standard output: is closed")
    _attempt(lambda: out.write(_encodable(text, out)))


def flush() -> None:
    """Write what is still held back to standard output.

    Raises:
        BrokenPipeError: If its reader has gone.
        OutputError: If it takes no more.
    """
    if sys.stdout is not None and not sys.stdout.closed:
        _attempt(sys.stdout.flush)


def tell(text: str) -> None:
    """Write ``text`` to standard error at once, if it can be written there."""
    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            sys.stderr.write(_encodable(text, sys.stderr))
            sys.stderr.flush()


def is_terminal(stream: TextIO | None) -> bool:
    """Whether ``stream`` is open and a terminal."""
    return stream is not None and not stream.closed and stream.isatty()


def reserve_numbers() -> None:
    """Let no file get the number of a standard stream that is closed: libraries write there without asking."""
    if None in (sys.stdin, sys.stdout, sys.stderr):
        while (number := os.open(os.devnull, os.O_RDWR)) < _STANDARD:
            pass
        os.close(number)


def settle() -> None:
    """Flush both streams; what one of them does not take is dropped, so that Python does not try again at exit.

    Failing there, Python would write several lines and change the exit code to 120.
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is None or stream.closed:
            continue
        try:
            stream.flush()
        except (OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


def _attempt(write_out: Callable[[], object]) -> None:
    try:
        write_out()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"standard output: {error.strerror or error}") from error
    except ValueError as error:  # what Python says of a stream that was closed
        raise OutputError("standard output: is closed") from error


def _encodable(text: str, stream: TextIO) -> str:
    encoding = getattr(stream, "encoding", None)
    return text.encode(encoding, "backslashreplace").decode(encoding) if encoding else text
