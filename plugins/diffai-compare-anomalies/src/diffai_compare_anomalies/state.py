"""What Adam's second moment tells: rows that never got a gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from diffai_lib_training import training_of

from diffai_compare_anomalies.flags import Flag
from diffai_compare_anomalies.lines import SHOWN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from diffai_compare_anomalies.sides import SideTensor
    from diffai_core.plugin import Artifact, KeyFilter


def gradient_flags(artifact: Artifact, keys: KeyFilter, tensors: Sequence[SideTensor]) -> Iterator[Flag]:
    """Yield the parameters of which rows, or all elements, have a second moment of exactly 0."""
    by_name = {tensor.ref.name: tensor for tensor in tensors}
    for optimizer in training_of(artifact, keys.keeps).optimizers:
        for state in optimizer.states:
            ref = state.tensors.get("exp_avg_sq")
            measured = None if ref is None else by_name.get(ref.name)
            if measured is not None:
                yield from _never_reached(measured, _key(state.name, by_name, measured))


def _key(name: str, by_name: Mapping[str, SideTensor], state: SideTensor) -> str:
    """Return the key of the parameter, or of its state where it is not told which parameter that is."""
    return by_name[name].key if name in by_name else state.key


def _never_reached(state: SideTensor, key: str) -> Iterator[Flag]:
    counts = state.counts
    if counts.n and counts.n_zero == counts.n:
        message = f"its second moment is 0 in all {counts.n:,} elements: no gradient ever reached it"
        yield Flag(key, "no_gradient", counts.n, message, 0, 0, "convention", more={"state": state.key})
        return
    if state.rows is None or state.rows.length < 2:  # noqa: PLR2004 - a row
        return
    rows = np.flatnonzero(state.rows.all_zero)
    if len(rows):
        n = len(state.rows.all_zero)
        listed = ", ".join(map(str, rows[:5].tolist())) + (", …" if len(rows) > 5 else "")  # noqa: PLR2004 - a line
        message = f"no gradient ever reached {len(rows):,} of {n:,} rows, their second moment is 0 ({listed})"
        more = {"rows": rows[:SHOWN].tolist(), "n_rows": n, "state": state.key}
        yield Flag(key, "no_gradient_rows", len(rows), message, 0, 0, "convention", more=more)
