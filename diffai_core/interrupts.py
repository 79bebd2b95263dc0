"""An interrupt ends the process at once, whatever it is doing."""

from __future__ import annotations

import _thread
import os
import signal
import sys

from diffai_core import streams

INTERRUPTED = 130
"""Exit code after an interrupt: 128 and the number of the signal."""


def end_on_interrupt() -> None:
    """Let Ctrl-C end this process from now on, for good.

    Python tells the main thread of a signal only when that is back from what it calls, and a loader's decompression or
    a comparator's decomposition of a matrix takes its time. So a thread waits for the signal too. Where whoever started
    the process wants it not to be interrupted (``nohup``), it is not.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return
    told, telling = os.pipe()
    os.set_blocking(telling, False)
    signal.signal(signal.SIGINT, lambda *_: end_now())
    signal.set_wakeup_fd(telling, warn_on_full_buffer=False)
    _thread.start_new_thread(_wait, (told,))  # the bare one: a thread that is never joined, without importing anything


def end_now() -> None:
    """End the process: nothing is written anywhere, so that there is nothing to tidy but the line of the terminal."""
    try:
        if streams.is_terminal(sys.stderr):
            number = sys.stderr.fileno()
            os.write(number, b"\r%s\r" % (b" " * (os.get_terminal_size(number).columns - 1)))
    finally:
        os._exit(INTERRUPTED)


def _wait(told: int) -> None:
    while signals := os.read(told, 1):
        if signals[0] == signal.SIGINT:
            end_now()
