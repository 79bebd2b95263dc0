"""The path of a series of checkpoints through the space of parameters."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from diffai_core.plugin import FileTensor, decode, regroup

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from diffai_core.plugin import Comparison, TensorRef

_BLOCK = 1 << 16
"""Elements of each checkpoint in memory at a time."""

_LARGEST = 1e150
"""Squares of smaller numbers are inside float64."""


class Path(NamedTuple):
    """Sums over parameters of a series of k + 1 checkpoints W_0 … W_k with steps D_i = W_(i+1) - W_i.

    Args:
        n: Parameters.
        n_skipped: Parameters that are not finite, or beyond 1e150, in some checkpoint; left out.
        weight_sq: ‖W_i‖², shape (k + 1,).
        step_sq: ‖D_i‖², shape (k,).
        step_dot: D_i·D_(i+1), shape (k - 1,).
        whole_sq: ‖W_k - W_0‖².
    """

    n: int
    n_skipped: int
    weight_sq: NDArray[np.float64]
    step_sq: NDArray[np.float64]
    step_dot: NDArray[np.float64]
    whole_sq: float

    def plus(self, other: Path) -> Path:
        """Return the sums over the parameters of both."""
        return Path(
            self.n + other.n,
            self.n_skipped + other.n_skipped,
            self.weight_sq + other.weight_sq,
            self.step_sq + other.step_sq,
            self.step_dot + other.step_dot,
            self.whole_sq + other.whole_sq,
        )

    @property
    def n_used(self) -> int:
        """Parameters behind the sums."""
        return self.n - self.n_skipped

    @property
    def step_norms(self) -> NDArray[np.float64]:
        """‖D_i‖."""
        return np.sqrt(self.step_sq)

    @property
    def rel_steps(self) -> list[float | None]:
        """‖D_i‖/‖W_(i+1)‖."""
        return [_over(step, weight) for step, weight in zip(self.step_norms, np.sqrt(self.weight_sq[1:]), strict=True)]

    @property
    def cosines(self) -> list[float | None]:
        """Cosine of each step and the next; ``None`` where one is 0."""
        norms = self.step_norms
        return [_over(dot, norms[i] * norms[i + 1]) for i, dot in enumerate(self.step_dot)]

    @property
    def straightness(self) -> float | None:
        """‖W_k - W_0‖/Σ‖D_i‖: 1 for a straight path; ``None`` if nothing moved."""
        return _over(math.sqrt(self.whole_sq), float(self.step_norms.sum()))


def _over(part: float, whole: float) -> float | None:
    return float(part) / float(whole) if whole else None


def path_of(comparison: Comparison, names: Sequence[tuple[str, str]]) -> Path | None:
    """Return the path of the parameters that all checkpoints have in one shape; ``None`` if there are none.

    Args:
        comparison: The series.
        names: Name in OLD and in NEW of each parameter; those between are looked up under either.
    """
    items = [refs for old, new in names if (refs := _refs(comparison, old, new)) is not None]
    total: Path | None = None
    for part in comparison.map(_path_of_tensor, items, nbytes=lambda refs: sum(ref.nbytes for ref in refs)):
        total = part if total is None else total.plus(part)
    return total


def _refs(comparison: Comparison, old: str, new: str) -> tuple[TensorRef, ...] | None:
    first, *middle, last = comparison.series
    found = [first.tensors.get(old)]
    found += [artifact.tensors.get(new, artifact.tensors.get(old)) for artifact in middle]
    found.append(last.tensors.get(new))
    refs = tuple(ref for ref in found if ref is not None and ref.dtype.kind == "float")
    alike = len(refs) == len(found) and len({ref.shape for ref in refs}) == 1
    return refs if alike else None


def _path_of_tensor(refs: tuple[TensorRef, ...]) -> Path:
    k = len(refs) - 1
    total = Path(0, 0, np.zeros(k + 1), np.zeros(k), np.zeros(k - 1), 0.0)
    for blocks in zip(*(_pieces(ref) for ref in refs), strict=True):
        total = total.plus(_path_of_block(np.stack([block.astype(np.float64) for block in blocks])))
    return total


def _path_of_block(weights: NDArray[np.float64]) -> Path:
    """Return the sums over one block of all checkpoints, shape (k + 1, n)."""
    finite: NDArray[np.bool_] = np.logical_and.reduce(np.abs(weights) < _LARGEST, axis=0)
    if not finite.all():
        weights = weights[:, finite]
    steps = np.diff(weights, axis=0)
    whole = weights[-1] - weights[0]
    return Path(
        len(finite),
        int((~finite).sum()),
        np.einsum("ij,ij->i", weights, weights),
        np.einsum("ij,ij->i", steps, steps),
        np.einsum("ij,ij->i", steps[:-1], steps[1:]),
        float(whole @ whole),
    )


def _pieces(ref: TensorRef) -> Iterator[NDArray[Any]]:
    """Yield the elements in runs of equal length; of files without mapping them, so that no page stays in memory."""
    if not isinstance(ref, FileTensor):
        yield from regroup(ref.blocks(1 << 20), _BLOCK, ref.dtype)
        return
    for start in range(0, ref.numel, _BLOCK):
        count = min(_BLOCK, ref.numel - start)
        data = ref.file.read(ref.offset + ref.dtype.nbytes(start), ref.dtype.nbytes(count))
        yield decode(memoryview(data), ref.dtype, count)
