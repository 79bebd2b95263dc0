"""The generated files of a checkout are written from its plugins, and an old one is found."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest

from diffai_core.scaffold import KINDS, scaffold
from diffai_core.scaffold.writing import render
from diffai_core.testing.checkout import checkout_root, members, registry_of
from diffai_core.testing.generated import DEVELOPMENT_TOOLS, formats_page, options_page, plugins_page
from diffai_core.testing.sync import main

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = (("load", "zed"), ("load", "alpha"), ("compare", "beta"), ("report", "gamma"))


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout with four plugins that are installed nowhere."""
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins/hatch_extras.py").write_bytes(b"")
    for kind, name in PLUGINS:
        scaffold(kind, name, tmp_path / "plugins")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for kind, name in PLUGINS:
        for module in [module for module in sys.modules if module.startswith(f"diffai_{kind}_{name}")]:
            del sys.modules[module]


def table_rows(text):
    return [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]


def test_what_is_written_is_found_up_to_date(checkout, capsys):
    assert main(["--check"]) == 1
    assert "generated files are out of date; run: python -m diffai_core.testing.sync" in capsys.readouterr().err
    assert not (checkout / "plugins/requirements-dev.txt").exists()
    assert main([]) == 0
    assert main(["--check"]) == 0


def test_a_changed_file_is_named_and_written_again(checkout, capsys):
    main([])
    page = checkout / "docs/reference/formats.md"
    before = page.read_bytes()
    page.write_bytes(before + b"\r\n")
    capsys.readouterr()
    assert main(["--check"]) == 1
    assert capsys.readouterr().out == "docs/reference/formats.md is out of date\n"
    assert main([]) == 0
    assert page.read_bytes() == before


def test_the_requirements_name_the_core_then_all_plugins_sorted_then_the_tools(checkout):
    main([])
    lines = (checkout / "plugins/requirements-dev.txt").read_text(encoding="utf-8").splitlines()
    examples = ((kind, "example") for kind in KINDS)
    wanted = sorted(f"-e ./plugins/diffai-{kind}-{name}" for kind, name in (*PLUGINS, *examples))
    assert [line for line in lines if not line.startswith("#")] == ["-e .", *wanted, *DEVELOPMENT_TOOLS]


def test_every_tool_is_bounded_above():
    assert [tool for tool in DEVELOPMENT_TOOLS if "<" not in tool and "==" not in tool] == []


def test_the_example_plugins_are_written_from_the_templates(checkout):
    main([])
    loader = checkout / "plugins/diffai-load-example/src/diffai_load_example/loader.py"
    assert "is no example file" in loader.read_text(encoding="utf-8")


def test_the_files_that_the_tutorial_shows_are_brought_up_to_date_and_nothing_else_in_it(checkout):
    marker = "<!-- file: diffai-load-x/src/diffai_load_x/__init__.py -->"
    before = f"# T\n\n{marker}\n```python\nold\n```\n\n```python\nmine\n```\n"
    (checkout / "docs").mkdir()
    tutorial = checkout / "docs/tutorial-first-plugin.md"
    tutorial.write_text(before, encoding="utf-8")
    main([])
    new = render("load", "x")["src/diffai_load_x/__init__.py"]
    assert tutorial.read_text(encoding="utf-8") == before.replace("old\n", new)


def test_the_tables_hold_what_the_plugins_declare(checkout):
    plugins = members(checkout)
    registry = registry_of(plugins)
    assert ["alpha arrays", "`alpha`", "`.alpha`", "magic bytes", "diffai-load-alpha"] in table_rows(
        formats_page(registry)
    )
    options = table_rows(options_page(registry))
    assert ["`--beta`", "Count the elements whose sign flipped.", ""] in [[*row, ""][:3] for row in options]
    assert ["`-o`, `--output NAME`"] in [row[:1] for row in options]
    assert "0" in next(row[2] for row in options if row[0].startswith("`--min-flipped-share"))
    rows = table_rows(plugins_page(plugins, registry))
    assert ["`gamma`", "CSV: one line for each finding.", "`--output gamma`", "diffai-report-gamma"] in rows


def test_every_plugin_of_this_checkout_can_be_loaded_from_its_folder():
    declared = {spec.plugin for spec in registry_of(members(ROOT)).registered}
    points = [
        tomllib.loads(file.read_text(encoding="utf-8"))["project"].get("entry-points", {}).get("diffai", {})
        for file in ROOT.glob("plugins/*/pyproject.toml")
    ]
    assert declared == {name for point in points for name in point}


def test_a_plugin_that_cannot_be_loaded_is_named(checkout, capsys):
    plugin = checkout / "plugins/diffai-load-zed/src/diffai_load_zed/plugin.py"
    plugin.write_text("import no_such_module_at_all\n", encoding="utf-8")
    assert main(["--check"]) == 2
    error = capsys.readouterr().err
    assert "diffai-load-zed 0.1.0" in error
    assert "no_such_module_at_all" in error


def test_a_folder_of_the_checkout_finds_its_root_and_any_other_is_refused(
    checkout, tmp_path_factory, monkeypatch, capsys
):
    monkeypatch.chdir(checkout / "plugins/diffai-load-zed")
    assert checkout_root() == checkout
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert main([]) == 2
    assert "is in no checkout of diffai" in capsys.readouterr().err
