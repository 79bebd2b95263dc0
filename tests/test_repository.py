"""The promises of the layout: what a plugin folder holds, who may import whom, and what is never committed."""

from __future__ import annotations

import graphlib
import importlib
import re
import subprocess
import sys

import pytest
from repository import (
    CORE,
    PUBLIC,
    ROOT,
    Plugin,
    distributions,
    imports,
    is_standard,
    libraries,
    modules,
    plugins,
    requirement_name,
    tracked,
)

from diffai_core.specs import options_of

MOST_LINES = 400
TOP_LEVEL = {"pyproject.toml", "README.md", "LICENSE", "CONTRIBUTING.md", "diffai_core", "plugins", "tests", "docs"}
HIDDEN = {".ci", ".github", ".gitignore"}
KINDS = {
    "load": "diffai_loaders",
    "compare": "diffai_comparators",
    "report": "diffai_reporters",
    "kernel": "diffai_kernels",
}
each_plugin = pytest.mark.parametrize("plugin", plugins(), ids=lambda plugin: plugin.name)
each_distribution = pytest.mark.parametrize("plugin", distributions(), ids=lambda plugin: plugin.name)
each_library = pytest.mark.parametrize("library", libraries(), ids=lambda library: library.name)


def specs_of(plugin: Plugin):
    module = importlib.import_module(f"{plugin.package}.plugin")
    return [spec for hook in KINDS.values() if hasattr(module, hook) for spec in getattr(module, hook)()]


def test_the_top_level_holds_what_the_design_names_and_nothing_else():
    assert {name.partition("/")[0] for name in tracked()} - HIDDEN == TOP_LEVEL


def test_there_are_plugins_of_every_kind():
    assert {plugin.name.split("-")[1] for plugin in plugins()} >= set(KINDS)


def test_every_folder_under_plugins_is_a_plugin_or_a_library_of_plugins():
    folders = {name.split("/")[1] for name in tracked() if name.startswith("plugins/") and name.count("/") > 1}
    assert folders == {one.name for one in distributions()}


@each_plugin
@pytest.mark.parametrize("part", ["README.md", "src/{package}/__init__.py", "src/{package}/plugin.py"])
def test_a_plugin_folder_is_complete(plugin, part):
    assert (plugin.folder / part.format(package=plugin.package)).is_file()


@each_plugin
def test_a_plugin_is_typed_and_held_to_the_laws(plugin):
    assert (plugin.source / "py.typed").is_file()
    conformance = (plugin.folder / "tests/test_conformance.py").read_text(encoding="utf-8")
    assert "from diffai_core.testing import" in conformance


@each_plugin
def test_folder_distribution_package_and_entry_point_have_one_name(plugin):
    kind_and_name = plugin.name.removeprefix("diffai-")
    assert kind_and_name.split("-")[0] in KINDS
    assert plugin.metadata["project"]["name"] == plugin.name
    assert plugin.metadata["project"]["entry-points"] == {"diffai": {kind_and_name: f"{plugin.package}.plugin"}}
    assert [path.name for path in (plugin.folder / "src").iterdir() if path.suffix != ".egg-info"] == [plugin.package]


@each_library
def test_a_library_is_complete_typed_tested_and_no_plugin(library):
    for part in ("README.md", f"src/{library.package}/__init__.py", f"src/{library.package}/py.typed"):
        assert (library.folder / part).is_file()
    assert list((library.folder / "tests").glob("test_*.py"))
    assert library.metadata["project"]["name"] == library.name
    assert "entry-points" not in library.metadata["project"]
    assert (library.folder / "README.md").read_text(encoding="utf-8").startswith(f"# {library.name}\n")
    users = [one.name for one in distributions() if library.package in one.requirements]
    assert users, "no plugin needs it"


def test_no_loader_and_no_library_needs_a_loader():
    loaders = {plugin.package for plugin in plugins() if plugin.name.startswith("diffai-load-")}
    readers = [one for one in distributions() if one.package in loaders or one.is_library]
    assert {one.name: one.requirements & loaders for one in readers if one.requirements & loaders} == {}


@each_distribution
def test_a_plugin_says_how_it_is_built_and_what_it_needs(plugin):
    project = plugin.metadata["project"]
    compiled = (plugin.folder / "setup.py").exists()
    backend = "setuptools.build_meta" if compiled else "flit_core.buildapi"  # flit builds no extensions
    assert plugin.metadata["build-system"]["build-backend"] == backend
    assert re.fullmatch(r"\d+\.\d+\.\d+", project["version"])
    assert "diffai>=0.1,<0.2" in project["dependencies"]
    assert (project["requires-python"], project["license"], project["readme"]) == (">=3.11", "MIT", "README.md")
    assert project["description"]


@each_plugin
def test_the_readme_of_a_plugin_shows_an_example_and_names_every_option(plugin):
    readme = (plugin.folder / "README.md").read_text(encoding="utf-8")
    assert readme.startswith(f"# {plugin.name}\n")
    assert re.search(r"^( {4}\$? ?|)diffai ", readme, re.MULTILINE), "no command that a reader could type"
    flags = {f"--{option.name}" for spec in specs_of(plugin) for option in options_of(spec)}
    assert {flag for flag in flags if flag not in readme} == set()


@each_distribution
def test_a_plugin_imports_of_diffai_only_what_is_public(plugin):
    known = modules(plugin.source)
    used = [found for name, file in known.items() for found in imports(name, file, known)]
    private = [found for found in used if found.target.startswith(CORE) and not found.target.startswith(PUBLIC)]
    assert private == []


@each_plugin
def test_a_plugin_module_that_only_declares_imports_nothing_heavy(plugin):
    found = list(imports(f"{plugin.package}.plugin", plugin.source / "plugin.py", {}))
    assert [one for one in found if one.target != PUBLIC[0] and not is_standard(one.target)] == []


@each_distribution
def test_a_plugin_declares_every_package_that_it_imports(plugin):
    core = {requirement_name(line) for line in project_of_the_core()["dependencies"]}
    allowed = plugin.requirements | core | {plugin.package, CORE}
    known = modules(plugin.source)
    used = [found for name, file in known.items() for found in imports(name, file, known)]
    missing = {one.target.partition(".")[0] for one in used if not is_standard(one.target)} - allowed
    assert {name for name in missing if IMPORTED_AS.get(name, name) not in allowed} == set()


IMPORTED_AS = {"yaml": "pyyaml"}
"""Packages that are imported under another name than they are installed by."""


def project_of_the_core():
    import tomllib

    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_core_never_imports_a_plugin():
    known = modules(ROOT / CORE)
    used = [found for name, file in known.items() for found in imports(name, file, known)]
    assert [one for one in used if one.target.startswith("diffai") and one.target.partition(".")[0] != CORE] == []


def test_the_core_declares_every_package_that_it_imports():
    allowed = {requirement_name(line) for line in project_of_the_core()["dependencies"]} | {CORE}
    known = {name: file for name, file in modules(ROOT / CORE).items() if not name.startswith(f"{CORE}.testing")}
    used = [found for name, file in known.items() for found in imports(name, file, known)]
    assert {one.target.partition(".")[0] for one in used if not is_standard(one.target)} - allowed == set()


@pytest.mark.parametrize("package", [ROOT / CORE, *(one.source for one in distributions())], ids=lambda path: path.name)
def test_a_package_has_no_import_cycle(package):
    known = modules(package)
    graph = {
        name: {one.target for one in imports(name, file, known) if one.target in known and not one.typing_only}
        for name, file in known.items()
    }
    for name in graph:
        graph[name].discard(name)
    if package.name == CORE:
        graph[CORE] = set()  # its one import is made when `diffai_core.compare` is first asked for
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the cycle


@pytest.mark.parametrize("suffix", [".py", ".toml", ".yml"])
def test_no_file_is_longer_than_a_reader_can_take_in(suffix):
    sizes = {name: (ROOT / name).read_text(encoding="utf-8").count("\n") for name in tracked() if name.endswith(suffix)}
    assert sizes
    assert {name: lines for name, lines in sizes.items() if lines > MOST_LINES} == {}


FORBIDDEN = {
    "a path of one machine": r"(?<![\w.])/(?:work|root|home/\w+)/",
    "unfinished work": r"\b(?:TODO" + r"|FIXME|XXX)\b",
    "a suppressed check without a reason": r"#\s*noqa(?!: [A-Z]+\d+(?:, ?[A-Z]+\d+)* - \S)",
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_nothing_committed_contains(what):
    pattern = re.compile(FORBIDDEN[what])
    sources = [name for name in tracked() if name.endswith((".py", ".md", ".toml", ".yml", ".txt", "run"))]
    hits = [
        f"{name}:{number}: {line.strip()}"
        for name in sources
        if name != "tests/test_repository.py"
        for number, line in enumerate((ROOT / name).read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line)
    ]
    assert hits == []


def test_no_large_or_binary_file_is_committed_but_the_example_models():
    allowed = re.compile(r"docs/examples/models/\w+\.safetensors")
    big = {name: (ROOT / name).stat().st_size for name in tracked() if (ROOT / name).stat().st_size > 100_000}
    assert {name for name in big if not allowed.fullmatch(name)} == set()
    assert sum(big.values()) < 1_000_000


def test_generated_files_are_up_to_date():
    done = subprocess.run(
        [sys.executable, "-m", "diffai_core.testing.sync", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_development_requirements_name_the_core_and_every_plugin():
    lines = (ROOT / "plugins/requirements-dev.txt").read_text(encoding="utf-8").splitlines()
    editable = {line for line in lines if line.startswith("-e ")}
    assert editable == {"-e .", *(f"-e ./plugins/{plugin.name}" for plugin in distributions())}


def extras(monkeypatch: pytest.MonkeyPatch, *, release: bool) -> dict[str, list[str]]:
    """Return the extras of the root distribution as its metadata hook computes them."""
    monkeypatch.syspath_prepend(str(ROOT / "plugins"))
    hook = importlib.import_module("hatch_extras")
    monkeypatch.setenv("DIFFAI_RELEASE", "1" if release else "")
    metadata: dict[str, dict[str, list[str]]] = {}
    hook.PluginExtras(str(ROOT), {}).update(metadata)
    return metadata["optional-dependencies"]


def needed(plugin: Plugin) -> list[Plugin]:
    """Return a plugin and the plugins of this repository that it requires, at any depth."""
    direct = [other for other in distributions() if other.package in plugin.requirements]
    return sorted({plugin, *(one for other in direct for one in needed(other))})


def of_user(plugin: Plugin) -> bool:
    """Whether a user wants the plugin; the examples are for authors."""
    return not plugin.name.endswith("-example")


def test_every_plugin_is_an_extra_that_brings_the_plugins_it_needs(monkeypatch):
    found = extras(monkeypatch, release=False)
    for plugin in distributions():
        expected = [f"{part.name} @ {part.folder.as_uri()}" for part in needed(plugin)]
        assert found[plugin.name.removeprefix("diffai-")] == expected


def test_all_is_every_plugin_but_the_examples(monkeypatch):
    found = extras(monkeypatch, release=False)
    assert found["all"] == [
        f"{plugin.name} @ {plugin.folder.as_uri()}" for plugin in distributions() if of_user(plugin)
    ]


def test_a_released_extra_names_versions_and_no_folder(monkeypatch):
    found = extras(monkeypatch, release=True)
    expected = [f"{one.name}=={one.metadata['project']['version']}" for one in distributions() if of_user(one)]
    assert found["all"] == expected
    assert not [line for lines in found.values() for line in lines if "file:" in line]
