"""Each law of a plugin module catches the module that breaks it."""

from __future__ import annotations

import importlib
import sys
from types import SimpleNamespace

import diffai_load_example.plugin
import pytest

from diffai_core.testing import PluginTests

IMPORTS = "test_importing_the_plugin_is_cheap"
DECLARED = "test_the_registry_accepts_every_declaration"
TARGETS = "test_targets_can_be_called_as_the_core_does"
INSTALLED = "test_the_entry_point_is_installed"

HEAD = """
from diffai_core.plugin import ComparatorSpec, LoaderSpec, Option, ReporterSpec, hookimpl
"""


@pytest.fixture
def kit(tmp_path, monkeypatch):
    """Return a function that makes a plugin module of a source text and the test class for it."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def make(source):
        (tmp_path / "subject_plugin.py").write_text(HEAD + source)
        importlib.invalidate_caches()
        tests = PluginTests()
        tests.plugin = importlib.import_module("subject_plugin")
        return tests

    yield make
    sys.modules.pop("subject_plugin", None)


def loader(fields, decorator="@hookimpl", name="diffai_loaders", arguments=""):
    return f"{decorator}\ndef {name}({arguments}):\n    yield LoaderSpec({fields})\n"


GOOD = 'name="x", title="x", target="json:dump"'


@pytest.mark.parametrize(
    ("law", "source", "complaint"),
    [
        (IMPORTS, "import numpy\n" + loader(GOOD), "imports numpy"),
        (IMPORTS, "import asyncio, xml.dom.minidom, sqlite3\n" + loader(GOOD), r"adds \d+ modules"),
        (IMPORTS, "import no_such_module_at_all\n", "no_such_module_at_all"),
        (DECLARED, "", "implements no hook"),
        (DECLARED, loader(GOOD, decorator=""), "lacks the decorator @hookimpl"),
        (DECLARED, loader(GOOD, name="diffai_loader"), "not a hook"),
        (DECLARED, loader(GOOD, arguments="bogus"), "bogus"),
        (DECLARED, loader('name="x", title="x", target="json"'), "package.module:object"),
        (DECLARED, loader('name="X y", title="x", target="json:dump"'), "kebab case"),
        (DECLARED, loader(GOOD + ', options=(Option("a", "No stop"),)'), "full stop"),
        (DECLARED, loader(GOOD + ", api=99"), "API 99"),
        (DECLARED, "@hookimpl\ndef diffai_loaders():\n    yield 1\n", "int instead of a LoaderSpec"),
        (DECLARED, loader(GOOD) + "    yield LoaderSpec(" + GOOD + ")\n", "taken"),
        (TARGETS, loader('name="x", title="x", target="json:no_such"'), "no_such"),
        (TARGETS, loader('name="x", title="x", target="no_such_package:f"'), "no_such_package"),
        (TARGETS, loader('name="x", title="x", target="json:JSONDecodeError.__doc__"'), "not callable"),
        (TARGETS, loader('name="x", title="x", target="gc:collect"'), "2 arguments"),
        (TARGETS, loader(GOOD + ', sniff="gc:collect"'), "2 arguments"),
        (INSTALLED, loader(GOOD), "install the package"),
    ],
)
def test_a_plugin_that_breaks_a_law_is_caught(law, source, complaint, kit):
    if "no_such_module_at_all" in source:
        tests = PluginTests()
        tests.plugin = SimpleNamespace(__name__="no_such_module_at_all")
    else:
        tests = kit(source)
    with pytest.raises((Exception, pytest.fail.Exception), match=complaint):
        getattr(tests, law)()


@pytest.mark.parametrize("law", [IMPORTS, DECLARED, TARGETS, INSTALLED])
def test_a_plugin_that_keeps_the_laws_passes(law):
    tests = PluginTests()
    tests.plugin = diffai_load_example.plugin
    getattr(tests, law)()


def test_a_test_class_without_plugin_says_what_to_set():
    with pytest.raises(pytest.fail.Exception, match="set `plugin`"):
        getattr(PluginTests(), DECLARED)()
