"""Rows of a parameter that no gradient ever reached: tokens, classes or neurons that the training never saw."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from diffai_lib_layers import place

from diffai_compare_gradients.sums import has_rows, rows_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from diffai_compare_gradients.moments import Gradient, Source
    from diffai_compare_gradients.sums import RowSums, SideSums
    from diffai_core.plugin import Artifact, Comparison, TensorRef

_STALE = 1e-6
MOST_LISTED = 1_000
"""Rows that are listed by number; of more, the first."""


@dataclass(frozen=True)
class UnseenRows:
    """Rows of one parameter.

    Args:
        gradient: The parameter's.
        never: Numbers of rows whose second moment is exactly 0.
        tokens: What the tokenizer calls the first of these rows; empty where there is none.
        n_stale: Rows whose second moment is below 1e-6 of the median.
        steps_since_update: About how many steps ago the longest untouched of those was updated.
    """

    gradient: Gradient
    never: tuple[int, ...]
    tokens: tuple[str, ...]
    n_stale: int
    steps_since_update: int | None

    @property
    def n_rows(self) -> int:
        """Rows of the parameter."""
        shape = self.gradient.source.state.shape
        return shape[0] if shape else 0

    def values(self) -> dict[str, Any]:
        """Return the rows as named values."""
        stale = {"n_stale_rows": self.n_stale, "steps_since_update_est": self.steps_since_update}
        return {
            "n_never_updated_rows": len(self.never),
            "n_rows": self.n_rows,
            "never_updated_rows": list(self.never[:MOST_LISTED]),
            **({"never_updated_tokens": list(self.tokens)} if self.tokens else {}),
            **(stale if self.n_stale else {}),
        }


def unseen_rows(
    gradients: Sequence[Gradient], sums: SideSums, comparison: Comparison, artifact: Artifact
) -> list[UnseenRows]:
    """Return the parameters of which some rows, and not all, were never updated or not for long."""
    asked = [(g, ref) for g in gradients if (ref := g.source.second) is not None and _is_asked(g, ref, sums)]
    rows = rows_of([ref for _, ref in asked], comparison)
    tokens = _tokens(artifact) if asked else {}
    found = [_unseen(gradient, row, tokens) for (gradient, _), row in zip(asked, rows, strict=True)]
    return [unseen for unseen in found if unseen.never or unseen.n_stale]


def _is_asked(gradient: Gradient, ref: TensorRef, sums: SideSums) -> bool:
    """Whether rows can be untouched: as many zeros as a row has elements, or an embedding."""
    if gradient.never_updated or gradient.source.is_factored or not has_rows(ref):
        return False
    return sums.of(ref).n_zero >= math.prod(ref.shape[1:]) or place(gradient.source.name).role == "embed"


def _tokens(artifact: Artifact) -> dict[int, str]:
    """Return the tokens by number, if the artefact holds exactly one vocabulary."""
    places = [artifact.tree, *(value for value in artifact.tree.values() if isinstance(value, dict))]
    found = [place["vocab"] for place in places if isinstance(place.get("vocab"), dict)]
    if len(found) != 1:
        return {}
    return {number: token for token, number in found[0].items() if type(number) is int and isinstance(token, str)}


def _unseen(gradient: Gradient, rows: RowSums, tokens: Mapping[int, str]) -> UnseenRows:
    import numpy as np

    sums = np.asarray(rows.sums)
    alive = sums[sums > 0]
    stale = alive[alive < _STALE * np.median(alive)] if len(alive) else alive
    steps = _steps_since(float(stale.min() / np.median(alive)), gradient.source) if len(stale) else None
    never = tuple(map(int, np.flatnonzero(sums == 0)))
    is_table = place(gradient.source.name).role in {"embed", "head"} and max(tokens, default=0) < len(sums)
    named = tuple(tokens.get(row, "") for row in never[:MOST_LISTED]) if tokens and is_table else ()
    return UnseenRows(gradient, never, named, len(stale), steps)


def _steps_since(share: float, source: Source) -> int | None:
    """Return how long a second moment takes to fall to this share when all gradients are 0: ln(share)/ln(β2)."""
    if source.beta2 is None or not 0 < source.beta2 < 1 or share <= 0:
        return None
    return round(math.log(share) / math.log(source.beta2))
