"""Which attention layers of two models stand against each other, and which of them can be cut into heads."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_compare_attention.factors import Side
from diffai_compare_attention.heads import head_sources, heads_of
from diffai_compare_attention.layers import attention_layers
from diffai_compare_attention.positions import looks_ahead, model_type_of, positions_of
from diffai_core.plugin import Relation

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from diffai_compare_attention.layers import Layer
    from diffai_compare_attention.positions import Positions
    from diffai_core.plugin import Artifact, Comparison, PairResult, TensorRef

MAX_WORK = 2e12
"""Floating-point operations that an analysis may take: some minutes of one core. Of larger models, evenly spaced layers
are measured, and the coverage says how much that is. A model of 7 billion parameters is measured whole."""


class LayerPair(NamedTuple):
    """One layer of both models.

    Args:
        old: The layer in OLD.
        new: The layer in NEW.
        identical: Whether all its tensors are, bit for bit, and are cut into heads alike.
    """

    old: Side
    new: Side
    identical: bool

    @property
    def key(self) -> str:
        """What the layer is called in NEW."""
        return self.new.layer.key

    @property
    def nbytes(self) -> int:
        """Bytes of its tensors on both sides."""
        return sum(ref.nbytes for side in (self.old, self.new) for ref in side.layer.refs)


@dataclass(frozen=True)
class Survey:
    """What there is to be measured.

    Args:
        pairs: Layers that can be.
        skipped: Layers that cannot, with the reason.
        coverage: Share of the elements of NEW's attention layers that are in ``pairs``; ``None`` without such layers.
        n_old: Attention layers in OLD.
        n_new: Attention layers in NEW.
        positions: How NEW tells positions apart.
        n_sampled_from: Number of layers that ``pairs`` were taken from evenly; 0 if all were.
        looks_ahead: Whether tokens of NEW see those behind them; ``None`` if unknown.
    """

    pairs: tuple[LayerPair, ...]
    skipped: tuple[tuple[str, str], ...]
    coverage: float | None
    n_old: int
    n_new: int
    positions: Positions
    n_sampled_from: int = 0
    looks_ahead: bool | None = None

    @property
    def missing(self) -> str:
        """Why nothing can be measured, and what would help."""
        if not self.n_old or not self.n_new:
            side = "OLD" if not self.n_old else "NEW"
            return f"needs: attention layers ({side} has no tensors that are named as queries and keys)"
        if not self.skipped:
            return "needs: an attention layer that both models have"
        key, reason = self.skipped[0]
        more = f", and {len(self.skipped) - 1} more layers" if len(self.skipped) > 1 else ""
        return f"needs: {reason} ({key}{more})"


class _OneSide(NamedTuple):
    layers: list[Layer]
    sides: Mapping[str, Side]
    reasons: Mapping[str, str]
    positions: Positions
    uncut: frozenset[str]


def survey(comparison: Comparison, options: Mapping[str, Any]) -> Survey:
    """Find the attention layers of both sides, align them and see which can be measured."""
    old = _one_side(comparison.old, [result.pair.old for result in comparison.results], options)
    new = _one_side(comparison.new, [result.pair.new for result in comparison.results], options)
    old, new = _with_positions_of(old, new), _with_positions_of(new, old)
    by_name = {result.pair.new.name: result for result in comparison.results if result.pair.new and result.pair.old}
    pairs: list[LayerPair] = []
    skipped: list[tuple[str, str]] = []
    for old_layer, new_layer in _aligned(old.layers, new.layers, by_name):
        reason = old.reasons.get(old_layer.key) or new.reasons.get(new_layer.key)
        one, other = old.sides.get(old_layer.key), new.sides.get(new_layer.key)
        one, other = one or _cut_alike(old_layer, old, other), other or _cut_alike(new_layer, new, one)
        if one is None or other is None:
            skipped.append((new_layer.key, reason or ""))
            continue
        pairs.append(LayerPair(one, other, _is_identical(one, other, by_name)))
    kept = _affordable(pairs)
    total = sum(layer.numel for layer in new.layers)
    return Survey(
        kept,
        tuple(skipped),
        sum(pair.new.layer.numel for pair in kept) / total if total else None,
        len(old.layers),
        len(new.layers),
        new.positions,
        len(pairs) if len(kept) < len(pairs) else 0,
        _looks_ahead(comparison, kept[0].new.layer.leaves.get("qkv", "")) if kept else None,
    )


def _looks_ahead(comparison: Comparison, leaf: str) -> bool | None:
    """Return what either side says, unless they say different things."""
    said = {looks_ahead(side, leaf) for side in (comparison.old, comparison.new)} - {None}
    return said.pop() if len(said) == 1 else None


def _with_positions_of(side: _OneSide, other: _OneSide) -> _OneSide:
    """Take what the other side says of positions where this one, without a configuration, says nothing."""
    if side.positions.way != "unknown" or other.positions.way != "rotary":
        return side
    sides = {key: replace(one, positions=other.positions) for key, one in side.sides.items()}
    return side._replace(positions=other.positions, sides=sides)


def _cut_alike(layer: Layer, side: _OneSide, other: Side | None) -> Side | None:
    """Cut a layer into heads as the other side is, where all shapes are the same and only that one says how."""
    if other is None or layer.key not in side.uncut or _shapes(layer) != _shapes(other.layer):
        return None
    return Side(layer, other.heads, side.positions, other.model_type)


def _shapes(layer: Layer) -> dict[str, tuple[int, int]]:
    return {role: (matrix.n_out, matrix.n_in) for role, matrix in layer.matrices.items()}


def _one_side(side: Artifact, looked_at: Iterable[TensorRef | None], options: Mapping[str, Any]) -> _OneSide:
    refs = [side.tensors.get(ref.name, ref) for ref in looked_at if ref is not None]
    layers = attention_layers(refs)
    sources, positions = head_sources(side, refs, options), positions_of(side, refs)
    model_type = model_type_of(side)
    sides: dict[str, Side] = {}
    reasons: dict[str, str] = {}
    uncut: set[str] = set()
    for layer in layers:
        if not all(ref.dtype.kind == "float" for ref in layer.refs):
            reasons[layer.key] = "floating-point weights, these are codes without a known quantisation"
            continue
        heads = heads_of(layer, sources)
        if isinstance(heads, str):
            uncut.add(layer.key)
            reasons[layer.key] = f"head count: {heads}; pass --num-heads or give the folder with its config.json"
        else:
            sides[layer.key] = Side(layer, heads, positions, model_type)
    return _OneSide(layers, sides, reasons, positions, frozenset(uncut))


def _aligned(old: list[Layer], new: list[Layer], by_name: Mapping[str, PairResult]) -> list[tuple[Layer, Layer]]:
    """Pair layers by the tensors they share, and stacks of other names by number where there is only one of each."""
    owners = {ref.name: layer for layer in old for ref in layer.refs}
    partners: dict[str, Layer] = {}
    taken: set[str] = set()
    for layer in new:
        names = [by_name[ref.name].pair.old_name for ref in layer.refs if ref.name in by_name]
        owner = next((owners[name] for name in names if name in owners), None)
        if owner is not None and owner.key not in taken:
            partners[layer.key] = owner
            taken.add(owner.key)
    rest = [
        _stacks([layer for layer in side if layer.key not in used])
        for side, used in ((old, taken), (new, partners.keys()))
    ]
    if len(rest[0]) == len(rest[1]) == 1:
        (one,), (other,) = (list(stacks.values()) for stacks in rest)
        by_block = {layer.block: layer for layer in one}
        partners |= {layer.key: by_block[layer.block] for layer in other if layer.block in by_block}
    return [(partners[layer.key], layer) for layer in new if layer.key in partners]


def _stacks(layers: Iterable[Layer]) -> dict[tuple[str, str], list[Layer]]:
    found: dict[tuple[str, str], list[Layer]] = defaultdict(list)
    for layer in layers:
        found[layer.prefix, layer.module].append(layer)
    return found


def _is_identical(old: Side, new: Side, by_name: Mapping[str, PairResult]) -> bool:
    """Whether the tensors of a layer are equal bit for bit on both sides, and are cut into heads alike."""
    results = [by_name.get(ref.name) for ref in new.layer.refs]
    names = {ref.name for ref in old.layer.refs}
    return (
        len(names) == len(results)
        and all(
            result is not None
            and result.relation is Relation.IDENTICAL
            and result.same_shape
            and result.pair.old_name in names
            for result in results
        )
        and old.heads[:3] == new.heads[:3]
        and old.positions[:3] == new.positions[:3]
    )


def _affordable(pairs: list[LayerPair]) -> tuple[LayerPair, ...]:
    """Return all layers, or as many evenly spaced ones as may be measured."""
    work = sum(map(_work, pairs))
    if work <= MAX_WORK:
        return tuple(pairs)
    count = max(int(len(pairs) * MAX_WORK / work), 1)
    return tuple(pairs[number * len(pairs) // count] for number in range(count))


def _work(pair: LayerPair) -> float:
    heads = pair.new.heads
    width = max(matrix.n_in for matrix in pair.new.layer.matrices.values())
    return (8.0 if pair.identical else 28.0) * heads.n * heads.dim**2 * width
