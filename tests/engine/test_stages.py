"""Analyses that judge what others found, answer as gates, look at a series, and look a second time."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from diffai_core.findings import GATE, Finding
from diffai_core.registry import Registered
from diffai_core.run import Settings, compare_artifacts
from diffai_core.specs import ComparatorSpec
from diffai_core.testing import artifact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from diffai_core.comparison import Comparison
    from diffai_core.pairing import TensorPair

A = np.arange(12, dtype=np.float32).reshape(3, 4)


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.setitem(sys.modules, __name__, request.module)


def registered(name: str, target: str, **spec: Any) -> Registered[ComparatorSpec]:
    found = ComparatorSpec(name, "Does something.", f"{__name__}:{target}", **spec)
    return Registered(found, f"compare-{name}", f"acme-{name}", "1.2")


def tell_seen(comparison: Comparison, options: Any) -> Iterator[Finding]:
    yield Finding(options["kind"], level="info", values={"seen": [finding.kind for finding in comparison.findings]})


def gate(_comparison: Comparison, options: Any) -> Iterator[Finding]:
    yield Finding(GATE, level="info", values={"rule": "x < 1", **options})


def tell_series(comparison: Comparison, _options: Any) -> Iterator[Finding]:
    means = [float(side.tensors["w"].read().mean()) for side in comparison.series]
    yield Finding("series", level="info", values={"means": means})


def second_look(comparison: Comparison, _options: Any) -> Iterator[Finding]:
    pairs = [result.pair for result in comparison.results]
    sums = [*comparison.map(sum_of_new, pairs, nbytes=lambda pair: pair.new.nbytes if pair.new else 0)]
    yield Finding("sums", level="info", values={"sums": sums})


def sum_of_new(pair: TensorPair) -> float:
    return 0.0 if pair.new is None else float(pair.new.read().sum())


def test_a_judge_sees_what_was_measured_and_a_report_also_what_was_judged() -> None:
    options = {name: {"kind": name} for name in ("measures", "judges", "reports", "also")}
    report = compare_artifacts(
        artifact(tensors={"w": A}),
        artifact(tensors={"w": A}),
        (
            registered("reports", "tell_seen", stage="report"),
            registered("judges", "tell_seen", stage="judge"),
            registered("also", "tell_seen"),
            registered("measures", "tell_seen"),
        ),
        Settings(plugin_options=options),
    )
    assert [(finding.kind, finding.values["seen"]) for finding in report.findings] == [
        ("also", []),
        ("measures", []),
        ("judges", ["also", "measures"]),
        ("reports", ["also", "measures", "judges"]),
    ]


@pytest.mark.parametrize(
    ("passed", "exit_code"),
    [((True,), 0), ((True, False), 1), ((True, None), 3), ((None, False), 1)],
)
def test_where_there_is_a_gate_the_exit_code_answers_it_and_not_whether_the_artefacts_differ(
    passed: tuple[bool | None, ...], exit_code: int
) -> None:
    gates = [registered(f"gate{number}", "gate") for number in range(len(passed))]
    report = compare_artifacts(
        artifact(tensors={"w": A}),
        artifact(tensors={"w": A + 1}),
        gates,
        Settings(plugin_options={one.spec.name: {"passed": answer} for one, answer in zip(gates, passed, strict=True)}),
    )
    assert report.verdict.identity.value == "different"
    assert report.exit_code == exit_code


def test_a_gate_that_passes_is_no_pass_where_something_was_not_compared() -> None:
    sides = artifact(tensors={"w": A}, tree={"a": 1}), artifact(tensors={"w": A}, tree={"a": 1})
    report = compare_artifacts(*sides, (registered("g", "gate"),), Settings(plugin_options={"g": {"passed": True}}))
    assert report.not_compared
    assert report.exit_code == 3


@pytest.mark.parametrize("answer", [{}, {"passed": "yes"}])
def test_a_gate_that_does_not_say_whether_it_passed_is_trouble(answer: dict[str, Any]) -> None:
    sides = artifact(tensors={"w": A}), artifact(tensors={"w": A})
    report = compare_artifacts(*sides, (registered("g", "gate"),), Settings(plugin_options={"g": answer}))
    assert report.exit_code == 2
    assert "does not say whether it passed" in report.findings[-1].message


def test_a_series_is_seen_in_the_order_given_and_its_ends_are_compared() -> None:
    first, second, third = (artifact(tensors={"w": A + number}) for number in range(3))
    report = compare_artifacts(first, third, (registered("s", "tell_series", series=True),), None, (second,))
    assert report.findings[0].values == {"means": [5.5, 6.5, 7.5]}
    assert report.counts.changed == 1


def test_a_second_look_gives_results_in_order_and_tells_how_far_it_is() -> None:
    class Heard:
        def __init__(self) -> None:
            self.expected = self.added = 0

        def expect(self, n_bytes: int, _n_tensors: int = 0) -> None:
            self.expected += n_bytes

        def add(self, n_bytes: int, _n_tensors: int = 0) -> None:
            self.added += n_bytes

    tensors = {f"w{number}": A + number for number in range(5)}
    plain, looking = Heard(), Heard()
    compare_artifacts(artifact(tensors=tensors), artifact(tensors=tensors), (), Settings(meter=plain))
    report = compare_artifacts(
        artifact(tensors=tensors),
        artifact(tensors=tensors),
        (registered("look", "second_look"),),
        Settings(meter=looking, jobs=2),
    )
    assert report.findings[0].values == {"sums": [float((A + number).sum()) for number in range(5)]}
    assert looking.expected - plain.expected == looking.added - plain.added == sum(a.nbytes for a in tensors.values())
