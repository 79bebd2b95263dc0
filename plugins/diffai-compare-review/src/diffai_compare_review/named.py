"""The name of a change, and what it rests on."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


def evidence(
    measure: str, value: Any, null: Any = None, threshold: Any = None, source: str = "", note: str = ""
) -> dict[str, Any]:
    """Return one measured fact: its value, what it would be otherwise, and the limit it was held against."""
    told = {"measure": measure, "value": value, "null": null, "threshold": threshold, "threshold_source": source}
    return told | ({"note": note} if note else {})


class Name(NamedTuple):
    """What a change is.

    Args:
        change: The class, in snake case.
        text: The class in words, without what else changed.
        details: What is told of this class only.
        evidence: What it rests on; see :func:`evidence`.
        sampled: Whether it rests on a sample of tensors and elements.
        doubtful: Whether the files leave it open; the text says how.
        coverage: Share of the changed elements that are in the tensors behind the answer.
        lines: Further lines for a person.
    """

    change: str
    text: str
    details: Mapping[str, Any] = MappingProxyType({})
    evidence: tuple[Mapping[str, Any], ...] = ()
    sampled: bool = False
    doubtful: bool = False
    coverage: float | None = None
    lines: tuple[str, ...] = ()
