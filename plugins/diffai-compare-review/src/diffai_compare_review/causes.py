"""What became of one tensor, as the questions about it find out."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Cause(NamedTuple):
    """The explanation of a changed tensor.

    Args:
        name: The class of the change.
        variant: What distinguishes changes of this class, in words: ``rows``, ``rank 4``; equal for tensors that
            changed in the same way.
        details: Numbers behind it.
    """

    name: str
    variant: str = ""
    details: Mapping[str, Any] = MappingProxyType({})


TRAINED = Cause("trained")
"""No other explanation was found."""
