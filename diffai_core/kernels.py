"""Kernels: the code that takes the core's statistics. The reference is NumPy; a plugin may bring a faster one.

A kernel computes what the folds in :mod:`diffai_core.accumulators` define, to the same states, so that merging and
finishing are the same whoever counted. What a kernel cannot do is left to the reference, leaf by leaf.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from diffai_core.errors import PluginError, UsageError
from diffai_core.registry import resolve_target
from diffai_core.wording import did_you_mean, error_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    from numpy.typing import NDArray

    from diffai_core.artifact import FileTensor
    from diffai_core.layout import Leaf, PairLayout
    from diffai_core.registry import Registered, Registry
    from diffai_core.specs import KernelSpec, ReadingWay

AUTO = "auto"
"""Asks for the first kernel that works."""
REFERENCE = "numpy"
"""Name of the kernel that is always there."""


class KernelWorker(Protocol):
    """What one thread works with: scratch memory, and the states of the run of leaves at hand."""

    def same_bytes(self, old: FileTensor, new: FileTensor, start: int, stop: int) -> bool | None:
        """Whether bytes ``start`` to ``stop`` of two tensors in files are equal; ``None`` if it cannot tell."""
        ...

    def start(self, layout: PairLayout, names: AbstractSet[str], leaves: Sequence[Leaf]) -> None:
        """Begin to measure the statistics ``names`` over ``leaves``; what was measured before is forgotten."""
        ...

    def add(self, leaves: Sequence[Leaf], old: FileTensor | NDArray[Any], new: FileTensor | NDArray[Any]) -> int:
        """Measure consecutive leaves, in order, and return how many were.

        The first leaf that is not is left to the reference: because it cannot be read, so that the reference finds
        out why, or because its numbers need more than float64.

        Args:
            leaves: Among those given to ``start``.
            old: OLD in a file, or its elements in these leaves.
            new: NEW; the same object if the tensor is measured against itself.
        """
        ...

    def states(self) -> dict[str, Any]:
        """Return the states of what was added since ``start``, by statistic, and begin anew with the same leaves."""
        ...


class Kernel(Protocol):
    """The target of a :class:`KernelSpec` returns one.

    Attributes:
        name: Name of the kernel.
        detail: What it makes use of, for people: an instruction set, a device.
        parallel: Whether threads gain from each other's company.
        memory: Bytes that each worker needs.
    """

    name: str
    detail: str
    parallel: bool
    memory: int

    def statistics(self, layout: PairLayout) -> frozenset[str]:
        """Return the names of the core's statistics that it takes of tensors of this layout."""
        ...

    def worker(self, reading: ReadingWay) -> KernelWorker:
        """Return what a thread works with."""
        ...


class ReferenceKernel:
    """The folds themselves, on NumPy: takes over nothing, so that all is left to them."""

    name = REFERENCE
    detail = ""
    parallel = False
    memory = 0

    def statistics(self, _layout: PairLayout) -> frozenset[str]:
        """See :meth:`Kernel.statistics`."""
        return frozenset()

    def worker(self, _reading: ReadingWay) -> KernelWorker:
        """See :meth:`Kernel.worker`."""
        return _NoWorker()


class _NoWorker:
    """Leaves everything to the reference."""

    def same_bytes(self, _old: FileTensor, _new: FileTensor, _start: int, _stop: int) -> bool | None:
        return None

    def start(self, _layout: PairLayout, _names: AbstractSet[str], _leaves: Sequence[Leaf]) -> None:
        """Nothing will be asked for."""

    def add(self, _leaves: Sequence[Leaf], _old: object, _new: object) -> int:
        return 0

    def states(self) -> dict[str, Any]:
        return {}


class ChosenKernel(NamedTuple):
    """The kernel of a run.

    Args:
        kernel: What measures.
        warnings: One line for each kernel that is installed and cannot be used.
    """

    kernel: Kernel
    warnings: tuple[str, ...] = ()


def choose_kernel(registry: Registry, name: str | None = None) -> ChosenKernel:
    """Return the kernel called ``name``; without a name the first that works, else the reference.

    Raises:
        UsageError: If none is called so.
        PluginError: If the one asked for cannot be used.
    """
    if name == REFERENCE:
        return ChosenKernel(ReferenceKernel())
    if name not in {None, AUTO}:
        if name not in registry.kernels:
            raise UsageError(_unknown(name, registry))
        return ChosenKernel(load_kernel(registry.kernels[name]))
    warnings: list[str] = []
    for registered in registry.kernels.values():
        try:
            return ChosenKernel(load_kernel(registered), tuple(warnings))
        except PluginError as error:
            warnings.append(f"{error}; measuring with NumPy instead")
    return ChosenKernel(ReferenceKernel(), tuple(warnings))


def load_kernel(registered: Registered[KernelSpec]) -> Kernel:
    """Return the kernel that a plugin declares.

    Raises:
        PluginError: If it cannot be used.
    """
    target = resolve_target(registered)
    try:
        kernel: Kernel = target()
    except PluginError as error:
        raise PluginError(f"{registered.label}: {error}") from error
    except Exception as error:
        raise PluginError(f"{registered.label}: cannot be used ({error_text(error)})") from error
    return kernel


def _unknown(name: str, registry: Registry) -> str:
    known = sorted({REFERENCE, *registry.kernels})
    hint = "; pip install diffai-kernel-native" if name == "native" else did_you_mean(name, known)
    return f"--kernel: no kernel {name!r} is installed ({', '.join(known)}){hint}"
