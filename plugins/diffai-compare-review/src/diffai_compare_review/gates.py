"""One line of a review: what was checked, with its evidence, or what would check it."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

State = Literal["clear", "flagged", "unchecked"]
Severity = Literal["none", "low", "medium", "high"]
SEVERITIES: tuple[Severity, ...] = ("none", "low", "medium", "high")


class Gate(NamedTuple):
    """One rule and its answer.

    Args:
        rule: Name of the rule.
        state: Whether it found something, found nothing, or could not be asked.
        severity: How bad what it found is, by the rule; ``none`` where it found nothing.
        text: What was found, or what would check it.
        where: The tensor or path that shows it best.
        numbers: The evidence.
        source: Kind of the finding it rests on; empty where the rule measured it itself.
    """

    rule: str
    state: State
    severity: Severity = "none"
    text: str = ""
    where: str = ""
    numbers: Mapping[str, Any] = MappingProxyType({})
    source: str = ""

    def row(self) -> dict[str, Any]:
        """Return the gate as plain values."""
        return {
            "rule": self.rule,
            "state": self.state,
            "severity": self.severity,
            "evidence": self.text,
            "where": self.where,
            "numbers": dict(self.numbers),
            "source": self.source or "own measurement",
        }


def clear(rule: str, text: str = "", **numbers: Any) -> Gate:
    """Return a rule that found nothing."""
    return Gate(rule, "clear", text=text, numbers=numbers)


def flagged(rule: str, severity: Severity, text: str, where: str = "", source: str = "", **numbers: Any) -> Gate:
    """Return a rule that found something."""
    return Gate(rule, "flagged", severity, text, where, numbers, source)


def unchecked(rule: str, needs: str) -> Gate:
    """Return a rule that could not be asked; ``needs`` says what would check it."""
    return Gate(rule, "unchecked", text=needs)


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun.

    Example:
        >>> counted(1, "tensor"), counted(2, "entry", "entries")
        ('1 tensor', '2 entries')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def worst(gates: Iterable[Gate]) -> Severity:
    """Return the highest severity of what was found."""
    return max((gate.severity for gate in gates), key=SEVERITIES.index, default="none")
