"""The heat map: relative change by block and role, in letters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from diffai_compare_layer_impact.cells import ROLES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from diffai_compare_layer_impact.cells import Cell, Stack

WIDTH = 78
MAX_ROWS = 32
_GLYPHS = "·░▒▓█"
_SAME, _UNKNOWN, _NONE = "=", "?", " "
_LABEL = 24
_N_DECADES = 3


@dataclass(frozen=True)
class Scale:
    """Where one shade ends and the next begins.

    Args:
        breaks: Increasing; the first is one rounding of the dtype, the others are powers of ten.
        rounding: The first break, or ``None`` if the dtype has no known rounding.
    """

    breaks: tuple[float, ...]
    rounding: float | None

    def glyph(self, value: float) -> str:
        """Return the shade of a relative change."""
        return _GLYPHS[len(_GLYPHS) - 1 - len(self.breaks) + sum(value >= edge for edge in self.breaks)]

    @property
    def legend(self) -> str:
        """What the shades mean."""
        first = len(_GLYPHS) - 1 - len(self.breaks)
        shades = [f"{_GLYPHS[first + i]} <{_short(edge)}" for i, edge in enumerate(self.breaks)]
        last = f"{_GLYPHS[-1]} >={_short(self.breaks[-1])}" if self.breaks else f"{_GLYPHS[-1]} changed"
        return "  ".join([f"{_SAME} identical", *shades, last])


def scale_of(values: Sequence[float], rounding: float | None) -> Scale:
    """Return the scale for relative changes: one rounding, then the decades below the largest.

    Args:
        values: All relative changes of the map, those of 0 left out.
        rounding: One rounding of the dtype, or ``None``.
    """
    if not values:
        return Scale(() if rounding is None else (rounding,), rounding)
    top = math.floor(math.log10(max(values)))
    decades = [10.0**power for power in range(top - _N_DECADES + 1, top + 1)]
    if rounding is None:
        return Scale(tuple(decades), None)
    return Scale((rounding, *(edge for edge in decades if edge > rounding)), rounding)


def heat_map(cells: Mapping[Stack, Mapping[str, Cell]], rounding: float | None) -> list[str]:
    """Return the lines of the map, at most 78 columns wide and some 36 lines long.

    Neighbouring blocks that look alike are one line; of more lines than fit, those with the largest shares of the
    change are shown, and a line says how many blocks are not.

    Args:
        cells: The cells by block and role.
        rounding: One rounding of the dtype, or ``None``.
    """
    values = [cell.rel_change for roles in cells.values() for cell in roles.values() if cell.rel_change]
    scale = scale_of(values, rounding)
    roles = [role for role in ROLES if any(role in row for row in cells.values())]
    rows = _merged(cells, roles, scale)
    label = min(max((len(row.label) for row in rows), default=0), _LABEL)
    shown_roles = _fitting(roles, WIDTH - label)
    chosen = _chosen(rows)
    lines = ["largest rel_change by block and role; of matrices where there are any", f"  {scale.legend}"]
    if scale.rounding is not None:
        lines.append(f"  {_short(scale.breaks[0])} is one rounding of the dtype")
    lines.append(" " * label + "".join(f" {role}" for role in shown_roles))
    for row in chosen:
        shades = "".join(f" {row.shades[role].ljust(len(role))}" for role in shown_roles)
        lines.append(f"{_elided(row.label, label)}{shades}".rstrip())
    return [*(line[:WIDTH] for line in lines), *_folded(rows, chosen, roles, shown_roles)]


@dataclass(frozen=True)
class _Row:
    """A line: consecutive blocks of one stack that look alike."""

    stack: str
    first: int | None
    last: int | None
    n_blocks: int
    shades: Mapping[str, str]
    share: float
    one_stack: bool

    @property
    def label(self) -> str:
        if self.first is None:
            return "(no block)"
        number = str(self.first) if self.first == self.last else f"{self.first}-{self.last}"
        return number if self.one_stack or not self.stack else f"{self.stack}.{number}"


def _merged(cells: Mapping[Stack, Mapping[str, Cell]], roles: Sequence[str], scale: Scale) -> list[_Row]:
    one_stack = len({prefix for prefix, block in cells if block is not None}) <= 1
    rows: list[_Row] = []
    for (prefix, block), by_role in cells.items():
        shades = {role: _shade(by_role.get(role), scale) for role in roles}
        share = math.fsum(cell.energy_share or 0.0 for cell in by_role.values())
        last = rows[-1] if rows else None
        if last and last.stack == prefix and last.shades == shades and block is not None and last.last == block - 1:
            rows[-1] = _Row(prefix, last.first, block, last.n_blocks + 1, shades, last.share + share, one_stack)
        else:
            rows.append(_Row(prefix, block, block, 1, shades, share, one_stack))
    return rows


def _shade(cell: Cell | None, scale: Scale) -> str:
    if cell is None:
        return _NONE
    value = cell.rel_change
    if value is None or any(impact.state == "not_measured" for impact in cell.impacts):
        return _UNKNOWN
    if all(impact.state == "identical" for impact in cell.impacts):
        return _SAME
    return scale.glyph(value)


def _chosen(rows: Sequence[_Row]) -> list[_Row]:
    if len(rows) <= MAX_ROWS:
        return list(rows)
    ranks = sorted(range(len(rows)), key=lambda index: (-rows[index].share, index))[:MAX_ROWS]
    return [rows[index] for index in sorted(ranks)]


def _fitting(roles: Sequence[str], width: int) -> list[str]:
    fitting = list(roles)
    while sum(len(role) + 1 for role in fitting) > width:
        fitting.pop()
    return fitting


def _folded(rows: Sequence[_Row], chosen: Sequence[_Row], roles: Sequence[str], shown: Sequence[str]) -> list[str]:
    """Return what the map leaves out."""
    lines = []
    if len(chosen) < len(rows):
        hidden = sum(row.n_blocks for row in rows) - sum(row.n_blocks for row in chosen)
        share = max(0.0, math.fsum(row.share for row in rows) - math.fsum(row.share for row in chosen))
        lines.append(f"… {hidden} blocks not shown, with {share:.2g} of the change (--output json has all)")
    if len(shown) < len(roles):
        lines.append(f"… {len(roles) - len(shown)} roles not shown: {', '.join(roles[len(shown) :])}"[:WIDTH])
    return lines


def _short(value: float) -> str:
    """Return a number in few letters: ``1e-4``, ``1.7e-3``.

    Example:
        >>> _short(0.0001), _short(1.66e-3), _short(10.0)
        ('1e-4', '1.7e-3', '1e1')
    """
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"


def _elided(label: str, width: int) -> str:
    return label.ljust(width) if len(label) <= width else f"…{label[len(label) - width + 1 :]}"
