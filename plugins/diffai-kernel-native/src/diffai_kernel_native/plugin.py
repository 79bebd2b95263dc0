"""Declares the kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_core.plugin import KernelSpec, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable


@hookimpl
def diffai_kernels() -> Iterable[KernelSpec]:
    """Yield the kernel in C++."""
    yield KernelSpec(
        name="native",
        title="the statistics in C++",
        target="diffai_kernel_native.kernel:load",
    )
