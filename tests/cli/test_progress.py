"""The line of progress: on a terminal only, within its width, a few times a second, gone at the end."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from command import DIFFAI

from diffai_core import progress, streams
from diffai_core.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Iterator

LINE = re.compile(r"diffai: \d+% of 80\.0 GB, \d+\.\d GB/s, [\d hmins]+ left, 0 of 1 tensors")
HUGE = 10_000_000_000


class Clock:
    """A clock that is set by the test, and a screen that keeps what was written to it."""

    def __init__(self) -> None:
        self.now = 100.0
        self.written: list[str] = []


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(progress.time, "monotonic", lambda: found.now)
    monkeypatch.setattr(streams, "tell", found.written.append)
    monkeypatch.setattr(progress, "_width", lambda: 79)
    return found


def run(clock: Clock, seconds: float, *, shown: bool = True) -> list[str]:
    """Compare 1 GB in 10 tensors, a thousand steps long; return what was written."""
    with Progress(shown=shown) as meter:
        meter.expect(1_000_000_000, 10)
        for step in range(1000):
            clock.now += seconds / 1000
            meter.add(1_000_000, int(step % 100 == 99))
    return clock.written


def test_work_of_less_than_a_second_shows_nothing(clock: Clock) -> None:
    assert run(clock, 0.99) == []


def test_without_a_terminal_nothing_is_shown(clock: Clock) -> None:
    assert run(clock, 60, shown=False) == []


def test_it_is_drawn_five_times_a_second_at_most_and_taken_away_at_the_end(clock: Clock) -> None:
    *drawn, last = run(clock, 10)
    assert 40 <= len(drawn) <= 46
    assert last.strip() == ""
    assert len(last) == len(drawn[-1])
    assert all(text.startswith("\r") and text.endswith("\r") and "\n" not in text for text in [*drawn, last])


def test_it_says_how_much_how_fast_how_long_and_how_many(clock: Clock) -> None:
    drawn = run(clock, 20)[:-1]
    assert drawn[0].strip() == "diffai: 5% of 1.0 GB, 0.1 GB/s, 19 s left, 0 of 10 tensors"
    for text in drawn:
        found = re.fullmatch(r"diffai: (\d+)% of 1.0 GB, 0.1 GB/s, (\d+) s left, (\d+) of 10 tensors", text.strip())
        assert found, text
        share, seconds, tensors = map(int, found.groups())
        assert seconds == pytest.approx(20 * (1 - share / 100), abs=1)
        assert tensors == pytest.approx(share / 10, abs=1)


@pytest.mark.parametrize("width", [1, 10, 22, 40, 60, 200])
def test_it_is_never_wider_than_the_terminal(width: int, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_width", lambda: width)
    drawn = [text.strip("\r") for text in run(clock, 30)]
    assert drawn
    assert all(len(text) <= width for text in drawn)


def test_a_shorter_line_leaves_nothing_of_a_longer_one(clock: Clock) -> None:
    screen = ""
    for text in run(clock, 300):
        for part in text.split("\r"):
            screen = part + screen[len(part) :]
        assert re.fullmatch(r"(diffai: .*tensors)? *", screen)
    assert screen.strip() == ""


class Terminal:
    """A terminal of 80 columns with a command that controls it."""

    def __init__(self, *words: str, **environment: str) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.running = subprocess.Popen(
            # A suite in the background ignores the signal, and so would what it starts.
            ["setsid", "--ctty", "env", "--default-signal=INT", DIFFAI, *words],
            stdin=slave,
            stdout=subprocess.PIPE,
            stderr=slave,
            env={**os.environ, **environment},
        )
        os.close(slave)
        os.set_blocking(self._master, False)
        self.shown = ""

    def read(self) -> str:
        """Return all that was shown so far."""
        try:
            while text := os.read(self._master, 65536):
                self.shown += text.decode()
        except OSError:
            pass
        return self.shown

    def press(self, key: bytes) -> None:
        os.write(self._master, key)

    def close(self) -> None:
        self.running.kill()
        self.running.communicate()
        os.close(self._master)


@pytest.fixture
def huge(tmp_path: Path) -> list[str]:
    """Two files with holes, of one tensor each, that nobody compares in the time of a test."""
    paths = []
    for name in ("old", "new"):
        entry = {"dtype": "F32", "shape": [HUGE], "data_offsets": [0, 4 * HUGE]}
        header = json.dumps({"x": entry}).encode()
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(struct.pack("<Q", len(header)) + header + name.encode())
        os.truncate(path, 8 + len(header) + 4 * HUGE)
        paths.append(str(path))
    return paths


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    """Closes the terminals that the test puts here."""
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        terminal.close()


@pytest.mark.parametrize("jobs", ["1", "2"])
@pytest.mark.parametrize("term", ["xterm-256color", "dumb"])
def test_it_moves_within_one_huge_tensor_and_ctrl_c_takes_it_away(
    term: str, jobs: str, huge: list[str], terminals: list[Terminal]
) -> None:
    terminal = Terminal(*huge, "--jobs", jobs, TERM=term, NO_COLOR="1")
    terminals.append(terminal)
    for _ in range(2000):
        lines = [text.strip() for text in terminal.read().split("\r") if text.strip()]
        if len(lines) >= 4 and len(set(lines)) > 1:
            break
        time.sleep(0.01)
    assert lines
    assert all(LINE.fullmatch(line) for line in lines[:-1]), lines
    terminal.press(b"\x03")
    assert terminal.running.wait(20) == 130
    left = terminal.read().replace("^C", "").rsplit("\r", 2)[-2:]
    assert [text.strip() for text in left] == ["", ""]
    assert "\x1b" not in terminal.shown
    assert "Traceback" not in terminal.shown


def test_quiet_silences_it(huge: list[str], terminals: list[Terminal]) -> None:
    terminal = Terminal(*huge, "-q")
    terminals.append(terminal)
    stat = Path(f"/proc/{terminal.running.pid}/stat")
    for _ in range(2000):
        fields = stat.read_text().rpartition(")")[2].split()
        if int(fields[11]) + int(fields[12]) > 2 * os.sysconf("SC_CLK_TCK"):
            break
        time.sleep(0.01)
    assert terminal.read() == ""
    terminal.running.send_signal(signal.SIGTERM)
