"""How far two ways to divide the same things into groups agree, corrected for chance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Labels = NDArray[np.intp]
    Counts = NDArray[np.int64]

_ROUNDING = 1e-12


def contingency(one: Labels, other: Labels) -> Counts:
    """Return how many things are in each pair of groups, shape ``(groups of one, groups of other)``."""
    table = np.zeros((int(one.max(initial=-1)) + 1, int(other.max(initial=-1)) + 1), dtype=np.int64)
    np.add.at(table, (one, other), 1)
    kept: Counts = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    return kept


def adjusted_rand(one: Labels, other: Labels) -> float:
    """Return the adjusted Rand index (Hubert and Arabie 1985): 1 for the same groups, 0 for groups by chance."""
    table = contingency(one, other).astype(np.float64)
    n = table.sum()
    together = float((table * (table - 1)).sum() / 2)
    rows, columns = (float((sums * (sums - 1)).sum() / 2) for sums in (table.sum(axis=1), table.sum(axis=0)))
    every = float(n * (n - 1) / 2)
    expected = rows * columns / every if every else 0.0
    greatest = (rows + columns) / 2
    return 1.0 if greatest == expected else (together - expected) / (greatest - expected)


def variation_of_information(one: Labels, other: Labels) -> float:
    """Return H(one | other) + H(other | one) in nats (Meila 2007): 0 for the same groups."""
    table = contingency(one, other).astype(np.float64)
    joint = _entropy(table.reshape(-1))
    return max(2 * joint - _entropy(table.sum(axis=1)) - _entropy(table.sum(axis=0)), 0.0)


def adjusted_mutual_information(one: Labels, other: Labels) -> float:
    """Return the mutual information less that of chance, over the mean entropy less the same (Vinh et al. 2010)."""
    table = contingency(one, other)
    entropies = [_entropy(table.sum(axis=axis).astype(np.float64)) for axis in (1, 0)]
    if table.shape[0] == table.shape[1] == 1:
        return 1.0
    mutual = sum(entropies) - _entropy(table.reshape(-1).astype(np.float64))
    expected = _expected_mutual_information(table)
    room = sum(entropies) / 2 - expected
    if abs(room) > _ROUNDING:
        return (mutual - expected) / room
    return float(table.shape[0] == table.shape[1] == np.count_nonzero(table))


def n_moved(one: Labels, other: Labels) -> int:
    """Return how many things are in another group, groups matched so that they are fewest."""
    from scipy.optimize import linear_sum_assignment

    table = contingency(one, other)
    rows, columns = linear_sum_assignment(-table)
    return int(table.sum() - table[rows, columns].sum())


def _entropy(counts: NDArray[np.float64]) -> float:
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def _expected_mutual_information(table: Counts) -> float:
    """Return the mean over all tables with the same sums: hypergeometric for each pair of groups."""
    n = int(table.sum())
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])  # of factorials
    total = 0.0
    for a in table.sum(axis=1).tolist():
        for b in table.sum(axis=0).tolist():
            shared = np.arange(max(a + b - n, 1), min(a, b) + 1)
            chance = logs[a] + logs[b] + logs[n - a] + logs[n - b] - logs[n] - logs[shared]
            chance = chance - logs[a - shared] - logs[b - shared] - logs[n - a - b + shared]
            total += float((shared / n * np.log(n * shared / (a * b)) * np.exp(chance)).sum())
    return total
