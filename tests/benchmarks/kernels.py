"""Measure the kernels alone, on arrays in memory: CPU time of one thread, beside reading the same arrays.

    python tests/benchmarks/kernels.py [--elements 33554432] [--runs 3] [--json]

For each dtype the floor is NumPy's maximum over both arrays as 64-bit words, which does nothing but read. Each row is
one kernel (the native one once for each instruction set of the processor) and one set of statistics: the default ones,
each one by itself, all of them. Times are the least of the runs. Weights are random, and all elements changed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from diffai_core.accumulators import ACCUMULATORS, Block, Workspace
from diffai_core.dtypes import dtype
from diffai_core.layout import SEGMENT_LEAVES, PairLayout, leaves

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    Array = NDArray[np.generic]
    Measure = Callable[["Workload", tuple[str, ...]], float]

DEFAULT = ("changes", "moments", "extrema")
COLUMNS = 4096
STEP = np.float32(1e-3)


class Workload(NamedTuple):
    """Two arrays, and how they are cut."""

    layout: PairLayout
    old: Array
    new: Array

    @property
    def segments(self) -> Iterator[list[tuple[int, int]]]:
        """Runs of consecutive leaves."""
        everything = list(leaves(self.layout))
        return (everything[i : i + SEGMENT_LEAVES] for i in range(0, len(everything), SEGMENT_LEAVES))


class Row(NamedTuple):
    """What one kernel takes for one set of statistics."""

    dtype: str
    kernel: str
    statistics: str
    ns_per_pair: float
    gb_per_s: float
    share_of_reading: float


def workload(name: str, elements: int) -> Workload:
    """Return random weights and the same after a random step."""
    kind = dtype(name)
    rng = np.random.default_rng(1)
    rows = max(elements // COLUMNS, 1)
    old = rng.standard_normal(rows * COLUMNS, np.float32) * np.float32(0.02)
    new = old + STEP * rng.standard_normal(old.size, np.float32)
    return Workload(PairLayout.of((rows, COLUMNS), kind, kind), old.astype(kind.numpy), new.astype(kind.numpy))


def cpu_seconds(work: Callable[[], object]) -> float:
    """Return the CPU seconds that ``work`` takes in this thread."""
    begin = time.thread_time()
    work()
    return time.thread_time() - begin


def reading(work: Workload) -> float:
    """Return the CPU seconds for reading both arrays and doing nothing with them."""
    sides = [side.view(np.uint64) for side in (work.old, work.new)]
    return cpu_seconds(lambda: [side.max() for side in sides])


def by_numpy(work: Workload, names: tuple[str, ...]) -> float:
    """Return the CPU seconds of the folds."""
    workspace = Workspace()

    def measure() -> None:
        for segment in work.segments:
            states = {name: ACCUMULATORS[name].start(work.layout) for name in names}
            for start, count in segment:
                piece = slice(start, start + count)
                block = Block(work.layout, workspace, start, work.old[piece], work.new[piece])
                for name in names:
                    states[name] = ACCUMULATORS[name].update(states[name], block)

    return cpu_seconds(measure)


def by_native(instruction_set: str) -> Measure:
    """Return what measures the native kernel."""
    from diffai_kernel_native import _native
    from diffai_kernel_native.kernel import NativeKernel

    worker = NativeKernel(_native, instruction_set).worker("read")

    def measure(work: Workload, names: tuple[str, ...]) -> float:
        def all_segments() -> None:
            for segment in work.segments:
                piece = slice(segment[0][0], sum(segment[-1]))
                worker.start(work.layout, frozenset(names), segment)
                done = worker.add(segment, work.old[piece], work.new[piece])
                assert done == len(segment)
                worker.states()

        return cpu_seconds(all_segments)

    return measure


def kernels() -> dict[str, Measure]:
    """Return what there is to measure, by name."""
    found: dict[str, Measure] = {"numpy": by_numpy}
    try:
        from diffai_kernel_native import _native
    except ImportError:
        return found
    return {**{f"native, {name}": by_native(name) for name in _native.instruction_sets()}, **found}


def rows(names: Iterable[str], elements: int, n_runs: int) -> Iterator[Row]:
    """Measure everything."""
    sets = {"default": DEFAULT, **{name: (name,) for name in ACCUMULATORS}, "all": tuple(ACCUMULATORS)}
    for name in names:
        work = workload(name, elements)
        floor = min(reading(work) for _ in range(n_runs + 2))
        n_bytes = work.old.nbytes + work.new.nbytes
        for kernel, measure in kernels().items():
            for title, statistics in sets.items():
                seconds = min(measure(work, statistics) for _ in range(n_runs))
                yield Row(name, kernel, title, seconds / work.old.size * 1e9, n_bytes / seconds / 1e9, floor / seconds)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--elements", type=int, default=1 << 25, help="elements of each array (default %(default)s)")
    parser.add_argument("--dtypes", default="float32,bfloat16", help="which dtypes (default %(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="runs of each measurement (default %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of a table")
    options = parser.parse_args()
    found = rows(options.dtypes.split(","), options.elements, options.runs)
    if options.json:
        print(json.dumps([row._asdict() for row in found], indent=2))
        return 0
    print(f"{'dtype':10}{'kernel':18}{'statistics':16}{'ns/pair':>9}{'GB/s':>8}{'x reading':>11}")
    for row in found:
        figures = f"{row.ns_per_pair:9.2f}{row.gb_per_s:8.2f}{row.share_of_reading:11.2f}"
        print(f"{row.dtype:10}{row.kernel:18}{row.statistics:16}{figures}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
