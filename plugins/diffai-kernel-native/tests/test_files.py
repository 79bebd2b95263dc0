"""What the kernel does to the process: nothing that anyone else would notice."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

pytest.importorskip("diffai_kernel_native._native", reason="the extension is not built")

MEASURE = """
import mmap, os, sys
import numpy as np
from diffai_core.plugin import DataFile, FileTensor, dtype
from diffai_kernel_native.kernel import load
path = sys.argv[1]
with DataFile(path) as file:
    tensor = FileTensor(name="w", shape=(10_000,), dtype=dtype("uint8"), file=file, offset=0)
    assert load().worker("mmap").same_bytes(tensor, tensor, 0, 10_000)
"""
ELSEWHERE = (
    MEASURE
    + """
with open(path, "rb") as file:
    view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    os.truncate(path, 0)
    view[9_000]
"""
)
OWN = """
import signal
signal.signal(signal.SIGBUS, lambda *_: print("mine", flush=True))
""" + MEASURE + """
os.kill(os.getpid(), signal.SIGBUS)
"""  # fmt: skip


def run(program, path):
    path.write_bytes(bytes(10_000))
    return subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, text=True, check=False, timeout=60
    )


def test_a_bus_error_that_is_not_the_kernels_ends_the_process_as_ever(tmp_path):
    assert run(MEASURE, tmp_path / "w").returncode == 0
    done = run(ELSEWHERE, tmp_path / "w")
    assert done.returncode == -signal.SIGBUS, done.stderr


def test_a_handler_of_bus_errors_that_was_there_before_is_still_called(tmp_path):
    done = run(OWN, tmp_path / "w")
    assert (done.returncode, done.stdout) == (0, "mine\n"), done.stderr
