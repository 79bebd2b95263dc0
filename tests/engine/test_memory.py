"""``--max-memory``: what the pass holds stays below it, and what does not fit is said to be missing."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from diffai_core.accumulators import ACCUMULATORS
from diffai_core.artifact import Artifact, FileTensor
from diffai_core.budget import Budget
from diffai_core.dtypes import dtype
from diffai_core.engine import PassPlan, run_pass
from diffai_core.errors import UsageError
from diffai_core.files import DataFile
from diffai_core.findings import Identity
from diffai_core.kernels import Kernel, ReferenceKernel, load_kernel
from diffai_core.keys import Tolerances
from diffai_core.layout import PairLayout
from diffai_core.pairing import Relation, TensorPair
from diffai_core.registry import Registered, load_registry
from diffai_core.run import Settings, compare_artifacts
from diffai_core.specs import ComparatorSpec

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20
SHAPES = {"columns": (24, 200_000), "rows": (300_000, 16), "histograms": (1500, 3000)}
"""Tensors of several segments of which the statistic takes many MiB."""


def pair(shape: tuple[int, ...], folder: Path) -> TensorPair:
    refs = []
    for seed, name in enumerate(("old", "new")):
        path = folder / f"{name}-{len(list(folder.iterdir()))}"
        np.random.default_rng(seed).integers(-100, 100, shape, np.int8).tofile(path)
        refs.append(FileTensor(name="x", shape=shape, dtype=dtype("int8"), file=DataFile(path), offset=0))
    return TensorPair(*refs)


def kernel_named(name: str) -> Kernel:
    if name == "numpy":
        return ReferenceKernel()
    kernels = load_registry().kernels
    if name not in kernels:
        pytest.skip(f"the kernel {name} is not installed")
    return load_kernel(kernels[name])


def plan(names: tuple[str, ...], kernel: Kernel, **changed: Any) -> PassPlan:
    folds = {name: ACCUMULATORS[name] for name in ("changes", *names)}
    return PassPlan(folds, dict.fromkeys(folds, "changed"), Tolerances(), kernel=kernel, reading="read", **changed)


def least_memory(name: str, kernel: Kernel) -> int:
    """Return the least budget, in whole MiB, with which a statistic is measured."""
    layout = PairLayout.of(SHAPES[name], dtype("int8"), dtype("int8"))
    folds = {key: ACCUMULATORS[key] for key in ("changes", name)}
    for n_mib in range(1, 1000):
        with suppress(UsageError):
            if name in Budget(n_mib * MIB, 1, kernel.memory).share(layout, folds).folds:
                return n_mib * MIB
    raise AssertionError


@pytest.mark.parametrize("kernel_name", ["numpy", "native"])
@pytest.mark.parametrize("name", SHAPES)
def test_buffers_and_states_stay_below_the_least_memory_that_suffices(
    name: str, kernel_name: str, tmp_path: Path
) -> None:
    kernel = kernel_named(kernel_name)
    max_memory = least_memory(name, kernel)
    pairs = [pair(SHAPES[name], tmp_path)]
    run_pass(plan((name,), kernel), [pair((8, 8), tmp_path)])  # imports
    for jobs in (1, 4):
        gc.collect()
        tracemalloc.start()
        try:
            (result,) = run_pass(plan((name,), kernel, jobs=jobs, max_memory=max_memory), pairs)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert result.statistics[name] is not None
        assert result.not_measured == ()
        assert MIB < peak <= max_memory


def bits(value: Any) -> Any:
    """Return everything in a result, down to the last bit."""
    if isinstance(value, np.ndarray):
        return value.dtype, value.shape, value.tobytes()
    if isinstance(value, Mapping):
        return {key: bits(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [bits(item) for item in value]
    return bits(vars(value)) if hasattr(value, "__dict__") else repr(value)


@pytest.mark.parametrize("kernel_name", ["numpy", "native"])
def test_more_workers_and_less_memory_change_no_bit_of_the_statistics(kernel_name: str, tmp_path: Path) -> None:
    kernel = kernel_named(kernel_name)
    names = tuple(name for name in ACCUMULATORS if name != "changes")
    pairs = [pair(shape, tmp_path) for shape in ((3, 1_000_000), (10, 10), (400_000, 6))]
    found = [
        [
            (result.relation, bits(result.statistics))
            for result in run_pass(plan(names, kernel, jobs=jobs, max_memory=n_mib * MIB), pairs)
        ]
        for jobs, n_mib in ((1, 1024), (4, 1024), (3, 450))
    ]
    assert [sorted(statistics) for _, statistics in found[0]] == [sorted(ACCUMULATORS)] * 3
    assert found[0][2][1]["rows"]["old_sq"][1] == (400_000,)
    assert found == found[:1] * 3


def needs_columns(comparison: Any, _options: object) -> tuple[()]:
    (result,) = comparison.results
    assert result.statistics["columns"] is None
    assert result.statistics["moments"].new.n == 24 * 200_000
    assert result.not_measured == ("columns",)
    return ()


def test_a_statistic_that_there_is_no_memory_for_is_missed_aloud_and_the_verdict_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setitem(__import__("sys").modules, __name__, request.module)
    spec = ComparatorSpec("wide", "Does something.", f"{__name__}:needs_columns", needs=("columns", "moments"))
    found = pair(SHAPES["columns"], tmp_path)
    sides = [
        Artifact(name=name, format="test", tensors={"x": ref})
        for name, ref in zip("ab", (found.old, found.new), strict=True)
    ]
    reports = [
        compare_artifacts(
            *sides, (Registered(spec, "compare-wide", "acme-wide", "1"),), Settings(jobs=jobs, max_memory=32 * MIB)
        )
        for jobs in (1, 3)
    ]
    assert reports[0] == reports[1]
    (finding,) = reports[0].findings
    assert (finding.kind, finding.where, finding.status) == ("statistics_not_measured", "x", "not_measurable")
    assert finding.message.startswith("columns: not measured, because --max-memory is too little")
    assert (reports[0].exit_code, reports[0].verdict.identity) == (1, Identity.DIFFERENT)


def test_memory_too_little_for_one_worker_is_refused_with_the_least_that_works(tmp_path: Path) -> None:
    pairs = [pair((8, 8), tmp_path)]
    with pytest.raises(
        UsageError, match=r"--max-memory: 8M is too little; the least that works here is (\d+)M"
    ) as info:
        run_pass(plan((), ReferenceKernel(), max_memory=8 * MIB), pairs)
    least = int(str(info.value).rpartition(" ")[2].rstrip("M"))
    (result,) = run_pass(plan((), ReferenceKernel(), max_memory=least * MIB, jobs=9), pairs)
    assert result.relation is Relation.CHANGED
    with pytest.raises(UsageError):
        run_pass(plan((), ReferenceKernel(), max_memory=(least - 1) * MIB), pairs)
