"""How the memory that the C++ code fills becomes the state of a statistic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from diffai_core.plugin import PairLayout

    State = Callable[[NDArray[np.uint8], PairLayout, int, int], Any]


class Statistic(NamedTuple):
    """One statistic of consecutive elements.

    Args:
        applies: Whether the C++ code computes it for tensors of a layout.
        n_bytes: ``(layout, start, stop)`` -> bytes of its memory for the elements from ``start`` to ``stop``.
        state: ``(memory, layout, start, stop)`` -> the state as the fold of that name has it; a copy of what lasts.
    """

    applies: Callable[[PairLayout], bool]
    n_bytes: Callable[[PairLayout, int, int], int]
    state: State
