"""Pair the tensors of two artefacts: by name, by a common prefix, by unique identical content."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple

from diffai_core.artifact import FileTensor
from diffai_core.pairing import TensorPair
from diffai_core.reading import checked_blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping

    from diffai_core.artifact import TensorRef

_SAMPLE_BYTES = 4096
_MOST_PREFIXES = 8
_HASH_BYTES = 1 << 17


class _Prefix(NamedTuple):
    """``old`` stands before a name in OLD where ``new`` stands in NEW; one of them is empty."""

    old: str
    new: str


def pair_tensors(old: Mapping[str, TensorRef], new: Mapping[str, TensorRef]) -> tuple[TensorPair, ...]:
    """Pair every tensor of ``old`` with at most one of ``new``, and the other way round.

    Equal names come first. What is left is paired by a prefix that one side puts before most names (``model.``,
    ``module.``), then by content: two tensors of one shape and dtype whose bytes are equal, where neither side
    holds those bytes twice. Anything else was added or removed.

    Returns:
        The pairs, sorted by key.

    Raises:
        LoadError: If bytes needed for the content rule cannot be read.
    """
    pairs = [TensorPair(old[name], new[name]) for name in old if name in new]
    only_old = {name: ref for name, ref in old.items() if name not in new}
    only_new = {name: ref for name, ref in new.items() if name not in old}
    for rule in (_pairs_by_prefix, _pairs_by_content):
        if only_old and only_new:
            for old_ref, new_ref in rule(only_old, only_new):
                pairs.append(TensorPair(only_old.pop(old_ref.name), only_new.pop(new_ref.name)))
    pairs.extend(TensorPair(ref, None) for ref in only_old.values())
    pairs.extend(TensorPair(None, ref) for ref in only_new.values())
    return tuple(sorted(pairs, key=lambda pair: (pair.key, pair.new is None)))


def _pairs_by_prefix(old: Mapping[str, TensorRef], new: Mapping[str, TensorRef]) -> list[tuple[TensorRef, TensorRef]]:
    """Pair names that differ by one prefix, if most names do and most shapes agree."""
    votes: Counter[_Prefix] = Counter()
    votes.update(_Prefix(prefix, "") for name in old for prefix, rest in _splits(name) if rest in new)
    votes.update(_Prefix("", prefix) for name in new for prefix, rest in _splits(name) if rest in old)
    if not votes:
        return []
    prefix, count = min(votes.items(), key=lambda item: (-item[1], item[0]))
    smaller, larger = sorted((len(old), len(new)))
    if not (count == larger or (count > 1 and 2 * count >= smaller)):
        return []
    found = [
        (ref, new[other])
        for name, ref in old.items()
        if name.startswith(prefix.old) and (other := prefix.new + name[len(prefix.old) :]) in new
    ]
    agreeing = sum(a.shape == b.shape for a, b in found)
    return found if 2 * agreeing > len(found) else []


def _splits(name: str) -> Iterable[tuple[str, str]]:
    """Yield (prefix with its dot, rest) of a dotted name for its first dots: no wrapper nests deeper."""
    position = name.find(".")
    for _ in range(_MOST_PREFIXES):
        if position < 0:
            return
        yield name[: position + 1], name[position + 1 :]
        position = name.find(".", position + 1)


def _pairs_by_content(old: Mapping[str, TensorRef], new: Mapping[str, TensorRef]) -> list[tuple[TensorRef, TensorRef]]:
    """Pair tensors whose bytes are equal and occur once on each side; hash only what a sample leaves open."""
    candidates = [(list(old.values()), list(new.values()))]
    for fingerprint in (_declared, _sampled, _hashed):
        candidates = [
            group for olds, news in candidates for group in _groups(olds, news, fingerprint) if group[0] and group[1]
        ]
    return [(olds[0], news[0]) for olds, news in candidates if len(olds) == len(news) == 1]


def _groups(
    olds: list[TensorRef], news: list[TensorRef], fingerprint: Callable[[TensorRef], Hashable]
) -> Iterable[tuple[list[TensorRef], list[TensorRef]]]:
    groups: defaultdict[Hashable, tuple[list[TensorRef], list[TensorRef]]] = defaultdict(lambda: ([], []))
    for side, refs in enumerate((olds, news)):
        for ref in refs:
            groups[fingerprint(ref)][side].append(ref)
    return groups.values()


def _declared(ref: TensorRef) -> Hashable:
    return ref.shape, ref.dtype


def _sampled(ref: TensorRef) -> Hashable:
    """Bytes at the start, the middle and the end; nothing for tensors that must be decoded to be read."""
    if not isinstance(ref, FileTensor):
        return None
    last = max(ref.nbytes - _SAMPLE_BYTES, 0)
    size = min(_SAMPLE_BYTES, ref.nbytes)
    return tuple(ref.file.read(ref.offset + place, size) for place in sorted({0, last // 2, last}))


def _hashed(ref: TensorRef) -> bytes:
    import hashlib

    digest = hashlib.sha256()
    if isinstance(ref, FileTensor):
        for start in range(0, ref.nbytes, _HASH_BYTES):
            digest.update(ref.file.read(ref.offset + start, min(_HASH_BYTES, ref.nbytes - start)))
    else:
        for block in checked_blocks(ref):
            digest.update(block.tobytes())
    return digest.digest()
