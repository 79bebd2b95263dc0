"""The contract of everything that rides in the one pass."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from diffai_core.layout import SMALL_STATE_BYTES

if TYPE_CHECKING:
    from diffai_core.accumulators.block import Block
    from diffai_core.layout import PairLayout

S = TypeVar("S")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Fold(Protocol[S, R_co]):
    """A statistic of a pair of tensors, gathered leaf by leaf.

    The states form a monoid: ``merge`` is associative and ``start`` its identity, up to the rounding of float64.
    Folds and states are picklable. The engine always uses the same leaves, segments and order of merging, so that a
    result does not depend on block size or number of workers, not even in its last bit.

    A fold whose state takes more than 64 KiB has one more method, ``state_bytes(layout, n_elements) -> int``: the most
    bytes that the state of ``n_elements`` consecutive elements of such a tensor takes, while merging and finishing too.
    It is part of what ``--max-memory`` bounds. Where the states do not fit, the statistic is not measured for that
    tensor: its result is ``None``, and its name is in :attr:`PairResult.not_measured`.

    Example:
        >>> class SignFlips:
        ...     def start(self, layout):
        ...         return 0
        ...
        ...     def update(self, state, block):
        ...         return state + int((block.paired_old * block.paired_new < 0).sum())
        ...
        ...     def merge(self, left, right):
        ...         return left + right
        ...
        ...     def finish(self, state):
        ...         return state
    """

    def start(self, layout: PairLayout) -> S:
        """Return the state of no elements."""
        ...

    def update(self, state: S, block: Block) -> S:
        """Return the state with the elements of ``block`` added; ``state`` may be changed and returned.

        Nothing of the block may be kept: its arrays are overwritten by the next one.
        """
        ...

    def merge(self, left: S, right: S) -> S:
        """Return the state of both; ``left`` covers earlier elements. Either may be changed and returned."""
        ...

    def finish(self, state: S) -> R_co:
        """Return the result."""
        ...


class NumericFold(ABC, Generic[S, R]):
    """A fold over numbers; its result is ``None`` where the elements are opaque or :meth:`applies` says no."""

    def applies(self, layout: PairLayout) -> bool:
        """Whether the statistic exists for such tensors."""
        return layout.measurable

    @abstractmethod
    def empty(self, layout: PairLayout) -> S:
        """Return the state of no elements."""

    @abstractmethod
    def add(self, state: S, block: Block) -> S:
        """Return the state with the elements of a block, at least one, added."""

    @abstractmethod
    def join(self, left: S, right: S) -> S:
        """Return the state of both; ``left`` covers earlier elements."""

    @abstractmethod
    def result(self, state: S) -> R:
        """Return the result."""

    def most_bytes(self, layout: PairLayout, n_elements: int) -> int:  # noqa: ARG002 - few states grow
        """Return the most bytes that a state of ``n_elements`` takes; for tensors that the statistic applies to."""
        return SMALL_STATE_BYTES

    def state_bytes(self, layout: PairLayout, n_elements: int) -> int:
        """See :class:`Fold`."""
        return self.most_bytes(layout, n_elements) if self.applies(layout) else 0

    def start(self, layout: PairLayout) -> S | None:
        """See :meth:`Fold.start`."""
        return self.empty(layout) if self.applies(layout) else None

    def update(self, state: S | None, block: Block) -> S | None:
        """See :meth:`Fold.update`."""
        return self.add(state, block) if state is not None and block.count else state

    def merge(self, left: S | None, right: S | None) -> S | None:
        """See :meth:`Fold.merge`."""
        return None if left is None or right is None else self.join(left, right)

    def finish(self, state: S | None) -> R | None:
        """See :meth:`Fold.finish`."""
        return None if state is None else self.result(state)


AnyFold = Fold[Any, Any]
