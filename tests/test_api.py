"""``from diffai_core import compare``: it answers as the command does, and refuses what makes no sense in one line."""

from __future__ import annotations

import math
import os
import warnings
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors_files import write_safetensors

from diffai_core import compare
from diffai_core.cli import main
from diffai_core.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def paths(tmp_path: Path) -> tuple[Path, Path]:
    """Two models whose one tensor differs by 0.5 in every element."""
    weights = np.arange(6, dtype=np.float32)
    return (
        write_safetensors(tmp_path / "a.safetensors", {"x": weights}),
        write_safetensors(tmp_path / "b.safetensors", {"x": weights + np.float32(0.5)}),
    )


@pytest.mark.parametrize("kind", [str, os.fspath, os.fsencode, lambda path: path])
def test_a_path_may_be_text_bytes_or_an_object(kind: Any, paths: tuple[Path, Path]) -> None:
    assert compare(*map(kind, paths)).exit_code == 1
    assert compare(kind(paths[0]), kind(paths[0])).exit_code == 0


@pytest.mark.parametrize("epsilon", [0.5, 1, np.float32(0.5), np.int64(1), Fraction(1, 2)])
def test_any_kind_of_number_is_a_tolerance(epsilon: Any, paths: tuple[Path, Path]) -> None:
    assert compare(*paths, epsilon=epsilon).exit_code == 0
    assert compare(*paths, tolerance_per_layer={"x": (0, epsilon)}).exit_code == 0
    assert compare(*paths, tolerance_per_layer={"y": [0, epsilon]}).exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epsilon": "0.5"}, "epsilon: '0.5' is not a finite number of at least 0"),
        ({"epsilon": math.nan}, "epsilon: nan is not a finite number of at least 0"),
        ({"epsilon": math.inf}, "epsilon: inf is not"),
        ({"epsilon": -1}, "epsilon: -1 is not"),
        ({"epsilon": 10**400}, "is not a finite number"),
        ({"epsilon": None}, "epsilon: None is not"),
        ({"epsilon": True}, "epsilon: True is not"),
        ({"tolerance_per_layer": "x=1,1"}, "tolerance_per_layer: 'x=1,1' is not a mapping"),
        ({"tolerance_per_layer": {"x": 1}}, "tolerance_per_layer: must be a list, not 1"),
        ({"tolerance_per_layer": {"x": (1,)}}, "tolerance_per_layer: (1,) is not (rtol, atol)"),
        ({"tolerance_per_layer": {"x": (1, 2, 3)}}, "is not (rtol, atol)"),
        ({"tolerance_per_layer": {"x": ("1", "2")}}, "tolerance_per_layer: '1' is not a finite number"),
        ({"tolerance_per_layer": {"x": (0, math.nan)}}, "tolerance_per_layer: nan is not"),
        ({"tolerance_per_layer": {"(": (0, 0)}}, "tolerance_per_layer: '(' is not a regular expression"),
        ({"tolerance_per_layer": {1: (0, 0)}}, "tolerance_per_layer: 1 is not a text"),
        ({"jobs": 0}, "jobs: 0 is not a whole number from 1 to 1024"),
        ({"jobs": -2}, "jobs: -2 is not"),
        ({"jobs": 1.0}, "jobs: 1.0 is not"),
        ({"jobs": "2"}, "jobs: '2' is not"),
        ({"jobs": True}, "jobs: True is not"),
        ({"jobs": 10**400}, "is not a whole number from 1 to 1024"),
        ({"analyses": "stats"}, "analyses must be a list of names, not one text"),
        ({"analyses": 5}, "analyses: must be a list, not 5"),
        ({"analyses": [5]}, "analyses: 5 is not a text"),
        ({"analyses": ["exampel"]}, "exampel: no such analysis; did you mean example?"),
        ({"include": "*.json"}, "include must be a list of patterns, not one text"),
        ({"exclude": b"*.json"}, "exclude must be a list of patterns, not one text"),
        ({"exclude": [None]}, "exclude: None is not a text"),
        ({"filter": "("}, "filter: '(' is not a regular expression"),
        ({"filter": b"x"}, "filter: b'x' is not a text"),
        ({"ignore_keys_regex": 1}, "ignore_keys_regex: 1 is not a text"),
        ({"path": None}, "path: None is not a text"),
        ({"recursive": "no"}, "recursive: 'no' is neither True nor False"),
        ({"input_format": 3}, "input_format: 3 is not a text"),
        ({"input_format": "safetensor"}, "did you mean safetensors?"),
        ({"options": "tensors"}, "options: 'tensors' is not a mapping"),
        ({"options": {"tensers": {}}}, "options: tensers: no such analysis; did you mean tensors?"),
        ({"options": {3: {}}}, "options: 3: no such analysis"),
        ({"options": {"tensors": ["tensor_details"]}}, "options: tensors: ['tensor_details'] is not a mapping"),
        (
            {"options": {"tensors": {"tensor_detail": True}}},
            "options: tensor_detail: no such option of tensors; did you mean tensor_details?",
        ),
        ({"options": {"tensors": {"tensor-details": True}}}, "did you mean tensor_details?"),
        (
            {"options": {"tensors": {"tensor_details": "yes"}}},
            "options: tensors: tensor_details: 'yes' is neither True nor False",
        ),
        (
            {"options": {"example": {"min_flipped_share": "0.5"}}},
            "options: example: min_flipped_share: '0.5' is not a number",
        ),
    ],
)
def test_an_argument_that_makes_no_sense_is_refused_in_one_line(
    arguments: dict[str, Any], message: str, paths: tuple[Path, Path]
) -> None:
    with pytest.raises(UsageError) as caught:
        compare(*paths, **arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "is an empty path"),
        (b"", "is an empty path"),
        ("a\0b", "is a path with a NUL byte, which no file can have ('a\\x00b')"),
        (b"a\0b", "is a path with a NUL byte"),
        (3, "must be a path, not 3"),
        (None, "must be a path, not None"),
        ("\ud800", "is not a path on this system ('\\ud800')"),
    ],
)
def test_what_can_be_no_path_is_refused(path: Any, message: str, paths: tuple[Path, Path]) -> None:
    for name, pair in (("OLD", (path, paths[1])), ("NEW", (paths[0], path))):
        with pytest.raises(UsageError) as caught:
            compare(*pair)
        assert str(caught.value).startswith(f"{name} {message}")


def test_options_reach_their_analysis(paths: tuple[Path, Path]) -> None:
    plain = compare(*paths)
    detailed = compare(*paths, options={"tensors": {"tensor_details": True}})
    assert plain.warnings == detailed.warnings == ()
    kinds = [{key for finding in report.findings for key in finding.values} for report in (plain, detailed)]
    assert kinds[0] < kinds[1]


def test_options_of_an_analysis_that_does_not_run_are_warned_of(paths: tuple[Path, Path]) -> None:
    options = {"example": {"min_flipped_share": 0.5}}
    report = compare(*paths, options=options)
    assert report.warnings == ("options of example have no effect without analyses=['example']",)
    assert compare(*paths, options=options, analyses=["example"]).warnings == ()


def test_a_regular_expression_of_which_python_warns_is_used(paths: tuple[Path, Path]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compare(*paths, filter="[[x]").exit_code == 1
        assert compare(*paths, ignore_keys_regex="[[x||y]").exit_code == 3


def test_the_command_can_be_called_in_a_program(
    paths: tuple[Path, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = map(str, paths)
    assert main([old, new, "--brief"]) == 1
    assert capsys.readouterr().out.startswith("different: 1 of 1 tensor changed")
    assert main([old, old, "-q"]) == 0
    assert main([old, "nowhere"]) == 2
    assert capsys.readouterr().err == "diffai: nowhere: no such file or directory\n"
    assert main([old, "a\0b"]) == 2
    assert "NEW is a path with a NUL byte" in capsys.readouterr().err
    assert main(["--help"]) == 0
    assert capsys.readouterr().out.startswith("Usage: diffai [OPTIONS] OLD NEW [LATER]...\n")
    monkeypatch.setattr("sys.argv", ["diffai", old, new, "--brief"])
    assert main() == 1


def test_an_interrupt_of_the_command_in_a_program_leaves_the_program(
    paths: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("diffai_core.command.compare_paths", interrupted)
    assert main(list(map(str, paths))) == 130


def test_fail_on_unsafe_is_trouble_where_a_file_wants_code_to_be_called(tmp_path):
    path = tmp_path / "model.pkl"
    path.write_bytes(b"\x80\x02}X\x01\x00\x00\x00xcposix\nsystem\nX\x04\x00\x00\x00true\x85Rs.")
    assert compare(path, path).exit_code == 0
    assert compare(path, path, fail_on_unsafe=True).exit_code == 2
