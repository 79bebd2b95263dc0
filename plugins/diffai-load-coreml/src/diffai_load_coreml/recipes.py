"""How the numbers of compressed weights are computed from what is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from diffai_load_coreml.stored import Stored


class Affine(NamedTuple):
    """``(codes - offset) * scale``, or ``codes * scale + offset`` where ``adds``.

    Scales and offsets hold for blocks: along each dimension they have a length that divides that of the codes.
    """

    codes: Stored
    scale: Stored
    offset: Stored | None
    kind: str
    adds: bool = False


class Lookup(NamedTuple):
    """``table[codes]``; a table of more dimensions holds one for each block of the codes."""

    codes: Stored
    table: Stored
    kind: str


class Sparse(NamedTuple):
    """A bit for each element that says whether it is the next of ``values``, or 0."""

    mask: Stored
    values: Stored
    kind: str


Recipe = Affine | Lookup | Sparse
