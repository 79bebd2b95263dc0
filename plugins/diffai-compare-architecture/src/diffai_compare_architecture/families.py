"""The family of a model by the names of its tensors."""

from __future__ import annotations

import json
import re
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from diffai_lib_layers import Place

LEAST_LIKENESS = 0.6
"""Shared patterns over all patterns of both. Families that descend from one another (Llama and Qwen2, ViT and
BEiT) are 0.6 to 0.9 alike, all others less."""

_NUMBER = re.compile(r"(?<![A-Za-z_])\d+")
_HEADS = frozenset({"head", "position"})


class Recognised(NamedTuple):
    """What the names of the tensors say.

    Args:
        families: The families whose patterns are most like those of the model; several where they name their tensors
            alike; none where no family is like it.
        confidence: Patterns of the family that the model has, over all patterns of the family.
        matched: Their number.
        expected: Patterns of the family.
        unexplained: Patterns of the model that the family has not.
    """

    families: tuple[str, ...]
    confidence: float
    matched: int
    expected: int
    unexplained: int


def patterns_of(places: Iterable[Place]) -> frozenset[str]:
    """Return the names of the layers as each block has them, without the number and the name of the block.

    What stands in no block begins with ``^``. Heads and positions outside of blocks are left out: they depend on the
    task.

    Example:
        >>> from diffai_lib_layers import place
        >>> sorted(patterns_of(map(place, ["h.0.attn.c_attn.weight", "h.1.attn.c_attn.weight", "wte.weight"])))
        ['^wte.weight', 'attn.c_attn.weight']
    """
    found = set()
    for place in places:
        if place.part == "num_batches_tracked" or (place.block is None and place.role in _HEADS):
            continue
        path = ".".join(part for part in (place.inner, place.leaf, place.part) if part)
        found.add(("" if place.block is not None else "^") + _NUMBER.sub("N", path))
    return frozenset(found)


def recognise(patterns: frozenset[str]) -> Recognised | None:
    """Return the families that name their tensors most like this, or ``None`` if none does."""
    scored = [(len(patterns & known) / len(patterns | known), family, known) for family, known in _signatures()]
    best = max((score for score, _, _ in scored), default=0.0)
    if best < LEAST_LIKENESS:
        return None
    leading = [(family, known) for score, family, known in scored if score == best]
    known = leading[0][1]
    matched = len(patterns & known)
    families = tuple(dict.fromkeys(name for family, _ in leading for name in family))
    return Recognised(families, matched / len(known), matched, len(known), len(patterns - known))


@cache
def _signatures() -> tuple[tuple[tuple[str, ...], frozenset[str]], ...]:
    text = resources.files(__package__).joinpath("families.json").read_text(encoding="utf-8")
    return tuple((tuple(entry["families"]), frozenset(entry["patterns"])) for entry in json.loads(text))
