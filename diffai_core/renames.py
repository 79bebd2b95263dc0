"""Pair the tensors of two artefacts: by name, by a common prefix, by content."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from diffai_core.pairing import TensorPair

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from diffai_core.artifact import TensorRef

_MOST_PREFIXES = 8


class _Prefix(NamedTuple):
    """``old`` stands before a name in OLD where ``new`` stands in NEW; one of them is empty."""

    old: str
    new: str


def pair_tensors(old: Mapping[str, TensorRef], new: Mapping[str, TensorRef]) -> tuple[TensorPair, ...]:
    """Pair every tensor of ``old`` with at most one of ``new``, and the other way round.

    Equal names come first. What is left is paired by a prefix that one side puts before most names (``model.``,
    ``module.``), then by equal bytes, then by equal values whose axes are in another order or that were rounded to
    another dtype. Anything else was added or removed.

    Returns:
        The pairs, sorted by key.

    Raises:
        LoadError: If bytes needed for the content rules cannot be read.
    """
    pairs = [TensorPair(old[name], new[name]) for name in old if name in new]
    only_old = {name: ref for name, ref in old.items() if name not in new}
    only_new = {name: ref for name, ref in new.items() if name not in old}
    for rule in (_pairs_by_prefix, _pairs_by_content):
        if only_old and only_new:
            for pair in list(rule(only_old, only_new)):
                pairs.append(pair)
                del only_old[pair.old_name], only_new[pair.key]
    pairs.extend(TensorPair(ref, None) for ref in only_old.values())
    pairs.extend(TensorPair(None, ref) for ref in only_new.values())
    return tuple(sorted(pairs, key=lambda pair: (pair.key, pair.new is None)))


def _pairs_by_content(old: Mapping[str, TensorRef], new: Mapping[str, TensorRef]) -> Iterator[TensorPair]:
    from diffai_core.content import pairs_by_bytes, pairs_by_values

    equal = list(pairs_by_bytes(old, new))
    yield from equal
    olds, news = {pair.old_name for pair in equal}, {pair.key for pair in equal}
    yield from pairs_by_values(
        {name: ref for name, ref in old.items() if name not in olds},
        {name: ref for name, ref in new.items() if name not in news},
    )


def _pairs_by_prefix(old: Mapping[str, TensorRef], new: Mapping[str, TensorRef]) -> list[TensorPair]:
    """Pair names that differ by one prefix, if most names of parameters do and most shapes agree."""
    olds, news = _voters(old), _voters(new)
    votes: Counter[_Prefix] = Counter()
    votes.update(_Prefix(prefix, "") for name in olds for prefix, rest in _splits(name) if rest in news)
    votes.update(_Prefix("", prefix) for name in news for prefix, rest in _splits(name) if rest in olds)
    if not votes:
        return []
    prefix, count = min(votes.items(), key=lambda item: (-item[1], item[0]))
    smaller, larger = sorted((len(olds), len(news)))
    if not (count == larger or (count > 1 and 2 * count >= smaller)):
        return []
    found = [
        TensorPair(ref, new[other], paired_by="prefix")
        for name, ref in old.items()
        if name.startswith(prefix.old) and (other := prefix.new + name[len(prefix.old) :]) in new
    ]
    agreeing = sum(pair.same_shape for pair in found)
    return found if 2 * agreeing > len(found) else []


def _voters(refs: Mapping[str, TensorRef]) -> Collection[str]:
    """Return the names of parameters, or all if there are none: exporters make up names for constants."""
    return {name for name, ref in refs.items() if ref.is_parameter} or refs.keys()


def _splits(name: str) -> Iterable[tuple[str, str]]:
    """Yield (prefix with its dot, rest) of a dotted name for its first dots: no wrapper nests deeper."""
    position = name.find(".")
    for _ in range(_MOST_PREFIXES):
        if position < 0:
            return
        yield name[: position + 1], name[position + 1 :]
        position = name.find(".", position + 1)
