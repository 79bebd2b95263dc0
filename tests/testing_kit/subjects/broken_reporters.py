"""Reporters, each of which breaks one law."""

from __future__ import annotations

import itertools
import json

_COUNTER = itertools.count()


def raw_text(report, options):
    return [f"{finding.where}: {finding.message}\n" for finding in report.findings]


def json_with_nan(report, options):
    yield json.dumps([[finding.old if isinstance(finding.old, float) else 0] for finding in report.findings])


def half_of_json(report, options):
    yield "["


def csv_of_many_widths(report, options):
    yield "kind,where\n"
    for finding in report.findings:
        yield f"{finding.kind},{finding.where}\n"


def yaml_by_hand(report, options):
    for finding in report.findings:
        yield f"- where: {finding.where}\n"


def another_each_time(report, options):
    yield f"{next(_COUNTER)}\n"


def bytes_instead_of_text(report, options):
    yield b"text"


def needs_a_finding(report, options):
    yield report.findings[0].kind


def quadratic(report, options):
    seen = []
    for finding in report.findings[:3000]:
        if finding.where not in seen:
            seen.append(finding.where)
    yield str(len(seen))


def lone_surrogate(report, options):
    yield "\ud800"


def plain(report, options):
    yield f"{len(report.findings)} findings\n"
