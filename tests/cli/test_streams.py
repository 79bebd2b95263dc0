"""Standard output and standard error closed, full or gone: the exit code stays the truth, and Python stays silent."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import numpy as np
import pytest
from command import DIFFAI
from safetensors_files import write_safetensors

if TYPE_CHECKING:
    from pathlib import Path

CLOSED = "diffai: standard output: is closed\n"
FULL = "diffai: standard output: No space left on device\n"
NO_COMPARISON = ("--help", "--version", "--plugins", "--plugins --json")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """``a`` and ``same`` hold one model, ``b`` another, and ``many`` one that takes a long report."""
    weights = np.arange(6, dtype=np.float32)
    write_safetensors(tmp_path / "a", {"x": weights})
    write_safetensors(tmp_path / "same", {"x": weights})
    write_safetensors(tmp_path / "b", {"x": weights + 1})
    write_safetensors(tmp_path / "many", {f"t{i}": weights[:1] for i in range(3000)})
    write_safetensors(tmp_path / "more", {f"t{i}": weights[:1] + 1 for i in range(3000)})
    (tmp_path / "damaged").write_bytes(b"\xff" * 64)
    return tmp_path


def shell(folder: Path, line: str) -> tuple[int, str, str]:
    """Run a line of bash with ``$0`` for the command; return exit code, output and errors."""
    done = subprocess.run(
        ["bash", "-c", line, DIFFAI], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("words", ["a b", "a same", "a b --brief", "many more -v", *NO_COMPARISON])
def test_a_closed_standard_output_is_trouble_when_there_is_something_to_write(words: str, folder: Path) -> None:
    assert shell(folder, f"$0 {words} >&-") == (2, "", CLOSED)


@pytest.mark.parametrize("words", ["a b", "a same", "a b --brief", "many more -v --format json", *NO_COMPARISON])
def test_a_full_disk_is_trouble_of_one_line(words: str, folder: Path) -> None:
    assert shell(folder, f"$0 {words} >/dev/full") == (2, "", FULL)


@pytest.mark.parametrize("target", ["&-", "/dev/full"])
def test_quiet_needs_no_standard_output(target: str, folder: Path) -> None:
    assert shell(folder, f"$0 a same -q >{target}") == (0, "", "")
    assert shell(folder, f"$0 a b -q >{target}") == (1, "", "")
    assert shell(folder, f"$0 a nowhere -q >{target}")[0] == 2


@pytest.mark.parametrize("target", ["&-", "/dev/full"])
def test_without_standard_error_exit_code_and_report_are_the_same(target: str, folder: Path) -> None:
    for words, code in (("a same", 0), ("a b", 1), ("a damaged", 2), ("a b --epsilno 1", 2), ("a damaged --debug", 2)):
        _, report, _ = shell(folder, f"$0 {words}")
        assert shell(folder, f"$0 {words} 2>{target}") == (code, report, "")


def test_traces_never_land_in_the_report_when_standard_error_is_closed(folder: Path) -> None:
    _, report, _ = shell(folder, "$0 a b")
    assert shell(folder, "DIFFAI_TRACE=1 $0 a b 2>&-") == (1, report, "")


def test_all_streams_closed_leave_the_exit_code(folder: Path) -> None:
    assert shell(folder, "$0 a same -q <&- >&- 2>&-") == (0, "", "")
    assert shell(folder, "$0 a b -q <&- >&- 2>&-") == (1, "", "")
    assert shell(folder, "$0 a b <&- >&- 2>&-") == (2, "", "")


def test_a_reader_of_standard_error_that_has_gone_changes_nothing(folder: Path) -> None:
    _, report, _ = shell(folder, "$0 a b")
    line = "{ { sleep 0.3; $0 a damaged; echo $? >code; } 2>&1 >out | true; }; cat out code"
    assert shell(folder, line)[1] == "2\n"
    line = "{ { sleep 0.3; DIFFAI_TRACE=1 $0 a b; echo $? >code; } 2>&1 >out | true; }; cat out code"
    assert shell(folder, line)[1] == f"{report}1\n"


@pytest.mark.parametrize("words", ["many more -v", "a b", *NO_COMPARISON])
def test_a_reader_of_the_report_that_has_gone_is_silence(words: str, folder: Path) -> None:
    assert shell(folder, f"{{ sleep 0.3; $0 {words}; echo $? >code; }} | true; cat code") == (0, "141\n", "")


def test_a_name_that_the_encoding_lacks_is_escaped(folder: Path) -> None:
    write_safetensors(folder / "c", {"x\u00e9\u4e2d": np.zeros(1, np.float32)})
    code, report, errors = shell(folder, "PYTHONIOENCODING=ascii $0 a c")
    assert (code, errors) == (1, "")
    assert r"x\xe9\u4e2d" in report
