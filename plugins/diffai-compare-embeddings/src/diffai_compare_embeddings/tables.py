"""Which embeddings two models have, and which row of OLD each row of NEW is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from diffai_lib_layers import place

from diffai_compare_embeddings.tokens import vocabulary
from diffai_core.plugin import FileTensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from diffai_core.plugin import Comparison, PairResult, TensorRef

_MATRIX = 2
_SMALL_TABLES = frozenset({"token_type_embeddings", "position_embeddings", "embed_positions", "wpe"})
_MOST_READ = 512 << 20
"""Bytes of a table that is held where its rows are needed out of order and are decoded as they are read."""


@dataclass(frozen=True)
class Table:
    """An embedding of both models.

    Args:
        key: Name of the tensor.
        old: Its tensor in OLD, shape ``(rows, width)``.
        new: Its tensor in NEW, of the same width.
        identical: Whether they are equal bit for bit.
        old_rows: Row of OLD that stands against each row of ``new_rows``; ``None`` where rows stand in order.
        new_rows: The rows of NEW that OLD has too; ``None`` where these are the first ones.
        aligned_by: ``row`` or ``token``.
        names: Token of each row of NEW, where the files name them.
    """

    key: str
    old: TensorRef
    new: TensorRef
    identical: bool
    old_rows: NDArray[np.intp] | None = None
    new_rows: NDArray[np.intp] | None = None
    aligned_by: str = "row"
    names: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Columns of the table."""
        return self.new.shape[1]

    @property
    def n_common(self) -> int:
        """Rows that both sides have."""
        if self.new_rows is not None:
            return len(self.new_rows)
        return min(self.old.shape[0], self.new.shape[0])

    @property
    def nbytes(self) -> int:
        """Bytes of both sides."""
        return self.old.nbytes + self.new.nbytes

    def old_row(self, common: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the rows of OLD with these numbers among the common ones."""
        return common if self.old_rows is None else self.old_rows[common]

    def new_row(self, common: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the rows of NEW with these numbers among the common ones."""
        return common if self.new_rows is None else self.new_rows[common]

    def name(self, row: int) -> str | int:
        """Return the token of a row of NEW, or its number."""
        return self.names[row] or row if row < len(self.names) else row


class Tables(NamedTuple):
    """The embeddings of a comparison.

    Args:
        tables: Those that can be compared, the largest first.
        skipped: Those that cannot, with the reason.
    """

    tables: list[Table]
    skipped: list[tuple[str, str]]


def embeddings(comparison: Comparison) -> Tables:
    """Return the embeddings of both models, tied ones once, the largest first."""
    return _tables(comparison, lambda role: role == "embed")


def shared_rows(comparison: Comparison) -> Tables:
    """Return the matrices whose rows are the same things on both sides: embeddings and output layers."""
    return _tables(comparison, lambda role: role in {"embed", "head"})


def missing(found: Tables, what: str) -> str:
    """Return why no table can be measured, and what would help."""
    if found.skipped:
        key, reason = found.skipped[0]
        return f"needs: {reason} ({key})"
    return f"needs: {what} that both models have (a matrix whose name says so; --filter may have left it out)"


def _tables(comparison: Comparison, wanted: Callable[[str], bool]) -> Tables:
    tables: list[Table] = []
    skipped: list[tuple[str, str]] = []
    seen: set[Any] = set()
    for result in _candidates(comparison, wanted):
        old, new = result.pair.old, result.pair.new
        assert old is not None
        assert new is not None
        reason = _reason(result, old, new)
        storages = (old.storage, new.storage)
        if reason:
            skipped.append((new.name, reason))
        elif storages not in seen:
            seen.add(storages)
            tables.append(_table(comparison, result, old, new))
    return Tables(sorted(tables, key=lambda table: (-table.new.numel, table.key)), skipped)


def _candidates(comparison: Comparison, wanted: Callable[[str], bool]) -> Iterator[PairResult]:
    for result in comparison.results:
        old, new = result.pair.old, result.pair.new
        if old is None or new is None or new.role != "weights" or len(new.shape) != _MATRIX:
            continue
        where = place(new.name)
        if where.part == "weight" and wanted(where.role) and len(old.shape) == _MATRIX:
            yield result


def _reason(result: PairResult, old: TensorRef, new: TensorRef) -> str:
    if old.shape[1] != new.shape[1]:
        return f"tables of one width, these have {old.shape[1]} and {new.shape[1]} columns"
    if min(*old.shape, *new.shape) < _MATRIX:
        return "two rows and two columns"
    if any(ref.dtype.kind != "float" for ref in (old, new)):
        return "floating-point numbers"
    if result.reason:
        return f"a table that can be read: {result.reason}"
    return ""


def _table(comparison: Comparison, result: PairResult, old: TensorRef, new: TensorRef) -> Table:
    identical = result.relation is not None and result.relation.value == "identical" and old.shape == new.shape
    if place(new.name).role != "embed" or place(new.name).leaf in _SMALL_TABLES:
        return Table(new.name, old, new, identical)
    before, after = vocabulary(comparison.old, old.shape[0]), vocabulary(comparison.new, new.shape[0])
    names = [""] * (max(after.values()) + 1 if after else 0)
    for token, row in after.items():
        names[row] = token
    common = sorted((row, before[token]) for token, row in after.items() if token in before)
    in_order = all(row == other for row, other in common)
    affordable = all(isinstance(ref, FileTensor) or 4 * ref.numel <= _MOST_READ for ref in (old, new))
    if not common or in_order or not affordable:
        return Table(new.name, old, new, identical, names=tuple(names))
    rows = np.array(common, dtype=np.intp)
    return Table(new.name, old, new, False, rows[:, 1], rows[:, 0], "token", tuple(names))
