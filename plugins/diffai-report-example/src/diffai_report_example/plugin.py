"""What diffai is told about this report format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_core.plugin import ReporterSpec, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator


@hookimpl
def diffai_reporters() -> Iterator[ReporterSpec]:
    """Declare the format; its code is imported when ``--output example`` is given."""
    yield ReporterSpec(
        name="example",
        title="CSV: one line for each finding.",
        target="diffai_report_example.reporter:render",
        form="results",
        media_type="text/csv",
    )
