"""How the kit asks Hypothesis: the same examples every time, no database, no deadline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, Phase, given, settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis import strategies as st

PHASES = (Phase.explicit, Phase.generate, Phase.shrink)
"""Without ``Phase.explain``, which takes longer than all others and says little about arrays."""


def for_all(law: Callable[[Any], object], inputs: st.SearchStrategy[Any], n_examples: int) -> None:
    """Call ``law`` on examples of ``inputs``; if it fails on one, on ever smaller ones, and raise for the smallest."""

    @settings(
        max_examples=n_examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=PHASES,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs)
    def check(example: Any) -> None:
        law(example)

    check()
