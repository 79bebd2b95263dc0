"""Plugins that are broken in every way that there is: each is named, and the rest of the command works."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from command import run_diffai
from plugin_files import install
from safetensors_files import write_safetensors

if TYPE_CHECKING:
    from pathlib import Path

HEAD = "from diffai_core.plugin import ComparatorSpec, LoaderSpec, Option, hookimpl\n"
COMPARATOR = HEAD + "@hookimpl\ndef diffai_comparators():\n    yield ComparatorSpec({})\n"
GOOD = '"foo", "Does foo.", "{module}_work:compare", default=True'

BROKEN = {
    "import-error": ("import a_module_that_is_not_there", "", "a_module_that_is_not_there"),
    "syntax-error": ("def", "", "SyntaxError"),
    "exit-on-import": ("raise SystemExit(0)", "", "SystemExit"),
    "newer-api": (COMPARATOR.format(GOOD + ", api=2"), "", "upgrade diffai"),
    "zz-taken-name": (COMPARATOR.format(GOOD.replace('"foo"', '"tree"')), "", "tree"),
    "misspelt-hook": (HEAD + "@hookimpl\ndef diffai_comparator():\n    return []\n", "", "diffai_comparators"),
    "wrong-record": (HEAD + "@hookimpl\ndef diffai_comparators():\n    return [{'name': 'foo'}]\n", "", "dict"),
    "raises-in-hook": (HEAD + "@hookimpl\ndef diffai_comparators():\n    raise OSError('disk')\n", "", "disk"),
}


@pytest.fixture
def paths(tmp_path: Path) -> tuple[Path, Path]:
    weights = np.arange(6, dtype=np.float32)
    (tmp_path / "site").mkdir()
    return (
        write_safetensors(tmp_path / "a.safetensors", {"x": weights}),
        write_safetensors(tmp_path / "b.safetensors", {"x": weights + 1}),
    )


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_plugin_is_named_and_the_rest_works(case: str, paths: tuple[Path, Path], tmp_path: Path) -> None:
    plugin, work, words = BROKEN[case]
    install(tmp_path / "site", f"compare-{case}", plugin, work)
    site = str(tmp_path / "site")
    done = run_diffai(*paths, PYTHONPATH=site)
    assert done.returncode == 1
    assert "~ x: mean=" in done.stdout
    assert done.stderr.startswith(f"diffai: acme-compare-{case} 1.2: ")
    assert done.stderr.count("\n") == 1
    assert words in done.stderr
    for listing in (("--help",), ("--plugins",)):
        shown = run_diffai(*listing, PYTHONPATH=site, COLUMNS="300")
        assert shown.returncode == 0
        assert f"acme-compare-{case}" in shown.stdout
    assert run_diffai(*paths, "-q", PYTHONPATH=site).stderr == ""


def test_a_plugin_that_fails_while_comparing_is_trouble_and_the_others_go_on(
    paths: tuple[Path, Path], tmp_path: Path
) -> None:
    work = "def compare(comparison, options):\n    yield from ()\n    raise KeyError('bar')\n"
    install(tmp_path / "site", "compare-foo", COMPARATOR.format(GOOD), work)
    done = run_diffai(*paths, PYTHONPATH=str(tmp_path / "site"))
    assert done.returncode == 2
    assert "~ x: mean=" in done.stdout
    assert "acme-compare-foo 1.2: failed while comparing (KeyError: 'bar')" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Traceback" in run_diffai(*paths, "--debug", PYTHONPATH=str(tmp_path / "site")).stderr


def test_an_analysis_whose_package_is_missing_says_what_to_install(paths: tuple[Path, Path], tmp_path: Path) -> None:
    install(tmp_path / "site", "compare-foo", COMPARATOR.format(GOOD), "import scikit_that_is_not_there\n")
    done = run_diffai(*paths, PYTHONPATH=str(tmp_path / "site"))
    assert done.returncode == 2
    assert "acme-compare-foo 1.2: " in done.stderr
    assert "pip install scikit_that_is_not_there" in done.stderr


def test_a_clashing_option_gets_its_plugin_as_prefix_and_a_warning(paths: tuple[Path, Path], tmp_path: Path) -> None:
    options = 'options=(Option("epsilon", "Something else.", kind="number", default=2.5, metavar="E"),)'
    work = (
        "from diffai_core.plugin import Finding\n"
        "def compare(comparison, options):\n"
        "    yield Finding('foo', level='info', values={'epsilon': options['epsilon']})\n"
    )
    install(tmp_path / "site", "compare-foo", COMPARATOR.format(f"{GOOD}, {options}"), work)
    site = str(tmp_path / "site")
    done = run_diffai(*paths, "--foo-epsilon", "7", "--output", "json", PYTHONPATH=site)
    assert "--foo-epsilon" in done.stderr
    (found,) = [result["Foo"] for result in json.loads(done.stdout) if "Foo" in result]
    assert found["epsilon"] == 7


def test_plugins_can_be_switched_off_by_the_environment(paths: tuple[Path, Path]) -> None:
    done = run_diffai(*paths, DIFFAI_DISABLE="load-safetensors")
    assert (done.returncode, done.stdout) == (2, "")
    assert "safetensors" in done.stderr
    assert "DIFFAI_DISABLE" in done.stderr


def test_without_any_plugin_the_command_says_what_to_install(paths: tuple[Path, Path]) -> None:
    done = run_diffai(*paths, DIFFAI_PLUGINS="")
    assert done.returncode == 2
    assert "pip install" in done.stderr
    assert run_diffai("--help", DIFFAI_PLUGINS="").returncode == 0
    assert run_diffai("--plugins", DIFFAI_PLUGINS="").returncode == 0
