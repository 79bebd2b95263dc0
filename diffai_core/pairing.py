"""Which tensor of OLD stands against which of NEW."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diffai_core.artifact import TensorRef


PairedBy = Literal["name", "prefix", "content"]


class Relation(Enum):
    """How the elements of two paired tensors compare, strongest first."""

    IDENTICAL = "identical"
    EQUAL_VALUES = "equal values"
    WITHIN_TOLERANCE = "within tolerance"
    CHANGED = "changed"
    NOT_COMPARED = "not compared"


@dataclass(frozen=True)
class TensorPair:
    """A tensor of OLD and its counterpart of NEW; one of them is ``None`` if it was added or removed.

    Args:
        old: The tensor of OLD.
        new: The tensor of NEW; a :class:`PermutedTensor` where its axes are read in another order.
        paired_by: What made them a pair.
    """

    old: TensorRef | None
    new: TensorRef | None
    paired_by: PairedBy = "name"

    @property
    def key(self) -> str:
        """Name in NEW, or in OLD where it was removed."""
        ref = self.new or self.old
        return ref.name if ref else ""

    @property
    def old_name(self) -> str:
        """Name in OLD; empty if it was added."""
        return self.old.name if self.old else ""

    @property
    def same_shape(self) -> bool:
        """Whether both tensors are there and have the same shape."""
        return self.old is not None and self.new is not None and self.old.shape == self.new.shape

    @property
    def renamed(self) -> bool:
        """Whether both sides are there under different names."""
        return self.old is not None and self.new is not None and self.old.name != self.new.name

    def forget(self) -> None:
        """Let the memory go that the files of both take; see :meth:`TensorRef.forget`."""
        for ref in (self.old, self.new):
            if ref is not None:
                ref.forget()


@dataclass(frozen=True)
class PairResult:
    """What the pass found out about one pair.

    Args:
        pair: The tensors.
        relation: How their elements compare; ``None`` for a tensor that was added or removed.
            Tensors of unequal shape are ``CHANGED`` (``IDENTICAL`` if only the shape differs and the bytes are equal).
        statistics: Finished results by accumulator name; empty where they were not asked for or do not apply.
        reason: Why the elements were not compared; empty if they were.
        not_measured: Statistics that were asked for and for which ``--max-memory`` is too little; they are ``None``.
    """

    pair: TensorPair
    relation: Relation | None
    statistics: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    not_measured: tuple[str, ...] = ()

    @property
    def same_shape(self) -> bool:
        """Whether both tensors are there and have the same shape."""
        return self.pair.same_shape

    @property
    def same_dtype(self) -> bool:
        """Whether both tensors are there, have the same dtype and are quantised alike or not at all."""
        return self.pair.old is not None and self.pair.new is not None and stored_alike(self.pair.old, self.pair.new)


def stored_alike(old: TensorRef, new: TensorRef) -> bool:
    """Whether equal bytes mean equal elements: same dtype, and the same quantisation scheme or none."""
    return old.dtype == new.dtype and old.stored_as == new.stored_as
