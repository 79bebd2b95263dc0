"""Where in the model the change is: one summary, and the layers that changed unlike their peers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from diffai_compare_layer_impact.cells import cells_of
from diffai_compare_layer_impact.depth import LEAST_BLOCKS, depth_of, outliers_of
from diffai_compare_layer_impact.heatmap import heat_map
from diffai_compare_layer_impact.impact import impacts_of, total_norm
from diffai_core.plugin import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from diffai_compare_layer_impact.cells import Cell, Stack
    from diffai_compare_layer_impact.depth import Depth, Outlier
    from diffai_compare_layer_impact.impact import Impact
    from diffai_core.plugin import Comparison

_NULL = {"concentration": 1.0, "depth_decades_per_block": 0.0, "rel_change_if_unrelated": math.sqrt(2)}


def compare(comparison: Comparison, options: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield the summary, then each layer that stands out."""
    del options
    impacts = impacts_of(comparison)
    measured = [impact for impact in impacts if impact.state != "not_measured"]
    if not measured:
        yield Finding(
            "layer_impact",
            status="not_measurable",
            level="info",
            message="needs weights of the same shape on both sides: give two checkpoints of one architecture",
        )
        return
    cells = cells_of(impacts)
    depth = depth_of(cells)
    yield Finding(
        "layer_impact",
        level="info",
        values=_values(impacts, cells, depth),
        null=_NULL,
        coverage=_coverage(impacts),
        message=_message(measured, depth),
        detail=tuple(heat_map(cells, _rounding(measured))) if any(_changed(measured)) else (),
    )
    yield from map(_outlier, outliers_of(cells))


def _changed(impacts: Sequence[Impact]) -> list[Impact]:
    return [impact for impact in impacts if impact.state == "changed"]


def _coverage(impacts: Sequence[Impact]) -> float:
    total = sum(impact.n_parameters for impact in impacts)
    return sum(impact.n_parameters for impact in impacts if impact.state != "not_measured") / total if total else 1.0


def _rounding(impacts: Sequence[Impact]) -> float | None:
    """Return one rounding of the dtype in which most parameters are stored."""
    sizes: dict[float | None, int] = {}
    for impact in impacts:
        sizes[impact.rounding] = sizes.get(impact.rounding, 0) + impact.n_parameters
    return max(sizes, key=lambda rounding: sizes[rounding])


def _values(
    impacts: Sequence[Impact], cells: Mapping[Stack, Mapping[str, Cell]], depth: Depth | None
) -> dict[str, Any]:
    measured = [impact for impact in impacts if impact.state != "not_measured"]
    total = sum(impact.n_parameters for impact in measured)
    top = _top(measured)
    blocks = {stack: roles for stack, roles in cells.items() if stack[1] is not None}
    found: dict[str, Any] = {"largest_share": None if top is None else top.key}
    if top is not None:
        found |= _shares(top.energy_share, top.n_parameters, total)
    for form, matrix in (("matrix", True), ("vector", False)):
        leading = _leading([impact for impact in measured if impact.matrix is matrix])
        found |= {f"largest_{form}": leading and leading.key, f"{form}_rel_change": leading and leading.rel_change}
    found |= {
        "blocks_changed": sum(any(_changed(cell.impacts) for cell in roles.values()) for roles in blocks.values()),
        "blocks": len(blocks),
        "delta_norm": total_norm(impacts),
        **_depth_values(depth),
    }
    layers = [_layer(cell, total) for roles in cells.values() for cell in roles.values()]
    return {**found, "layers": layers, "tensors": [_tensor(impact, total) for impact in impacts]}


def _depth_values(depth: Depth | None) -> dict[str, Any]:
    if depth is None:
        return {}
    return {
        "depth_decades_per_block": depth.slope,
        "depth_decades_per_block_ci": [depth.low, depth.high],
        "depth_blocks": depth.n_blocks,
        "depth_stack": depth.stack,
    }


def _top(impacts: Sequence[Impact]) -> Impact | None:
    """Return the tensor with the largest share of the change; ``None`` if nothing changed or shares are unknown."""
    known = [impact for impact in impacts if impact.energy_share]
    return max(known, key=lambda impact: impact.energy_share or 0.0, default=None)


def _leading(impacts: Sequence[Impact]) -> Impact | None:
    known = [impact for impact in impacts if impact.rel_change]
    return max(known, key=lambda impact: impact.rel_change or 0.0, default=None)


def _shares(energy_share: float | None, n_parameters: int, total: int) -> dict[str, Any]:
    share = n_parameters / total if total else None
    ratio = energy_share / share if energy_share is not None and share else None
    return {"energy_share": energy_share, "parameter_share": share, "concentration": ratio}


def _layer(cell: Cell, total: int) -> dict[str, Any]:
    leading = cell.leading
    return {
        "stack": cell.stack[0],
        "block": cell.stack[1],
        "role": cell.role,
        "rel_change": cell.rel_change,
        "rounding_ratio": leading and _rounding_ratio(leading),
        "tensor": leading and leading.key,
        **_shares(cell.energy_share, cell.n_parameters, total),
        "params": cell.n_parameters,
    }


def _tensor(impact: Impact, total: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": impact.key,
        "form": "matrix" if impact.matrix else "vector",
        "block": impact.place.block,
        "role": impact.place.role,
        "status": impact.state,
        "rel_change": impact.rel_change,
        "rounding_ratio": _rounding_ratio(impact),
        **_shares(impact.energy_share, impact.n_parameters, total),
        "params": impact.n_parameters,
    }
    if impact.row is not None:
        found |= {"max_row": impact.row.number, "max_row_rel_change": impact.row.rel_change}
        found["changed_rows_share"] = impact.changed_rows_share
    if impact.head is not None:
        found |= {"max_head": impact.head.number, "max_head_rel_change": impact.head.rel_change}
    return {**found, "tied_to": impact.tied_to} if impact.tied_to else found


def _rounding_ratio(impact: Impact) -> float | None:
    return impact.rel_change / impact.rounding if impact.rel_change is not None and impact.rounding else None


def _message(measured: Sequence[Impact], depth: Depth | None) -> str:
    top = _top(measured)
    if not _changed(measured):
        return "no weight changed"
    if top is None:
        return "the change is beyond float64: shares of it cannot be told"
    share = top.n_parameters / sum(impact.n_parameters for impact in measured)
    shares = f"{_percent(top.energy_share or 0)} with {_percent(share)} of the weights"
    return f"largest share of the change: {top.key}, {shares}; {_depth_message(depth)}"


def _depth_message(depth: Depth | None) -> str:
    if depth is None:
        return f"no trend over depth: fewer than {LEAST_BLOCKS} blocks of one stack changed"
    interval = f"95 % CI {depth.low:+.3g} to {depth.high:+.3g}"
    if depth.low <= 0 <= depth.high:
        return f"no trend over depth ({interval} decades per block)"
    word = "deeper" if depth.slope > 0 else "earlier"
    return f"{word} blocks changed more: {depth.slope:+.3g} decades per block ({interval})"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 1 else "100 %"


def _outlier(outlier: Outlier) -> Finding:
    direction = "more" if outlier.z > 0 else "less"
    return Finding(
        "layer_impact_tensor",
        where=outlier.key,
        level="info",
        values={"rel_change": outlier.rel_change, "z": _finite(outlier.z), "n_peers": outlier.n_peers},
        null={"z": 0.0},
        threshold=outlier.threshold,
        threshold_source="calibrated",
        message=f"changed {direction} than this role in the other blocks, the trend over depth taken out",
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
