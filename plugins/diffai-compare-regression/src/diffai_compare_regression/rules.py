"""The rules of ``--fail-if``: ``MEASURE OP NUMBER [@ GLOB]``."""

from __future__ import annotations

import difflib
import math
import operator
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from diffai_core.plugin import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

Subject = Literal["pair", "new", "model", "run", "metric", "degradation", "analysis"]
"""What a rule is about: pairs of tensors, tensors of NEW, counts over tensors, the findings of the run, the value of a
metric in NEW, how much worse it became, or a field of another analysis."""

PAIR_MEASURES = (
    "rel_change",
    "max_abs_diff",
    "rms_diff",
    "one_minus_cos",
    "norm_ratio",
    "std_ratio",
    "n_changed",
    "changed_share",
    "n_above_tol",
    "n_nan_one_side",
)
NEW_MEASURES = ("n_nan_new", "n_inf_new", "zero_share_new", "max_abs_new")
MODEL_MEASURES = (
    "tensors_added",
    "tensors_removed",
    "tensors_changed",
    "tensors_renamed",
    "tensors_reshaped",
    "tensors_recast",
    "parameters_change",
    "bytes_change",
    "parameters_new",
    "bytes_new",
)
RUN_MEASURES = ("changes", "warnings", "errors", "anomalies")
_SUBJECTS: dict[str, Subject] = {
    **dict.fromkeys(PAIR_MEASURES, "pair"),
    **dict.fromkeys(NEW_MEASURES, "new"),
    **dict.fromkeys(MODEL_MEASURES, "model"),
    **dict.fromkeys(RUN_MEASURES, "run"),
}
_NAMED: tuple[Literal["metric", "degradation"], ...] = ("metric", "degradation")
_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}
_FOREIGN_OPERATORS = {"=": "==", "=>": ">=", "=<": "<=", "<>": "!=", "≥": ">=", "≤": "<=", "≠": "!=", ">>": ">"}
_SPLIT = re.compile(r"(?P<measure>[^<>=!≥≤≠]*)(?P<op>[<>=!≥≤≠]*)(?P<rest>.*)", re.DOTALL)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_FIELD = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*", re.ASCII)
_FORM = "MEASURE OP NUMBER [@ GLOB], for instance 'rel_change > 0.1 @ *.norm.*'"
_LONGEST = 60


@dataclass(frozen=True)
class Rule:
    """One rule.

    Args:
        text: As the user wrote it, on one line.
        subject: What it is about.
        measure: Name of the measure, of the metric, or ``kind.field`` of an analysis.
        op: How the value is held against the limit.
        limit: A finite number.
        glob: Which tensors; ``None`` for all.
    """

    text: str
    subject: Subject
    measure: str
    op: str
    limit: float
    glob: str | None = None

    def holds(self, value: float) -> bool:
        """Whether the rule holds for a value, that is, whether the gate fails.

        Example:
            >>> parse("rel_change > 0.1").holds(0.2)
            True
        """
        return _OPERATORS[self.op](value, self.limit)

    def excess(self, value: float) -> float:
        """Return how far a value lies on the failing side: the larger, the worse."""
        if self.op in {"<", "<="}:
            return self.limit - value
        return abs(value - self.limit) if self.op == "!=" else value - self.limit


def check_rule(text: str) -> None:
    """Refuse a rule that means nothing; called before the run.

    Raises:
        UsageError: With what is wrong and what would be right.
    """
    parse(text)


def parse(text: str) -> Rule:
    """Return the rule that is written.

    Raises:
        UsageError: With what is wrong and what would be right.

    Example:
        >>> parse("rel_change > 0.1 @ *.norm.*").glob
        '*.norm.*'
    """
    found = _SPLIT.fullmatch(text)
    assert found is not None, "the pattern takes any text"
    measure, op, rest = found["measure"].strip(), found["op"], found["rest"]
    if not measure:
        raise UsageError(f"{_shown(text)} names no measure; write {_FORM}")
    subject, name = _subject(measure)
    if op not in _OPERATORS:
        raise UsageError(_wrong_operator(text, op))
    number, at, glob = rest.partition("@")
    limit = _limit(text, number.strip())
    if at:
        _refuse_glob(text, subject, glob.strip())
    return Rule(" ".join(text.split()), subject, name, op, limit, glob.strip() if at else None)


def _subject(measure: str) -> tuple[Subject, str]:
    """Return what a measure is about, and its name there."""
    if measure in _SUBJECTS:
        return _SUBJECTS[measure], measure
    prefix, colon, name = measure.partition(":")
    for subject in _NAMED:
        if colon and prefix.strip() == subject:
            if not name.strip():
                raise UsageError(f"'{subject}:' names no metric; write for instance {subject}:accuracy")
            return subject, name.strip()
    if _FIELD.fullmatch(measure):
        return "analysis", measure
    raise UsageError(
        f"{_shown(measure)} is no measure{_meant(measure)}; there are {', '.join(_SUBJECTS)}, metric:NAME,"
        " degradation:NAME and ANALYSIS.FIELD"
    )


def _meant(measure: str) -> str:
    close = difflib.get_close_matches(measure.lower(), _SUBJECTS, n=1, cutoff=0.6)
    return f", did you mean {close[0]}?" if close else ""


def _wrong_operator(text: str, op: str) -> str:
    if not op:
        return f"{_shown(text)} compares with nothing (quote the rule for the shell); write {_FORM}"
    right = _FOREIGN_OPERATORS.get(op)
    remedy = f"write {right}" if right else f"write one of {' '.join(_OPERATORS)}"
    return f"{op!r} in {_shown(text)} is no operator; {remedy}"


def _limit(text: str, number: str) -> float:
    if not number:
        raise UsageError(f"{_shown(text)} has no number to compare with; write {_FORM}")
    limit = float(number) if _NUMBER.fullmatch(number) else math.nan
    if not math.isfinite(limit):
        raise UsageError(f"{_shown(number)} in {_shown(text)} is not a finite number; write for instance 0.1 or 1e-3")
    return limit


def _refuse_glob(text: str, subject: Subject, glob: str) -> None:
    if not glob:
        raise UsageError(f"{_shown(text)} names no tensors after @; write for instance @ *.norm.*, or leave out the @")
    if subject not in {"pair", "new", "model"}:
        raise UsageError(f"{_shown(text)}: only measures of tensors take @ GLOB; leave out the @ and what follows")


def _shown(text: str) -> str:
    return repr(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…")
