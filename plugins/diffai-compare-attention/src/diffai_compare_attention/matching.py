"""Which head of OLD each head of NEW is: heads of a layer may be stored in any order."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from diffai_compare_attention.factors import CircuitReader

    Reals = NDArray[np.float64]

LEAST_COS = 0.2
LEAST_MARGIN = 0.1
"""A head counts as another one's only if their cosine is above the first and ahead of any other by the second
(calibrated on real and unrelated pairs of matrices)."""

_N_SIGNS = 64
_SEED = 20_240_229


class _Sketch(NamedTuple):
    """Projections of one head's circuit on random directions, by which inner products are estimated."""

    pairs_left: NDArray[np.complex128]
    pairs_right: NDArray[np.complex128]
    rest: Reals


def match(new: Sequence[CircuitReader], old: Sequence[CircuitReader]) -> list[int]:
    """Return for each head of NEW the head of OLD it is, -1 for none.

    Heads that are nobody's keep their number where it is free, so that heads of unrelated models are compared in order.

    Args:
        new: Readers of the circuits that are compared, at least one.
        old: The same of OLD.
    """
    total = sum(_similarity(one, other) for one, other in zip(new, old, strict=True)) / len(new)
    return _assign(np.asarray(total))


def _assign(similarity: Reals) -> list[int]:
    """Pair heads that are each other's best, by a margin; then the rest by number."""
    n_new, n_old = similarity.shape
    found = [-1] * n_new
    for head in range(n_new):
        partner = int(similarity[head].argmax())
        if int(similarity[:, partner].argmax()) == head and _is_sure(similarity, head, partner):
            found[head] = partner
    free = [head for head in range(n_old) if head not in set(found)]
    waiting = [head for head in range(n_new) if found[head] < 0]
    for head in [head for head in waiting if head in free]:
        found[head] = head
        free.remove(head)
    for head in waiting:
        if found[head] < 0 and free:
            found[head] = free.pop(0)
    return found


def _is_sure(similarity: Reals, head: int, partner: int) -> bool:
    others = np.concatenate([np.delete(similarity[head], partner), np.delete(similarity[:, partner], head)])
    best: float = float(similarity[head, partner])
    return best > LEAST_COS and (not others.size or best - float(others.max()) > LEAST_MARGIN)


def _similarity(new: CircuitReader, old: CircuitReader) -> Reals:
    """Return estimated cosines between the circuits, shape ``(heads of new, heads of old)``."""
    signs = [_signs(width, number) for number, width in enumerate(new.widths)]
    sides = [[_sketch(reader, head, signs) for head in range(reader.n_heads)] for reader in (new, old)]
    norms = [np.sqrt(np.array([max(_product(one, one), 0.0) for one in side])) for side in sides]
    products = np.array([[_product(one, other) for other in sides[1]] for one in sides[0]])
    scale = np.outer(norms[0], norms[1])
    cosines: Reals = np.divide(products, scale, out=np.zeros_like(products), where=scale > 0)
    return cosines


def _signs(width: int, number: int) -> Reals:
    """Return random signs, the same in every run, with a last row for a bias; other ones for each factor."""
    drawn = np.random.default_rng([_SEED, number]).integers(0, 2, (width + 1, _N_SIGNS))
    signs: Reals = (2.0 * drawn - 1.0) / np.sqrt(_N_SIGNS)
    return signs


def _sketch(reader: CircuitReader, head: int, signs: list[Reals]) -> _Sketch:
    circuit = reader.circuit(head)
    split = 2 * circuit.n_pairs
    left, right = (
        factor @ sign[: factor.shape[1]] for factor, sign in zip((circuit.left, circuit.right), signs, strict=True)
    )
    pairs = [projected[0:split:2] + 1j * projected[1:split:2] for projected in (left, right)]
    return _Sketch(pairs[0], pairs[1], left[split:].T @ right[split:])


def _product(one: _Sketch, other: _Sketch) -> float:
    total = float((one.rest * other.rest).sum())
    if one.pairs_left.size:
        lefts = (one.pairs_left * other.pairs_left.conj()).sum(axis=1)
        total += 0.5 * float((lefts * (other.pairs_right * one.pairs_right.conj()).sum(axis=1)).real.sum())
    return total
