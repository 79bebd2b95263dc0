"""What loaders, folds and comparators of others may do without making diffai wrong."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from diffai_core.accumulators import ACCUMULATORS
from diffai_core.artifact import Artifact, BlockTensor
from diffai_core.dtypes import dtype
from diffai_core.findings import Finding, Identity
from diffai_core.registry import Registered
from diffai_core.renames import pair_tensors
from diffai_core.run import compare_artifacts
from diffai_core.specs import ComparatorSpec
from diffai_core.testing import artifact

if TYPE_CHECKING:
    from collections.abc import Iterator

A = np.random.default_rng(1).standard_normal(1000).astype(np.float32)


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.setitem(sys.modules, __name__, request.module)


def registered(target: str, name: str = "foo", **spec: Any) -> Registered[ComparatorSpec]:
    found = ComparatorSpec(name, "Does something.", f"{__name__}:{target}", **spec)
    return Registered(found, "compare-foo", "acme-foo", "1.2")


def yields(value: Any, _max_bytes: int) -> Iterator[Any]:
    yield value


def raises(error: BaseException, _max_bytes: int) -> Iterator[Any]:
    raise error
    yield


def nothing(_max_bytes: int) -> None:
    return None


def only_empty(_max_bytes: int) -> Iterator[Any]:
    while True:
        yield np.empty(0, np.float32)


LIES = {
    "another dtype": (partial(yields, A.astype(np.float64)), "yields 1-D float64 where 1-D float32 is declared"),
    "two dimensions": (partial(yields, A.reshape(10, 100)), "yields 2-D float32"),
    "a list": (partial(yields, A.tolist()), "yields list"),
    "text": (partial(yields, "x"), "yields str"),
    "ValueError": (partial(raises, ValueError("bad")), "failed (ValueError: bad)"),
    "SystemExit": (partial(raises, SystemExit(0)), "failed (SystemExit: 0)"),
    "None": (nothing, "failed (TypeError"),
    "only empty blocks": (only_empty, "yields nothing but empty blocks"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_tensor_whose_loader_breaks_its_promise_is_not_compared_and_the_others_are(lie: str) -> None:
    open_blocks, reason = LIES[lie]
    liar = BlockTensor(name="x", shape=A.shape, dtype=dtype("float32"), open_blocks=open_blocks)
    old = artifact(tensors={"x": A, "y": A})
    new = Artifact(name="b", format="test", tensors={**artifact(tensors={"y": A + 1}).tensors, "x": liar})
    for sides in ((old, new), (new, old)):
        report = compare_artifacts(*sides, ())
        assert report.exit_code == 2
        assert (report.counts.not_compared, report.counts.changed) == (1, 1)
        (finding,) = report.findings
        assert finding.message.startswith("tensor 'x': its loader ")
        assert reason in finding.message


def test_empty_blocks_between_others_are_fine() -> None:
    pieces = [A[:0], A[:300], A[:0], A[300:], A[:0]]
    ref = BlockTensor(name="x", shape=A.shape, dtype=dtype("float32"), open_blocks=lambda _max_bytes: iter(pieces))
    report = compare_artifacts(artifact(tensors={"x": A}), Artifact(name="b", format="t", tensors={"x": ref}), ())
    assert report.verdict.identity is Identity.IDENTICAL_TENSORS


class Vandal:
    """A fold that writes wherever it can."""

    def start(self, _layout: object) -> int:
        return 0

    def update(self, state: int, block: Any) -> int:
        for side in (block.old, block.new):
            for name in ("elements", "numbers", "values"):
                array = getattr(side, name)
                if array.flags.writeable:
                    array[:] = 7
        if block.delta.flags.writeable:
            block.delta[:] = 0
        return state

    def merge(self, left: int, right: int) -> int:
        return left + right

    def finish(self, state: int) -> int:
        return state


def statistics(comparison: Any, _options: object) -> Iterator[Finding]:
    (result,) = comparison.results
    yield Finding(
        "seen", level="info", values={name: result.statistics[name] for name in ("changes", "moments", "extrema")}
    )


def test_a_fold_that_writes_to_its_block_does_not_change_what_the_core_measures() -> None:
    kept = A.copy()
    needs = ("changes", "moments", "extrema")
    sides = artifact(tensors={"x": A}), artifact(tensors={"x": A + np.float32(0.1)})
    honest, vandal = (
        compare_artifacts(*sides, (registered("statistics", needs=wanted),)).findings[0].values
        for wanted in (needs, (f"{__name__}:Vandal", *needs))
    )
    assert honest == vandal
    np.testing.assert_array_equal(A, kept)


def leaves(_comparison: object, _options: object) -> Iterator[Finding]:
    raise SystemExit(0)
    yield


def bad_texts(_comparison: object, options: Any) -> Iterator[Finding]:
    yield Finding(**{"kind": "x", "level": "info", **options})


def test_a_comparator_that_exits_is_a_failure_and_not_the_exit_code_of_diffai() -> None:
    sides = artifact(tensors={"x": A}), artifact(tensors={"x": A})
    report = compare_artifacts(*sides, (registered("leaves"),))
    assert report.exit_code == 2
    assert "acme-foo 1.2: failed while comparing (SystemExit: 0)" in report.findings[0].message


@pytest.mark.parametrize("wrong", [{"where": 3}, {"message": None}, {"kind": b"x"}, {"values": [1]}, {"level": "gate"}])
def test_a_finding_that_no_reporter_could_rely_on_is_a_failure_of_its_comparator(wrong: dict[str, Any]) -> None:
    from diffai_core.run import Settings

    sides = artifact(tensors={"x": A}), artifact(tensors={"x": A})
    report = compare_artifacts(*sides, (registered("bad_texts"),), Settings(plugin_options={"foo": wrong}))
    assert report.exit_code == 2
    assert report.findings[0].message.startswith("acme-foo 1.2: ")


def test_artefacts_that_name_no_files_are_never_called_identical_files() -> None:
    report = compare_artifacts(Artifact(name="a", format="t"), Artifact(name="b", format="t"), ())
    assert report.verdict.identity is not Identity.IDENTICAL_FILES


def tensor_change(_comparison: object, _options: object) -> Iterator[Finding]:
    yield Finding("tensor_policy_broken")


def test_a_change_found_by_an_analysis_is_exit_code_1_and_no_word_about_metadata() -> None:
    sides = artifact(tensors={"x": A}), artifact(tensors={"x": A})
    report = compare_artifacts(*sides, (registered("tensor_change"),))
    assert report.exit_code == 1
    assert "metadata" not in str(report.verdict)


def test_names_of_a_million_parts_are_paired_in_no_time() -> None:
    long = ".".join("x" * 500_000)
    pairs = pair_tensors(artifact(tensors={long: A}).tensors, artifact(tensors={long + ".y": A + 1}).tensors)
    assert len(pairs) == 2


def test_the_core_measures_its_own_statistics_first() -> None:
    from diffai_core.folds import plan_folds

    plan = plan_folds([registered("statistics", needs=(f"{__name__}:Vandal", "moments"))])
    assert [name in ACCUMULATORS for name in plan.folds] == [True, True, False]
