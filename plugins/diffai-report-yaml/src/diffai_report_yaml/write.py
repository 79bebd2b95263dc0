"""Writes YAML piece by piece: the data of the JSON reports, one row of a list after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffai_report_json.document import Rows, document
from diffai_report_json.results import results

from diffai_report_yaml.dump import dump

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from diffai_core.plugin import Report


def render_document(report: Report, options: Mapping[str, Any]) -> Iterator[str]:  # noqa: ARG001 - a reporter's signature
    """Yield the document."""
    yield from _mapping(document(report), "")


def render_results(report: Report, options: Mapping[str, Any]) -> Iterator[str]:  # noqa: ARG001 - a reporter's signature
    """Yield the list of results, ``[]`` when there are none."""
    empty = True
    for row in results(report):
        empty = False
        yield dump([row])
    if empty:
        yield "[]\n"


def _mapping(members: Mapping[str, Any], indent: str) -> Iterator[str]:
    for name, value in members.items():
        if isinstance(value, Rows):
            yield from _rows(name, value, indent)
        elif isinstance(value, dict) and any(isinstance(member, Rows) for member in value.values()):
            yield f"{indent}{name}:\n"
            yield from _mapping(value, f"{indent}  ")
        else:
            yield dump({name: value}, indent)


def _rows(name: str, rows: Iterable[Any], indent: str) -> Iterator[str]:
    head = f"{indent}{name}:"
    for row in rows:
        if head:
            yield f"{head}\n"
            head = ""
        yield dump([row], f"{indent}  ")
    if head:
        yield f"{head} []\n"
