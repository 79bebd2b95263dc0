"""The laws of a reporter."""

from __future__ import annotations

import csv
import io
import json
import re
import time
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from diffai_core.findings import Finding, Report
from diffai_core.specs import ReporterSpec
from diffai_core.testing.builders import awkward_findings, finding_lists, report
from diffai_core.testing.laws import for_all
from diffai_core.testing.subject import only, options_of, target_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType

_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


class ReporterTests:
    """Laws that every reporter keeps. Override ``plugin``; the rest has defaults.

    Attributes:
        plugin: The ``plugin`` module that declares the reporter.
        name: Name of the reporter, where the module declares several.
        spec: The declaration itself, instead of ``plugin`` and ``name``.
        options: Options that differ from their defaults.
        n_examples: Lists of findings that Hypothesis tries for each law.
        many_seconds: CPU seconds allowed for 100 000 findings.
    """

    plugin: ClassVar[ModuleType | None] = None
    name: ClassVar[str] = ""
    spec: ClassVar[ReporterSpec | None] = None
    options: ClassVar[Mapping[str, Any]] = {}
    n_examples: ClassVar[int] = 60
    many_seconds: ClassVar[float] = 30.0

    # -- what an author may override ---------------------------------------------------------------------------

    def check_text(self, text: str, given_report: Report) -> None:
        """Fail if the text is not what the format demands; called for every report the kit renders."""

    # -- helpers -----------------------------------------------------------------------------------------------

    @property
    def reporter_spec(self) -> ReporterSpec:
        """The declaration under test."""
        return self.spec or only(self.plugin, ReporterSpec, self.name)

    def render(self, given_report: Report) -> str:
        """Return the whole text of a report."""
        spec = self.reporter_spec
        pieces = list(target_of(spec)(given_report, options_of(spec, self.options)))
        for piece in pieces:
            assert isinstance(piece, str), f"a piece of the text is {type(piece).__name__}, not str"
        return "".join(pieces)

    def check(self, given_report: Report) -> str:
        """Render a report, check that the text is valid, and return it."""
        text = self.render(given_report)
        text.encode("utf-8")  # no lone surrogates
        checker = _CHECKERS.get(self.reporter_spec.media_type)
        if checker:
            checker(text)
        self.check_text(text, given_report)
        return text

    # -- laws --------------------------------------------------------------------------------------------------

    def test_any_findings_give_valid_text(self) -> None:
        """Control characters, NaN, huge integers, bytes and nested values give valid text of the media type."""
        for finding in awkward_findings():
            self.check(report([finding]))
        self._for_all(self.check)

    def test_the_same_report_gives_the_same_text(self) -> None:
        """Rendering twice gives the same text."""

        def law(given_report: Report) -> None:
            assert self.render(given_report) == self.render(given_report), "two renderings differ"

        self._for_all(law)

    def test_no_findings_give_valid_text(self) -> None:
        """A report without findings is a report."""
        self.check(report((), exit_code=0))

    def test_a_hundred_thousand_findings_take_bounded_time(self) -> None:
        """The time grows with the number of findings, not with its square."""
        findings = [
            Finding("tensor_stats_changed", f"layer.{i}.weight", values={"max_abs": i / 7}, message=f"changed {i}")
            for i in range(100_000)
        ]
        self.check(report(findings[:5_000]))  # readers of YAML would take minutes for all
        started = time.process_time()
        self.render(report(findings))
        seconds = time.process_time() - started
        assert seconds < self.many_seconds, f"100,000 findings took {seconds:.1f} CPU seconds"

    def _for_all(self, law: Callable[[Report], object]) -> None:
        for_all(lambda findings: law(report(findings)), finding_lists(), self.n_examples)


def _check_json(text: str) -> None:
    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is not JSON; write null or a string")

    json.loads(text, parse_constant=refuse)


def _check_yaml(text: str) -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML checks YAML")
    list(yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


def _check_csv(text: str) -> None:
    widths = {len(row) for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row}
    assert len(widths) <= 1, f"rows have {sorted(widths)} columns"


def _check_plain(text: str) -> None:
    found = _CONTROL.search(text)
    assert found is None, f"the control character {found.group()!r} reaches the terminal; escape it"


_CHECKERS: dict[str, Callable[[str], None]] = {
    "application/json": _check_json,
    "application/yaml": _check_yaml,
    "text/csv": _check_csv,
    "text/plain": _check_plain,
}
