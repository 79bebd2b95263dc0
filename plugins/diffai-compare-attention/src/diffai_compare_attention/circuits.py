"""Sizes, products and spectra of circuits, without ever forming a d x d matrix.

A circuit of one head is the product ``left.T @ right`` of two factors of shape ``(head_dim, inputs)``: queries and
keys (QK, what a head looks for), or outputs and values (OV, what it writes). Only this product acts on the model; each
factor alone may be multiplied by any invertible matrix if the other one takes the inverse.

Where positions rotate pairs of dimensions (RoPE), only complex factors of each pair are free, and the circuit depends
on the distance of two tokens. Then a circuit is the list of the complex products of its pairs, and its squared size is
the mean over all distances.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Reals = NDArray[np.float64]

_CANCELS = 1e-10
"""Below this share of the squared sizes, sums of large products cannot tell the squared difference any more."""


@dataclass(frozen=True)
class Circuit:
    """One circuit of one head.

    Args:
        left: float64, shape ``(head_dim, inputs)``: queries, or outputs transposed.
        right: float64, shape ``(head_dim, inputs)``: keys, or values. Widths of both factors may differ.
        n_pairs: How many pairs of rows rotate with the position; rows ``2 * i`` and ``2 * i + 1`` are a pair, and the
            pairs come first.
    """

    left: Reals
    right: Reals
    n_pairs: int = 0


@dataclass(frozen=True)
class Change:
    """How far two circuits are apart.

    Args:
        old_norm: Frobenius norm in OLD.
        new_norm: Frobenius norm in NEW.
        delta_rel: Norm of the difference over the norm in OLD; ``None`` if that is 0.
        cos: Cosine; ``None`` if a norm is 0.
    """

    old_norm: float
    new_norm: float
    delta_rel: float | None
    cos: float | None


def inner(one: Circuit, other: Circuit) -> float:
    """Return the inner product of two circuits (the trace of ``one.T @ other``), in O(inputs x head_dim squared)."""
    split = 2 * one.n_pairs
    total = 0.0
    if split:
        queries = np.einsum("fd,fd->f", _complex(one.left, split), _complex(other.left, split).conj())
        keys = np.einsum("fd,fd->f", _complex(other.right, split), _complex(one.right, split).conj())
        total += 0.5 * float((queries * keys).real.sum())  # the mean of a squared cosine over all distances
    if split < one.left.shape[0]:
        lefts = one.left[split:] @ other.left[split:].T
        total += float((lefts * (one.right[split:] @ other.right[split:].T)).sum())
    return total


def change(old: Circuit, new: Circuit) -> Change:
    """Return how far two circuits are apart; exact also for a difference of 1e-12 of their size."""
    old_sq, new_sq = max(inner(old, old), 0.0), max(inner(new, new), 0.0)
    old_norm, new_norm = old_sq**0.5, new_sq**0.5
    if not old_norm or not new_norm:
        return Change(old_norm, new_norm, 1.0 if old_norm else None, None)
    if np.array_equal(old.left, new.left) and np.array_equal(old.right, new.right):
        return Change(old_norm, new_norm, 0.0, 1.0)
    squared = old_sq + new_sq - 2 * inner(old, new)
    if squared < _CANCELS * (old_sq + new_sq):
        squared = _difference_squared(old, new)
    far = max(squared - (new_norm - old_norm) ** 2, 0.0) / (2 * old_norm * new_norm)
    return Change(old_norm, new_norm, max(squared, 0.0) ** 0.5 / old_norm, 1 - min(far, 2.0))


def spectrum(circuit: Circuit) -> Reals:
    """Return the singular values of the product, largest first; those below 1e-8 of the largest are rounding.

    They are the roots of the eigenvalues of ``root(L L.T) R R.T root(L L.T)``, which is ``head_dim`` squared: ten times
    cheaper than the QR of both factors, and as good for sums of singular values.
    """
    values, vectors = np.linalg.eigh(circuit.left @ circuit.left.T)
    root = vectors * np.sqrt(np.clip(values, 0.0, None))
    squares = np.linalg.eigvalsh(root.T @ (circuit.right @ circuit.right.T) @ root)[::-1]
    found: Reals = np.sqrt(np.clip(squares, 0.0, None))
    return found


def effective_rank(values: Reals) -> float | None:
    """Return exp of the entropy of the singular values (Roy and Vetterli 2007); ``None`` if all are 0."""
    total = float(values.sum())
    if not total > 0:
        return None
    shares = values[values > 0] / total
    return float(np.exp(-(shares * np.log(shares)).sum()))


def trace(circuit: Circuit) -> float | None:
    """Return the trace of the product; ``None`` where it is no square matrix."""
    if circuit.left.shape != circuit.right.shape:
        return None
    return float((circuit.left * circuit.right).sum())


def pair_energies(circuit: Circuit) -> Reals:
    """Return the squared size of each rotating pair, highest frequency first; shape ``(n_pairs,)``."""
    split = 2 * circuit.n_pairs
    lefts, rights = ((factor[:split] ** 2).sum(axis=1) for factor in (circuit.left, circuit.right))
    energies: Reals = 0.5 * lefts.reshape(-1, 2).sum(axis=1) * rights.reshape(-1, 2).sum(axis=1)
    return energies


def _complex(factor: Reals, split: int) -> NDArray[np.complex128]:
    pairs: NDArray[np.complex128] = factor[0:split:2] + 1j * factor[1:split:2]
    return pairs


def _difference_squared(old: Circuit, new: Circuit) -> float:
    """Return the squared norm of ``new - old`` from a factorisation of the difference itself, without cancellation."""
    split = 2 * old.n_pairs
    total = 0.0
    for pair in range(0, split, 2):
        total += _pair_difference_squared(*(factor[pair : pair + 2] for factor in _factors(old, new)))
    lefts = np.concatenate([new.left[split:], old.left[split:]])
    rights = np.concatenate([new.right[split:], -old.right[split:]])
    if lefts.size and rights.size:
        product = _triangle(lefts) @ _triangle(rights).T
        total += float((product**2).sum())
    return total


def _triangle(factor: NDArray[Any]) -> NDArray[Any]:
    """Return R of the QR factorisation of the transposed factor."""
    return np.asarray(np.linalg.qr(factor.T, mode="r"))


def _factors(old: Circuit, new: Circuit) -> tuple[Reals, Reals, Reals, Reals]:
    return old.left, old.right, new.left, new.right


def _pair_difference_squared(old_left: Reals, old_right: Reals, new_left: Reals, new_right: Reals) -> float:
    """Return the same for one rotating pair: half the squared norm of a difference of complex products."""
    lefts = np.stack([_complex(new_left, 2)[0].conj(), _complex(old_left, 2)[0].conj()])
    rights = np.stack([_complex(new_right, 2)[0], -_complex(old_right, 2)[0]])
    product = _triangle(lefts) @ _triangle(rights).T
    return 0.5 * float((np.abs(product) ** 2).sum())
