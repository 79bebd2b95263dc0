"""Real distributions on disk, good and broken, in a process of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

GOOD = """
    from __future__ import annotations
    from diffai_core.plugin import ComparatorSpec, LoaderSpec, Option, ReporterSpec, hookimpl

    @hookimpl
    def diffai_loaders():
        yield LoaderSpec(name="{name}", title="X", target="json:loads", suffixes=(".{name}",))

    @hookimpl
    def diffai_comparators():
        yield ComparatorSpec(
            name="{name}-analysis", title="Look.", target="json:loads", options=(Option("depth", "{name} depth."),)
        )
"""
PLUGINS = {
    "acme-exit": "raise SystemExit(0)",
    "acme-import": "import a_package_that_nobody_has",
    "acme-one": GOOD.format(name="one"),
    "acme-other": GOOD.format(name="one").replace("one-analysis", "other-analysis"),
    "acme-newer": GOOD.format(name="newer").replace('name="newer",', 'name="newer", api=9,'),
    "acme-spelt": GOOD.format(name="spelt").replace("diffai_loaders", "diffai_loader"),
    "acme-type": GOOD.format(name="type").replace("LoaderSpec(", "dict("),
    "acme-work": GOOD.format(name="work").replace("json:loads", "a_package_that_nobody_has:f"),
}
SHOW = """
import json, sys
from diffai_core.options import plugin_options
from diffai_core.plugin_table import plugin_table
from diffai_core.registry import load_registry
registry = load_registry()
options = plugin_options(registry, {"help", "output"})
print(json.dumps({
    "loaders": list(registry.loaders),
    "comparators": list(registry.comparators),
    "broken": [str(broken) for broken in registry.broken],
    "warnings": [*registry.warnings, *options.warnings],
    "flags": [binding.flag for binding in options.bindings],
    "table": plugin_table(registry, options),
    "modules": sorted(sys.modules),
}))
"""


MISSPELT = "diffai_loader is not a hook; did you mean diffai_loaders? Upgrade diffai, or report it to its authors"


@pytest.fixture
def show(install):
    for dist, source in PLUGINS.items():
        site = install(dist, dist.replace("acme", "load"), source)

    def run(**environ: str):
        acme = ",".join(PLUGINS)  # this environment may have plugins of its own
        env = {**os.environ, "PYTHONPATH": str(site), "DIFFAI_PLUGINS": acme, **environ}
        done = subprocess.run([sys.executable, "-c", SHOW], env=env, capture_output=True, text=True, check=True)
        return json.loads(done.stdout), done.stderr

    return run


def test_each_broken_plugin_is_named_and_the_rest_works(show):
    shown, errors = show()
    assert errors == ""
    assert shown["loaders"] == ["one", "work"]
    assert shown["comparators"] == [f"{name}-analysis" for name in ("newer", "one", "other", "spelt", "type", "work")]
    assert shown["broken"] == [
        "acme-exit 1.0: cannot be loaded (SystemExit: 0); report it to its authors",
        "acme-import 1.0: needs the package 'a_package_that_nobody_has'; pip install a_package_that_nobody_has",
        "acme-newer 1.0: loader 'newer': API 9, this diffai has 1; upgrade diffai",
        "acme-other 1.0: loader 'one': the name is taken by acme-one 1.0; uninstall one of the two",
        f"acme-spelt 1.0: {MISSPELT}",
        "acme-type 1.0: diffai_loaders yielded a dict instead of a LoaderSpec; report it to its authors",
    ]


def test_a_clashing_flag_is_prefixed_and_said(show):
    shown, _ = show(DIFFAI_PLUGINS="load-one,acme-work")
    assert shown["broken"] == []
    assert shown["flags"] == ["one-analysis", "depth", "work-analysis", "work-analysis-depth"]
    assert shown["warnings"] == ["acme-work 1.0: --depth belongs to acme-one 1.0; use --work-analysis-depth instead"]


def test_the_table_has_a_line_for_every_plugin_whatever_its_state(show):
    shown, _ = show(DIFFAI_DISABLE="acme-work")
    for dist in PLUGINS:
        assert dist in shown["table"]
    assert "by DIFFAI_PLUGINS or DIFFAI_DISABLE" in shown["table"]


def test_the_trace_goes_to_standard_error(show):
    _, errors = show(DIFFAI_TRACE="1", DIFFAI_PLUGINS="load-one")
    assert errors.splitlines() == [
        "diffai trace: acme-one 1.0 [load-one]",
        "diffai trace: diffai_loaders gave 1 record",
        "diffai trace: diffai_comparators gave 1 record",
    ]


def test_loading_the_registry_imports_nothing_heavy_and_no_target(show):
    shown, _ = show(DIFFAI_PLUGINS="load-one,load-work")
    assert shown["loaders"] == ["one", "work"]
    heavy = {"numpy", "ml_dtypes", "importlib.metadata", "email", "zipfile", "difflib", "hashlib"}
    assert not heavy.intersection(shown["modules"])
