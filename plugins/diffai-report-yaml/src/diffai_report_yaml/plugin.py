"""Declares the YAML reporters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_core.plugin import ReporterSpec, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable


@hookimpl
def diffai_reporters() -> Iterable[ReporterSpec]:
    """Yield the document and the list of results."""
    yield ReporterSpec(
        name="yaml",
        title="One YAML document with everything.",
        target="diffai_report_yaml.write:render_document",
        form="document",
        media_type="application/yaml",
    )
    yield ReporterSpec(
        name="yaml",
        title="A YAML list of tagged results.",
        target="diffai_report_yaml.write:render_results",
        form="results",
        media_type="application/yaml",
    )
