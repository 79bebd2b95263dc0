"""The hooks a plugin implements. Each is called once at start-up and only declares; the targets do the work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from diffai_core.specs import ComparatorSpec, KernelSpec, LoaderSpec, ReporterSpec

PROJECT = "diffai"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def diffai_loaders() -> Iterable[LoaderSpec]:
    """Yield the file formats this plugin can open.

    Called once, before the command line is parsed. Default: none.

    Example:
        >>> from diffai_core.plugin import LoaderSpec, hookimpl
        >>> @hookimpl
        ... def diffai_loaders():
        ...     yield LoaderSpec(
        ...         name="acme", title="ACME weights", target="acme_diffai.loader:open_acme", suffixes=(".acme",)
        ...     )
        >>> [spec.name for spec in diffai_loaders()]
        ['acme']
    """
    yield from ()


@hookspec
def diffai_comparators() -> Iterable[ComparatorSpec]:
    """Yield the analyses this plugin adds.

    Called once, before the command line is parsed. Default: none.

    Example:
        >>> from diffai_core.plugin import ComparatorSpec, hookimpl
        >>> @hookimpl
        ... def diffai_comparators():
        ...     yield ComparatorSpec(
        ...         name="sign-flips",
        ...         title="Count elements that changed their sign.",
        ...         target="acme_diffai.signs:compare",
        ...         needs=("changes",),
        ...     )
        >>> [spec.name for spec in diffai_comparators()]
        ['sign-flips']
    """
    yield from ()


@hookspec
def diffai_reporters() -> Iterable[ReporterSpec]:
    """Yield the report formats this plugin writes.

    Called once, before the command line is parsed. Default: none.

    Example:
        >>> from diffai_core.plugin import ReporterSpec, hookimpl
        >>> @hookimpl
        ... def diffai_reporters():
        ...     yield ReporterSpec(
        ...         name="csv", title="One line per finding.", target="acme_diffai.csv:render", media_type="text/csv"
        ...     )
        >>> [spec.name for spec in diffai_reporters()]
        ['csv']
    """
    yield from ()


@hookspec
def diffai_kernels() -> Iterable[KernelSpec]:
    """Yield the kernels this plugin brings: code that takes the core's statistics faster than NumPy.

    Called once, before the command line is parsed. Default: none.

    Example:
        >>> from diffai_core.plugin import KernelSpec, hookimpl
        >>> @hookimpl
        ... def diffai_kernels():
        ...     yield KernelSpec(name="acme", title="ACME accelerator", target="acme_diffai.kernel:load")
        >>> [spec.name for spec in diffai_kernels()]
        ['acme']
    """
    yield from ()
