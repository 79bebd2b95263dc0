"""The document says what the exit code says, case by case."""

from __future__ import annotations

from dataclasses import replace

import pytest
from diffai_report_junit.write import render
from junit_rules import check

from diffai_core.plugin import GATE, ArtifactSummary, Finding, Identity, NotCompared, Verdict
from diffai_core.testing import report


def written(*findings, exit_code=1, identity=Identity.DIFFERENT, **more):
    verdict = Verdict(identity, "2 of 3 tensors changed")
    return check("".join(render(replace(report(findings, exit_code), verdict=verdict, **more), {})))


def cases(root):
    """Return suite, name, outcome and message of each case."""
    found = []
    for suite in root:
        for case in suite.findall("testcase"):
            result = next((child for child in case if child.tag in {"failure", "error", "skipped"}), None)
            outcome = ("passed", "") if result is None else (result.tag, result.get("message"))
            found.append((suite.get("name"), case.get("name"), *outcome))
    return found


def body(root, name):
    (case,) = [case for case in root.iter("testcase") if case.get("name") == name]
    return [line for child in case for line in (child.text or "").splitlines()]


def gate(passed, rule="rel_change<0.1", **more):
    status = "measured" if passed is not None else "not_measurable"
    values = {"rule": rule, "passed": passed, "rel_change": 0.71}
    return Finding(GATE, status=status, values=values, message="fc.weight: 0.71", plugin="fail-if", **more)


def test_artefacts_that_differ_fail_the_verdict():
    root = written(Finding("modified", "lr", old=1, new=2), Finding("named_change", level="info", message="cast"))
    assert cases(root) == [("diffai", "verdict", "failure", "different: 2 of 3 tensors changed")]
    assert body(root, "verdict") == ["change: cast", "  ~ lr: 1 -> 2"]
    assert root.find("testsuite/testcase/failure").get("type") == "different"


@pytest.mark.parametrize("identity", [Identity.IDENTICAL_FILES, Identity.IDENTICAL_TENSORS, Identity.EQUAL_VALUES])
def test_equal_artefacts_pass(identity):
    root = written(exit_code=0, identity=identity)
    assert cases(root) == [("diffai", "verdict", "passed", "")]


def test_equal_tensors_beside_changed_metadata_fail():
    root = written(Finding("modified", "lr", old=1, new=2), identity=Identity.IDENTICAL_TENSORS)
    assert cases(root)[0][2] == "failure"


def test_an_inconclusive_comparison_is_skipped_with_what_was_not_compared():
    root = written(
        exit_code=3, identity=Identity.INCONCLUSIVE, not_compared=(NotCompared("graph", "nothing reads it"),)
    )
    assert cases(root) == [
        ("diffai", "verdict", "skipped", "inconclusive: 2 of 3 tensors changed"),
        ("diffai", "compare graph", "skipped", "nothing reads it"),
    ]


def test_with_gates_they_decide_and_the_difference_is_no_failure():
    root = written(Finding("modified", "lr", old=1, new=2), gate(True), exit_code=0)
    assert cases(root) == [("diffai", "verdict", "passed", ""), ("fail-if", "gate rel_change<0.1", "passed", "")]
    assert body(root, "gate rel_change<0.1") == [
        "gate: passed: rel_change<0.1, rel_change=0.71",
        "  fc.weight: 0.71",
    ]


def test_a_failed_gate_fails_and_an_undecided_one_is_skipped():
    root = written(gate(False), gate(None, rule="loss"))
    assert cases(root)[1:] == [
        ("fail-if", "gate rel_change<0.1", "failure", "fc.weight: 0.71"),
        ("fail-if", "gate loss", "skipped", "fc.weight: 0.71"),
    ]
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("3", "1", "0")


def test_trouble_is_an_error():
    failed = Finding("plugin_failed", level="error", plugin="acme", message="KeyError", detail=("a", "b"))
    root = written(failed, exit_code=2)
    assert cases(root)[1] == ("diffai", "plugin failed acme", "error", "KeyError")
    assert body(root, "plugin failed acme") == ["a", "b"]
    assert cases(written(exit_code=2))[0][2] == "error"


def test_answers_are_cases_of_their_analysis():
    root = written(
        Finding("acme", level="info", values={"n": 3, "rows": list(range(99))}, plugin="acme"),
        Finding("anomaly", "w", level="warning", values={"z": 9.5}, message="far out", plugin="acme"),
        Finding("heads", status="not_measurable", level="info", message="needs: head count", plugin="attention"),
        exit_code=0,
        identity=Identity.IDENTICAL_FILES,
    )
    assert cases(root)[1:] == [
        ("acme", "acme", "passed", ""),
        ("acme", "anomaly w", "passed", ""),
        ("attention", "heads", "skipped", "needs: head count"),
    ]
    assert body(root, "acme") == ["acme: status=measured, n=3, rows=[99]"]
    assert body(root, "anomaly w") == ["! anomaly: where=w, status=measured, z=9.5", "  far out"]


def test_many_differences_are_counted():
    root = written(*(Finding("modified", f"k{number}", old=1, new=2) for number in range(1000)))
    assert len(body(root, "verdict")) == 101
    assert body(root, "verdict")[-1] == "  … 900 more differences (--format json has all)"


@pytest.mark.parametrize("code", [0, 1, 2, 3])
def test_failures_errors_and_skips_agree_with_the_exit_code(code):
    findings = {
        0: [gate(True), Finding("anomaly", "w", level="warning")],
        1: [gate(True), gate(False)],
        2: [Finding("unreadable", "w", level="error", message="no bytes")],
        3: [gate(True), gate(None)],
    }[code]
    root = written(*findings, exit_code=code)
    found = {outcome for _, _, outcome, _ in cases(root)}
    assert ("failure" in found) == (code == 1)
    assert ("error" in found) == (code == 2)
    assert ("skipped" in found) == (code == 3)


@pytest.mark.parametrize("evil", ["<a>&\"'", "]]>", "\x1b[2J", "\x00", "\ufffe", "\udc80", "a\nb", "--> <!--", "&#0;"])
def test_no_text_breaks_the_document(evil):
    everywhere = [
        Finding("modified", evil, old=evil, new={evil: evil}),
        Finding(
            GATE, evil, values={"rule": evil, "passed": False, evil: evil}, message=evil, detail=(evil,), plugin=evil
        ),
        Finding("plugin_failed", evil, level="error", message=evil, plugin=evil, detail=(evil,)),
        Finding("acme", level="info", values={evil: evil}, message=evil, detail=(evil,), plugin=evil),
    ]
    root = written(
        *everywhere,
        old=ArtifactSummary(evil, "x", 1, 1, 1, {}),
        not_compared=(NotCompared(f"n{evil}", evil),),
    )
    if evil.isprintable():
        assert root.find("testsuite/properties/property").get("value") == evil
        assert cases(root)[2] == ("diffai", f"compare n{evil}", "skipped", evil)
