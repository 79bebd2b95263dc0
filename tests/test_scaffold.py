"""What ``diffai --new-plugin`` writes and refuses; ``test_tutorial.py`` installs and runs it."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffai_core.errors import UsageError
from diffai_core.scaffold import KINDS, scaffold
from diffai_core.scaffold.writing import render

ROOT = Path(__file__).resolve().parents[1]
NAME = "sea-shell"
NAMES = st.from_regex(r"[a-z][a-z0-9]{0,8}(-[a-z0-9]{1,8}){0,2}", fullmatch=True)


@pytest.mark.parametrize("kind", KINDS)
def test_the_example_plugin_is_what_the_scaffold_writes(kind):
    folder = ROOT / f"plugins/diffai-{kind}-example"
    texts = render(kind, "example")
    assert {path: (folder / path).read_text(encoding="utf-8") for path in texts} == texts
    sources = {
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.suffix in {".py", ".toml", ".md"}
    }
    assert sources <= set(texts)


@pytest.mark.parametrize("kind", KINDS)
def test_the_conformance_test_of_a_new_plugin_has_fewer_than_20_lines_of_code(kind):
    text = render(kind, NAME)["tests/test_conformance.py"]
    assert len([line for line in text.splitlines() if line.strip()]) < 20
    assert "from diffai_core.testing import" in text


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=20, deadline=None, derandomize=True)
@given(name=NAMES)
def test_any_good_name_gives_files_that_parse(kind, name):
    texts = render(kind, name)
    for path, text in texts.items():
        if path.endswith(".py"):
            ast.parse(text, path)
    project = tomllib.loads(texts["pyproject.toml"])["project"]
    package = f"diffai_{kind}_{name.replace('-', '_')}"
    assert project["name"] == f"diffai-{kind}-{name}"
    assert project["entry-points"] == {"diffai": {f"{kind}-{name}": f"{package}.plugin"}}
    assert f"src/{package}/plugin.py" in texts
    assert not [path for path, text in texts.items() if "${" in text or "$" in path]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    name=st.text(max_size=50)
    | st.sampled_from(["../x", "A", "a_b", "a--b", "-a", "a-", "1a", "a.b", "a b", "a\n", "é"])
)
def test_any_other_name_is_refused_with_the_form_it_must_have(name):
    if _is_kebab_case(name) and len(name) <= 40:
        assert render("load", name)
        return
    with pytest.raises(UsageError, match="lower-case letters and digits") as caught:
        render("load", name)
    assert "\n" not in str(caught.value)


def _is_kebab_case(name):
    words = name.split("-")
    return name[:1].isalpha() and all(word.isascii() and word.isalnum() and word == word.lower() for word in words)


def test_a_name_that_is_refused_leaves_nothing_behind(tmp_path):
    with pytest.raises(UsageError):
        scaffold("load", "../escape", tmp_path)
    assert list(tmp_path.rglob("*")) == []


def test_a_kind_that_does_not_exist_is_refused_with_those_that_do(tmp_path):
    with pytest.raises(UsageError, match="one of load, compare, report, not 'loader'"):
        scaffold("loader", "x", tmp_path)


def test_a_folder_that_exists_is_not_touched(tmp_path):
    mine = tmp_path / "diffai-load-x/README.md"
    mine.parent.mkdir()
    mine.write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="is already there; choose another name or remove it"):
        scaffold("load", "x", tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [mine]
    assert mine.read_text(encoding="utf-8") == "mine"


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError, match="cannot write"):
        scaffold("load", "x", tmp_path / "file")


def test_the_files_written_are_those_returned(tmp_path):
    paths = scaffold("report", NAME, tmp_path)
    assert paths == sorted(path for path in tmp_path.rglob("*") if path.is_file())
