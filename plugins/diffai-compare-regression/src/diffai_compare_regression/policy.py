"""Answers the rules of ``--fail-if``, each with one gate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from diffai_core.plugin import Comparison, Finding


def compare(comparison: Comparison, options: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield one gate for each rule; nothing without rules.

    Args:
        comparison: The artefacts after the pass, with what the other analyses found.
        options: ``fail_if`` holds the rules, ``metric_direction`` which way unknown metrics are better.
    """
    if options["fail_if"]:  # what follows is imported for those who ask
        from diffai_compare_regression.answers import Answers
        from diffai_compare_regression.rules import parse

        answers = Answers(comparison, options["metric_direction"])
        for text in options["fail_if"]:
            yield answers.to(parse(text))
