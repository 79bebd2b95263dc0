"""Which tensors the analyses look at, and what the pass has measured of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from diffai_compare_quantization.codes import Errors, float_name, scale_beside
from diffai_core.plugin import Relation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet

    from diffai_core.plugin import Comparison, PairResult, TensorRef

_CODE_BITS = 8


@dataclass(frozen=True)
class Target:
    """A weight of OLD and what became of it in NEW.

    Args:
        key: Name in NEW.
        old: The tensor of OLD: floats, or quantised.
        new: The tensor of NEW, of the same shape.
        identical: Whether the elements are equal.
        errors: How far they are apart, if the pass has measured it.
        scale: The scales of integer codes that stand beside them.
        extrema: Result of the accumulator of that name, if there is one.
        counts: Result of the accumulator of that name, if there is one.
    """

    key: str
    old: TensorRef
    new: TensorRef
    identical: bool = False
    errors: Errors | None = None
    scale: TensorRef | None = None
    extrema: Any = None
    counts: Any = None

    @property
    def has_codes(self) -> bool:
        """Whether NEW holds integer codes whose scales no loader has put to them."""
        return self.new.dtype.kind in ("int", "uint")

    @property
    def nbytes(self) -> int:
        """Bytes of both sides."""
        return self.old.nbytes + self.new.nbytes


ANALYSED = frozenset({"weights", "adapter"})
"""Roles whose precision is analysed."""
EXPLAINED = frozenset({"weights", "adapter", "buffers", "ema"})
"""Roles whose changes rounding may explain."""


def targets(comparison: Comparison, roles: AbstractSet[str]) -> list[Target]:
    """Return the weights of floating-point numbers that both sides have; tied ones once.

    PyTorch's quantised modules keep a weight under the name of what packs it; it is put to its float weight here.
    """
    found = [_paired(result, comparison) for result in comparison.results if _is_paired(result, roles)]
    found += _packed(comparison, roles)
    seen: set[Any] = set()
    kept = []
    for target in sorted(found, key=lambda target: target.key):
        storages = (target.old.storage, target.new.storage)
        if storages not in seen:
            seen.add(storages)
            kept.append(target)
    return kept


def _is_paired(result: PairResult, roles: AbstractSet[str]) -> bool:
    old, new = result.pair.old, result.pair.new
    if old is None or new is None or result.relation in (None, Relation.NOT_COMPARED) or old.shape != new.shape:
        return False
    codes = new.dtype.kind in ("int", "uint") and new.dtype.bits <= _CODE_BITS
    return old.dtype.kind == "float" and (new.dtype.kind == "float" or codes) and new.role in roles and new.numel > 0


def _paired(result: PairResult, comparison: Comparison) -> Target:
    old, new = result.pair.old, result.pair.new
    if old is None or new is None:
        raise ValueError(result.pair.key)
    identical = result.relation in (Relation.IDENTICAL, Relation.EQUAL_VALUES)
    codes = new.dtype.kind in ("int", "uint")
    statistics = result.statistics
    return Target(
        result.pair.key,
        old,
        new,
        identical,
        Errors(0.0, 0.0, 0.0, new.numel) if identical else None if codes else _errors(result),
        scale_beside(new, comparison.new.tensors) if codes else None,
        statistics.get("extrema"),
        statistics.get("counts"),
    )


def _errors(result: PairResult) -> Errors | None:
    moments, extrema = result.statistics.get("moments"), result.statistics.get("extrema")
    if moments is None or extrema is None or moments.old_paired.norm is None or moments.delta.norm is None:
        return None
    signal, noise = moments.old_paired.norm, moments.delta.norm
    return Errors(signal * signal, noise * noise, extrema.max_abs_diff, moments.n_finite_pairs)


def _packed(comparison: Comparison, roles: AbstractSet[str]) -> Iterator[Target]:
    lone_old = {r.pair.old.name: r.pair.old for r in comparison.results if r.pair.old and not r.pair.new}
    lone_new = [r.pair.new for r in comparison.results if r.pair.new and not r.pair.old]
    for new in lone_new:
        old = lone_old.get(float_name(new.name, lone_old))
        if old is None or old.shape != new.shape or old.dtype.kind != "float" or new.role not in roles:
            continue
        if new.quantization is not None and new.numel:
            yield Target(new.name, old, new)
