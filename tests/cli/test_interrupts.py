"""Interrupts under load: the process is gone at once, with exit code 130 and not a word, whatever it was doing."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from command import DIFFAI
from plugin_files import install

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Start = Callable[..., subprocess.Popen[bytes]]

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")

HUGE = 10_000_000_000
"""Elements of float32 that no machine compares in the time of a test; the files have holes and take no space."""
AT_ONCE = 2.0
"""Seconds; 0.2 are promised, and a busy machine gets ten times as long."""

DEAF_PLUGIN = """
from {module}_work import be_deaf
from diffai_core.plugin import ComparatorSpec, LoaderSpec, ReporterSpec, hookimpl
be_deaf("import")
@hookimpl
def diffai_loaders():
    yield LoaderSpec("deaf", "Deaf", "{module}_work:load", suffixes=(".deaf",))
@hookimpl
def diffai_comparators():
    yield ComparatorSpec("deaf", "Deaf.", "{module}_work:compare")
    yield ComparatorSpec("deaf-map", "Deaf.", "{module}_work:compare_in_threads")
@hookimpl
def diffai_reporters():
    yield ReporterSpec("deaf", "Deaf", "{module}_work:report")
"""
DEAF_WORK = """
import hashlib, os, pathlib
def be_deaf(place):
    # Minutes in C, without the interpreter's lock: Python does not come to look at signals.
    if os.environ.get("DEAF") == place:
        pathlib.Path(os.environ["READY"]).touch()
        hashlib.pbkdf2_hmac("sha256", b"", b"", 500_000_000)
def load(source, options):
    from diffai_core.plugin import Artifact, BlockTensor, dtype
    be_deaf("load")
    kind = dtype("float32")
    tensors = {name: BlockTensor(name=name, shape=(5,), dtype=kind, open_blocks=blocks) for name in "ab"}
    return Artifact(name=source.name, format="deaf", tensors=tensors, files=(source.open(),))
def blocks(n_bytes):
    import numpy as np
    be_deaf("decode")
    yield np.zeros(5, np.float32)
def compare(comparison, options):
    be_deaf("compare")
    return ()
def compare_in_threads(comparison, options):
    list(comparison.map(lambda pair: be_deaf("map"), [result.pair for result in comparison.results]))
    return ()
def report(report, options):
    be_deaf("report")
    return ()
"""


@pytest.fixture
def huge(tmp_path: Path) -> list[str]:
    """Two files with one tensor each that differs at its beginning."""
    paths = []
    for name, first in (("old", 0.0), ("new", 1.0)):
        entry = {"dtype": "F32", "shape": [HUGE // 1000, 1000], "data_offsets": [0, 4 * HUGE]}
        header = json.dumps({"x": entry}).encode()
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(struct.pack("<Q", len(header)) + header + struct.pack("<f", first))
        os.truncate(path, 8 + len(header) + 4 * HUGE)
        paths.append(str(path))
    return paths


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a command with an environment, and ends it with the test."""
    started: list[subprocess.Popen[bytes]] = []
    # A suite in the background may have been told to ignore interrupts, and what it starts would inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def start(*words: str, **environment: str) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(words, stdout=pipe, stderr=pipe, env={**os.environ, **environment}))
        return started[-1]

    yield start
    signal.signal(signal.SIGINT, before)
    for running in started:
        running.kill()
        running.communicate()


def cpu_seconds(running: subprocess.Popen[bytes]) -> float:
    fields = Path(f"/proc/{running.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    pytest.fail("it did not come so far in 30 seconds")


def assert_gone(running: subprocess.Popen[bytes], *signals: signal.Signals, code: int = 130) -> None:
    begun = time.monotonic()
    for number in signals:
        running.send_signal(number)
    running.wait(20)
    seconds = time.monotonic() - begun
    out, err = running.stdout.read(), running.stderr.read()
    assert (running.returncode, out, err) == (code, b"", b"")
    assert seconds < AT_ONCE


@pytest.mark.parametrize("jobs", ["1", "2"])
@pytest.mark.parametrize("kernel", ["numpy", "native"])
def test_ctrl_c_ends_the_pass_at_once(kernel: str, jobs: str, huge: list[str], start: Start) -> None:
    running = start(DIFFAI, *huge, "--kernel", kernel, "--jobs", jobs, "--stats")
    wait_until(lambda: cpu_seconds(running) > 1 or running.poll() is not None)
    if kernel == "native" and running.poll() is not None:
        pytest.skip("the native kernel is not installed")
    assert_gone(running, signal.SIGINT)


def test_ctrl_c_ends_the_first_look_at_once(huge: list[str], start: Start) -> None:
    with open(huge[1], "r+b") as file:  # noqa: PTH123 - makes them equal
        file.seek(-4 * HUGE, os.SEEK_END)
        file.write(bytes(4))
    running = start(DIFFAI, *huge)
    wait_until(lambda: cpu_seconds(running) > 1)
    assert_gone(running, signal.SIGINT)


@pytest.mark.parametrize(
    ("place", "jobs"),
    [("import", "1"), ("load", "1"), *((place, jobs) for place in ("decode", "map") for jobs in "12"), ("report", "1")],
)
def test_ctrl_c_ends_plugins_that_do_not_listen(place: str, jobs: str, tmp_path: Path, start: Start) -> None:
    install(tmp_path, "deaf", DEAF_PLUGIN, DEAF_WORK)
    for name in ("old.deaf", "new.deaf"):
        (tmp_path / name).write_bytes(b"deaf")
    ready = tmp_path / "ready"
    words = (str(tmp_path / "old.deaf"), str(tmp_path / "new.deaf"), "--deaf", "--deaf-map", "--format", "deaf")
    running = start(DIFFAI, *words, "--jobs", jobs, PYTHONPATH=str(tmp_path), DEAF=place, READY=str(ready))
    wait_until(ready.exists)
    assert_gone(running, signal.SIGINT)


def test_ctrl_c_twice_in_a_row_is_as_one(huge: list[str], start: Start) -> None:
    running = start(DIFFAI, *huge)
    wait_until(lambda: cpu_seconds(running) > 1)
    assert_gone(running, signal.SIGINT, signal.SIGINT)


def test_a_request_to_terminate_is_followed_at_once(huge: list[str], start: Start) -> None:
    running = start(DIFFAI, *huge)
    wait_until(lambda: cpu_seconds(running) > 1)
    assert_gone(running, signal.SIGTERM, code=-signal.SIGTERM)


def test_nohup_keeps_its_word(huge: list[str], start: Start) -> None:
    """A process that was started with interrupts ignored goes on."""
    running = start("bash", "-c", 'trap "" INT; exec "$@"', "bash", DIFFAI, *huge)
    wait_until(lambda: cpu_seconds(running) > 1)
    running.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert running.poll() is None
    assert_gone(running, signal.SIGTERM, code=-signal.SIGTERM)
