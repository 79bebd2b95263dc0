"""Declares the HTML reporter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_core.plugin import ReporterSpec, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable


@hookimpl
def diffai_reporters() -> Iterable[ReporterSpec]:
    """Yield the one document."""
    yield ReporterSpec(
        name="html",
        title="One HTML page with charts, for people.",
        target="diffai_report_html.page:render",
        form="document",
        media_type="text/html",
    )
