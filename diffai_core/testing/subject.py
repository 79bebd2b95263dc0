"""Which spec a test class is about, and what the specs of a plugin module are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from diffai_core import specs
from diffai_core.lazy import resolve
from diffai_core.specs import ComparatorSpec, KernelSpec, LoaderSpec, ReporterSpec, Spec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

HOOKS: dict[str, type] = {
    "diffai_loaders": LoaderSpec,
    "diffai_comparators": ComparatorSpec,
    "diffai_reporters": ReporterSpec,
    "diffai_kernels": KernelSpec,
}
_S = TypeVar("_S", LoaderSpec, ComparatorSpec, ReporterSpec, KernelSpec)


def declared(plugin: ModuleType) -> list[Spec]:
    """Return all that the hooks of a plugin module yield, in the order of the hooks."""
    return [spec for hook in HOOKS if hasattr(plugin, hook) for spec in getattr(plugin, hook)()]


def only(plugin: ModuleType | None, kind: type[_S], name: str) -> _S:
    """Return the spec of that kind and name, or the only one of that kind if ``name`` is empty."""
    if plugin is None:
        pytest.fail(f"set `plugin` (the plugin module) or `spec` (a {kind.__name__}) in the test class", pytrace=False)
    found = [spec for spec in declared(plugin) if isinstance(spec, kind) and name in {"", spec.name}]
    if len(found) != 1:
        names = ", ".join(spec.name for spec in found) or "none"
        wanted = f"named {name!r}" if name else "(set `name` to choose one)"
        pytest.fail(f"{plugin.__name__} declares {names}; wanted one {kind.__name__} {wanted}", pytrace=False)
    return found[0]


def default_options(spec: Spec) -> dict[str, Any]:
    """Return the options as the target gets them when the user gives none."""
    return {option.name.replace("-", "_"): option.default for option in specs.options_of(spec)}


def options_of(spec: Spec, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Return the default options, overridden by ``chosen``."""
    return default_options(spec) | dict(chosen)


def target_of(spec: Spec) -> Any:
    """Return the callable that a spec names."""
    return resolve(spec.target, f"the plugin of {spec.name!r}")
