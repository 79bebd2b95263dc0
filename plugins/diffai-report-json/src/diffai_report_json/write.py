"""Writes JSON piece by piece: one row of a list on each line, so that a long report needs no memory."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from diffai_report_json.document import Rows, document
from diffai_report_json.results import results

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from diffai_core.plugin import Report

_ENCODER = json.JSONEncoder(allow_nan=False, check_circular=False)


def render_document(report: Report, options: Mapping[str, Any]) -> Iterator[str]:  # noqa: ARG001 - a reporter's signature
    """Yield the document."""
    yield from _object(document(report), "")
    yield "\n"


def render_results(report: Report, options: Mapping[str, Any]) -> Iterator[str]:  # noqa: ARG001 - a reporter's signature
    """Yield the list of results, ``[]`` when there are none."""
    yield from _list(results(report), "")
    yield "\n"


def _object(members: Mapping[str, Any], indent: str) -> Iterator[str]:
    inner = f"{indent}  "
    before = "{\n"
    for name, value in members.items():
        yield f"{before}{inner}{_dumps(name)}: "
        yield from _value(value, inner)
        before = ",\n"
    yield f"\n{indent}}}"


def _value(value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, Rows):
        yield from _list(value, indent)
    elif isinstance(value, dict) and any(isinstance(member, Rows) for member in value.values()):
        yield from _object(value, indent)
    else:
        yield _dumps(value)


def _list(rows: Iterable[Any], indent: str) -> Iterator[str]:
    before = "[\n"
    for row in rows:
        yield f"{before}{indent}  {_dumps(row)}"
        before = ",\n"
    yield "[]" if before == "[\n" else f"\n{indent}]"


def _dumps(value: Any) -> str:
    return _ENCODER.encode(value).replace("\x7f", "\\u007f")  # the one control character that JSON lets through
