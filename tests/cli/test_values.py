"""Values that make no sense: each is refused in one line that names the option and shows the value, never more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from command import run_diffai
from safetensors_files import write_safetensors

from diffai_core.cli import main

if TYPE_CHECKING:
    from pathlib import Path

NINES = "9" * 400


@pytest.fixture(autouse=True)
def inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``a`` and ``b`` in the current folder hold the same."""
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        write_safetensors(tmp_path / name, {"[a": np.ones(1, np.float32)})
    return tmp_path


class Refusal:
    """Runs the command in this process; it must refuse in one short line."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def of(self, *words: str) -> str:
        """Return the line."""
        assert main(words) == 2
        out, err = self._capsys.readouterr()
        assert out == ""
        assert err.startswith("diffai: ")
        assert err.count("\n") == 1
        assert len(err) < 300
        return err.removeprefix("diffai: ").rstrip("\n")


@pytest.fixture
def refusal(capsys: pytest.CaptureFixture[str]) -> Refusal:
    return Refusal(capsys)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--max-memory", NINES, "is too much; the largest is 1048576G"),
        ("--max-memory", f"{NINES}G", "is too much"),
        ("--max-memory", "1" * 5000, "is too much"),
        ("--max-memory", "1K", "is too little"),
        ("--max-memory", "", "is not a size"),
        ("--jobs", NINES, "is not a whole number from 1 to 1024"),
        ("--jobs", "9" * 5000, "is not a whole number from 1 to 1024"),
        ("--jobs", "-1", "is not a whole number from 1 to 1024"),
        ("--jobs", "1.5", "is not a whole number from 1 to 1024"),
        ("--epsilon", "1e400", "'1e400' is not a finite number of at least 0"),
        ("--epsilon", NINES, "is not a finite number of at least 0"),
        ("--epsilon", "inf", "'inf' is not a finite number of at least 0"),
        ("--epsilon", "", "'' is not a finite number of at least 0"),
        ("--tolerance-per-layer", f"x={NINES},0", "is not PATTERN=rtol,atol"),
        ("--tolerance-per-layer", "x=1e400,0", "is not PATTERN=rtol,atol"),
        ("--tolerance-per-layer", "x=nan,0", "is not PATTERN=rtol,atol"),
        ("--tolerance-per-layer", "x=1,-1", "is not PATTERN=rtol,atol"),
        ("--tolerance-per-layer", "x=1,1,1", "is not PATTERN=rtol,atol"),
        ("--tolerance-per-layer", "=1,1", "is not PATTERN=rtol,atol"),
        ("--tolerance-per-layer", "(=1,1", "'(' is not a regular expression"),
        ("--min-flipped-share", "1e400", "'1e400' is not a number"),
        ("--min-flipped-share", "nan", "'nan' is not a number"),
        ("--filter", "a{99999999999999999999}", "the regular expression is too large"),
        ("--filter", "(" * 5000 + ")" * 5000, "the regular expression is too large"),
        ("--ignore-keys-regex", "[", "'[' is not a regular expression: unterminated character set at position 0"),
        ("--format", "", "no such format"),
        ("--output", "", "no such format"),
    ],
)
def test_a_value_out_of_range_is_a_usage_error_of_one_short_line(
    option: str, value: str, message: str, refusal: Refusal
) -> None:
    line = refusal.of("a", "b", option, value)
    assert line.startswith(option)
    assert message in line


@pytest.mark.parametrize("value", ["32M", "1.5GiB", "256mb", "1048576G", "40000000"])
def test_sizes_with_any_usual_unit_are_taken(value: str) -> None:
    assert main(["a", "b", "-q", "--max-memory", value]) == 0


@pytest.mark.parametrize("option", ["--filter", "--ignore-keys-regex"])
def test_a_regular_expression_that_python_warns_of_is_used_without_a_word(option: str, inputs: Path) -> None:
    assert run_diffai("a", "b", option, "[[a]", cwd=inputs).stderr == ""
    kept = run_diffai("a", "b", "--filter", "[[]a", cwd=inputs)
    assert (kept.returncode, kept.stderr) == (0, "")
    assert run_diffai("a", "b", "--tolerance-per-layer", "[[a]=1,1", cwd=inputs).stderr == ""


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (("", "b"), "OLD is an empty path"),
        (("a", ""), "NEW is an empty path"),
    ],
)
def test_an_empty_path_is_refused_and_not_taken_for_the_folder_one_is_in(
    paths: tuple[str, str], message: str, refusal: Refusal
) -> None:
    assert refusal.of(*paths) == message


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("a", "b", "--eps", "1"), "--eps: no such option; did you mean --epsilon?"),
        (("a", "b", "--eps=1"), "--eps: no such option; did you mean --epsilon?"),
        (("a", "b", "--recurse"), "--recurse: no such option; did you mean --recursive?"),
        (("a", "b", "--tolerance", "x"), "--tolerance: no such option; did you mean --tolerance-per-layer?"),
        (("a", "b", "--hepl"), "--hepl: no such option; did you mean --help?"),
        (("a", "b", "--zzzzzz"), "--zzzzzz: no such option"),
    ],
)
def test_the_option_that_begins_as_typed_is_suggested_first(
    words: tuple[str, ...], message: str, refusal: Refusal
) -> None:
    assert refusal.of(*words) == message


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("a", "b", "--json"), "--json belongs to --plugins; --format json writes the report as JSON"),
        (("--json",), "--json belongs to --plugins; --format json writes the report as JSON"),
        (("--plugins", "a", "b"), "--plugins takes no paths; to compare, leave it out"),
        (("--plugins", "--new-plugin", "load", "x"), "--plugins and --new-plugin exclude each other"),
        (("--new-plugin", "load", "x", "a"), "--new-plugin KIND NAME takes no paths; to compare, leave it out"),
    ],
)
def test_modes_that_exclude_each_other_are_refused_and_nothing_is_done(
    words: tuple[str, ...], message: str, inputs: Path, refusal: Refusal
) -> None:
    before = sorted(inputs.rglob("*"))
    assert refusal.of(*words) == message
    assert sorted(inputs.rglob("*")) == before
