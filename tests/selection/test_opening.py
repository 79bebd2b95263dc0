"""What a loader does wrong becomes one line that names plugin and file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from diffai_core.errors import LoadError, PluginError, UsageError
from diffai_core.plugin import Artifact, Magic, Option
from diffai_core.selection import open_artifact
from diffai_core.testing import tensor


@pytest.fixture
def registry(registry_of, loader):
    options = (Option("max-depth", "How deep.", kind="integer", default=3),)
    return registry_of(loader("acme", suffixes=(".acme",), target="fake_loaders:opener", options=options))


def test_the_loader_gets_the_source_and_its_options(registry, code, file):
    code.opener = lambda source, options: Artifact(
        name=source.name, format="acme", tree=dict(options), files=(source.open(),)
    )
    source = file("x.acme")
    assert open_artifact(source, registry).tree == {"max_depth": 3}
    given = {("loader", "acme"): {"max_depth": 9}, ("loader", "other"): {"x": 1}}
    assert open_artifact(source, registry, None, given).tree == {"max_depth": 9}
    assert open_artifact(file("x.zzz"), registry, "acme").name == "x.zzz"


@pytest.mark.parametrize("error", [LoadError("x.acme", "is damaged", 8), UsageError("no"), PluginError("no")])
def test_errors_of_the_contract_pass_as_they_are(registry, code, file, error):
    def opener(_source, _options):
        raise error

    code.opener = opener
    with pytest.raises(type(error)) as caught:
        open_artifact(file("x.acme"), registry)
    assert caught.value is error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (KeyError("x"), "KeyError: 'x'"),
        (MemoryError(), "MemoryError"),
        (RecursionError("too deep"), "RecursionError: too deep"),
        (FileNotFoundError(2, "No such file", "shard"), "FileNotFoundError: [Errno 2] No such file: 'shard'"),
        (SystemExit(0), "SystemExit: 0"),
        (ValueError("several\nlines  of it"), "ValueError: several lines of it"),
        (ValueError("x" * 999), f"ValueError: {'x' * 300}…"),
    ],
)
def test_any_other_error_becomes_one_line_that_names_plugin_and_file(registry, code, file, error, words):
    def opener(_source, _options):
        raise error

    code.opener = opener
    with pytest.raises(PluginError) as caught:
        open_artifact(file("x.acme"), registry)
    expected = f"acme-acme 1.0: failed while opening x.acme ({words}); run with --debug for the traceback"
    assert str(caught.value) == expected
    assert caught.value.__cause__ is error


def test_ctrl_c_passes(registry, code, file):
    def opener(_source, _options):
        raise KeyboardInterrupt

    code.opener = opener
    with pytest.raises(KeyboardInterrupt):
        open_artifact(file("x.acme"), registry)


@pytest.mark.parametrize("result", [None, {}, "text"])
def test_a_loader_that_returns_something_else_is_named(registry, code, file, result):
    code.opener = lambda _source, _options: result
    with pytest.raises(PluginError) as caught:
        open_artifact(file("x.acme"), registry)
    assert str(caught.value) == (
        f"acme-acme 1.0: fake_loaders:opener returned a {type(result).__name__} instead of an Artifact; "
        "report it to its authors"
    )


@pytest.mark.parametrize(
    ("artifact", "problem"),
    [
        ({"files": ()}, "the Artifact names no files"),
        ({"tensors": {"x": None}}, "tensors['x'] is not a TensorRef of that name"),
        ({"tensors": {"x": tensor("y", np.zeros(2))}}, "tensors['x'] is not a TensorRef of that name"),
        ({"tensors": {"x": replace(tensor("x", np.zeros(2)), shape=(-2,))}}, "tensor 'x' has the shape (-2,)"),
    ],
)
def test_a_loader_whose_artifact_cannot_be_relied_on_is_named(registry, code, file, artifact, problem):
    code.opener = lambda source, _options: Artifact(
        **{"name": source.name, "format": "acme", "files": (source.open(),), **artifact}
    )
    with pytest.raises(PluginError, match="report it to its authors") as caught:
        open_artifact(file("x.acme"), registry)
    assert problem in str(caught.value)


def test_a_missing_dependency_is_named_when_the_format_is_used(registry_of, loader, file, monkeypatch, tmp_path):
    (tmp_path / "needy_loader.py").write_text("import a_package_that_nobody_has\n")
    monkeypatch.syspath_prepend(tmp_path)
    registry = registry_of(loader("acme", magic=(Magic(b"ACME"),), target="needy_loader:open_acme"))
    with pytest.raises(PluginError) as caught:
        open_artifact(file("x", b"ACME"), registry)
    assert str(caught.value) == (
        "acme-acme 1.0: needs the package 'a_package_that_nobody_has'; pip install a_package_that_nobody_has"
    )


def test_a_loader_module_that_calls_exit_does_not_end_the_run(registry_of, loader, file, monkeypatch, tmp_path):
    (tmp_path / "leaving_loader.py").write_text("raise SystemExit(0)\n")
    monkeypatch.syspath_prepend(tmp_path)
    registry = registry_of(loader("acme", suffixes=(".acme",), target="leaving_loader:open_acme"))
    with pytest.raises(PluginError, match="importing leaving_loader failed"):
        open_artifact(file("x.acme"), registry)
