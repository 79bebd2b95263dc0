"""The tensors of one side with what the pass measured of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from diffai_lib_layers import is_matrix, places

if TYPE_CHECKING:
    import numpy as np
    from diffai_lib_layers import Place
    from numpy.typing import NDArray

    from diffai_core.plugin import Centred, Comparison, Higher, PairResult, TensorRef, ValueCounts

SideName = Literal["old", "new"]


@dataclass(frozen=True)
class SideLines:
    """Sums along the rows or columns of one side.

    Args:
        length: Elements of a line.
        sq: Σx² of each line.
        max_abs: max |x| of each line.
        all_zero: Which lines are zero throughout.
    """

    length: int
    sq: NDArray[np.float64]
    max_abs: NDArray[np.float64]
    all_zero: NDArray[np.bool_]


@dataclass(frozen=True)
class SideTensor:
    """A tensor of one side and its statistics.

    Args:
        key: Its key in the report.
        ref: The tensor.
        place: What its name says of it.
        counts: Special values.
        centred: Mean and spread of its finite values.
        higher: Skewness and kurtosis.
        least: Least finite value; ``None`` if there is none.
        greatest: Greatest finite value.
        rows: Sums along rows; ``None`` if it is no matrix or not finite.
        columns: Sums along columns.
    """

    key: str
    ref: TensorRef
    place: Place
    counts: ValueCounts
    centred: Centred
    higher: Higher
    least: float | None
    greatest: float | None
    rows: SideLines | None
    columns: SideLines | None

    @property
    def max_abs(self) -> float:
        """Largest magnitude of a finite value, 0 if there is none."""
        return 0.0 if self.least is None or self.greatest is None else float(max(-self.least, self.greatest))

    @cached_property
    def is_matrix(self) -> bool:
        """Whether it is a weight matrix, by its shape and its name."""
        return is_matrix(self.ref)

    @property
    def is_float(self) -> bool:
        """Whether its elements are real numbers with fractions."""
        return self.ref.dtype.kind == "float"

    @property
    def is_constant(self) -> bool:
        """Whether all its values, two at least, are finite and the same."""
        n = self.counts.n
        return n > 1 and self.counts.n_finite == n and self.least == self.greatest

    @property
    def can_vary(self) -> bool:
        """Whether it is a parameter of real numbers that are neither all the same nor partly not finite."""
        return (
            self.ref.is_parameter
            and self.is_float
            and not self.is_constant
            and self.counts.n_finite == self.counts.n > 1
        )


def side_of(comparison: Comparison, name: SideName) -> list[SideTensor]:
    """Return the measured tensors of one side; storage that several share stands once."""
    artifact = comparison.old if name == "old" else comparison.new
    known = places(artifact.tensors)
    found: list[SideTensor] = []
    seen = set()
    for result in comparison.results:
        ref = getattr(result.pair, name)
        if ref is None or result.statistics.get("counts") is None or ref.storage in seen:
            continue
        seen.add(ref.storage)
        found.append(_tensor(result, ref, known[ref.name], name))
    return found


def _tensor(result: PairResult, ref: TensorRef, place: Place, name: SideName) -> SideTensor:
    statistics = result.statistics
    extrema = statistics["extrema"]
    clean = statistics["moments"].n_finite_pairs == statistics["changes"].n  # sums along lines are of finite pairs
    return SideTensor(
        key=result.pair.key,
        ref=ref,
        place=place,
        counts=getattr(statistics["counts"], name),
        centred=getattr(statistics["moments"], name),
        higher=getattr(statistics["higher_moments"], name),
        least=getattr(extrema, f"{name}_min"),
        greatest=getattr(extrema, f"{name}_max"),
        rows=_lines(statistics.get("rows"), name) if clean else None,
        columns=_lines(statistics.get("columns"), name) if clean else None,
    )


def _lines(sums: Any, name: SideName) -> SideLines | None:
    if sums is None or not sums.n_lines or not sums.length:
        return None
    all_zero = getattr(sums, f"{name}_all_zero")
    return SideLines(sums.length, getattr(sums, f"{name}_sq"), getattr(sums, f"{name}_max_abs"), all_zero)
