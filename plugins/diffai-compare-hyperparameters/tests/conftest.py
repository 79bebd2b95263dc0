"""Fixtures: the findings of one analysis on files."""

from __future__ import annotations

import pytest

from diffai_core import compare


@pytest.fixture
def findings():
    """Return a function that gives the summary of one analysis and its other findings."""

    def run(*paths, name="learning-rate-analysis", **arguments):
        report = compare(*paths, analyses=[name], **arguments)
        found = [finding for finding in report.findings if finding.plugin == name]
        assert [finding for finding in report.findings if finding.level == "error"] == []
        (summary,) = (finding for finding in found if finding.kind == name.replace("-", "_"))
        assert (summary.where, summary.level) == ("", "info")
        return summary, [finding for finding in found if finding is not summary]

    return run
