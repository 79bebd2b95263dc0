"""Declares the JUnit reporter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_core.plugin import ReporterSpec, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable


@hookimpl
def diffai_reporters() -> Iterable[ReporterSpec]:
    """Yield the one document."""
    yield ReporterSpec(
        name="junit-xml",
        title="JUnit XML: gates and analyses as test cases, for continuous integration.",
        target="diffai_report_junit.write:render",
        form="document",
        media_type="application/xml",
    )
