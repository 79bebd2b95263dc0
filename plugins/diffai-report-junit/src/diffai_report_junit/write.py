"""Writes the suites as JUnit XML, case by case."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from diffai_report_text.literals import visible

from diffai_report_junit.cases import suites

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from diffai_core.plugin import Report
    from diffai_report_junit.cases import Case, Suite


def render(report: Report, options: Mapping[str, Any]) -> Iterator[str]:  # noqa: ARG001 - a reporter's signature
    """Yield the document.

    Args:
        report: The report.
        options: None are used.
    """
    found = suites(report)
    totals = {
        "tests": sum(len(suite.cases) for suite in found),
        "failures": sum(suite.count("failure") for suite in found),
        "errors": sum(suite.count("error") for suite in found),
    }
    yield '<?xml version="1.0" encoding="UTF-8"?>\n'
    yield f"<testsuites{_attributes(name=_title(report), **totals)}>\n"
    for number, suite in enumerate(found):
        yield from _suite(number, suite, report)
    yield "</testsuites>\n"


def _title(report: Report) -> str:
    return f"diffai {report.old.path} {report.new.path}"


def _suite(number: int, suite: Suite, report: Report) -> Iterator[str]:
    counts = {
        "failures": suite.count("failure"),
        "errors": suite.count("error"),
        "skipped": suite.count("skipped"),
    }
    yield f"  <testsuite{_attributes(name=suite.name, id=number, tests=len(suite.cases), **counts)}>\n"
    if not number:
        yield from _properties(report)
    for case in suite.cases:
        yield _case(case, suite)
    yield "  </testsuite>\n"


def _properties(report: Report) -> Iterator[str]:
    yield "    <properties>\n"
    for name, value in (("old", report.old.path), ("new", report.new.path), ("exit_code", report.exit_code)):
        yield f"      <property{_attributes(name=name, value=value)}/>\n"
    yield "    </properties>\n"


def _case(case: Case, suite: Suite) -> str:
    head = f"    <testcase{_attributes(name=case.name, classname=f'diffai.{suite.name}')}"
    if case.outcome == "passed":
        out = f"\n      <system-out>{_text(case.body)}</system-out>\n    " if case.body else ""
        return f"{head}>{out}</testcase>\n" if out else f"{head}/>\n"
    if case.outcome == "skipped":
        result = f"<skipped{_attributes(message=case.message)}/>"
        out = f"\n      <system-out>{_text(case.body)}</system-out>" if case.body else ""
        return f"{head}>\n      {result}{out}\n    </testcase>\n"
    said = _attributes(message=case.message, type=case.type)
    return f"{head}>\n      <{case.outcome}{said}>{_text(case.body)}</{case.outcome}>\n    </testcase>\n"


def _attributes(**attributes: object) -> str:
    return "".join(f' {name}="{_escaped(str(value))}"' for name, value in attributes.items())


def _text(lines: tuple[str, ...]) -> str:
    return "\n".join(map(_escaped, lines))


def _escaped(text: str) -> str:
    """Return text that XML can hold: markup escaped, and what XML forbids written as an escape."""
    return escape(visible(text))
