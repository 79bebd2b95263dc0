"""What a comparator receives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from diffai_core.artifact import Artifact
    from diffai_core.keys import KeyFilter, Tolerances
    from diffai_core.pairing import PairResult, TensorPair

_T = TypeVar("_T")


@dataclass(frozen=True)
class Comparison:
    """Two open artefacts after the pass.

    Args:
        old: The artefact OLD.
        new: The artefact NEW.
        results: One result for each tensor kept by ``keys``, sorted by key; renamed tensors stand under the new name.
        keys: Which keys the run looks at; a comparator of other facets applies it to its own keys.
        tolerances: How far values may differ.
        mapper: How :meth:`map` runs; set by the core.
    """

    old: Artifact
    new: Artifact
    results: tuple[PairResult, ...]
    keys: KeyFilter
    tolerances: Tolerances
    mapper: Callable[..., Iterator[Any]] = map

    def map(self, function: Callable[[TensorPair], _T], pairs: Iterable[TensorPair]) -> Iterator[_T]:
        """Take a second look: call ``function`` on each pair, one tensor at a time per worker, results in order.

        For analyses that need a whole matrix (spectra, alignment). The function reads what it needs with
        ``pair.old.read()`` and must not keep it.
        """
        return self.mapper(function, pairs)
