"""What comparators say and reporters print: findings, the verdict and the report."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Status = Literal["measured", "estimated", "bounded", "hint", "not_measurable"]
Level = Literal["info", "change", "warning", "error"]


GATE = "gate"
"""Kind of the findings that answer a gate which the user asked for.

``values`` hold the ``rule`` as the user wrote it and whether it ``passed`` (``None`` if that cannot be told). Where
there is one, the exit code answers the gates.
"""


class _Absent(Enum):
    ABSENT = "absent"

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT = _Absent.ABSENT
"""Stands for "no such value"; ``None`` is a value that a config can hold."""


@dataclass(frozen=True)
class Finding:
    """One answer of one comparator.

    Args:
        kind: Snake-case name of the answer: ``tensor_stats_changed``, ``learning_progress`` …
        where: Key of the tensor, tree entry or column; empty for the artefacts as a whole.
        status: How the answer was obtained; ``not_measurable`` names the missing input in ``message``.
        level: ``change`` and above make the artefacts different (exit 1); ``error`` is trouble (exit 2).
        old: The value in OLD; ``ABSENT`` where there is none.
        new: The value in NEW; ``ABSENT`` where there is none.
        values: Further named results, the unit in the name where it is not obvious.
        null: What ``values`` would be for unchanged, unrelated or random input of the same shape.
        threshold: The limit a value was held against.
        threshold_source: ``paper``, ``library``, ``convention``, ``calibrated`` or ``user``.
        coverage: Share of the parameters behind the answer, 0 to 1; ``None`` where it does not apply.
        message: One line for a person.
        detail: Further lines for a person, shown as they are in letters of one width: a heat map, a small table.
        plugin: Name of the comparator; filled in by the core.
    """

    kind: str
    where: str = ""
    status: Status = "measured"
    level: Level = "change"
    old: Any = ABSENT
    new: Any = ABSENT
    values: Mapping[str, Any] = field(default_factory=dict)
    null: Any = None
    threshold: Any = None
    threshold_source: str = ""
    coverage: float | None = None
    message: str = ""
    detail: tuple[str, ...] = ()
    plugin: str = ""


class Identity(Enum):
    """How far the two artefacts are the same; the first line of every report."""

    IDENTICAL_FILES = "identical files"
    IDENTICAL_TENSORS = "identical tensors"
    EQUAL_VALUES = "equal values, other bits"
    DIFFERENT = "different"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Verdict:
    """The identity of the two artefacts and the one line that says it."""

    identity: Identity
    message: str

    def __str__(self) -> str:
        return f"{self.identity.value}: {self.message}" if self.message else self.identity.value


@dataclass(frozen=True)
class ArtifactSummary:
    """What one side is, for the head of a report.

    Args:
        path: As the user named it.
        format: Name of the loader that opened it.
        n_tensors: Number of tensors after selection.
        n_parameters: Elements in all tensors of roles ``weights`` and ``adapter``, tied storage counted once.
        n_bytes: Payload bytes of those tensors.
        dtypes: Number of tensors for each dtype.
    """

    path: str
    format: str
    n_tensors: int
    n_parameters: int
    n_bytes: int
    dtypes: Mapping[str, int]


@dataclass(frozen=True)
class NotCompared:
    """Something that is in a file and was compared by nothing; it is never a pass."""

    where: str
    reason: str


@dataclass(frozen=True)
class Counts:
    """Tensors by what happened to them; each tensor is counted once."""

    identical: int = 0
    equal_values: int = 0
    within_tolerance: int = 0
    changed: int = 0
    renamed: int = 0
    added: int = 0
    removed: int = 0
    not_compared: int = 0


@dataclass(frozen=True)
class Report:
    """Everything a reporter needs.

    Args:
        verdict: The answer in one line.
        exit_code: 0 same, 1 different, 2 trouble, 3 inconclusive.
        old: Summary of OLD.
        new: Summary of NEW.
        counts: Tensors by what happened to them.
        findings: In the order the comparators gave them.
        not_compared: What was compared by nothing.
        warnings: Lines for standard error, for instance clashing plugin options.
        settings: The options that shape the result (tolerances, selection), for the record.
    """

    verdict: Verdict
    exit_code: int
    old: ArtifactSummary
    new: ArtifactSummary
    counts: Counts
    findings: tuple[Finding, ...]
    not_compared: tuple[NotCompared, ...] = ()
    warnings: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    def _repr_html_(self) -> str:
        from diffai_core.lazy import resolve

        html: str = resolve("diffai_core.html:report_html", "diffai")(self)  # by name: html knows this module
        return html
