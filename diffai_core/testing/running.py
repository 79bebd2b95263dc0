"""Run one comparator under the real engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from diffai_core.registry import Registered
from diffai_core.run import Settings, compare_artifacts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diffai_core.artifact import Artifact
    from diffai_core.findings import Finding
    from diffai_core.specs import ComparatorSpec


def run_comparator(
    spec: ComparatorSpec, old: Artifact, new: Artifact, options: Mapping[str, Any], *, jobs: int = 1
) -> tuple[Finding, ...]:
    """Return the findings of one comparator; fail with its traceback if it fails."""
    traces: list[str] = []
    comparator = Registered(spec, plugin=spec.name, dist=f"the plugin of {spec.name!r}", version="under test")
    report = compare_artifacts(
        old, new, [comparator], Settings(jobs=jobs, plugin_options={spec.name: options}, on_failure=traces.append)
    )
    for finding in report.findings:
        if finding.kind == "plugin_failed":
            pytest.fail("\n".join([finding.message, *traces]), pytrace=False)
    return tuple(finding for finding in report.findings if finding.plugin == spec.name)
