"""How much worse a metric may become, as the user says it: ``0.01``, ``2%``, ``accuracy=0.005``, ``loss=5%``."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from diffai_core.plugin import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

_NUMBER = re.compile(r"(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True)
class Tolerance:
    """How much worse is still no degradation.

    Args:
        amount: In the unit of the metric, or a share of the size of its value in OLD.
        relative: Whether it is a share.
    """

    amount: float = 0.0
    relative: bool = False

    def of(self, old: float) -> float:
        """Return the tolerance in the unit of the metric.

        Example:
            >>> Tolerance(0.02, relative=True).of(-50.0)
            1.0
        """
        return self.amount * abs(old) if self.relative else self.amount

    def __str__(self) -> str:
        return f"{self.amount * 100:g}%" if self.relative else f"{self.amount:g}"


@dataclass(frozen=True)
class ToleranceTable:
    """The tolerance of every metric.

    Args:
        by_name: Those of named metrics.
        default: That of all others.
    """

    by_name: dict[str, Tolerance]
    default: Tolerance = Tolerance()

    def of(self, *names: str) -> Tolerance:
        """Return the tolerance of a metric that goes by any of ``names``."""
        return next((self.by_name[name] for name in names if name in self.by_name), self.default)


def tolerance_table(texts: Sequence[str]) -> ToleranceTable:
    """Return the tolerances that are written; of two for one metric the last holds.

    Raises:
        UsageError: If one is not written as it must be.
    """
    by_name = dict(map(parse_tolerance, texts))
    default = by_name.pop("", Tolerance())
    return ToleranceTable(by_name, default)


def check_tolerance(text: str) -> None:
    """Refuse a tolerance that means nothing; called before the run.

    Raises:
        UsageError: With what is wrong and what would be right.
    """
    parse_tolerance(text)


def parse_tolerance(text: str) -> tuple[str, Tolerance]:
    """Return the name of a metric (empty for all) and its tolerance.

    Raises:
        UsageError: If it is not written as it must be.

    Example:
        >>> parse_tolerance("loss=5%")
        ('loss', Tolerance(amount=0.05, relative=True))
    """
    name, equals, written = (part.strip() for part in text.rpartition("="))
    relative = written.endswith("%")
    number = written.removesuffix("%").strip()
    amount = float(number) if _NUMBER.fullmatch(number) else math.nan
    if not math.isfinite(amount) or (equals and not name):
        raise UsageError(f"{text!r} is no tolerance; write for instance 0.01, 2% or accuracy=0.005")
    return name, Tolerance(amount / 100 if relative else amount, relative)


def check_alpha(alpha: float) -> None:
    """Make sure that a chance of a false alarm is one.

    Raises:
        UsageError: If it is not between 0 and 1.
    """
    if not 0 < alpha < 1:
        raise UsageError(f"{alpha:g} is not a number between 0 and 1; write for instance 0.05")
