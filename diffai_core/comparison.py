"""What a comparator receives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from diffai_core.meter import Meter, NoMeter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from diffai_core.artifact import Artifact
    from diffai_core.findings import Finding
    from diffai_core.keys import KeyFilter, Tolerances
    from diffai_core.pairing import PairResult

_T = TypeVar("_T")
_R = TypeVar("_R")


@dataclass(frozen=True)
class Comparison:
    """Two open artefacts after the pass.

    Args:
        old: The artefact OLD.
        new: The artefact NEW.
        results: One result for each tensor kept by ``keys``, sorted by key; renamed tensors stand under the new name.
        keys: Which keys the run looks at; a comparator of other facets applies it to its own keys.
        tolerances: How far values may differ.
        between: Artefacts that were given between OLD and NEW, in order.
        findings: What the comparators of earlier stages have found.
        mapper: How :meth:`map` runs; set by the core.
        meter: Told by :meth:`map` how far it is; set by the core.
    """

    old: Artifact
    new: Artifact
    results: tuple[PairResult, ...]
    keys: KeyFilter
    tolerances: Tolerances
    between: tuple[Artifact, ...] = ()
    findings: tuple[Finding, ...] = ()
    mapper: Callable[..., Iterator[Any]] = map
    meter: Meter = field(default_factory=NoMeter)

    @property
    def series(self) -> tuple[Artifact, ...]:
        """All artefacts in the order they were given: OLD, those between, NEW."""
        return (self.old, *self.between, self.new)

    def map(
        self, function: Callable[[_T], _R], items: Iterable[_T], nbytes: Callable[[_T], int] | None = None
    ) -> Iterator[_R]:
        """Take a second look: call ``function`` on each item, one at a time per worker; yield the results in order.

        For analyses that need a whole matrix (spectra, alignment). The function reads what it needs, for instance with
        ``pair.old.read()``, and must not keep it.

        Args:
            function: What to do with an item; of a module, so that other processes could do it.
            items: Pairs of tensors, or whatever names what is to be read.
            nbytes: How many bytes the function reads for an item, for the progress that is shown.
        """
        known = list(items)
        sizes = [0 if nbytes is None else nbytes(item) for item in known]
        self.meter.expect(sum(sizes))
        for item, size, result in zip(known, sizes, self.mapper(function, known), strict=True):
            self.meter.add(size)
            _forget(item)
            yield result


def _forget(item: Any) -> None:
    """Let the memory go that the files of an item take: of a tensor, a pair, or several of them."""
    for part in item if isinstance(item, (tuple, list)) else (item,):
        forget = getattr(part, "forget", None)
        if forget is not None:
            forget()
