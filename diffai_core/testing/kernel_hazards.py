"""What could end the process of a kernel, tried in a child process: files that shrink, memory that ends."""

from __future__ import annotations

import itertools
import json
import os
import random
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from diffai_core.accumulators import ACCUMULATORS
from diffai_core.artifact import BlockTensor, FileTensor
from diffai_core.errors import LoadError
from diffai_core.lazy import resolve
from diffai_core.measuring import TensorJob, identical, measure
from diffai_core.segments import Worker
from diffai_core.testing.kernel_cases import Case, Recipe, case
from diffai_core.testing.kernel_runs import differing, names_taken, opened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from diffai_core.kernels import Kernel
    from diffai_core.specs import ReadingWay

FILES = ("cut before", "cut while")
"""Hazards of files."""

_READINGS: tuple[ReadingWay, ...] = ("auto", "mmap", "read")
_WIDTHS = (
    "float64",
    "float32",
    "bfloat16",
    "float8_e4m3fn",
    "float4_e2m1fn",
    "int64",
    "int32",
    "uint16",
    "int8",
    "bool",
)
_SIZES = (1, 7, 8, 9, 31, 63, 64, 65, 127, 513)
_LIMIT_S = 100
_SKIPPED = 77
_NONE, _READ_WRITE = 0, 3
"""``PROT_NONE`` and ``PROT_READ | PROT_WRITE``."""


class Outcome(NamedTuple):
    """What became of one trial; no complaint if all is as it must be."""

    label: str
    complaint: str


def outcomes(hazard: str, target: str, environment: Mapping[str, str], folder: Path) -> list[Outcome]:
    """Try a hazard on the kernel ``target`` in a child process; one more outcome says if that died or hung."""
    import pytest

    command = [sys.executable, "-c", "from diffai_core.testing.kernel_hazards import main; main()"]
    own = {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    job = json.dumps({"hazard": hazard, "target": target, "folder": str(folder)})
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter
            command,
            input=job,
            capture_output=True,
            text=True,
            env={**os.environ, **own, **environment},
            timeout=_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return [Outcome(hazard, f"the process hangs: not done after {_LIMIT_S} s")]
    if done.returncode == _SKIPPED:
        pytest.skip(done.stdout.strip())
    found = [Outcome(*json.loads(line)) for line in done.stdout.splitlines()]
    if done.returncode:
        found.append(Outcome(hazard, f"the process ended with status {done.returncode}: {done.stderr[-3000:]}"))
    return found


def main() -> None:
    """Read a job from standard input; print one outcome a line."""
    job = json.loads(sys.stdin.read())
    kernel: Kernel = resolve(job["target"], "the kernel under test")()
    trials: dict[str, Callable[[Kernel, Path], Iterator[Outcome]]] = {
        "cut before": _cut_before,
        "cut while": _cut_while,
        "guarded": _guarded,
    }
    for outcome in trials[job["hazard"]](kernel, Path(job["folder"])):
        print(json.dumps(outcome), flush=True)  # noqa: T201 - the protocol


class _Pass:
    """One worker that measures the same two files again and again.

    Args:
        kernel: The kernel.
        reading: How the bytes of files are got at.
        folder: Where the files are.
    """

    def __init__(self, kernel: Kernel, reading: ReadingWay, folder: Path) -> None:
        self.case = case(Recipe("uint8", "uint8", (1_300_000,), shifts=(100, 100)))
        self.worker = Worker(kernel, reading)
        self.folder = folder
        # Few enough for the reference to be quick: who reads is the question, and not what is measured.
        self.names = [name for name in names_taken(kernel, self.case) if name in {"changes", "counts", "extrema"}]
        self.wanted = self.measured()

    def measured(self, disturb: Callable[[Path], object] = lambda _path: None) -> dict[str, Any]:
        """Write both files, open them, disturb the second one, and measure them."""
        with opened(self.case, "read", self.folder) as (old, new):
            disturb(self.folder / "new.bin")
            found = measure(TensorJob(old, new, self.case.layout), self._folds, lambda: self.worker)
            for ref in (old, new):
                assert isinstance(ref, FileTensor)
                ref.file.check_unchanged()
        return found

    def compared(self, disturb: Callable[[Path], object]) -> bool:
        """Say whether two equal files are identical, once the second one is disturbed."""
        twice = Case(self.case.recipe, self.case.old, self.case.old.copy())
        with opened(twice, "read", self.folder) as (old, new):
            disturb(self.folder / "new.bin")
            return identical(TensorJob(old, new, twice.layout), lambda: self.worker)

    @property
    def _folds(self) -> dict[str, Any]:
        return {name: ACCUMULATORS[name] for name in self.names}

    def complaint_after(self) -> str:
        """Say how the worker has suffered."""
        worse = differing(self.wanted, self.measured())
        return f"afterwards the worker is wrong: {worse}" if worse else ""


def _cut_before(kernel: Kernel, folder: Path) -> Iterator[Outcome]:
    """Cut a file off after it was opened, on a page, within one, at the last byte."""
    for reading in _READINGS:
        trial = _Pass(kernel, reading, folder)
        size = trial.case.old.nbytes + 100
        for cut in (0, 50, 4096, 70_001, 1 << 20, size - 5000, size - 1):
            label = f"{reading}, cut off at {cut} of {size}"
            for what in (trial.measured, trial.compared):
                yield Outcome(label, _complaint_of_cut(lambda: what(lambda path: os.truncate(path, cut)), cut, folder))  # noqa: B023 - called at once
        yield Outcome(reading, trial.complaint_after())


def _complaint_of_cut(attempt: Callable[[], object], cut: int, folder: Path) -> str:
    try:
        found = attempt()
    except LoadError as error:
        wanted = str(folder / "new.bin"), max(cut, 100)
        found = error.path, error.offset
        return "" if found == wanted else f"the error names {found} instead of {wanted}: {error}"
    return f"no error but {found}"


def _cut_while(kernel: Kernel, folder: Path) -> Iterator[Outcome]:
    """Cut a file off at any time while it is read."""
    rng = random.Random(3)  # noqa: S311 - places and times to try
    for reading in _READINGS:
        trial = _Pass(kernel, reading, folder)
        begin = time.perf_counter()
        trial.measured()
        duration = time.perf_counter() - begin
        for _ in range(12):
            yield Outcome(reading, _complaint_of_race(trial, rng.uniform(0, 1.2 * duration), rng.randrange(1_300_000)))
        yield Outcome(reading, trial.complaint_after())


def _complaint_of_race(trial: _Pass, delay: float, cut: int) -> str:
    threads: list[threading.Timer] = []

    def cut_later(path: Path) -> None:
        threads.append(threading.Timer(delay, os.truncate, (path, cut)))
        threads[-1].start()

    try:
        found = trial.measured(cut_later)
    except LoadError:
        return ""
    finally:
        threads[0].join()
    return differing(trial.wanted, found)


def _guarded(kernel: Kernel, _folder: Path) -> Iterator[Outcome]:
    """Measure elements that end, or begin, where the memory of the process does."""
    with _guarded_memory() as old_memory, _guarded_memory() as new_memory:
        for dtype, size, at_end in itertools.product(_WIDTHS, _SIZES, (True, False)):
            pair = case(Recipe(dtype, dtype, (size,), "moderate", "few changed"))
            guarded = []
            for elements, memory in ((pair.old, old_memory), (pair.new, new_memory)):
                raw = memory[-elements.nbytes :] if at_end else memory[: elements.nbytes]
                raw[:] = elements.view(np.uint8)
                guarded.append(raw.view(elements.dtype))
            wanted = _measured(kernel, pair, pair.old, pair.new)
            yield Outcome(f"{size} {dtype}", differing(wanted, _measured(kernel, pair, *guarded)))


def _measured(kernel: Kernel, pair: Case, *sides: NDArray[Any]) -> dict[str, Any]:
    kind, folds = pair.layout.old_dtype, {name: ACCUMULATORS[name] for name in names_taken(kernel, pair)}
    old, new = (
        BlockTensor(name="side", shape=pair.layout.shape, dtype=kind, open_blocks=partial(_one_block, side))
        for side in sides
    )
    return measure(TensorJob(old, new, pair.layout), folds, lambda: Worker(kernel, "auto"))


def _one_block(elements: NDArray[Any], _max_bytes: int) -> Iterator[NDArray[Any]]:
    yield elements


@contextmanager
def _guarded_memory() -> Iterator[NDArray[np.uint8]]:
    """Hand out memory before and after which nothing can be read."""
    import ctypes
    import mmap

    library = ctypes.CDLL(None)
    if not hasattr(library, "mprotect"):
        print("memory cannot be guarded here")  # noqa: T201 - the reason
        sys.exit(_SKIPPED)
    page = mmap.PAGESIZE
    n_bytes = -(-8 * max(_SIZES) // page) * page
    whole = mmap.mmap(-1, n_bytes + 2 * page)
    first = ctypes.addressof(ctypes.c_char.from_buffer(whole))
    ends = first, first + page + n_bytes
    for end in ends:
        if library.mprotect(ctypes.c_void_p(end), ctypes.c_size_t(page), _NONE):
            print("memory cannot be guarded here")  # noqa: T201 - the reason
            sys.exit(_SKIPPED)
    yield np.frombuffer(whole, np.uint8, n_bytes, page)
    for end in ends:
        library.mprotect(ctypes.c_void_p(end), ctypes.c_size_t(page), _READ_WRITE)
