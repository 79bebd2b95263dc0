"""The second look: how many directions a matrix uses, and how well its bytes compress."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from diffai_lib_layers import is_transposed, matrix_shape, n_stacked

if TYPE_CHECKING:
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray

    from diffai_core.plugin import TensorRef

WHOLE_SIDE = 768
WHOLE_COST = 10**10
"""Multiplications that all whole matrices of one side may take together; larger models are sampled."""

SAMPLE_ROWS = 256
SAMPLE_COLUMNS = 1024
MOST_SAMPLES = 256
_STEPS = 2_000


class Job(NamedTuple):
    """A matrix to look at.

    Args:
        ref: The tensor.
        whole: Whether all of it is taken, or evenly spaced rows and columns.
    """

    ref: TensorRef
    whole: bool


class Look(NamedTuple):
    """What was seen of one matrix.

    Args:
        effective_rank: exp of the entropy of the singular values as shares of their sum (Roy and Vetterli 2007).
        side: The shorter side of what was looked at: the most that the effective rank can be.
        random_share: Effective rank over ``side`` of a normally distributed matrix of this shape.
        bits: Entropy of the bytes, plane by plane, in bits for each element; ``None`` of a quantised tensor.
    """

    effective_rank: float
    side: int
    random_share: float
    bits: float | None


def cost_of(ref: TensorRef) -> int:
    """Return the multiplications that the Gram matrix of a whole matrix takes."""
    rows, columns = matrix_shape(ref) or (0, 0)
    return min(rows, columns) ** 2 * max(rows, columns)


def jobs_of(refs: list[TensorRef]) -> list[Job]:
    """Return which matrices to look at: the small ones whole within the budget, of the others evenly spaced ones."""
    whole: set[int] = set()
    left = WHOLE_COST
    for index in sorted(range(len(refs)), key=lambda index: (cost_of(refs[index]), index)):
        small = min(matrix_shape(refs[index]) or (0,)) <= WHOLE_SIDE and n_stacked(refs[index]) == 1
        if small and cost_of(refs[index]) <= left:
            whole.add(index)
            left -= cost_of(refs[index])
    others = [index for index in range(len(refs)) if index not in whole]
    step = max(1, -(-len(others) // MOST_SAMPLES))
    chosen = whole | set(others[::step])
    return [Job(refs[index], index in whole) for index in sorted(chosen)]


def look(job: Job) -> Look | None:
    """Return what one matrix is like, or ``None`` if what is looked at is not finite, all zero or complex."""
    import numpy as np

    if job.ref.dtype.kind == "complex":
        return None
    values = _rows(job)
    bits = None if job.ref.quantization is not None else plane_bits(values)
    numbers = values.astype(np.float64)
    largest = float(np.abs(numbers).max(initial=0.0))
    if not math.isfinite(largest) or largest == 0:
        return None
    found = effective_rank(numbers / largest)
    short, long = sorted(numbers.shape)
    return Look(found, short, random_share(short / long), bits)


def effective_rank(matrix: NDArray[np.float64]) -> float:
    """Return exp of the entropy of the singular values as shares of their sum: 1 to the shorter side.

    Args:
        matrix: Shape ``(m, n)``, not all zero.
    """
    import numpy as np

    tall = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    values = np.sqrt(np.clip(np.linalg.eigvalsh(tall @ tall.T), 0, None))
    shares = values / values.sum()
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))


@cache
def random_share(ratio: float) -> float:
    """Return effective rank over the shorter side of a large normally distributed matrix (Marchenko and Pastur 1967).

    Args:
        ratio: Shorter side over longer side, above 0, at most 1.
    """
    import numpy as np

    low, high = 1 - math.sqrt(ratio), 1 + math.sqrt(ratio)
    angles = (np.arange(_STEPS) + 0.5) * math.pi / _STEPS
    squares = (low**2 + high**2) / 2 + (high**2 - low**2) / 2 * np.cos(angles)  # Chebyshev nodes of the eigenvalues
    values = np.sqrt(squares)
    density = np.sin(angles) ** 2 / squares
    density /= density.sum()
    relative = values / (density * values).sum()
    return float(np.exp(-(density * relative * np.log(relative)).sum()))


def plane_bits(values: NDArray[Any]) -> float:
    """Return the entropy of the bytes of the elements, plane by plane, in bits for each element."""
    import numpy as np

    width = values.dtype.itemsize
    planes = np.ascontiguousarray(values).reshape(-1).view(np.uint8).reshape(-1, width)
    total = 0.0
    for plane in range(width):
        counts = np.bincount(planes[:, plane], minlength=256)
        shares = counts[counts > 0] / len(planes)
        total -= float((shares * np.log2(shares)).sum())
    return total + 0.0


def _rows(job: Job) -> NDArray[Any]:
    """Return the matrix, or evenly spaced rows and columns of it, as it is stored."""
    import numpy as np

    ref = job.ref
    if is_transposed(ref) and n_stacked(ref) == 1:
        n_rows, n_columns = math.prod(ref.shape[:-1]), ref.shape[-1]
    else:
        n_rows, n_columns = ref.shape[0], math.prod(ref.shape[1:])
    first = 0
    if n_stacked(ref) > 1:  # the expert in the middle
        first, n_rows, n_columns = ref.shape[0] // 2 * ref.shape[1], ref.shape[1], ref.shape[2]
    rows = first + (np.arange(n_rows) if job.whole else spaced(n_rows, SAMPLE_ROWS))
    columns = None if job.whole or n_columns <= SAMPLE_COLUMNS else spaced(n_columns, SAMPLE_COLUMNS)
    return replace(ref, shape=(ref.numel // n_columns, n_columns)).read_rows(rows, columns)


def spaced(length: int, most: int) -> NDArray[np.int64]:
    """Return at most ``most`` evenly spaced indices below ``length``.

    Example:
        >>> spaced(10, 3).tolist(), spaced(2, 3).tolist()
        ([1, 5, 8], [0, 1])
    """
    import numpy as np

    count = min(length, most)
    return (np.arange(count) * 2 + 1) * length // (2 * count) if count else np.arange(0)
