"""Puts the page together, section by section; it loads nothing and runs one script of its own."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from diffai_report_text.names import short_names
from diffai_report_text.numbers import size
from diffai_report_text.outline import Outline, outline

from diffai_core.plugin import Identity
from diffai_report_html.analyses import analyses, flagged, gates, noted, written_report
from diffai_report_html.charts import charts, charts_in
from diffai_report_html.entries import entries, others
from diffai_report_html.heat_map import cell_of, heat_map, map_of
from diffai_report_html.marks import key, pre, shown, table, text
from diffai_report_html.tensors import rows_of, tensors

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from diffai_core.plugin import ArtifactSummary, Finding, Report

_SAME = frozenset({Identity.IDENTICAL_FILES, Identity.IDENTICAL_TENSORS, Identity.EQUAL_VALUES})
_DIGEST = "sha256-{}"


def render(report: Report, options: Mapping[str, Any]) -> Iterator[str]:
    """Yield the page: the answer, the map of the model, tensors, metadata, analyses, charts, what was not measured.

    Args:
        report: The report.
        options: ``full`` or ``verbose``, set by the core: whether differences within the tolerance are listed.
    """
    parts = outline(report, full=bool(options.get("full") or options.get("verbose")))
    drawn = charts_in(parts.charts)
    rows = rows_of(parts.tensors)
    cells = [cell_of(finding.where) for finding in rows]
    found = map_of(drawn, rows, cells)
    style, script = (files(__package__).joinpath("assets", name).read_text("utf-8") for name in ("page.css", "page.js"))
    yield from _begin(report, style, script)
    yield from _head(report, parts)
    yield from _contents(report, parts, has_map=found is not None)
    yield '<main id="main">\n'
    for finding in parts.reports:
        yield from written_report(finding)
    yield from gates(parts.gates)
    yield from heat_map(found, cells)
    yield from tensors(parts, rows, cells, drawn)
    yield from entries(parts.entries)
    yield from others(parts.others)
    yield from flagged(parts.flagged)
    yield from analyses(parts)
    yield from noted(parts.notes)
    yield from charts(parts.charts, drawn)
    yield from _not_measured(parts)
    yield from _remarks(report, parts)
    yield from _settings(report)
    yield f"</main>\n<script>{script}</script>\n</body>\n</html>\n"


def _begin(report: Report, style: str, script: str) -> Iterator[str]:
    policy = f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; base-uri 'none'"
    yield '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    yield f'<meta http-equiv="Content-Security-Policy" content="{policy}; form-action \'none\'">\n'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    old, new = short_names(report.old.path, report.new.path)
    yield f"<title>{text(old)} → {text(new)}</title>\n"
    yield f'<style>{style}</style>\n</head>\n<body>\n<a class="skip" href="#main">Skip to the changes</a>\n'


def _digest(content: str) -> str:
    return _DIGEST.format(base64.b64encode(hashlib.sha256(content.encode()).digest()).decode())


def _head(report: Report, parts: Outline) -> Iterator[str]:
    identity = report.verdict.identity
    mood = "same" if identity in _SAME else "open" if identity is Identity.INCONCLUSIVE else ""
    old, new = short_names(report.old.path, report.new.path)
    yield f"<header>\n<h1><code>{text(old)}</code> → <code>{text(new)}</code></h1>\n"
    yield f'<p class="verdict {mood}">{text(report.verdict)}</p>\n'
    for finding in parts.named:
        yield f'<p class="change">Change: {text(finding.message)}</p>\n{pre(finding.detail)}'
    columns = ["", "path", "format", "tensors", "parameters", "dtypes", "size"]
    yield from table("", columns, (_side(name, side) for name, side in (("OLD", report.old), ("NEW", report.new))))
    yield "</header>\n"


def _side(name: str, side: ArtifactSummary) -> str:
    dtypes = ", ".join(f"{text(dtype)} ({count:,})" for dtype, count in side.dtypes.items())
    counts = "".join(f'<td class="n">{count:,}</td>' for count in (side.n_tensors, side.n_parameters))
    words = f'<th scope="row">{name}</th><td><code>{text(side.path)}</code></td><td>{text(side.format)}</td>'
    return f'{words}{counts}<td>{dtypes}</td><td class="n">{size(side.n_bytes)}</td>'


def _contents(report: Report, parts: Outline, *, has_map: bool) -> Iterator[str]:
    """Yield links to the sections that there are."""
    sections: list[tuple[str, str, Any]] = [
        ("report", "Report", parts.reports),
        ("gates", f"Gates ({len(parts.gates)})", parts.gates),
        ("map", "Map of the change", has_map),
        ("tensors", "Tensors", parts.tensors),
        ("entries", f"Config and metadata ({len(parts.entries):,})", parts.entries),
        ("others", "Other differences", parts.others),
        ("look", f"Look at ({len(parts.flagged):,})", parts.flagged),
        ("analyses", "Analyses", parts.analyses or parts.structure),
        ("noted", f"Noted ({len(parts.notes):,})", parts.notes),
        ("charts", "Charts", parts.charts),
        ("not-measured", "Not measured", parts.not_measured or parts.not_compared),
        ("remarks", "Remarks", parts.errors or parts.remarks or report.warnings),
    ]
    links = "".join(f'<li><a href="#{anchor}">{title}</a></li>' for anchor, title, there in sections if there)
    yield f'<nav aria-label="Sections"><ul>{links}</ul></nav>\n'


def _not_measured(parts: Outline) -> Iterator[str]:
    if not parts.not_measured and not parts.not_compared:
        return
    yield '<section id="not-measured" aria-labelledby="h-not-measured">\n<h2 id="h-not-measured">Not measured</h2>\n'
    rows = [
        *(_row(text(finding.kind.replace("_", " ")), finding.message) for finding in parts.not_measured),
        *(_row(key(item.where) if item.where else "", item.reason) for item in parts.not_compared),
    ]
    yield from table("None of this is a pass.", ["what", "why"], rows)
    yield "".join(pre(finding.detail) for finding in parts.not_measured)
    yield "</section>\n"


def _row(what: str, why: str) -> str:
    return f"<td>{what}</td><td>{text(why)}</td>"


def _remarks(report: Report, parts: Outline) -> Iterator[str]:
    if not parts.errors and not parts.remarks and not report.warnings:
        return
    yield '<section id="remarks" aria-labelledby="h-remarks">\n<h2 id="h-remarks">Remarks</h2>\n'
    for finding in (*parts.errors, *parts.remarks):
        yield _remark(finding)
    for line in report.warnings:
        yield f'<p class="warning">{text(line)}</p>\n'
    yield "</section>\n"


def _remark(finding: Finding) -> str:
    level = finding.level if finding.level in {"warning", "error"} else "soft"
    said = [text(part) for part in (finding.plugin, finding.message or finding.kind) if part]
    return f'<p class="{level}">{"" if level == "soft" else f"{level}: "}{": ".join(said)}</p>\n{pre(finding.detail)}'


def _settings(report: Report) -> Iterator[str]:
    if report.settings:
        rows = (f'<th scope="row">{text(name)}</th><td>{shown(value)}</td>' for name, value in report.settings.items())
        yield '<section id="settings" aria-labelledby="h-settings">\n<h2 id="h-settings">Settings</h2>\n'
        yield from table(f"Exit code {report.exit_code}.", ["setting", "value"], rows)
        yield "</section>\n"
