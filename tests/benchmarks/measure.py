"""Run a program and tell what it cost: CPU seconds and peak resident memory of the whole process."""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path
from typing import NamedTuple


class Run(NamedTuple):
    """One run of a program.

    Args:
        code: Exit code, negative for a signal.
        cpu: User and system seconds of the process and its threads.
        wall: Seconds by the clock.
        rss: Peak resident memory in MiB; at least that of this process, which the child inherits when it starts.
        output: What it wrote to standard output.
    """

    code: int
    cpu: float
    wall: float
    rss: float
    output: str


class Cost(NamedTuple):
    """What several runs of one program cost: least and median CPU seconds, least wall seconds, greatest peak in MiB."""

    cpu: float
    cpu_median: float
    wall: float
    rss: float


def environment() -> dict[str, str]:
    """Return this process's environment, with bytecode caching allowed as in an ordinary shell."""
    return {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}


def run(argv: list[str], scratch: str) -> Run:
    """Run ``argv`` to its end; its output goes through the file ``scratch``, its errors are shown."""
    begin = time.perf_counter()
    opened = (os.POSIX_SPAWN_OPEN, 1, scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    pid = os.posix_spawnp(argv[0], argv, environment(), file_actions=[opened])
    _, status, usage = os.wait4(pid, 0)
    wall = time.perf_counter() - begin
    output = Path(scratch).read_text(encoding="utf-8", errors="replace")
    cpu = usage.ru_utime + usage.ru_stime
    return Run(os.waitstatus_to_exitcode(status), cpu, wall, usage.ru_maxrss / 1024, output)


def cost(runs: list[Run]) -> Cost:
    """Sum up several runs."""
    cpu = [one.cpu for one in runs]
    return Cost(min(cpu), statistics.median(cpu), min(one.wall for one in runs), max(one.rss for one in runs))
