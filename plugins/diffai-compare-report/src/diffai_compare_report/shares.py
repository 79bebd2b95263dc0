"""Which tensors hold the change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffai_compare_report.chart import chart
from diffai_compare_report.weigh import changes_of, numel

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from diffai_core.plugin import PairResult

_MOST = 15


def shares_of_change(results: Sequence[PairResult]) -> Iterator[dict[str, Any]]:
    """Yield the tensors with the largest shares of ‖D‖², each beside its share of the parameters."""
    changes = changes_of(results)
    largest = max((change.delta_norm for change in changes), default=0.0)
    if not largest:
        return
    energies = {change.key: (change.delta_norm / largest) ** 2 for change in changes}
    whole, n_all = sum(energies.values()), sum(map(numel, results))
    ranked = sorted(changes, key=lambda change: (-energies[change.key], change.key))
    rows = [[change.key, change.numel / n_all, energies[change.key] / whole] for change in ranked[:_MOST]]
    if len(ranked) > _MOST:
        rest = ranked[_MOST:]
        rows.append(
            [
                f"{len(rest)} others",
                sum(change.numel for change in rest) / n_all,
                sum(energies[change.key] for change in rest) / whole,
            ]
        )
    columns = ["tensor", "share of parameters", "share of change"]
    yield chart("bar", "Which tensors hold the change", "share", "tensor", "share of squared norm", columns, rows)
