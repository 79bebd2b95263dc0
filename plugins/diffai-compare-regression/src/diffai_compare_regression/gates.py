"""Findings that answer a gate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffai_core.plugin import GATE, Finding

if TYPE_CHECKING:
    from collections.abc import Mapping


def gate(
    rule: str,
    passed: bool | None,
    why: str,
    values: Mapping[str, Any] | None = None,
    *,
    threshold: float | None = None,
) -> Finding:
    """Return the answer to a gate.

    Args:
        rule: The gate as the user asked for it.
        passed: Whether it passed; ``None`` if that cannot be told.
        why: The evidence, or what is missing.
        values: Further values, the evidence first.
        threshold: The user's limit, if there is one.
    """
    return Finding(
        GATE,
        status="not_measurable" if passed is None else "measured",
        level="warning" if passed is None else "info" if passed else "change",
        values={"rule": rule, "passed": passed, **(values or {})},
        threshold=threshold,
        threshold_source="" if threshold is None else "user",
        message=why,
    )
