"""Exit codes and the options that shape what is written: what scripts rely on."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import numpy as np
import pytest
from command import DIFFAI, run_diffai
from plugin_files import install
from safetensors_files import write_safetensors

from diffai_core.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WEIGHTS = np.random.default_rng(3).standard_normal((8, 4)).astype(np.float32)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A model, a copy, one with two changed tensors, and one with more metadata."""
    model = {"encoder.w": WEIGHTS, "encoder.b": WEIGHTS[0], "head.w": WEIGHTS}
    changed = {**model, "encoder.w": WEIGHTS + 1, "head.w": WEIGHTS * 1.5}
    return {
        "base": write_safetensors(tmp_path / "base.safetensors", model, {"step": "1"}),
        "copy": write_safetensors(tmp_path / "copy.safetensors", model, {"step": "1"}),
        "changed": write_safetensors(tmp_path / "changed.safetensors", changed, {"step": "2"}),
    }


def test_quiet_writes_nothing_and_answers_by_exit_code(files: dict[str, Path]) -> None:
    for name, code in (("copy", 0), ("changed", 1)):
        done = run_diffai(files["base"], files[name], "--quiet")
        assert (done.returncode, done.stdout, done.stderr) == (code, "", "")


def test_quiet_still_says_on_standard_error_why_it_could_not_compare(files: dict[str, Path]) -> None:
    done = run_diffai(files["base"], "nowhere.safetensors", "-q")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "diffai: nowhere.safetensors: no such file or directory\n"


def test_brief_writes_the_verdict_only(files: dict[str, Path]) -> None:
    done = run_diffai(files["base"], files["changed"], "--brief")
    assert done.stdout == "different: 2 of 3 tensors changed, 1 identical, metadata changed\n"
    assert done.returncode == 1


def test_a_selection_judges_only_what_it_keeps(files: dict[str, Path]) -> None:
    done = run_diffai(files["base"], files["changed"], "--filter", r"\.b$", "--brief")
    assert done.stdout == "identical tensors: 1 tensor equal bit for bit in the selection (1 of 3)\n"
    assert done.returncode == 0
    done = run_diffai(files["base"], files["changed"], "--path", "encoder", "--brief")
    assert done.stdout.startswith("different: 1 of 2 tensors changed")
    done = run_diffai(files["base"], files["changed"], "--ignore-keys-regex", r"\.w$|metadata", "--brief")
    assert done.returncode == 0


def test_a_selection_that_keeps_nothing_is_inconclusive(files: dict[str, Path]) -> None:
    done = run_diffai(files["base"], files["copy"], "--filter", "no such tensor")
    assert done.returncode == 3
    assert done.stdout.startswith("inconclusive: ")
    assert "--filter" in done.stdout


def test_a_selection_inside_the_metadata_is_compared_and_is_a_pass_when_equal(files: dict[str, Path]) -> None:
    assert run_diffai(files["base"], files["copy"], "--path", "__metadata__.step").returncode == 0
    assert run_diffai(files["base"], files["changed"], "--path", "__metadata__.step").returncode == 1
    assert run_diffai(files["base"], files["copy"], "--path", "__metadata__.stop").returncode == 3


def test_the_results_are_an_empty_list_when_equal_and_tagged_results_when_not(files: dict[str, Path]) -> None:
    assert json.loads(run_diffai(files["base"], files["copy"], "--output", "json").stdout) == []
    results = json.loads(run_diffai(files["base"], files["changed"], "--output", "json").stdout)
    changed = {
        result["TensorStatsChanged"][0]: result["TensorStatsChanged"]
        for result in results
        if "TensorStatsChanged" in result
    }
    assert changed.keys() == {"encoder.w", "head.w"}
    old, new = WEIGHTS.astype(float), (WEIGHTS + 1).astype(float)
    _, old_stats, new_stats, pair = changed["encoder.w"]
    assert old_stats["std"] == pytest.approx(old.std(), rel=1e-13)
    assert new_stats["mean"] == pytest.approx(new.mean(), rel=1e-13)
    assert (new_stats["min"], new_stats["max"]) == (new.min(), new.max())
    assert pair["rel_change"] == pytest.approx(np.linalg.norm(new - old) / np.linalg.norm(old), rel=1e-13)
    assert pair["max_abs_diff"] == np.abs(new - old).max()


def test_sort_by_change_magnitude_puts_the_largest_relative_change_first(files: dict[str, Path]) -> None:
    done = run_diffai(files["base"], files["changed"], "--sort-by-change-magnitude", "--output", "json")
    names = [r["TensorStatsChanged"][0] for r in json.loads(done.stdout) if "TensorStatsChanged" in r]
    size = {"encoder.w": np.sqrt(WEIGHTS.size) / np.linalg.norm(WEIGHTS), "head.w": 0.5}
    assert names == sorted(size, key=size.__getitem__, reverse=True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "give two paths, OLD and NEW (got none)"),
        (("a",), "give two paths, OLD and NEW (got 1)"),
        (("a", "b", "--epsilno", "1"), "--epsilno: no such option; did you mean --epsilon?"),
        (("a", "b", "--epsilon", "nan"), "--epsilon: 'nan' is not a finite number of at least 0"),
        (("a", "b", "--epsilon", "-1"), "--epsilon: '-1' is not a finite number of at least 0"),
        (("a", "b", "--tolerance-per-layer", "x=1"), "--tolerance-per-layer: 'x=1' is not PATTERN=rtol,atol"),
        (("a", "b", "--filter", "("), "--filter: '(' is not a regular expression"),
        (("a", "b", "--format", "jsn"), "--format jsn: no such format; did you mean json?"),
        (("a", "b", "--format", "json", "--output", "json"), "--format and --output exclude each other"),
        (("a", "b", "--input-format", "safetensor"), "did you mean safetensors?"),
        (("a", "b", "--jobs", "0"), "--jobs: "),
    ],
)
def test_a_wrong_command_line_is_one_line_that_says_what_to_type(
    words: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        write_safetensors(tmp_path / name, {"x": WEIGHTS})
    done = run_diffai(*words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("diffai: ")
    assert done.stderr.count("\n") == 1
    assert message in done.stderr


def test_a_pipe_that_closes_early_is_no_traceback(tmp_path: Path) -> None:
    many = {f"t{i}": np.array([i], np.float32) for i in range(5000)}
    old = write_safetensors(tmp_path / "a.safetensors", many)
    new = write_safetensors(tmp_path / "b.safetensors", {name: value + 1 for name, value in many.items()})
    done = subprocess.run(
        ["bash", "-c", '"$0" "$1" "$2" | head -n 1', DIFFAI, str(old), str(new)], capture_output=True, check=True
    )
    assert done.stdout.startswith(b"different: 5,000 of 5,000 tensors changed")
    assert done.stderr == b""


TRAP_PLUGIN = """
from {module}_work import trap
from diffai_core.plugin import ComparatorSpec, LoaderSpec, ReporterSpec, hookimpl
trap("import")
@hookimpl
def diffai_loaders():
    trap("hook")
    yield LoaderSpec("trap", "Trap", "{module}_work:load", suffixes=(".trap",))
@hookimpl
def diffai_comparators():
    yield ComparatorSpec("trap", "Trap.", "{module}_work:compare")
@hookimpl
def diffai_reporters():
    yield ReporterSpec("trap", "Trap", "{module}_work:report")
    yield ReporterSpec("trap", "Trap", "{module}_work:report", form="results")
"""
TRAP_WORK = """
import os
class Own(BaseException):
    pass
class Mute(Exception):
    def __str__(self):
        raise ValueError("no words")
def trap(place):
    if os.environ.get("TRAP", "").split(":")[0] == place:
        raise eval(os.environ["TRAP"].split(":")[1])
def load(source, options):
    trap("load")
def compare(comparison, options):
    trap("compare")
    return ()
def report(report, options):
    wrong = {"none": None, "number": ["text", 5], "bytes": [b"text"], "integer": 3}
    if os.environ.get("TRAP") in wrong:
        return wrong[os.environ["TRAP"]]
    trap("report-call")
    return pieces()
def pieces():
    yield "half "
    trap("report")
"""
PLACES = {
    "import": (),
    "hook": (),
    "load": ("--input-format", "trap"),
    "compare": ("--trap",),
    "report-call": ("--format", "trap"),
    "report": ("--output", "trap"),
}


@pytest.fixture
def trap(files: dict[str, Path], tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the command on different models, with a plugin that does what ``TRAP`` says."""
    (tmp_path / "site").mkdir()
    install(tmp_path / "site", "trap", TRAP_PLUGIN, TRAP_WORK)

    def run(what: str, *words: str) -> subprocess.CompletedProcess[str]:
        return run_diffai(files["base"], files["changed"], *words, PYTHONPATH=str(tmp_path / "site"), TRAP=what)

    return run


@pytest.mark.parametrize("error", ["SystemExit(0)", "GeneratorExit()", "Own()"])
@pytest.mark.parametrize("place", PLACES)
def test_no_exception_of_a_plugin_passes_for_an_answer(
    place: str, error: str, trap: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = trap(f"{place}:{error}", *PLACES[place])
    # A plugin that cannot be loaded takes no part; the others compare.
    expected = {2} if place not in {"import", "hook"} else {1} if error == "SystemExit(0)" else {1, 2}
    assert done.returncode in expected
    assert done.stderr.startswith("diffai: ")
    assert error.partition("(")[0] in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("place", PLACES)
def test_an_interrupt_is_130_wherever_it_strikes(
    place: str, trap: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = trap(f"{place}:KeyboardInterrupt()", *PLACES[place])
    assert (done.returncode, done.stderr) == (130, "")


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("report-call:KeyError('x')", "KeyError: 'x'"),
        ("report:KeyError('x')", "KeyError: 'x'"),
        ("report:OSError(28, 'No space left on device')", "OSError: [Errno 28] No space left on device"),
        ("report:BrokenPipeError()", "BrokenPipeError"),
        ("report:Mute()", "Mute"),
        ("report:SystemExit(1)", "SystemExit: 1"),
        ("none", "TypeError: 'NoneType' object is not iterable"),
        ("integer", "TypeError: 'int' object is not iterable"),
        ("number", "gave a int where a text belongs"),
        ("bytes", "gave a bytes where a text belongs"),
    ],
)
@pytest.mark.parametrize("option", ["--format", "--output"])
def test_a_reporter_that_fails_is_named_and_is_trouble(
    option: str, what: str, reason: str, trap: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = trap(what, option, "trap")
    assert done.returncode == 2
    assert done.stderr.startswith(f"diffai: acme-trap 1.2: failed while reporting ({reason}); ")
    assert done.stderr.count("\n") == 1


def test_debug_shows_where_a_reporter_failed(trap: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = trap("report:KeyError('x')", "--format", "trap", "--debug")
    assert "in pieces" in done.stderr
    assert "KeyError: 'x'" in done.stderr


@pytest.mark.parametrize("error", [KeyError("x"), RecursionError("deep"), AssertionError(), SystemExit(1)])
def test_an_error_of_the_core_is_trouble_of_one_line(
    error: BaseException,
    files: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr("diffai_core.command.compare_paths", fails)
    said = f"{type(error).__name__}: {error}".removesuffix(": ")
    words = [str(files["base"]), str(files["copy"])]
    assert main(words) == 2
    line = f"diffai: internal error ({said}); run with --debug for the traceback and report it\n"
    assert capsys.readouterr() == ("", line)
    assert main([*words, "--debug"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("Traceback")
    assert told.endswith(line)


def test_piped_output_has_no_colour_and_is_the_same_with_no_color(files: dict[str, Path]) -> None:
    plain = run_diffai(files["base"], files["changed"])
    assert "\x1b" not in plain.stdout
    assert run_diffai(files["base"], files["changed"], NO_COLOR="1").stdout == plain.stdout
    assert run_diffai(files["base"], files["changed"], PYTHONIOENCODING="ascii").returncode == 1


def test_the_output_is_the_same_bytes_for_any_number_of_jobs_and_run(tmp_path: Path) -> None:
    rng = np.random.default_rng(11)
    model = {"large": rng.standard_normal((1700, 1999), np.float32), "odd": rng.standard_normal(70_001)}
    model |= {f"small.{i}": rng.standard_normal((i, 3)) for i in range(1, 40)}
    old = write_safetensors(tmp_path / "a.safetensors", model)
    new = write_safetensors(tmp_path / "b.safetensors", {k: v + v.dtype.type(1e-3) * v for k, v in model.items()})
    outputs = {
        run_diffai(old, new, "--format", "json", "--jobs", jobs, "--max-memory", memory).stdout
        for jobs, memory in (("1", "32M"), ("2", "256M"), ("7", "1G"))
    }
    assert len(outputs) == 1
    assert json.loads(outputs.pop())["counts"]["changed"] == 41


def test_plugins_lists_what_is_installed_also_as_json() -> None:
    text = run_diffai("--plugins")
    assert text.returncode == 0
    assert "safetensors" in text.stdout
    rows = json.loads(run_diffai("--plugins", "--json").stdout)
    assert any(row["name"] == "safetensors" and row["status"] == "ok" for row in rows)


def test_help_names_no_heavy_module(tmp_path: Path) -> None:
    done = run_diffai("--help", PYTHONPROFILEIMPORTTIME="1", COLUMNS="100")
    assert "Usage: diffai [OPTIONS] OLD NEW" in done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "click" in imported
    assert not imported & {
        "numpy",
        "ml_dtypes",
        "yaml",
        "torch",
        "diffai_core.engine",
        "diffai_load_safetensors.loader",
    }


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission_is_said(files: dict[str, Path]) -> None:
    files["copy"].chmod(0)
    assert run_diffai(files["base"], files["copy"]).stderr == f"diffai: {files['copy']}: permission denied\n"
