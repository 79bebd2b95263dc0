"""Where the heads of the first layer look by position alone, in models with a learned table of positions.

The rows ``P`` of the table, after the norm before the attention, stand for the inputs:
``softmax(P Q.T K P.T / sqrt(head_dim))``, averaged by distance. It is told of the first layer only: further up, inputs
hold what the layers below have written, and the weights do not say what.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from diffai_compare_attention.factors import CircuitReader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from diffai_compare_attention.circuits import Circuit
    from diffai_compare_attention.factors import Side
    from diffai_compare_attention.measure import LayerMeasure
    from diffai_compare_attention.positions import Positions
    from diffai_compare_attention.survey import Survey
    from diffai_core.plugin import TensorRef

    Reals = NDArray[np.float64]

N_POSITIONS = 256
"""Positions looked at, from the first: enough for the reach of a head that looks at neighbours."""
_N_TOKENS = 4096
_EPSILON = 1e-5


class _Profile(NamedTuple):
    """How a head divides its attention among distances.

    Args:
        shares: Mean share of each distance, shape ``(2 * n - 1,)``: key less query, from ``1 - n`` to ``n - 1``.
        n: Number of positions.
    """

    shares: Reals
    n: int

    @property
    def offset(self) -> int:
        """The distance with the largest share; negative looks back."""
        return int(self.shares.argmax()) - (self.n - 1)

    @property
    def span(self) -> float:
        """Mean distance in tokens, without direction."""
        return float(self.shares @ np.abs(np.arange(1 - self.n, self.n)))


def first_layer_profiles(found: Survey, good: Sequence[LayerMeasure]) -> tuple[list[dict[str, Any]], str]:
    """Return a record for each head of the first layer, or none and the reason."""
    pair = next((pair for pair in found.pairs if pair.new.layer.block in {0, None}), None)
    measured = next((one for one in good if pair is not None and one.key == pair.key), None)
    if pair is None or measured is None:
        return [], "span_change needs the first layer"
    sides = (pair.old, pair.new)
    if any(side.positions.way != "learned" or side.positions.table is None for side in sides):
        return [], f"span_change needs a learned table of positions ({found.positions.way} here)"
    if found.looks_ahead is None:
        return [], "span_change needs a configuration that says whether tokens see those behind them"
    profiles = [_profiles(side, ahead=found.looks_ahead) for side in sides]
    if any(one is None for one in profiles):
        return [], "span_change needs a table as wide as the queries, of finite numbers"
    return [_row(head, *profiles) for head in measured.heads], ""


def _row(head: dict[str, Any], old: list[_Profile] | None, new: list[_Profile] | None) -> dict[str, Any]:
    assert old is not None
    assert new is not None
    after = new[head["head"]]
    before = old[head["old_head"]] if head["old_head"] is not None else None
    return {
        "head": head["head"],
        "offset": after.offset,
        "offset_old": None if before is None else before.offset,
        "span": after.span,
        "span_old": None if before is None else before.span,
        "profile_distance": None if before is None or before.n != after.n else _distance(before, after),
    }


def _distance(old: _Profile, new: _Profile) -> float:
    """Return the total variation distance: the share of attention that goes elsewhere."""
    return 0.5 * float(np.abs(old.shares - new.shares).sum())


def _profiles(side: Side, *, ahead: bool) -> list[_Profile] | None:
    table = side.positions.table
    assert table is not None
    reader = CircuitReader(side, "qk")
    if reader.widths != (table.shape[1], table.shape[1]):
        return None
    n = min(N_POSITIONS, table.shape[0])
    positions = np.ones((n, table.shape[1] + 1))
    positions[:, :-1] = _inputs(side.positions, table, n)
    if not np.isfinite(positions).all():
        return None
    return [_profile(positions, reader.circuit(head), ahead=ahead) for head in range(reader.n_heads)]


def _inputs(positions: Positions, table: TensorRef, n: int) -> Reals:
    """Return what the attention reads at each position, tokens averaged: the mean of the inputs over all tokens.

    The norm divides by the spread that position and token have together; that of tokens is their mean one.
    """
    inputs = np.asarray(table.read_rows(range(n)), dtype=np.float64)
    weight, bias = positions.norm
    if weight is None:
        return inputs
    spread = 0.0
    if positions.tokens is not None:
        n_tokens = positions.tokens.shape[0]
        spaced = range(0, n_tokens, max(n_tokens // _N_TOKENS, 1))
        few = np.asarray(positions.tokens.read_rows(spaced), dtype=np.float64)
        mean = few.mean(axis=0)
        inputs = inputs + mean
        spread = float((few - mean).var(axis=1).mean())
    centred = inputs - inputs.mean(axis=1, keepdims=True)
    normed: Reals = centred / np.sqrt(centred.var(axis=1, keepdims=True) + spread + _EPSILON) * _vector(weight)
    return normed if bias is None else normed + _vector(bias)


def _vector(ref: TensorRef) -> Reals:
    return np.asarray(ref.read().reshape(-1), dtype=np.float64)


def _profile(positions: Reals, circuit: Circuit, *, ahead: bool) -> _Profile:
    n, dim = len(positions), circuit.left.shape[0]
    scores = (positions @ circuit.left.T) @ (positions @ circuit.right.T).T / dim**0.5
    if not ahead:
        scores[np.triu_indices(n, 1)] = -np.inf
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    shares = np.array([np.trace(weights, offset) for offset in range(1 - n, n)]) / n
    return _Profile(shares, n)
