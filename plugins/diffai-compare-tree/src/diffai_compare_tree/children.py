"""Which parts of two containers stand against each other, leaving out those that are plainly equal."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_compare_tree.paths import id_segment, identity, is_id, key_segment, literal
from diffai_compare_tree.values import ARRAY, OBJECT, type_name
from diffai_core.plugin import ABSENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Same = Callable[[Any, Any], bool]

_Part = tuple[str, Any]  # the step to a value, and the value
_NOWHERE: _Part = ("", ABSENT)


class Child(NamedTuple):
    """A part of OLD and its counterpart in NEW; ``ABSENT`` where there is none.

    Args:
        segment: The step to it from the container.
        old: The value in OLD.
        new: The value in NEW.
    """

    segment: str
    old: Any
    new: Any


class DuplicateId(NamedTuple):
    """Several elements of a list have the same id.

    Args:
        segment: The step to the first of them.
        id: The id as it is written.
        n_old: Elements of OLD with this id.
        n_new: Elements of NEW with this id.
    """

    segment: str
    id: str
    n_old: int
    n_new: int


def children(old: Any, new: Any, same: Same, id_key: str) -> Iterator[Child]:
    """Yield the parts that may differ, sorted.

    Containers of one kind are paired part by part. Otherwise all parts of OLD come without a counterpart, then
    all of NEW; something that is no container has no parts.

    Args:
        old: Value in OLD, or ``ABSENT``.
        new: Value in NEW, or ``ABSENT``.
        same: Says which pairs are plainly equal and left out.
        id_key: Key that identifies the elements of a list; empty to pair them by position.
    """
    names = {type_name(value) for value in (old, new) if value is not ABSENT}
    if names == {OBJECT}:
        yield from _of_objects(_or_empty(old, {}), _or_empty(new, {}), same)
    elif names == {ARRAY}:
        yield from _of_arrays(_or_empty(old, ()), _or_empty(new, ()), same, id_key)
    elif len(names) > 1:
        yield from children(old, ABSENT, same, id_key)
        yield from children(ABSENT, new, same, id_key)


def _or_empty(value: Any, empty: Any) -> Any:
    return empty if value is ABSENT else value


def _of_objects(old: Mapping[Any, Any], new: Mapping[Any, Any], same: Same) -> Iterator[Child]:
    if set(map(type, old)) | set(map(type, new)) <= {str}:
        keys = [key for key in old if key not in new or not same(old[key], new[key])]
        keys += [key for key in new if key not in old]
        for key in sorted(keys):
            yield Child(key_segment(key), old.get(key, ABSENT), new.get(key, ABSENT))
    else:
        ours, theirs = _by_identity(old), _by_identity(new)
        for key in sorted(ours.keys() | theirs.keys()):
            yield from _unless_same(ours.get(key), theirs.get(key), same)


def _by_identity(mapping: Mapping[Any, Any]) -> dict[Any, _Part]:
    """Return segment and value by the identity of the key; keys that are alike, such as two NaNs, are numbered."""
    seen: Counter[Any] = Counter()
    found = {}
    for name, value in mapping.items():
        key = identity(name)
        found[key, seen[key]] = (key_segment(name, seen[key]), value)
        seen[key] += 1
    return found


def _unless_same(old: _Part | None, new: _Part | None, same: Same) -> Iterator[Child]:
    segment = (old or new or _NOWHERE)[0]
    ours, theirs = (old or _NOWHERE)[1], (new or _NOWHERE)[1]
    if not same(ours, theirs):
        yield Child(segment, ours, theirs)


def _of_arrays(old: Sequence[Any], new: Sequence[Any], same: Same, id_key: str) -> Iterator[Child]:
    if id_key and any(_has_id(item, id_key) for items in (old, new) for item in items):
        yield from _by_id(old, new, same, id_key)
        return
    for index, (ours, theirs) in enumerate(zip(old, new, strict=False)):
        if not same(ours, theirs):
            yield Child(f"[{index}]", ours, theirs)
    for index in range(len(new), len(old)):
        yield Child(f"[{index}]", old[index], ABSENT)
    for index in range(len(old), len(new)):
        yield Child(f"[{index}]", ABSENT, new[index])


def _has_id(item: Any, id_key: str) -> bool:
    return isinstance(item, Mapping) and id_key in item and is_id(item[id_key])


def _by_id(old: Sequence[Any], new: Sequence[Any], same: Same, id_key: str) -> Iterator[Child]:
    """Pair elements with an id by id and rank among those that share it, all others by position."""
    ours, theirs = _elements(old, id_key), _elements(new, id_key)
    for place in sorted(ours.keys() | theirs.keys()):
        yield from _unless_same(ours.get(place), theirs.get(place), same)


def _elements(items: Sequence[Any], id_key: str) -> dict[Any, _Part]:
    """Return segment and element by place: first those without an id by index, then the others by id."""
    seen: Counter[Any] = Counter()
    found: dict[Any, _Part] = {}
    for index, item in enumerate(items):
        if _has_id(item, id_key):
            key = identity(item[id_key])
            found[1, key, seen[key]] = (id_segment(id_key, item[id_key], seen[key]), item)
            seen[key] += 1
        else:
            found[0, (0, index), 0] = (f"[{index}]", item)
    return found


def duplicate_ids(old: Any, new: Any, id_key: str) -> Iterator[DuplicateId]:
    """Yield the ids that several elements of a list share, sorted.

    Args:
        old: List in OLD, or anything else, which has no ids.
        new: List in NEW, or anything else.
        id_key: Key that identifies the elements.
    """
    counts: defaultdict[Any, list[int]] = defaultdict(lambda: [0, 0])
    ids: dict[Any, Any] = {}
    for side, items in enumerate((old, new)):
        for item in items if id_key and type_name(items) == ARRAY else ():
            if _has_id(item, id_key):
                key = identity(item[id_key])
                ids.setdefault(key, item[id_key])
                counts[key][side] += 1
    for key in sorted(counts):
        if max(counts[key]) > 1:
            yield DuplicateId(id_segment(id_key, ids[key], 0), literal(ids[key]), *counts[key])
