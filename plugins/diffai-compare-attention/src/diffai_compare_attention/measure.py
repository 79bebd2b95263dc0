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


class _Compared(NamedTuple):
    """What came of comparing the heads of a layer, each with one of OLD.

    Args:
        heads: One record for each head of NEW.
        changes: Of all circuits of all heads; ``None`` for heads without a partner.
        raw_rel_change: See :class:`LayerMeasure`.
    """

    heads: tuple[dict[str, Any], ...]
    changes: list[Change | None]
    raw_rel_change: float | None


def _measured(pair: LayerPair, names: list[str], *, spectra: bool) -> LayerMeasure:
    readers = [_readers(pair, name) for name in names]
    if any((old.widths, old.n_pairs) != (new.widths, new.n_pairs) for _, old, new in readers):
        return LayerMeasure(pair.key, reason="equal widths of both models, and positions that are told apart alike")
    n_old, n_new = readers[0].old.n_heads, readers[0].new.n_heads
    partners = list(range(n_new))
    found = _compared(pair, readers, partners, spectra=spectra)
    raw = found.raw_rel_change
    if not all(one is None or np.isfinite([one.old_norm, one.new_norm]).all() for one in found.changes):
        return LayerMeasure(pair.key, reason="finite weights, these hold NaN, Inf or numbers too large to multiply")
    if not pair.identical and (n_new != n_old or any(map(_is_in_doubt, found.changes))):
        better = match([one.new for one in readers], [one.old for one in readers])
        if better != partners:
            partners = better
            found = _compared(pair, readers, partners, spectra=spectra)
    moved = partners != list(range(max(n_new, n_old)))
    return LayerMeasure(pair.key, found.heads, tuple(partners) if moved else (), raw_rel_change=raw)


def _is_in_doubt(changed: Change | None) -> bool:
    """Whether a head may be another one of OLD."""
    return changed is None or changed.cos is None or changed.cos < _SURELY_THE_SAME


def _readers(pair: LayerPair, name: str) -> _Readers:
    new = CircuitReader(pair.new, name)
    return _Readers(name, new if pair.identical else CircuitReader(pair.old, name), new)


def _compared(pair: LayerPair, readers: list[_Readers], partners: list[int], *, spectra: bool) -> _Compared:
    """Compare each head of NEW with its partner; circuits are read once and not kept."""
    heads: list[dict[str, Any]] = []
    changes: list[Change | None] = []
    raw = _Raw()
    for head, partner in enumerate(partners):
        there = 0 <= partner < readers[0].old.n_heads
        record: dict[str, Any] = {"layer": pair.key, "head": head, "kv_head": _kv_head(pair.new, head)}
        record["old_head"] = partner if there else None
        for name, old, new in readers:
            after = new.circuit(head)
            before = after if pair.identical else old.circuit(partner) if there else None
            changed = None if before is None else change(before, after)
            changes.append(changed)
            if before is not None:
                raw.add(before, after)
            if changed is None or np.isfinite([changed.old_norm, changed.new_norm]).all():
                record |= _record(name, before, after, changed, spectra=spectra)
        heads.append(record)
    return _Compared(tuple(heads), changes, raw.rel_change)


class _Raw:
    """Sums of the squared factors and of their change, as they are stored."""

    def __init__(self) -> None:
        self._delta = self._size = 0.0
        self._comparable = True

    def add(self, old: Circuit, new: Circuit) -> None:
        """Take up one head; heads of other widths cannot be compared so."""
        if old.left.shape != new.left.shape:
            self._comparable = False
            return
        for before, after in ((old.left, new.left), (old.right, new.right)):
            self._delta += float(((after - before) ** 2).sum())
            self._size += float((before**2).sum())

    @property
    def rel_change(self) -> float | None:
        """Norm of the change over the norm in OLD; ``None`` where there is none."""
        return (self._delta / self._size) ** 0.5 if self._comparable and self._size else None


def _kv_head(side: Side, head: int) -> int:
    return head * side.heads.n_kv // side.heads.n


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
