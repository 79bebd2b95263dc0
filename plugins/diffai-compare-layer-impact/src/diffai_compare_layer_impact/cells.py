"""The tensors of a model by block and role."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from diffai_compare_layer_impact.impact import Impact

ROLES = (
    *("embed", "position", "q", "k", "v", "qkv", "q_a", "q_b", "kv", "kv_a", "kv_b", "o", "gate", "up", "gate_up"),
    *(
        "down",
        "router",
        "expert",
        "mlp",
        "conv",
        "bn",
        "norm",
        "scale",
        "rnn",
        "ssm",
        "lora_a",
        "lora_b",
        "head",
        "other",
    ),
)
"""The order of the columns: as data flows through a block."""

Stack = tuple[str, int | None]
_NUMBER = re.compile(r"([0-9]{1,9})")


@dataclass(frozen=True)
class Cell:
    """The tensors of one role in one block.

    Args:
        stack: The block: its stack and its number; ``("", None)`` for what is in no block.
        role: The role.
        impacts: Its matrices or, where it has none, its vectors.
        n_parameters: Elements of all its tensors, tied storage counted once.
        energy_share: Share of the squared norm of the whole change, of all its tensors.
    """

    stack: Stack
    role: str
    impacts: tuple[Impact, ...]
    n_parameters: int
    energy_share: float | None

    @property
    def leading(self) -> Impact | None:
        """The tensor with the largest relative change."""
        measured = [impact for impact in self.impacts if impact.rel_change is not None]
        return max(measured, key=lambda impact: impact.rel_change or 0.0, default=None)

    @property
    def rel_change(self) -> float | None:
        """The largest relative change; ``None`` if none could be measured."""
        leading = self.leading
        return None if leading is None else leading.rel_change


def cells_of(impacts: Iterable[Impact]) -> dict[Stack, dict[str, Cell]]:
    """Return the cells by block and role; blocks in their order, what is in no block first."""
    groups: dict[Stack, dict[str, list[Impact]]] = defaultdict(lambda: defaultdict(list))
    for impact in impacts:
        stack = impact.place.stack if impact.place.block is not None else ("", None)
        groups[stack][impact.place.role].append(impact)
    return {
        stack: {role: _cell(stack, role, groups[stack][role]) for role in sorted(groups[stack], key=ROLES.index)}
        for stack in sorted(groups, key=_order)
    }


def _order(stack: Stack) -> tuple[Any, ...]:
    """Sort blocks as people count: ``layers.2`` before ``layers.10``."""
    prefix, block = stack
    parts = [
        (int(part), "") if part.isascii() and part.isdigit() else (-1, part) for part in _NUMBER.split(prefix) if part
    ]
    return (block is not None, parts, block or 0)


def _cell(stack: Stack, role: str, impacts: Sequence[Impact]) -> Cell:
    matrices = [impact for impact in impacts if impact.matrix]
    shares = [impact.energy_share for impact in impacts if not impact.tied_to and impact.state != "not_measured"]
    known = [share for share in shares if share is not None]
    return Cell(
        stack,
        role,
        tuple(matrices or impacts),
        sum(impact.n_parameters for impact in impacts),
        math.fsum(known) if len(known) == len(shares) and shares else None,
    )
