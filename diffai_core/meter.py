"""How the pass tells how far it is."""

from __future__ import annotations

from typing import Protocol


class Meter(Protocol):
    """Is told of the work that is known and of the work that is done, from any thread."""

    def expect(self, n_bytes: int, n_tensors: int = 0) -> None:
        """Count work that is to be done.

        Args:
            n_bytes: Payload bytes of both sides.
            n_tensors: Pairs of tensors.
        """
        ...

    def add(self, n_bytes: int, n_tensors: int = 0) -> None:
        """Count work that is done, in the same units."""
        ...


class NoMeter:
    """Listens to nothing."""

    def expect(self, n_bytes: int, n_tensors: int = 0) -> None:
        """See :meth:`Meter.expect`."""

    def add(self, n_bytes: int, n_tensors: int = 0) -> None:
        """See :meth:`Meter.add`."""
