"""The laws of a plugin module: cheap to import, true to the contract."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from typing import TYPE_CHECKING, ClassVar

import pytest

from diffai_core.discovery import FoundPlugin, find_plugins
from diffai_core.lazy import resolve
from diffai_core.registry import build_registry
from diffai_core.specs import KernelSpec, LoaderSpec, options_of
from diffai_core.testing.subject import declared

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

    def test_the_registry_accepts_every_declaration(self) -> None:
        """Hooks are known, marked and take no other arguments; names, targets, API and options are as they must be."""
        found = FoundPlugin(self.module.__name__, "the plugin", "under test", lambda: self.module)
        registry = build_registry([found])
        assert not registry.broken, "; ".join(broken.reason for broken in registry.broken)
        assert registry.registered, f"no hook of {self.module.__name__} yields anything"

    def test_targets_can_be_called_as_the_core_does(self) -> None:
        """Each target is there and takes ``(source | comparison | report, options)``; a ``sniff`` takes two as well.

        That of a kernel takes nothing.
        """
        for spec in declared(self.module):
            arguments = () if isinstance(spec, KernelSpec) else (None, None)
            for target in _targets(spec):
                function: Callable[..., object] = resolve(target, self.module.__name__)
                assert callable(function), f"{target} is not callable"
                try:
                    inspect.signature(function).bind(*arguments)
                except TypeError as error:
                    pytest.fail(f"{target} cannot be called with {len(arguments)} arguments: {error}")

    def test_checks_of_options_take_a_value(self) -> None:
        """Each ``check`` is there and takes one value."""
        for spec in declared(self.module):
            for option in options_of(spec):
                if option.check:
                    inspect.signature(resolve(option.check, self.module.__name__)).bind("")

    def test_the_entry_point_is_installed(self) -> None:
        """The installed metadata names the module in the group ``diffai``."""
        package = self.module.__name__.partition(".")[0]
        loaded = [plugin.load() for plugin in find_plugins() if plugin.package == package]
        assert self.module in loaded, (
            f'no entry point of group "diffai" names {self.module.__name__}; install the package (pip install -e .)'
        )


def _targets(spec: Spec) -> list[str]:
    targets = [spec.target]
    if isinstance(spec, LoaderSpec) and spec.sniff:
        targets.append(spec.sniff)
    return targets
