"""The pass over many tensors of all kinds and sizes: one result each, in order, whatever happens to the others."""

from __future__ import annotations

import os
import re
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from diffai_core import measuring, screening
from diffai_core.accumulators import ACCUMULATORS
from diffai_core.artifact import BlockTensor, FileTensor
from diffai_core.dtypes import dtype
from diffai_core.engine import PassPlan, run_pass
from diffai_core.errors import LoadError
from diffai_core.files import DataFile
from diffai_core.folds import GuardedFold
from diffai_core.keys import Tolerances
from diffai_core.pairing import Relation, TensorPair

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

NAMES = ("changes", "moments", "extrema")
LARGE, SMALL = 3000, 40
"""Elements, where tensors of more than 1,000 are shared out and 256 bytes of each side are looked at in a task."""


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screening, "BATCH_ELEMENTS", 1000)
    monkeypatch.setattr(screening, "_PART_BYTES", 256)
    monkeypatch.setattr(screening, "_FAN_OUT", 3)


class Sums:
    """Counts what it is told."""

    def __init__(self) -> None:
        self.expected, self.done = [0, 0], [0, 0]
        self._lock = threading.Lock()

    def expect(self, n_bytes: int, n_tensors: int = 0) -> None:
        self._count(self.expected, n_bytes, n_tensors)

    def add(self, n_bytes: int, n_tensors: int = 0) -> None:
        assert n_bytes >= 0
        self._count(self.done, n_bytes, n_tensors)

    def _count(self, sums: list[int], n_bytes: int, n_tensors: int) -> None:
        with self._lock:
            sums[0] += n_bytes
            sums[1] += n_tensors


def plan(jobs: int, scope: Any = "changed", **changed: Any) -> PassPlan:
    folds = {name: ACCUMULATORS[name] for name in NAMES}
    return PassPlan(folds, dict.fromkeys(NAMES, scope), Tolerances(), jobs=jobs, **changed)


def in_file(path: Path, arrays: Sequence[np.ndarray]) -> list[FileTensor]:
    """Write arrays one right after the other."""
    path.write_bytes(b"".join(array.tobytes() for array in arrays))
    file, offset, refs = DataFile(path), 0, []
    for number, array in enumerate(arrays):
        kind = dtype(array.dtype.name)
        refs.append(FileTensor(name=f"t{number:03}", shape=array.shape, dtype=kind, file=file, offset=offset))
        offset += array.nbytes
    return refs


def decoded(name: str, array: np.ndarray, failure: bool = False) -> BlockTensor:
    return BlockTensor(
        name=name, shape=array.shape, dtype=dtype(array.dtype.name), open_blocks=partial(_blocks, array, failure)
    )


def _blocks(array: np.ndarray, failure: bool, _max_bytes: int) -> Iterator[np.ndarray]:
    yield array[:10]
    if failure:
        raise LoadError("x", "is damaged", 40)
    yield array[10:]


def mixture(folder: Path) -> tuple[list[TensorPair], list[Relation | None]]:
    """Return pairs of every kind, and how each must compare."""
    rng = np.random.default_rng(7)
    old = [rng.standard_normal(LARGE if i % 3 == 0 else SMALL).astype(np.float32) for i in range(60)]
    new = [array.copy() for array in old]
    relations: list[Relation | None] = [Relation.IDENTICAL] * 60
    for i in (0, 1, 3, 6, 20, 21, 22, 40, 59):  # at the beginning, in the middle, at the end
        new[i][(0, new[i].size // 2, -1)[i % 3]] += 1
        relations[i] = Relation.CHANGED
    old[9][-1], new[9][-1] = 0.0, -0.0
    relations[9] = Relation.EQUAL_VALUES
    pairs = [TensorPair(*refs) for refs in zip(in_file(folder / "old", old), in_file(folder / "new", new), strict=True)]
    for i in range(2, 60, 7):  # some of which are decoded by their loader, large and small, on one side or both
        fails = i == 16
        sides = [decoded(f"t{i:03}", old[i], fails), decoded(f"t{i:03}", new[i])]
        pairs[i] = TensorPair(sides[0], sides[1] if i % 2 else pairs[i].new)
        relations[i] = Relation.NOT_COMPARED if fails else relations[i]
    pairs[30], relations[30] = TensorPair(None, pairs[30].new), None
    pairs[31], relations[31] = TensorPair(pairs[31].old, None), None
    return pairs, relations


@pytest.mark.parametrize("scope", ["changed", "paired", "all"])
def test_a_mixture_of_all_kinds_gives_the_same_for_any_number_of_workers(scope: str, tmp_path: Path) -> None:
    pairs, relations = mixture(tmp_path)
    found = [run_pass(plan(jobs, scope), pairs) for jobs in (1, 2, 5)]
    assert [result.pair for result in found[0]] == pairs
    assert [result.relation for result in found[0]] == relations
    assert found[0][16].reason == "x: byte 40: is damaged"
    for result in found[0]:
        wanted = {"changed": [Relation.CHANGED, Relation.EQUAL_VALUES]}.get(scope, [*Relation][:4])
        of_one = scope == "all" and result.relation is None
        assert bool(result.statistics) is (result.relation in wanted or of_one)
    assert found == found[:1] * 3


@pytest.mark.parametrize("jobs", [1, 3])
@pytest.mark.parametrize("scope", ["changed", "paired", "all"])
def test_the_work_told_as_done_adds_up_to_the_work_expected(scope: str, jobs: int, tmp_path: Path) -> None:
    pairs, _ = mixture(tmp_path)
    meter = Sums()
    run_pass(plan(jobs, scope, meter=meter), pairs)
    assert meter.done == meter.expected
    assert meter.done[1] == len(pairs)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_file_that_shrinks_while_it_is_measured_is_named_with_the_place_and_the_others_go_on(
    jobs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is cut in the middle of its one large tensor once that has been found to differ."""
    monkeypatch.setattr(measuring, "SEGMENT_LEAVES", 1)
    array = np.zeros(500_000, np.float32)
    old, new = in_file(tmp_path / "old", [array]), in_file(tmp_path / "new", [array + 1])
    others = [in_file(tmp_path / name, [np.full(2000, i, np.float32)])[0] for i, name in enumerate("ab")]
    measure, cut = measuring.measure_segment, threading.Event()

    def cutting(layout: Any, folds: Any, sides: Any, worker: Any, leaves: Any) -> Any:
        if leaves[0][0] and not cut.is_set():
            cut.set()
            os.truncate(tmp_path / "new", 1_000_000)
        return measure(layout, folds, sides, worker, leaves)

    monkeypatch.setattr(measuring, "measure_segment", cutting)
    results = run_pass(plan(jobs), [TensorPair(old[0], new[0]), TensorPair(*others)])
    assert [result.relation for result in results] == [Relation.NOT_COMPARED, Relation.CHANGED]
    found = re.match(rf"{tmp_path / 'new'}: byte ([\d,]+): the file shrank while it was read", results[0].reason)
    assert found
    place = int(found[1].replace(",", ""))
    # Of two threads, one may have read the part with the new end already.
    assert place == 1_000_000 if jobs == 1 else 1_000_000 <= place < array.nbytes
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("diffai")]


def test_an_error_that_is_nobodys_fault_ends_the_pass_and_its_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs, _ = mixture(tmp_path)

    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(measuring, "measure_segment", fail)
    with pytest.raises(MemoryError):
        run_pass(plan(3), pairs)
    for _ in range(500):
        if not [thread for thread in threading.enumerate() if thread.name.startswith("diffai")]:
            return
        time.sleep(0.01)
    pytest.fail("threads are left")


@pytest.mark.parametrize("n_changed", [0, 1, 2, 299])
def test_small_tensors_side_by_side_are_told_apart(n_changed: int, tmp_path: Path) -> None:
    """Equal ones are found many at a time; each that differs must be found all the same."""
    rng = np.random.default_rng(n_changed)
    old = [rng.integers(0, 9, rng.integers(0, 6)).astype(np.int16) for _ in range(600)]
    new = [array.copy() for array in old]
    changed = {int(i) for i in rng.choice(600, n_changed, replace=False) if old[i].size}
    for i in changed:
        new[i][-1] += 1
    pairs = [TensorPair(*refs) for refs in zip(in_file(tmp_path / "a", old), in_file(tmp_path / "b", new), strict=True)]
    results = run_pass(plan(2), pairs)
    assert {i for i, result in enumerate(results) if result.relation is Relation.CHANGED} == changed
    assert {result.relation for result in results} <= {Relation.CHANGED, Relation.IDENTICAL}


def test_where_small_tensors_side_by_side_cannot_be_read_only_they_are_not_compared(tmp_path: Path) -> None:
    arrays = [np.full(25, i, np.float32) for i in range(90)]
    pairs = [TensorPair(*refs) for refs in zip(*(in_file(tmp_path / name, arrays) for name in "ab"), strict=True)]
    os.truncate(tmp_path / "b", 5050)
    results = run_pass(plan(1), pairs)
    assert [result.relation for result in results] == [Relation.IDENTICAL] * 50 + [Relation.NOT_COMPARED] * 40
    assert f"{tmp_path / 'b'}: byte 5,050: the file shrank" in results[50].reason


class _Stating:
    def __init__(self, stated: Any) -> None:
        self._stated = stated

    def state_bytes(self, _layout: object, _n_elements: int) -> Any:
        return self._stated()


@pytest.mark.parametrize(("stated", "found"), [(lambda: 5, 5), (lambda: -1, 65536), (lambda: 1 / 0, 65536)])
def test_what_a_plugin_says_of_the_size_of_its_state_counts_if_it_can_be(stated: Any, found: int) -> None:
    assert GuardedFold(_Stating(stated)).state_bytes(None, 1) == found  # type: ignore[arg-type]
