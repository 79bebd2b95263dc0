"""Declares the text reporter, as a report and as the list of results on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_core.plugin import ReporterSpec, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

_TARGET = "diffai_report_text.render:render"
_TITLE = "Text: one line for each difference."


@hookimpl
def diffai_reporters() -> Iterable[ReporterSpec]:
    """Yield the one renderer under both names."""
    yield ReporterSpec(name="text", title=_TITLE, target=_TARGET, form="document")
    yield ReporterSpec(name="cli", title=_TITLE, target=_TARGET, form="results")
