"""The default comparator ``change``: one line that names the change before anything is measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffai_compare_review.effort import SAMPLE
from diffai_compare_review.naming import name_change
from diffai_core.plugin import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from diffai_compare_review.named import Name
    from diffai_core.plugin import Comparison


def compare(comparison: Comparison, _options: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield the name of the change; nothing where nothing changed that has one."""
    name = name_change(comparison, SAMPLE)
    if name is not None:
        yield finding_of(name, "named_change", selected=comparison.keys.active)


def finding_of(name: Name, kind: str, *, selected: bool = False) -> Finding:
    """Return the finding that tells a name; of ``selected`` keys it holds for them alone."""
    sampled = "estimated" if name.sampled else "measured"
    return Finding(
        kind,
        status="hint" if name.doubtful else sampled,  # type: ignore[arg-type]  # both are statuses
        level="info",
        values={"change": name.change, **name.details, "evidence": [dict(item) for item in name.evidence]},
        null={item["measure"]: item["null"] for item in name.evidence if item["null"] is not None} or None,
        coverage=name.coverage,
        message=f"{name.text}; in the selection" if selected else name.text,
        detail=name.lines,
    )
