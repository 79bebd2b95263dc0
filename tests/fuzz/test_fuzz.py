"""The fuzzer finds faults that were planted, and says which bytes bring them about."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("atheris", reason="atheris is for CPython on Linux")
RUN = Path(__file__).with_name("run.py")


def fuzzed(name, kept, *arguments):
    command = [sys.executable, str(RUN), "--seconds", "20", "--only", name, "--keep", str(kept), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=110)


def test_an_error_that_is_no_load_error_is_found_and_its_bytes_are_kept(tmp_path):
    done = fuzzed("planted:TestRaising", tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "planted:TestRaising: FAILED" in done.stdout
    assert "IndexError" in (tmp_path / "planted-TestRaising.log").read_text(encoding="utf-8")
    (crash,) = tmp_path.glob("planted-TestRaising-crash-*")
    assert crash.read_bytes()[1:2] == b"P"
    assert crash.read_bytes()[2] > 100


def test_a_loader_that_never_ends_is_found(tmp_path):
    done = fuzzed("planted:TestHanging", tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert list(tmp_path.glob("planted-TestHanging-timeout-*"))


def test_a_loader_that_is_not_there_is_no_success(tmp_path):
    assert fuzzed("no-such-loader", tmp_path).returncode == 2
