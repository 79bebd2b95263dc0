"""Each law of a reporter catches the reporter that breaks it."""

from __future__ import annotations

import pytest
from hypothesis import Phase

from diffai_core.plugin import ReporterSpec
from diffai_core.testing import ReporterTests, laws

ANY = "test_any_findings_give_valid_text"
SAME = "test_the_same_report_gives_the_same_text"
NONE = "test_no_findings_give_valid_text"
MANY = "test_a_hundred_thousand_findings_take_bounded_time"


@pytest.fixture(autouse=True)
def subjects(monkeypatch, request):
    monkeypatch.syspath_prepend(str(request.path.parent / "subjects"))
    monkeypatch.setattr(laws, "PHASES", (Phase.generate,))  # finding the smallest example takes seconds


def kit(target, media_type="text/plain"):
    tests = ReporterTests()
    tests.spec = ReporterSpec("subject", "A subject.", f"broken_reporters:{target}", media_type=media_type)
    return tests


@pytest.mark.parametrize(
    ("law", "target", "media_type", "complaint"),
    [
        (ANY, "raw_text", "text/plain", "control character"),
        (ANY, "json_with_nan", "application/json", "is not JSON"),
        (NONE, "half_of_json", "application/json", "Expecting value"),
        (ANY, "csv_of_many_widths", "text/csv", "columns|unexpected|expected"),
        (ANY, "yaml_by_hand", "application/yaml", "unacceptable character|while|mapping"),
        (SAME, "another_each_time", "text/plain", "two renderings differ"),
        (ANY, "bytes_instead_of_text", "text/plain", "is bytes, not str"),
        (NONE, "needs_a_finding", "text/plain", "index out of range"),
        (MANY, "quadratic", "text/plain", r"100,000 findings took [\d.]+ CPU seconds"),
        (NONE, "lone_surrogate", "text/plain", "surrogates not allowed"),
    ],
)
def test_a_reporter_that_breaks_a_law_is_caught(law, target, media_type, complaint):
    tests = kit(target, media_type)
    if law == MANY:
        tests.many_seconds = 0.05
    with pytest.raises((Exception, pytest.fail.Exception), match=complaint):
        getattr(tests, law)()


@pytest.mark.parametrize("law", [ANY, SAME, NONE, MANY])
def test_a_reporter_that_keeps_the_laws_passes(law):
    getattr(kit("plain"), law)()


def test_the_authors_own_check_sees_every_report():
    seen = []
    tests = kit("plain")
    tests.check_text = lambda text, report: seen.append((text, len(report.findings)))
    getattr(tests, NONE)()
    assert seen == [("0 findings\n", 0)]
