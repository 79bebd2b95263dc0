"""The pass and what it is judged by, on artefacts held in memory or written for the test."""

from __future__ import annotations

import os
import pickle
import re
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffai_core import engine, reading, screening
from diffai_core.accumulators import ACCUMULATORS
from diffai_core.artifact import Artifact, BlockTensor, FileTensor
from diffai_core.dtypes import dtype
from diffai_core.engine import PassPlan, run_pass
from diffai_core.errors import LoadError
from diffai_core.files import DataFile
from diffai_core.findings import Finding, Identity
from diffai_core.keys import KeyFilter, Tolerances
from diffai_core.pairing import Relation, TensorPair
from diffai_core.registry import Registered
from diffai_core.run import Settings, compare_artifacts
from diffai_core.specs import ComparatorSpec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FLOAT32 = dtype("float32")
NEEDS = ("changes", "moments", "extrema")


def cut(array: np.ndarray, max_bytes: int, step: int | None = None) -> Iterator[np.ndarray]:
    flat = array.reshape(-1)
    step = step or max(max_bytes // flat.itemsize, 1)
    for start in range(0, flat.size, step):
        yield flat[start : start + step]


def block_tensor(name: str, array: np.ndarray, step: int | None = None) -> BlockTensor:
    return BlockTensor(
        name=name, shape=array.shape, dtype=dtype(array.dtype.name), open_blocks=partial(cut, array, step=step)
    )


def file_tensor(name: str, array: np.ndarray, folder: Path, lead: int = 3) -> FileTensor:
    path = folder / f"{name}-{len(list(folder.iterdir()))}"
    path.write_bytes(b"\xff" * lead + array.tobytes())
    return FileTensor(name=name, shape=array.shape, dtype=dtype(array.dtype.name), file=DataFile(path), offset=lead)


def plan(**changed: Any) -> PassPlan:
    folds = {name: ACCUMULATORS[name] for name in NEEDS}
    return PassPlan(folds, dict.fromkeys(NEEDS, "changed"), Tolerances(), **changed)


ARRAYS = {
    "tall": np.random.default_rng(1).standard_normal((7001, 11), np.float32),
    "wide": np.random.default_rng(2).standard_normal((3, 100_003), np.float32),
    "flat": np.random.default_rng(3).standard_normal(300_001, np.float32),
    "scalar": np.float32(2).reshape(()),
    "empty": np.zeros((0, 4), np.float32),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_statistics_do_not_depend_on_source_block_size_or_workers(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = ARRAYS[name]
    new = old + np.float32(1e-3) * np.roll(old, 1)
    sources = [
        (file_tensor(name, old, tmp_path), file_tensor(name, new, tmp_path)),
        (block_tensor(name, old), block_tensor(name, new)),
        (block_tensor(name, old, 1000), file_tensor(name, new, tmp_path, 0)),
        (file_tensor(name, old, tmp_path), block_tensor(name, new, 77_777)),
    ]
    found = set()
    for scan_bytes, block_bytes, batch in ((1 << 17, 1 << 20, 1 << 21), (4096, 1 << 12, 10_000)):
        monkeypatch.setattr(reading, "SCAN_BYTES", scan_bytes)
        monkeypatch.setattr(reading, "BLOCK_BYTES", block_bytes)
        monkeypatch.setattr(screening, "BATCH_ELEMENTS", batch)
        for jobs in (1, 3):
            for pair in sources:
                (result,) = run_pass(plan(jobs=jobs), [TensorPair(*pair)])
                found.add((result.relation, repr(sorted(result.statistics.items()))))
    assert len(found) == 1


def test_statistics_agree_with_numpy_in_float64(tmp_path: Path) -> None:
    for name in ("tall", "wide", "flat"):
        old = ARRAYS[name]
        new = old.copy()
        new.reshape(-1)[::7] *= np.float32(1.01)
        pair = TensorPair(file_tensor(name, old, tmp_path), file_tensor(name, new, tmp_path))
        (result,) = run_pass(plan(jobs=2), [pair])
        a, b = old.astype(float), new.astype(float)
        moments, extrema = result.statistics["moments"], result.statistics["extrema"]
        assert result.relation is Relation.CHANGED
        assert moments.old.mean == pytest.approx(a.mean(), rel=1e-11, abs=1e-15)
        assert moments.new.std == pytest.approx(b.std(), rel=1e-12)
        assert moments.rel_change == pytest.approx(np.linalg.norm(b - a) / np.linalg.norm(a), rel=1e-12)
        assert extrema.max_abs_diff == np.abs(b - a).max()
        assert extrema.max_abs_diff_index == np.abs(b - a).argmax()
        assert result.statistics["changes"].n_changed == np.count_nonzero(old != new)


@given(st.lists(st.integers(0, 5), max_size=40), st.integers(0, 39), st.integers(1, 9))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_a_planted_change_is_found_wherever_it_is(values: list[int], place: int, step: int) -> None:
    old = np.array(values, np.int16)
    new = old.copy()
    if place < len(values):
        new[place] += 1
    (result,) = run_pass(plan(), [TensorPair(block_tensor("x", old, step), block_tensor("x", new))])
    if place < len(values):
        assert result.relation is Relation.CHANGED
        assert result.statistics["extrema"].max_abs_diff_index == place
    else:
        assert result.relation is Relation.IDENTICAL


@pytest.mark.parametrize("wrong", [np.zeros(9, np.float32), np.zeros(11, np.float32)], ids=["fewer", "more"])
def test_a_loader_that_yields_another_number_of_elements_is_an_error(wrong: np.ndarray) -> None:
    lying = BlockTensor(name="x", shape=(10,), dtype=FLOAT32, open_blocks=partial(cut, wrong))
    honest = block_tensor("x", np.zeros(10, np.float32))
    (result,) = run_pass(plan(), [TensorPair(honest, lying)])
    assert result.relation is Relation.NOT_COMPARED
    assert "elements than the 10 declared" in result.reason


def artifact(name: str, *refs: Any, **more: Any) -> Artifact:
    return Artifact(name=name, format="test", tensors={ref.name: ref for ref in refs}, **more)


def test_a_file_that_shrinks_during_the_pass_is_trouble_that_names_file_and_offset(tmp_path: Path) -> None:
    array = ARRAYS["flat"]
    old, new = file_tensor("x", array, tmp_path), file_tensor("x", array, tmp_path)
    os.truncate(new.file.path, 100_000)
    report = compare_artifacts(artifact("a", old), artifact("b", new), ())
    assert report.exit_code == 2
    assert report.verdict.identity is Identity.INCONCLUSIVE
    (finding,) = report.findings
    assert finding.message.startswith(f"{new.file.path}: byte 100,000: the file shrank while it was read")


def test_a_file_that_is_written_to_during_the_pass_is_an_error(tmp_path: Path) -> None:
    old, new = file_tensor("x", ARRAYS["flat"], tmp_path), file_tensor("x", ARRAYS["flat"], tmp_path)
    os.utime(new.file.path, (1, 1))
    with pytest.raises(LoadError, match="written to while it was read"):
        compare_artifacts(artifact("a", old), artifact("b", new, files=(new.file,)), ())


def test_a_file_tensor_survives_pickling_and_refuses_a_changed_file(tmp_path: Path) -> None:
    ref = file_tensor("x", ARRAYS["tall"], tmp_path)
    sent = pickle.dumps(ref)
    np.testing.assert_array_equal(pickle.loads(sent).read(), ARRAYS["tall"])
    os.utime(ref.file.path, (1, 1))
    with pytest.raises(LoadError, match="no longer the one"):
        pickle.loads(sent)


class _Failing:
    def start(self, _layout: object) -> int:
        return 0

    def update(self, _state: int, _block: object) -> int:
        raise KeyError("bar")

    def merge(self, left: int, right: int) -> int:
        return left + right

    def finish(self, state: int) -> int:
        return state


def failing(_comparison: object, _options: object) -> Iterator[Finding]:
    yield Finding("before_it_failed", level="info")
    raise KeyError("bar")


def honest(comparison: Any, _options: object) -> Iterator[Finding]:
    yield Finding("seen", level="info", values={"n": len(comparison.results)})


def wrong_type(_comparison: object, _options: object) -> Iterator[Any]:
    yield {"kind": "seen"}


def registered(target: str, **spec: Any) -> Registered[ComparatorSpec]:
    found = ComparatorSpec(target, "Does something.", f"{__name__}:{target}", **spec)
    return Registered(found, "compare-foo", "diffai-compare-foo", "0.3.1")


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.setitem(__import__("sys").modules, __name__, request.module)


@pytest.mark.usefixtures("importable")
@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (registered("failing"), "failed while comparing (KeyError: 'bar')"),
        (registered("wrong_type"), "gave a dict where a Finding belongs"),
        (registered("honest", needs=(f"{__name__}:_Failing",)), "KeyError: 'bar'"),
        (registered("missing"), "has no 'missing'"),
    ],
)
def test_a_comparator_that_fails_is_named_and_the_others_go_on(spec: Any, reason: str) -> None:
    sides = [artifact(name, block_tensor("x", ARRAYS["flat"] + i)) for i, name in enumerate("ab")]
    report = compare_artifacts(*sides, (spec, registered("honest")))
    failures = [finding for finding in report.findings if finding.level == "error"]
    assert len(failures) == 1
    assert failures[0].message.startswith("diffai-compare-foo 0.3.1: ")
    assert reason in failures[0].message
    assert [finding.values for finding in report.findings if finding.kind == "seen"] == [{"n": 1}]
    assert report.exit_code == 2


def test_a_facet_that_no_comparator_covers_is_never_a_pass() -> None:
    sides = [artifact(name, block_tensor("x", ARRAYS["tall"]), tree={"lr": 1}) for name in "ab"]
    report = compare_artifacts(*sides, ())
    assert report.exit_code == 3
    assert report.verdict.identity is Identity.INCONCLUSIVE
    assert [missing.where for missing in report.not_compared] == ["tree"]


def test_second_looks_come_back_in_order_for_any_number_of_workers() -> None:
    refs = [block_tensor(f"t{i:02}", np.full(10 + i, i, np.float32)) for i in range(30)]
    pairs = [TensorPair(ref, ref) for ref in refs]
    for jobs in (1, 4):
        with engine.Workers(jobs) as workers:
            assert list(workers.map(lambda pair: float(pair.old.read().sum()), pairs)) == [
                i * (10 + i) for i in range(30)
            ]


def test_scopes_decide_which_tensors_are_measured() -> None:
    same, other = ARRAYS["tall"], ARRAYS["flat"]
    pairs = [
        TensorPair(block_tensor("same", same), block_tensor("same", same)),
        TensorPair(None, block_tensor("added", other)),
    ]
    for scope, measured in (("changed", [False, False]), ("paired", [True, False]), ("all", [True, True])):
        wanted = PassPlan(
            {"changes": ACCUMULATORS["changes"], "moments": ACCUMULATORS["moments"]},
            {"changes": "changed", "moments": scope},
            Tolerances(),
        )
        results = run_pass(wanted, pairs)
        assert ["moments" in result.statistics for result in results] == measured
    assert results[1].statistics["moments"].new.mean == pytest.approx(other.astype(float).mean(), rel=1e-11)


def test_keys_filter_applies_to_either_name_of_a_renamed_pair() -> None:
    old, new = (
        artifact("a", block_tensor("first", ARRAYS["tall"])),
        artifact("b", block_tensor("second", ARRAYS["tall"])),
    )
    for pattern in ("first", "second"):
        report = compare_artifacts(old, new, (), Settings(keys=KeyFilter(re.compile(pattern))))
        assert report.counts.renamed == 1


def test_an_identical_tensor_in_a_file_is_measured_like_one_in_memory_and_read_once_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    array = ARRAYS["tall"]
    in_files = TensorPair(file_tensor("x", array, tmp_path), file_tensor("x", array, tmp_path))
    in_memory = TensorPair(block_tensor("x", array), block_tensor("x", array))
    leaves_read = []
    leaf = reading.FileLeaves.leaf
    monkeypatch.setattr(
        reading.FileLeaves, "leaf", lambda self, start, count: leaves_read.append(count) or leaf(self, start, count)
    )
    wanted = PassPlan(plan().folds, dict.fromkeys(NEEDS, "paired"), Tolerances())
    results = run_pass(wanted, [in_files, in_memory])
    assert results[0].relation is Relation.IDENTICAL
    assert results[0].statistics == results[1].statistics
    assert sum(leaves_read) == array.size
