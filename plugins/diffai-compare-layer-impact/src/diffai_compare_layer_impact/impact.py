"""How much each tensor of weights changed, and how much of the whole change that is."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from diffai_lib_layers import facts_of, is_matrix, is_transposed, places, rounding_of

from diffai_core.plugin import Relation

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    from diffai_lib_layers import Facts, Place
    from numpy.typing import NDArray

    from diffai_core.plugin import Comparison, PairResult, TensorRef

State = Literal["changed", "identical", "not_measured"]

_SAME = frozenset({Relation.IDENTICAL, Relation.EQUAL_VALUES})
_MATRIX = 2


class Peak(NamedTuple):
    """The row, or the head, that changed most.

    Args:
        number: Which.
        rel_change: Norm of its change over its old norm.
    """

    number: int
    rel_change: float


@dataclass(frozen=True)
class Impact:
    """What the pass says of one tensor of weights.

    Args:
        key: Its name.
        place: Where it stands in the model.
        matrix: Whether it is a matrix; vectors (norms, biases) are ranked by themselves.
        n_parameters: Its elements; 0 if it shares its storage with one that is counted.
        state: Whether its elements could be compared, and differ.
        delta_norm: Norm of the change; ``None`` if it was not measured or is beyond float64.
        rel_change: Norm of the change over the norm of OLD; ``None`` also where OLD is all zero.
        rounding: Relative size of one rounding to the coarser dtype of the two; ``None`` if unknown.
        row: The row that changed most.
        changed_rows_share: Share of the rows in which an element changed.
        head: The head that changed most, where the configuration says how many there are.
        tied_to: The tensor with which it shares its storage; empty if it shares it with none.
        energy_share: Share of the squared norm of the whole change; ``None`` where that cannot be told.
    """

    key: str
    place: Place
    matrix: bool
    n_parameters: int
    state: State
    delta_norm: float | None = None
    rel_change: float | None = None
    rounding: float | None = None
    row: Peak | None = None
    changed_rows_share: float | None = None
    head: Peak | None = None
    tied_to: str = ""
    energy_share: float | None = None


def impacts_of(comparison: Comparison) -> list[Impact]:
    """Return one record for each tensor of weights, by name, added and removed ones included."""
    results = [result for result in comparison.results if _is_weight(result.pair.new or result.pair.old)]
    where = places({result.pair.key: ref for result in results if (ref := result.pair.new or result.pair.old)})
    heads = _Heads(facts_of(comparison.old), facts_of(comparison.new))
    first: dict[object, str] = {}
    found = []
    for result in results:
        key = result.pair.key
        storage = tuple(ref and ref.storage for ref in (result.pair.old, result.pair.new))
        tied_to = first.setdefault(storage, key)
        found.append(_impact(result, where[key], heads, "" if tied_to == key else tied_to))
    return _with_shares(found)


def _is_weight(ref: TensorRef | None) -> bool:
    if ref is None or not ref.is_parameter or not ref.numel:
        return False
    return ref.quantization is not None or ref.dtype.kind in {"float", "complex"}


def _impact(result: PairResult, place: Place, heads: _Heads, tied_to: str) -> Impact:
    ref = result.pair.new or result.pair.old
    assert ref is not None
    moments, rows = result.statistics.get("moments"), result.statistics.get("rows")
    matrix = is_matrix(ref)
    found: dict[str, Any] = {
        "key": result.pair.key,
        "place": place,
        "matrix": matrix,
        "n_parameters": 0 if tied_to else ref.numel,
        "rounding": rounding_of(result.pair.old, result.pair.new),
        "tied_to": tied_to,
    }
    if result.relation in _SAME:
        return Impact(**found, state="identical", delta_norm=0.0, rel_change=0.0, energy_share=0.0)
    if moments is None or not moments.n_finite_pairs or not result.same_shape:
        return Impact(**found, state="not_measured")
    found |= {"state": "changed", "delta_norm": moments.delta.norm, "rel_change": moments.rel_change}
    if rows is not None and matrix:
        found["row"] = _peak(rows.rel_change)
        found["changed_rows_share"] = float((rows.n_changed > 0).mean())
        found["head"] = heads.peak(place.role, ref, rows)
    return Impact(**found)


def _peak(changes: NDArray[np.float64]) -> Peak | None:
    import numpy as np

    values = np.where(np.isfinite(changes), changes, -1.0)
    number = int(values.argmax())
    return Peak(number, float(values[number])) if values[number] >= 0 else None


class _Heads:
    """How many heads the rows of an attention make up, as both configurations say."""

    def __init__(self, old: Facts, new: Facts) -> None:
        queries = _agreed(old, new, "n_heads")
        keys = _agreed(old, new, "n_kv_heads") or queries
        self._counts = {"q": queries, "k": keys, "v": keys}

    def peak(self, role: str, ref: TensorRef, rows: object) -> Peak | None:
        """Return the head that changed most; ``None`` if its rows are not known."""
        count = self._counts.get(role)
        if count is None or count < 2 or ref.shape[0] % count or len(ref.shape) != _MATRIX or is_transposed(ref):  # noqa: PLR2004 - one head is the layer
            return None
        delta, old = (getattr(rows, name).reshape(count, -1).sum(axis=1) for name in ("delta_sq", "old_sq"))
        import numpy as np

        changes = np.full(count, np.nan)
        np.divide(delta, old, out=changes, where=old > 0)
        return _peak(np.sqrt(changes))


def _agreed(old: Facts, new: Facts, name: str) -> int | None:
    """Return what the configurations say; one may be silent, they may not differ."""
    said = {fact.value for facts in (old, new) if (fact := getattr(facts, name)) is not None}
    return said.pop() if len(said) == 1 else None


def _with_shares(impacts: Sequence[Impact]) -> list[Impact]:
    """Add the shares of the energy; those of a tied tensor are of the one it is tied to."""
    norms = [impact.delta_norm or 0.0 for impact in impacts if not impact.tied_to]
    largest = max(norms, default=0.0)
    total = math.fsum((norm / largest) ** 2 for norm in norms) if largest else 0.0
    incomplete = any(impact.state == "changed" and impact.delta_norm is None for impact in impacts)
    return [
        replace(impact, energy_share=(impact.delta_norm / largest) ** 2 / total)
        if impact.delta_norm and total and not incomplete and not impact.tied_to
        else impact
        for impact in impacts
    ]


def total_norm(impacts: Iterable[Impact]) -> float | None:
    """Return the norm of the whole change, tied storage counted once; ``None`` where float64 cannot hold it."""
    norms = [impact.delta_norm for impact in impacts if impact.state != "not_measured" and not impact.tied_to]
    known = [norm for norm in norms if norm is not None]
    found = math.hypot(*known)
    return found if len(known) == len(norms) and math.isfinite(found) else None
