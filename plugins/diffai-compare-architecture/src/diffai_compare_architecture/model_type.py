"""What kind of model each file holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffai_compare_architecture.anatomy import anatomy_of
from diffai_compare_architecture.families import LEAST_LIKENESS
from diffai_core.plugin import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from diffai_compare_architecture.anatomy import Anatomy
    from diffai_core.plugin import Comparison


def compare(comparison: Comparison, options: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield one summary."""
    del options
    sides = [anatomy_of(side, comparison.keys) for side in (comparison.old, comparison.new)]
    known = [side for side in sides if side is not None]
    if not known:
        yield Finding(
            "model_type",
            status="not_measurable",
            level="info",
            message="needs a model with named weights; neither side holds one that is looked at",
        )
        return
    values: dict[str, Any] = {}
    for number, side in enumerate(sides, 1):
        values |= _values(side, number)
    yield Finding(
        "model_type",
        level="info",
        status="measured" if all(side is not None for side in sides) else "bounded",
        values=values,
        null={"confidence1": 1.0, "confidence2": 1.0},
        threshold=LEAST_LIKENESS,
        threshold_source="convention",
        message="; ".join(f"{name}: {_told(side)}" for name, side in zip(("OLD", "NEW"), sides, strict=True)),
    )


def _values(side: Anatomy | None, number: int) -> dict[str, Any]:
    """Return the fields of one side; of a side without weights all are null."""
    found = side and side.recognised
    facts = side and side.facts
    architectures = facts.architectures if facts else None
    return {
        f"type{number}": side and side.type,
        f"kind{number}": side and (side.kind or None),
        f"confidence{number}": found and found.confidence,
        f"families{number}": list(found.families) if found else [],
        f"matched_patterns{number}": found and found.matched,
        f"expected_patterns{number}": found and found.expected,
        f"unexplained_patterns{number}": found and found.unexplained,
        f"declared{number}": facts.model_type.value if facts and facts.model_type else None,
        f"declared_architectures{number}": list(architectures.value) if architectures else [],
    }


def _told(side: Anatomy | None) -> str:
    """Return what kind of model it is and how that is known."""
    if side is None:
        return "no weights"
    said = [f"configuration says {side.facts.model_type.value}"] if side.facts.model_type else []
    found = side.recognised
    if found is not None:
        names = " or ".join(found.families)
        said.append(f"{found.matched} of {found.expected} names of {names}")
    else:
        said.append("names of no known family")
    return f"{side.kind or 'unknown kind'} ({', '.join(said)})"
