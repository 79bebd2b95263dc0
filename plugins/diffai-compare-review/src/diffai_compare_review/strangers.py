"""Tensors that have no counterpart by name or content: are they the same ones, changed and renamed?"""

from __future__ import annotations

from collections import Counter
from math import sqrt
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from diffai_compare_review.look import evenly
from diffai_compare_review.matrix import matrix
from diffai_compare_review.survey import MATRIX, is_matrix

if TYPE_CHECKING:
    from collections.abc import Sequence

    from diffai_compare_review.effort import Effort
    from diffai_compare_review.matrix import Matrix
    from diffai_core.plugin import TensorRef

_SIDE = 128
_NUMBERS = frozenset({"float"})


class Strangers(NamedTuple):
    """Pairs of lone tensors whose shape occurs once on each side.

    Args:
        pairs: Names in OLD and NEW.
        cosines: Centred cosine of a sample of each pair.
        zs: The same in units of what chance gives.
    """

    pairs: list[tuple[str, str]]
    cosines: list[float]
    zs: list[float]


def strangers(old: Sequence[TensorRef], new: Sequence[TensorRef], effort: Effort) -> Strangers:
    """Return the cosines of matrices under other names that can only be each other's counterpart."""
    found = Strangers([], [], [])
    sides = [[ref for ref in refs if is_matrix(ref) and ref.numel >= MATRIX] for refs in (old, new)]
    counts = [Counter(ref.shape for ref in side) for side in sides]
    by_shape = {ref.shape: ref for ref in sides[1] if counts[1][ref.shape] == 1}
    for ref in sides[0]:
        other = by_shape.get(ref.shape)
        if counts[0][ref.shape] != 1 or other is None or {ref.dtype.kind, other.dtype.kind} - _NUMBERS:
            continue
        if len(found.pairs) >= effort.most:
            break
        cosine, n = _cosine(matrix(ref, effort), matrix(other, effort))
        found.pairs.append((ref.name, other.name))
        found.cosines.append(cosine)
        found.zs.append(cosine * sqrt(n))
    return found


def _cosine(old: Matrix, new: Matrix) -> tuple[float, int]:
    length = min(len(old), len(new))
    if not length:
        return 0.0, 1
    rows, columns = evenly(length, _SIDE), evenly(old.shape[1], _SIDE)
    a, b = (side.part(rows, columns).astype(np.float64) for side in (old, new))
    good = np.isfinite(a) & np.isfinite(b)
    a, b = a[good], b[good]
    if not a.size:
        return 0.0, 1
    a, b = a - a.mean(), b - b.mean()
    with np.errstate(over="ignore", invalid="ignore"):
        size = float(np.sqrt(np.sum(a * a) * np.sum(b * b)))
        cosine = float(np.sum(a * b)) / size if size and np.isfinite(size) else 0.0
    return cosine, a.size
