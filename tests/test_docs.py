"""The documentation is held to the program: shown output is real, and nothing a user meets is undocumented."""

from __future__ import annotations

import ast
import dataclasses
import doctest
import importlib
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from documents import broken_links, matches, pages, sessions, text
from repository import CORE, ROOT, modules, plugins

import diffai_core.plugin
from diffai_core import hookspecs, specs

TESTED_PAGES = ["README.md", *(page for page in pages() if page.startswith("docs/user-guide/"))]
SESSIONS = [session for page in TESTED_PAGES for session in sessions(page)]
HOOKS = [name for name in vars(hookspecs) if name.startswith("diffai_")]
RECORDS = [specs.LoaderSpec, specs.ComparatorSpec, specs.ReporterSpec, specs.Option]
CORE_MODULES = [name for name in modules(ROOT / CORE) if not name.startswith((f"{CORE}.testing", f"{CORE}.scaffold"))]


def test_the_readme_shows_the_output_of_a_command():
    assert sessions("README.md")


@pytest.mark.parametrize("session", SESSIONS, ids=lambda session: f"{session.page}: {session.command}"[:120])
def test_the_output_shown_is_what_the_command_writes(session):
    scripts = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "80"}
    done = subprocess.run(
        ["bash", "-c", session.command],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert matches(session.output, done.stdout), done.stdout


@pytest.mark.parametrize("command", ["try", "develop"])
def test_the_readme_has_each_set_up_command_in_a_fence_of_its_own(command):
    fences = re.findall(rf"^<!-- command: {command} -->\n```sh\n(.+)\n```$", text("README.md"), re.MULTILINE)
    assert len(fences) == 1


@pytest.mark.parametrize("page", pages())
def test_every_link_leads_somewhere(page):
    assert broken_links(page) == []


def test_every_page_of_the_documentation_is_reached_from_the_index():
    reached, todo = set(), [ROOT / "docs/index.md"]
    while todo:
        page = todo.pop()
        if page in reached:
            continue
        reached.add(page)
        name = page.relative_to(ROOT).as_posix()
        targets = re.findall(r"\]\(([^)#\s]+\.md)", text(name))
        todo += [(page.parent / target).resolve() for target in targets if not target.startswith("http")]
    assert {page for page in pages() if page.startswith("docs/") and ROOT / page not in reached} == set()


def test_the_readme_names_every_format_that_can_be_read():
    formats = {plugin.name.removeprefix("diffai-load-") for plugin in plugins() if "-load-" in plugin.name}
    assert {name for name in formats - {"example"} if name not in text("README.md").lower()} == set()


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented_with_its_signature(hook):
    signature = inspect.signature(getattr(hookspecs, hook))
    assert f"## `{hook}{signature}`".replace("'", "") in text("docs/reference/hooks.md")


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_every_field_of_a_declaration_is_documented(record):
    page = text("docs/reference/hooks.md")
    section = page.partition(f"### `{record.__name__}`")[2].partition("\n## ")[0].partition("\n### ")[0]
    documented = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    assert documented == [field.name for field in dataclasses.fields(record)]


def kinds_in(source: Path) -> set[str]:
    """Return the finding kinds that the modules of a package give as literals."""
    found = set()
    for file in source.rglob("*.py"):
        if source.name == CORE and "testing" in file.parts:
            continue  # the kit makes findings up
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "Finding":
                kind = next((word.value for word in node.keywords if word.arg == "kind"), (node.args or [None])[0])
                found |= {leaf.value for leaf in ast.walk(kind) if isinstance(leaf, ast.Constant)} if kind else set()
    return {kind for kind in found if isinstance(kind, str) and re.fullmatch(r"[a-z]\w+", kind)}


def words_in(source: Path) -> set[str]:
    """Return all string constants of a package."""
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in source.rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def test_every_finding_kind_is_documented_and_every_documented_kind_exists():
    sources = [ROOT / CORE, *(plugin.source for plugin in plugins())]
    rows = re.findall(r"^\| (`[^|]+`) \|", text("docs/reference/finding-kinds.md"), re.MULTILINE)
    documented = {kind for row in rows for kind in re.findall(r"`(\w+)`", row)}
    assert documented >= set().union(*map(kinds_in, sources))
    assert documented <= set().union(*map(words_in, sources))


def result_parts(name: str) -> set[str]:
    """Return the public names of the result of an accumulator, and of the results it is made of."""
    from diffai_core.accumulators import ACCUMULATORS, PairLayout
    from diffai_core.dtypes import dtype

    float32 = dtype("float32")
    fold = ACCUMULATORS[name]
    return set(_names(fold.finish(fold.start(PairLayout.of((4, 128), float32, float32)))))


def _names(result):
    if isinstance(result, dict):
        for value in result.values():
            yield from _names(value)
        return
    for name in dir(result):
        if name.startswith("_") or name in INTERNAL or (isinstance(result, tuple) and hasattr(tuple, name)):
            continue
        yield name
        if type(part := getattr(result, name)).__module__.startswith(f"{CORE}.accumulators"):
            yield from _names(part)


INTERNAL = {"plus", "at", "of", "with_keys", "norm_scaled", "keys", "is_dense"}
"""Names of results that serve the merging alone."""


def accumulator_names():
    from diffai_core.accumulators import ACCUMULATORS

    return list(ACCUMULATORS)


@pytest.mark.parametrize("name", accumulator_names())
def test_every_accumulator_is_documented_with_every_part_of_its_result(name):
    page = text("docs/reference/accumulators.md")
    sections = dict(re.findall(r"^## `(\w+)`\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    section = sections[name]
    for other in re.findall(r"the fields are those of `(\w+)`", section):
        section += sections[other]
    assert result_parts(name) - set(re.findall(r"^\| `(\w+)", section, re.MULTILINE)) == set()


def test_every_documented_accumulator_exists():
    headings = re.findall(r"^## `(\w+)`$", text("docs/reference/accumulators.md"), re.MULTILINE)
    assert sorted(headings) == sorted(accumulator_names())


def test_every_exit_code_is_documented_alike_in_readme_and_reference():
    for page in ("README.md", "docs/reference/exit-codes.md"):
        assert re.findall(r"^\| (\d+) \|", text(page), re.MULTILINE)[:4] == ["0", "1", "2", "3"]


@pytest.mark.parametrize("name", CORE_MODULES)
def test_examples_in_docstrings_are_true(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0


def test_there_are_examples_in_docstrings():
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [test for name in CORE_MODULES for test in finder.find(importlib.import_module(name)) if test.examples]
    assert len(found) >= len(HOOKS)


def test_every_name_that_a_plugin_may_import_has_its_line():
    page = (ROOT / "docs/reference/plugin-api.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert sorted(listed) == sorted(diffai_core.plugin.__all__)
    assert {f"`{member.name}`" for member in diffai_core.plugin.Relation} <= set(re.findall(r"`\w+`", page))
