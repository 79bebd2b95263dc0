"""Where a tensor stands in its model; the grammar of names is loaded when the first name is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diffai_lib_layers import Place


def place(name: str) -> Place:
    """Return block, role and part that a name tells."""
    from diffai_lib_layers import place as place_of

    return place_of(name)
