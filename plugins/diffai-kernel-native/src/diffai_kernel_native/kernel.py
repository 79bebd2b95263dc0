"""The kernel as the core sees it: which statistics it takes, and the memory in which it takes them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffai_core.plugin import FileTensor, PluginError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet
    from types import ModuleType

    from numpy.typing import NDArray

    from diffai_core.plugin import Descriptor, Leaf, PairLayout, ReadingWay
    from diffai_kernel_native.memory import Run

_DIFFERENT, _EQUAL = 0, 1
_LEAST_MAPPED = 1 << 20
"""Bytes from which on a map is faster than reading into a buffer; for a few KiB it is 20 times slower (measured)."""


def load() -> NativeKernel:
    """Return the kernel.

    The environment variable ``DIFFAI_NATIVE_SET`` names the instruction set to use, to measure or to test: ``avx512``,
    ``avx2`` or ``baseline``.

    Raises:
        PluginError: If the extension was not built, or the processor lacks the instruction set asked for.
    """
    try:
        from diffai_kernel_native import _native
    except ImportError as error:
        raise PluginError(
            "its extension is not built"
            f" ({error}); install a C++ compiler and then the plugin again, without pip's cache"
        ) from error
    _refuse_if_stale(_native)
    known = _native.instruction_sets()
    wanted = os.environ.get("DIFFAI_NATIVE_SET") or known[0]
    if wanted not in known:
        raise PluginError(f"DIFFAI_NATIVE_SET: this processor has {', '.join(known)}, not {wanted!r}")
    return NativeKernel(_native, wanted)


def _refuse_if_stale(native: ModuleType) -> None:
    """Raise if the extension of a checkout was built from other sources than those that stand there now.

    Raises:
        PluginError: If it was; its numbers might be wrong.
    """
    sources = sorted((Path(__file__).parents[2] / "native").glob("*.?pp"))
    if not sources:
        return
    import hashlib

    if hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest() != native.SOURCES:
        raise PluginError("its extension was built from other sources; install the plugin again")


class NativeKernel:
    """Takes the statistics of real numbers of all dtypes; complex and opaque elements are left to NumPy.

    Args:
        native: The extension.
        instruction_set: Which of its variants to run.
    """

    name = "native"
    parallel = True

    def __init__(self, native: ModuleType, instruction_set: str) -> None:
        self._native = native
        self.detail = instruction_set
        self.memory: int = native.MEMORY_BYTES
        self._built = frozenset[str](native.STATISTICS)

    def statistics(self, layout: PairLayout) -> frozenset[str]:
        """Return the names of the statistics that it takes of tensors of this layout."""
        from diffai_kernel_native.statistics import statistics_of

        if not layout.measurable or layout.components > 1:
            return frozenset()
        return self._built & statistics_of(layout)

    def worker(self, reading: ReadingWay) -> NativeWorker:
        """Return what a thread works with."""
        return NativeWorker(self._native, self.detail, reading)


class NativeWorker:
    """Scratch memory of one thread, and the states of the run of leaves at hand.

    Args:
        native: The extension.
        instruction_set: Which of its variants to run.
        reading: How the bytes of files are got at.
    """

    def __init__(self, native: ModuleType, instruction_set: str, reading: ReadingWay) -> None:
        self._native = native
        self._instruction_set = instruction_set
        self._reading = reading
        self._local: dict[int, bool] = {}
        self._memory = bytearray(native.MEMORY_BYTES)
        self._run: Run | None = None

    def same_bytes(self, old: FileTensor, new: FileTensor, start: int, stop: int) -> bool | None:
        """Whether bytes ``start`` to ``stop`` of two tensors in files are equal; ``None`` if they cannot be read."""
        held_old, held_new = old.file.hold(), new.file.hold()
        count = stop - start
        found = self._native.compare(
            self._memory,
            held_old.number,
            old.offset + start,
            self._mapped(held_old, count),
            held_new.number,
            new.offset + start,
            self._mapped(held_new, count),
            count,
        )
        return bool(found) if found in {_DIFFERENT, _EQUAL} else None

    def start(self, layout: PairLayout, names: AbstractSet[str], leaves: Sequence[Leaf]) -> None:
        """Begin to measure ``names`` over ``leaves``."""
        from diffai_kernel_native.memory import Run

        if self._run is None:
            self._run = Run(self._native)
        self._run.start(layout, names, leaves[0][0], sum(leaves[-1]))

    def add(self, leaves: Sequence[Leaf], old: FileTensor | NDArray[Any], new: FileTensor | NDArray[Any]) -> int:
        """Measure consecutive leaves; return how many were."""
        assert self._run is not None
        held: list[Descriptor] = []  # keeps the descriptors open while the extension reads
        run, request = self._run, self._run.request(one_source=new is old)
        n_elements = sum(leaves[-1]) - leaves[0][0]
        run.begin()
        done: int = self._native.measure(
            self._instruction_set,
            request,
            run.states_memory,
            run.leaves(leaves),
            self._memory,
            *self._source(old, held, n_elements),
            *self._source(new, held, n_elements),
        )
        return done

    def states(self) -> dict[str, Any]:
        """Return the states of what was added, and begin anew."""
        assert self._run is not None
        return self._run.states()

    def _source(
        self, side: FileTensor | NDArray[Any], held: list[Descriptor], n_elements: int
    ) -> tuple[Any, int, bool]:
        if not isinstance(side, FileTensor):
            from diffai_kernel_native.memory import raw_bytes

            return raw_bytes(side), 0, False
        held.append(side.file.hold())
        return held[-1].number, side.offset, self._mapped(held[-1], n_elements * side.dtype.bits // 8)

    def _mapped(self, held: Descriptor, n_bytes: int) -> bool:
        """Whether to look at a file through a map; by itself only on local disks, and where it pays."""
        if self._reading != "auto":
            return self._reading == "mmap"
        if n_bytes < _LEAST_MAPPED:
            return False
        device = os.fstat(held.number).st_dev
        if device not in self._local:
            self._local[device] = self._native.is_local(held.number)
        return self._local[device]
