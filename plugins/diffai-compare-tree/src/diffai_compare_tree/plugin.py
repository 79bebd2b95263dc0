"""Declares the comparator of configuration and metadata; the work is in ``comparator.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_core.plugin import ComparatorSpec, Option, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator


@hookimpl
def diffai_comparators() -> Iterator[ComparatorSpec]:
    """Yield the comparator of trees, which runs without being asked for."""
    yield ComparatorSpec(
        name="tree",
        title="Compare configuration and metadata: nested keys and values.",
        target="diffai_compare_tree.comparator:compare",
        default=True,
        facets=("tree",),
        options=(
            Option(
                "array-id-key",
                "Match the elements of lists by the value under this key instead of by their position.",
                kind="text",
                default="",
                metavar="KEY",
            ),
            Option("ignore-case", "Take text values that differ only in upper and lower case for equal."),
            Option("ignore-whitespace", "Take text values that differ only in white space for equal."),
        ),
    )
