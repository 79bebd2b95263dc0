"""The laws of a plugin module: cheap to import, true to the contract."""

from __future__ import annotations

import importlib
import inspect
import json
import subprocess
import sys
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, ClassVar

import pytest

from diffai_core import hookspecs
from diffai_core.lazy import is_target, resolve
from diffai_core.specs import API_VERSION, LoaderSpec
from diffai_core.testing.subject import HOOKS, declared

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from diffai_core.specs import Spec

_HEAVY = {"numpy", "ml_dtypes", "torch", "scipy", "pandas", "pyarrow", "h5py", "onnx", "yaml", "jax", "click", "rich"}
_COUNT_IMPORTS = """
import json, sys
import diffai_core.plugin
before = set(sys.modules)
import {module}
print(json.dumps([sorted(set(sys.modules) - before), sorted(sys.modules)]))
"""


class PluginTests:
    """Laws that every ``plugin.py`` keeps. Override ``plugin``.

    Attributes:
        plugin: The ``plugin`` module.
        max_modules: How many modules importing it may add to those of ``diffai_core.plugin``.
    """

    plugin: ClassVar[ModuleType | None] = None
    max_modules: ClassVar[int] = 8

    @property
    def module(self) -> ModuleType:
        """The module under test."""
        if self.plugin is None:
            pytest.fail("set `plugin` (the plugin module) in the test class", pytrace=False)
        return self.plugin

    def test_importing_the_plugin_is_cheap(self) -> None:
        """Only the contract and a few modules of the standard library: heavy ones wait until they are used."""
        code = _COUNT_IMPORTS.format(module=self.module.__name__)
        done = subprocess.run(  # noqa: S603 - our own interpreter
            [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr
        new, loaded = json.loads(done.stdout)
        heavy = sorted(_HEAVY.intersection(loaded))
        assert not heavy, f"importing {self.module.__name__} imports {', '.join(heavy)}; import them in the target"
        assert len(new) <= self.max_modules, f"importing {self.module.__name__} adds {len(new)} modules: {new}"

    def test_it_declares_something(self) -> None:
        """At least one hook yields at least one spec."""
        assert declared(self.module), f"no hook of {self.module.__name__} yields anything"

    def test_hooks_are_marked_known_and_match_their_spec(self) -> None:
        """Every ``diffai_…`` function is a hook, is marked with ``@hookimpl`` and takes no other arguments."""
        for name, function in inspect.getmembers(self.module, inspect.isfunction):
            if not name.startswith("diffai_"):
                continue
            assert name in HOOKS, f"{name} is not a hook; the hooks are {', '.join(HOOKS)}"
            assert hasattr(function, f"{hookspecs.PROJECT}_impl"), f"{name} lacks @hookimpl"
            allowed = set(inspect.signature(getattr(hookspecs, name)).parameters)
            taken = set(inspect.signature(function).parameters)
            assert taken <= allowed, f"{name} takes {sorted(taken - allowed)}, which the hook does not give"
            for spec in function():
                assert isinstance(spec, HOOKS[name]), f"{name} yields {type(spec).__name__}"

    def test_declarations_are_valid(self) -> None:
        """Names, targets, API number, options and their help are as the contract demands."""
        specs = declared(self.module)
        for spec in specs:
            assert spec.api <= API_VERSION, f"{spec.name}: written for API {spec.api}; this is {API_VERSION}"
            assert spec.title.strip(), f"{spec.name}: the title is empty"
            for option in spec.options:
                assert option.help.endswith("."), f"the help of --{option.name} does not end with a full stop"
                assert "\n" not in option.help, f"the help of --{option.name} is not one line"
        names = [(type(spec), spec.name) for spec in specs]
        assert len(names) == len(set(names)), "two specs of a kind have the same name"

    def test_targets_can_be_called_with_two_arguments(self) -> None:
        """Each target is there and takes ``(source | comparison | report, options)``; a ``sniff`` takes two as well."""
        for spec in declared(self.module):
            for target in _targets(spec):
                assert is_target(target), f"{target!r} is not of the form package.module:function"
                function: Callable[..., object] = resolve(target, self.module.__name__)
                assert callable(function), f"{target} is not callable"
                try:
                    inspect.signature(function).bind(None, None)
                except TypeError as error:
                    pytest.fail(f"{target} cannot be called with two arguments: {error}")

    def test_the_entry_point_is_installed(self) -> None:
        """The installed metadata names the module in the group ``diffai``."""
        found = [point for point in entry_points(group="diffai") if point.value == self.module.__name__]
        assert found, f'no entry point of group "diffai" names {self.module.__name__}; install the package'
        for point in found:
            assert importlib.import_module(point.value) is self.module or point.load().__name__ == point.value


def _targets(spec: Spec) -> list[str]:
    targets = [spec.target]
    if isinstance(spec, LoaderSpec) and spec.sniff:
        targets.append(spec.sniff)
    return targets
