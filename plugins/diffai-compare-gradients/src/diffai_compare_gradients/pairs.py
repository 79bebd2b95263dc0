"""``--compare-gradients``: direction and size of what two optimizers last saw."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from diffai_compare_gradients.moments import Source, gradient_of, state_of
from diffai_compare_gradients.sums import SideSums, dot_of, exact_sum
from diffai_compare_gradients.wording import not_measurable, why_not
from diffai_core.plugin import Finding, Relation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from diffai_compare_gradients.moments import SideState
    from diffai_core.plugin import Comparison, PairResult, TensorRef

KIND = "compare_gradients"
_HOW = (
    "directions by the running means of gradients (exp_avg, momentum or saved gradients), sizes by exp_avg_sq;"
    " unrelated directions have a cosine of 0"
)
_SIZES_ONLY = "sizes by the running means of squared gradients; no direction is kept on both sides, or it is all zero"


@dataclass(frozen=True)
class Pair:
    """What two sides last saw of one parameter.

    Args:
        name: Its tensor in NEW.
        n: Elements.
        squares_old: Σm̂² of OLD, or ‖g‖² of a saved gradient; in units of OLD's own if it cannot be corrected.
        squares_new: The same of NEW.
        dot: Σ m̂A·m̂B.
        size_old: √Σv̂ of OLD (‖g‖ of a saved gradient); ``None`` if it is not known.
        size_new: The same of NEW.
    """

    name: str
    n: int
    squares_old: float
    squares_new: float
    dot: float
    size_old: float | None
    size_new: float | None

    @property
    def cos(self) -> float | None:
        """Cosine of the two directions; ``None`` if a side is all zero."""
        return _cos(self.dot, self.squares_old, self.squares_new)

    @property
    def ratio(self) -> float | None:
        """Size in NEW over size in OLD."""
        if not self.size_old or self.size_new is None or not math.isfinite(self.size_old + self.size_new):
            return None
        return self.size_new / self.size_old

    def row(self) -> dict[str, Any]:
        """Return the pair as a row of a table; unrelated directions have a cosine of 0 ± 1/√n."""
        null = None if not self.n else 1 / math.sqrt(self.n)
        return {"name": self.name, "n": self.n, "cos": self.cos, "cos_null_std": null, "rms_grad_ratio": self.ratio}


def _cos(dot: float, old: float, new: float) -> float | None:
    if not (0 < old < math.inf and 0 < new < math.inf and math.isfinite(dot)):
        return None
    product = old * new
    scale = math.sqrt(product) if 0 < product < math.inf else math.sqrt(old) * math.sqrt(new)
    return max(-1.0, min(1.0, dot / scale))


def compare(comparison: Comparison, _: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield one summary, with a row for each parameter."""
    old, new = (state_of(artifact, comparison.keys) for artifact in (comparison.old, comparison.new))
    sums = SideSums(comparison, "old"), SideSums(comparison, "new")
    pairs = [*_dumps(comparison, sums), *_states(comparison, old, new, sums)]
    if not pairs:
        yield not_measurable(KIND, _missing(comparison, old, new))
        return
    if not any(pair.cos is not None or pair.ratio is not None for pair in pairs):
        yield not_measurable(KIND, "on one side at least, what is kept of gradients is all zero or not finite")
        return
    yield _summary(pairs, old, new)


def _missing(comparison: Comparison, old: SideState, new: SideState) -> str:
    if bool(old.sources) != bool(new.sources):
        side = "OLD" if not old.sources else "NEW"
        return f"{side} holds no state of an optimizer that remembers gradients; give two training checkpoints"
    if old.sources:
        return "no parameter has state of the same kind and shape on both sides"
    return why_not(comparison, old, new)


def _summary(pairs: list[Pair], old: SideState, new: SideState) -> Finding:
    sized = [pair for pair in pairs if pair.size_old is not None and pair.size_new is not None]
    size_old = math.sqrt(exact_sum((pair.size_old or 0.0) ** 2 for pair in sized))
    size_new = math.sqrt(exact_sum((pair.size_new or 0.0) ** 2 for pair in sized))
    known = [pair for pair in pairs if pair.cos is not None]
    cosines = sorted(pair.cos for pair in known if pair.cos is not None)
    n_known = sum(pair.n for pair in known)
    n = sum(pair.n for pair in pairs)
    numel = max(old.numel_all, new.numel_all, n)
    return Finding(
        KIND,
        level="info",
        values={
            "cos": _cos(
                exact_sum(pair.dot for pair in known),
                exact_sum(pair.squares_old for pair in known),
                exact_sum(pair.squares_new for pair in known),
            ),
            "rms_grad_ratio": size_new / size_old if size_old else None,
            "rms_grad_old": size_old if sized else None,
            "rms_grad_new": size_new if sized else None,
            "cos_median": cosines[len(cosines) // 2] if cosines else None,
            "cos_min": cosines[0] if cosines else None,
            "n_parameters": len(pairs),
            "step_old": old.step,
            "step_new": new.step,
            "tensors": [pair.row() for pair in pairs],
        },
        null={
            "cos": 0.0,
            "cos_std": 1 / math.sqrt(n_known) if n_known else None,
            "cos_if_same_run": _shared(old, new),
            "rms_grad_ratio": 1.0,
        },
        coverage=n / numel if numel else None,
        message=_HOW if known else _SIZES_ONLY,
    )


def _shared(old: SideState, new: SideState) -> float | None:
    """Return the cosine of pure noise if NEW went on from OLD: what is left of OLD's mean, β1 to the steps between."""
    betas = {source.beta1 for source in new.sources}
    beta = betas.pop() if len(betas) == 1 else None
    if beta is None or old.step is None or new.step is None or new.step < old.step:
        return None
    return float(beta ** (new.step - old.step))


def _states(comparison: Comparison, old: SideState, new: SideState, sums: tuple[SideSums, SideSums]) -> Iterator[Pair]:
    matched = [(a, b) for a, b in _matched(comparison, old, new) if _have_both(a, b)]
    for side, sources in zip(sums, zip(*matched, strict=True), strict=False):
        side.measure(ref for source in sources for ref in (source.direction, source.second) if ref is not None)
    firsts = [(a.direction, b.direction) for a, b in matched]
    dots = _dots(comparison, [(a, b) for a, b in firsts if a is not None and b is not None], sums)
    for a, b in matched:
        first_a, first_b = a.direction, b.direction
        if first_a is None or first_b is None:
            yield Pair(b.name, b.numel, 0.0, 0.0, 0.0, _size(a, sums[0]), _size(b, sums[1]))
            continue
        scale_a, scale_b = (1 / ((source.first and source.correction1) or 1.0) for source in (a, b))
        yield Pair(
            b.name,
            first_b.numel,
            sums[0].of(first_a).squares * scale_a**2,
            sums[1].of(first_b).squares * scale_b**2,
            next(dots) * scale_a * scale_b,
            _size(a, sums[0]),
            _size(b, sums[1]),
        )


def _have_both(a: Source, b: Source) -> bool:
    """Whether both sides keep the direction of a gradient or both its size (RMSprop keeps that alone)."""
    return bool((a.direction and b.direction) or (a.second and b.second))


def _size(source: Source, sums: SideSums) -> float | None:
    return None if source.second is None else gradient_of(source, sums).rms


def _matched(comparison: Comparison, old: SideState, new: SideState) -> Iterator[tuple[Source, Source]]:
    """Yield the states of one parameter on both sides: by its tensor where that is known, else by its number."""
    renamed = {
        result.pair.new.name: result.pair.old.name
        for result in comparison.results
        if result.pair.old is not None and result.pair.new is not None
    }
    by_name = {source.state.name: source for source in old.sources if source.state.name}
    by_key = {(source.optimizer.path, source.state.key): source for source in old.sources}
    for source in new.sources:
        name = source.state.name
        twin = by_name.get(renamed.get(name, name)) if name else None
        if twin is None:
            twin = by_key.get((source.optimizer.path, source.state.key))
            if twin is not None and twin.state.name and name:
                twin = None  # both are known, and they are two parameters
        if twin is not None and twin.state.shape == source.state.shape:
            yield twin, source


def _dots(
    comparison: Comparison, refs: list[tuple[TensorRef, TensorRef]], sums: tuple[SideSums, SideSums]
) -> Iterator[float]:
    """Yield the products of paired tensors, in order: from the pass where it paired them, else from a second look."""
    found = [_dot_from_pass(a, b, sums) for a, b in refs]
    unknown = [pair for pair, dot in zip(refs, found, strict=True) if dot is None]
    read = comparison.map(dot_of, unknown, nbytes=_nbytes)
    for dot in found:
        yield next(read) if dot is None else dot


def _nbytes(refs: Iterable[TensorRef]) -> int:
    return sum(ref.nbytes for ref in refs)


def _dot_from_pass(a: TensorRef, b: TensorRef, sums: tuple[SideSums, SideSums]) -> float | None:
    result: PairResult | None = sums[1].results.get(b.name)
    if result is None or result.pair.old is None or result.pair.old.name != a.name or not result.same_shape:
        return None
    old, new = sums[0].of(a).squares, sums[1].of(b).squares
    if result.relation is Relation.IDENTICAL and sums[0].of(a).n_finite == sums[0].of(a).n:
        return old
    moments = result.statistics.get("moments")
    if moments is None or moments.one_minus_cos is None or moments.n_finite_pairs != b.numel:
        return None
    return float((1 - moments.one_minus_cos) * math.sqrt(old) * math.sqrt(new))


def _dumps(comparison: Comparison, sums: tuple[SideSums, SideSums]) -> Iterator[Pair]:
    """Yield the gradients that both sides have saved themselves."""
    refs = [
        (result.pair.old, result.pair.new)
        for result in comparison.results
        if result.same_shape and all(_is_gradient(ref) for ref in (result.pair.old, result.pair.new))
    ]
    pairs = [(a, b) for a, b in refs if a is not None and b is not None]
    for side, index in ((sums[0], 0), (sums[1], 1)):
        side.measure(pair[index] for pair in pairs)
    for (a, b), dot in zip(pairs, _dots(comparison, pairs, sums), strict=True):
        old, new = sums[0].of(a).squares, sums[1].of(b).squares
        yield Pair(b.name, b.numel, old, new, dot, math.sqrt(old), math.sqrt(new))


def _is_gradient(ref: TensorRef | None) -> bool:
    return ref is not None and ref.role == "gradients" and ref.dtype.kind == "float"
