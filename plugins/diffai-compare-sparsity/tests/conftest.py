"""Helpers: findings of both analyses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from diffai_compare_sparsity.plugin import diffai_comparators

from diffai_core.registry import Registered
from diffai_core.run import Settings, compare_artifacts
from diffai_core.testing import artifact

if TYPE_CHECKING:
    from collections.abc import Callable

    from diffai_core.plugin import Finding

SPECS = {spec.name: Registered(spec, "sparsity", "diffai-compare-sparsity", "0.1.0") for spec in diffai_comparators()}


def _run(old: Any, new: Any, name: str) -> tuple[Finding, dict[str, Finding]]:
    sides = [side if not isinstance(side, dict) else artifact(side) for side in (old, new)]
    report = compare_artifacts(*sides, (SPECS[name],), Settings())
    assert [finding for finding in report.findings if finding.level == "error"] == []
    *flagged, summary = report.findings
    return summary, {finding.where: finding for finding in flagged}


@pytest.fixture
def sparsity() -> Callable[..., tuple[Finding, dict[str, Finding]]]:
    """Return a function that gives the summary of ``--sparsity-analysis`` and the flagged weights by name."""
    return lambda old, new: _run(old, new, "sparsity-analysis")


@pytest.fixture
def sizes() -> Callable[..., Finding]:
    """Return a function that gives the finding of ``--show-size-reduction``."""
    return lambda old, new: _run(old, new, "show-size-reduction")[0]
