"""What is found in a model while its messages are walked, and how much of it is allowed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_core.plugin import NotCompared

if TYPE_CHECKING:
    from collections.abc import Callable

    from diffai_lib_protobuf import Field

    from diffai_core.plugin import Foreign, TensorRef

MAX_VALUES = 2_000_000
"""Numbers, texts and fields of a model that are held as plain values; its weights are not among them."""


class Collected:
    """Tensors and what else a model holds besides its tree and graph."""

    def __init__(self) -> None:
        self.tensors: dict[str, TensorRef] = {}
        self.foreign: list[Foreign] = []
        self.not_readable: list[NotCompared] = []
        self._n_alike: dict[str, int] = {}
        self._left = MAX_VALUES

    def add(self, wanted: str, make: Callable[[str], TensorRef]) -> str:
        """Add a tensor under the name ``wanted``, or that and a number if there is one; return the name."""
        name = wanted
        while name in self.tensors:
            self._n_alike[wanted] = self._n_alike.get(wanted, 1) + 1  # kept, so that many of one name take no longer
            name = f"{wanted}#{self._n_alike[wanted]}"
        self.tensors[name] = make(name)
        return name

    def spend(self, count: int, field: Field) -> None:
        """Count values that are held in memory.

        Raises:
            LoadError: If there are more than ``MAX_VALUES``.
        """
        self._left -= count
        if self._left < 0:
            raise field.error(f"holds more than {MAX_VALUES:,} values besides its weights")

    def lost(self, where: str, reason: str) -> None:
        """Remember a part that is there and cannot be represented."""
        self.not_readable.append(NotCompared(where, reason))
