"""Which part of a model changed, in words."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple

from diffai_compare_review.places import place

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_MOST_NAMED = 4
_MOST_SPANS = 8
_NORMS = frozenset({"norm", "bn"})
_STATISTICS = frozenset({"running_mean", "running_var", "num_batches_tracked"})


class Which(NamedTuple):
    """The changed part of a model.

    Args:
        name: ``biases``, ``norms``, ``head``, ``embeddings``, ``last blocks``, ``listed`` …
        text: The part in words.
    """

    name: str
    text: str


class _Numbered(NamedTuple):
    stem: str
    number: int | None
    rest: str


def which_changed(changed: Sequence[str], unchanged: Sequence[str]) -> Which:
    """Return the part that changed.

    Example:
        >>> names = [f"encoder.layer.{i}.{p}" for i in range(4) for p in ("w.weight", "w.bias")]
        >>> which_changed(names[6:] + ["classifier.weight"], [*names[:6], "embed.weight"])
        Which(name='last blocks and head', text='encoder.layer.3 and classifier.weight')
    """
    text = ranges(changed, unchanged)
    for name, holds in (("biases", _is_bias), ("norms", _is_norm), ("head", _is_head), ("embeddings", _is_embedding)):
        if all(map(holds, changed)):
            return Which(name, text)
    if all(_is_bias(key) or _is_norm(key) for key in changed):
        return Which("biases and norms", text)
    blocks = _last_blocks(changed, unchanged)
    return Which(blocks or "listed", text)


def _is_bias(key: str) -> bool:
    return place(key).part == "bias"


def _is_norm(key: str) -> bool:
    where = place(key)
    return where.role in _NORMS or where.part in _STATISTICS


def _is_head(key: str) -> bool:
    return place(key).role == "head"


def _is_embedding(key: str) -> bool:
    return place(key).role in {"embed", "position"}


def _last_blocks(changed: Sequence[str], unchanged: Sequence[str]) -> str:
    """Return ``last blocks`` if exactly the last blocks of one stack changed, and nothing before them."""
    numbered = [_numbered(key) for key in changed]
    stacks = {one.stem for one in numbered if one.number is not None}
    roles = {place(one.stem).role for one in numbered if one.number is None} if len(stacks) == 1 else set()
    if len(stacks) != 1 or roles - {"head", "norm"}:
        return ""
    touched = {one.number for one in numbered if one.number is not None}
    whole = {one.number for one in map(_numbered, unchanged) if one.stem in stacks and one.number is not None}
    if not whole or whole & touched or min(touched) <= max(whole):
        return ""
    return "last blocks and head" if "head" in roles else "last blocks"


def ranges(changed: Sequence[str], unchanged: Iterable[str]) -> str:
    """Return the names with numbers joined to ranges, and modules for all their tensors.

    Example:
        >>> ranges(["a.0.w", "a.1.w", "b.weight", "b.bias"], ["c.w"])
        'a.0-1 and b'
    """
    rest = list(unchanged)
    return joined([*_blocks(changed, rest), *_modules(changed, rest)])


def joined(items: Sequence[str]) -> str:
    """Return the items as in a sentence, the first few by name."""
    if len(items) > _MOST_NAMED + 1:
        items = [*items[:_MOST_NAMED], f"{len(items) - _MOST_NAMED:,} more"]
    return " and ".join(filter(None, (", ".join(items[:-1]), items[-1]))) if items else ""


_NUMBER = re.compile(r"\.(\d+)(?=\.|$)")


def _numbered(key: str) -> _Numbered:
    found = _NUMBER.search(key)
    if found is None:
        return _Numbered(key, None, "")
    return _Numbered(key[: found.start()], int(found[1]), key[found.end() + 1 :])


def _blocks(changed: Sequence[str], unchanged: Sequence[str]) -> list[str]:
    found: defaultdict[str, defaultdict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    for stem, index, rest in map(_numbered, changed):
        if index is not None:
            found[stem][index].add(rest)
    partial: defaultdict[str, set[int]] = defaultdict(set)
    for stem, index, _ in map(_numbered, unchanged):
        if index is not None:
            partial[stem].add(index)
    told: list[str] = []
    for stem, blocks in found.items():
        whole = [index for index in blocks if index not in partial[stem]]
        parts: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
        for index, rests in blocks.items():
            if index in partial[stem]:
                parts[tuple(sorted(rests))].append(index)
        if whole:
            told.append(f"{stem}.{_spans(whole)}")
        told += [f"{stem}.{_spans(indices)}.{_common(rests)}" for rests, indices in parts.items()]
    return told


def _common(rests: Sequence[str]) -> str:
    """Return the one name, or several in braces."""
    names = sorted({rest.rpartition(".")[0] or rest for rest in rests}) if len(rests) > 1 else list(rests)
    if len(names) == 1:
        return names[0]
    more = f", {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f"{{{', '.join(names[:_MOST_NAMED])}{more}}}"


def _spans(numbers: Iterable[int]) -> str:
    """Return numbers as ranges.

    Example:
        >>> _spans([0, 1, 2, 5])
        '0-2,5'
    """
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    told = [f"{first}-{last}" if last > first else f"{first}" for first, last in spans]
    return ",".join(told if len(told) <= _MOST_SPANS else [*told[: _MOST_SPANS - 1], "…", told[-1]])


def _modules(changed: Sequence[str], unchanged: Sequence[str]) -> list[str]:
    """Return modules of which all tensors changed, and the other names as they are."""
    plain = [key for key in changed if _numbered(key).number is None]
    kept = {module for key in unchanged for module in _above(key)} if plain else set()
    counts = Counter(module for key in changed for module in _above(key))
    told: dict[str, None] = {}
    for key in plain:
        whole = next((module for module in _above(key) if module not in kept), None)
        told[whole if whole is not None and counts[whole] > 1 else key] = None
    return list(told)


def _above(key: str) -> list[str]:
    """Return the modules that a tensor is in, the outermost first."""
    words = key.split(".")
    return [".".join(words[:end]) for end in range(1, len(words))]
