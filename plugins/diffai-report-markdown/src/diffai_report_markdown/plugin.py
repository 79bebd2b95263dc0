"""Declares the Markdown reporter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_core.plugin import ReporterSpec, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable


@hookimpl
def diffai_reporters() -> Iterable[ReporterSpec]:
    """Yield the one document."""
    yield ReporterSpec(
        name="markdown",
        title="Markdown, for pull requests, issues and wikis.",
        target="diffai_report_markdown.render:render",
        form="document",
        media_type="text/markdown",
        flag="markdown-output",
    )
