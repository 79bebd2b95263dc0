"""What diffai is told about this analysis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_core.plugin import ComparatorSpec, Option, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator


@hookimpl
def diffai_comparators() -> Iterator[ComparatorSpec]:
    """Declare the analysis; its code is imported when ``--example`` is given."""
    yield ComparatorSpec(
        name="example",
        title="Count the elements whose sign flipped.",
        target="diffai_compare_example.comparator:compare",
        needs=("diffai_compare_example.fold:SignFlips",),
        options=(
            Option(
                name="min-flipped-share",
                help="Name only tensors in which at least this share of the elements flipped.",
                kind="number",
                default=0.0,
                metavar="SHARE",
            ),
        ),
    )
