"""Measures one attention layer of both sides, head by head."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from diffai_compare_attention.circuits import (
    Change,
    change,
    effective_rank,
    inner,
    pair_energies,
    spectrum,
    trace,
)
from diffai_compare_attention.factors import CircuitReader, release
from diffai_compare_attention.matching import match

if TYPE_CHECKING:
    from diffai_compare_attention.circuits import Circuit
    from diffai_compare_attention.factors import Side
    from diffai_compare_attention.survey import LayerPair

_SURELY_THE_SAME = 0.5
"""Cosine above which heads of one number are compared without looking for better partners."""


class Wanted(NamedTuple):
    """What to measure.

    Args:
        circuits: ``qk``, ``ov`` or both.
        spectra: Whether singular values are wanted.
    """

    circuits: tuple[str, ...]
    spectra: bool = False


@dataclass(frozen=True)
class LayerMeasure:
    """What was measured of one layer.

    Args:
        key: What it is called.
        heads: One record for each head of NEW, plain values.
        permutation: The head of OLD that each head of NEW is (-1 for none); empty if the order is the same.
        reason: Why the layer could not be measured; empty if it was.
        raw_rel_change: How far the matrices changed as they are stored, heads by number; ``None`` if sizes differ.
    """

    key: str
    heads: tuple[dict[str, Any], ...] = ()
    permutation: tuple[int, ...] = ()
    reason: str = ""
    raw_rel_change: float | None = None


def measure(pair: LayerPair, wanted: Wanted) -> LayerMeasure:
    """Return what can be measured of a layer; reads its matrices once."""
    names = [name for name in wanted.circuits if name in pair.old.circuits and name in pair.new.circuits]
    if not names:
        return LayerMeasure(pair.key, reason="the matrices of both factors on both sides")
    with np.errstate(all="ignore"):
        found = _measured(pair, names, spectra=wanted.spectra)
    for side in (pair.old, pair.new):
        release(side.layer)
    return found


class _Readers(NamedTuple):
    """Readers of one kind of circuit on both sides."""

    name: str
    old: CircuitReader
    new: CircuitReader


def _measured(pair: LayerPair, names: list[str], *, spectra: bool) -> LayerMeasure:
    readers = [_readers(pair, name) for name in names]
    if any((old.widths, old.n_pairs) != (new.widths, new.n_pairs) for _, old, new in readers):
        return LayerMeasure(pair.key, reason="equal widths of both models, and positions that are told apart alike")
    n_old, n_new = readers[0].old.n_heads, readers[0].new.n_heads
    partners = list(range(n_new))
    changes = {one.name: _changes(one, partners, identical=pair.identical) for one in readers}
    if not all(map(_is_finite, changes.values())):
        return LayerMeasure(pair.key, reason="finite weights, these hold NaN, Inf or numbers too large to multiply")
    if not pair.identical and _in_doubt(changes, n_old):
        better = match([one.new for one in readers], [one.old for one in readers])
        if better != partners:
            partners = better
            changes = {one.name: _changes(one, partners, identical=False) for one in readers}
    heads = tuple(
        {"layer": pair.key, "head": head, "kv_head": _kv_head(pair.new, head)}
        | {"old_head": partner if 0 <= partner < n_old else None}
        | _of_all_circuits(readers, head, partner, changes, spectra=spectra)
        for head, partner in enumerate(partners)
    )
    moved = partners != list(range(max(n_new, n_old)))
    raw = 0.0 if pair.identical else _raw_rel_change(readers)
    return LayerMeasure(pair.key, heads, tuple(partners) if moved else (), raw_rel_change=raw)


def _readers(pair: LayerPair, name: str) -> _Readers:
    new = CircuitReader(pair.new, name)
    return _Readers(name, new if pair.identical else CircuitReader(pair.old, name), new)


def _of_all_circuits(
    readers: list[_Readers], head: int, partner: int, changes: dict[str, list[Change | None]], *, spectra: bool
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, old, new in readers:
        changed = changes[name][head]
        before = old.circuit(partner) if changed is not None else None
        found |= _record(name, before, new.circuit(head), changed, spectra=spectra)
    return found


def _kv_head(side: Side, head: int) -> int:
    return head * side.heads.n_kv // side.heads.n


def _raw_rel_change(readers: list[_Readers]) -> float | None:
    """Return the norm of the change of all factors over their norm, without undoing anything."""
    delta = size = 0.0
    for _, old, new in readers:
        for head in range(min(old.n_heads, new.n_heads)):
            before, after = old.circuit(head), new.circuit(head)
            if before.left.shape != after.left.shape:
                return None
            for left, right in ((before.left, after.left), (before.right, after.right)):
                delta, size = delta + float(((right - left) ** 2).sum()), size + float((left**2).sum())
    return (delta / size) ** 0.5 if size else None


def _changes(readers: _Readers, partners: list[int], *, identical: bool) -> list[Change | None]:
    _, old, new = readers
    found: list[Change | None] = []
    for head, partner in enumerate(partners):
        if not 0 <= partner < old.n_heads:
            found.append(None)
        elif identical:
            circuit = new.circuit(head)
            norm = max(inner(circuit, circuit), 0.0) ** 0.5
            found.append(Change(norm, norm, 0.0 if norm else None, 1.0 if norm else None))
        else:
            found.append(change(old.circuit(partner), new.circuit(head)))
    return found


def _is_finite(changes: list[Change | None]) -> bool:
    return all(one is None or np.isfinite([one.old_norm, one.new_norm]).all() for one in changes)


def _in_doubt(changes: dict[str, list[Change | None]], n_old: int) -> bool:
    """Whether some head may be another one of OLD."""
    return any(
        len(found) != n_old or any(one is None or one.cos is None or one.cos < _SURELY_THE_SAME for one in found)
        for found in changes.values()
    )


def _record(name: str, old: Circuit | None, new: Circuit, changed: Change | None, *, spectra: bool) -> dict[str, Any]:
    norm = changed.new_norm if changed is not None else max(inner(new, new), 0.0) ** 0.5
    record: dict[str, Any] = {
        f"{name}_norm": norm,
        f"{name}_norm_old": None if changed is None else changed.old_norm,
        f"{name}_delta_rel": None if changed is None else changed.delta_rel,
        f"{name}_cos": None if changed is None else changed.cos,
    }
    record |= _of_outputs(old, new, norm) if name == "ov" else _of_frequencies(old, new)
    if spectra and not new.n_pairs:
        values = spectrum(new)
        record[f"{name}_erank"] = effective_rank(values)
        record[f"{name}_erank_old"] = None if old is None else effective_rank(spectrum(old))
        record[f"{name}_sigma1"] = float(values[0]) if values.size else None
    return record


def _of_outputs(old: Circuit | None, new: Circuit, norm: float) -> dict[str, Any]:
    """Return the product of the norms of values and outputs, and the trace over the norm: whether a head copies."""
    copied = trace(replace(new, right=new.right[:, :-1]))
    return {
        "vo_norm": _factor_norms(new),
        "vo_norm_old": None if old is None else _factor_norms(old),
        "ov_trace_rel": None if copied is None or not norm else copied / norm,
    }


def _factor_norms(circuit: Circuit) -> float:
    return float(np.linalg.norm(circuit.left) * np.linalg.norm(circuit.right[:, :-1]))


def _of_frequencies(old: Circuit | None, new: Circuit) -> dict[str, Any]:
    """Return the share of the faster half of the rotating pairs: what of a score tells near from far."""
    if not new.n_pairs:
        return {}
    return {
        "high_frequency_share": _fast_share(new),
        "high_frequency_share_old": None if old is None else _fast_share(old),
    }


def _fast_share(circuit: Circuit) -> float | None:
    energies = pair_energies(circuit)
    total = float(energies.sum())
    return float(energies[: circuit.n_pairs // 2].sum()) / total if total > 0 else None
