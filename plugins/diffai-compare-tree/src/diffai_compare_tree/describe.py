"""Words each difference as a finding."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from diffai_compare_tree.shown import MAX_TEXT, Shown, first_difference
from diffai_compare_tree.values import BYTES, STRING, type_name
from diffai_core.plugin import ABSENT, Finding

if TYPE_CHECKING:
    from diffai_compare_tree.children import DuplicateId

_Long = tuple[Any, Any, dict[str, Any]]


class Describer:
    """Makes findings; remembers what it has measured of values that appear at many paths."""

    def __init__(self) -> None:
        self._shown = Shown()
        self._long: dict[tuple[int, int], tuple[object, object, _Long]] = {}

    def change(self, where: str, old: Any, new: Any) -> Finding:
        """Return the finding that ``old`` stands in OLD where ``new`` stands in NEW; one of them may be ``ABSENT``."""
        if old is ABSENT or new is ABSENT:
            return self._finding("removed" if new is ABSENT else "added", where, old, new, {})
        names = type_name(old), type_name(new)
        if names[0] != names[1]:
            return self._type_change(where, old, new, names)
        if names[0] in {STRING, BYTES} and max(len(old), len(new)) > MAX_TEXT:
            shown_old, shown_new, values = self._excerpts(old, new)
            return Finding("modified", where=where, old=shown_old, new=shown_new, values=values)
        return self._finding("modified", where, old, new, {})

    def _type_change(self, where: str, old: Any, new: Any, names: tuple[str, str]) -> Finding:
        """Return the finding that a type changed; the types are named where the values as shown do not tell them."""
        finding = self._finding("type_changed", where, old, new, {})
        if (type_name(finding.old), type_name(finding.new)) == names:
            return finding
        return replace(finding, values={"old_type": names[0], "new_type": names[1], **finding.values})

    def _finding(self, kind: str, where: str, old: Any, new: Any, values: dict[str, Any]) -> Finding:
        shown_old, all_of_old = self._shown(old)
        shown_new, all_of_new = self._shown(new)
        shortened = [side for side, complete in (("old", all_of_old), ("new", all_of_new)) if not complete]
        more = {"shortened": shortened} if shortened else {}
        return Finding(kind, where=where, old=shown_old, new=shown_new, values=values | more)

    def _excerpts(self, old: Any, new: Any) -> _Long:
        """Return what is shown of two texts or byte strings of which one is long: where they part, and around it."""
        key = id(old), id(new)
        if key not in self._long:
            place = first_difference(old, new)
            shown_old, all_of_old = self._shown(old, place)
            shown_new, all_of_new = self._shown(new, place)
            shortened = [side for side, complete in (("old", all_of_old), ("new", all_of_new)) if not complete]
            values = {"first_difference": place, "shortened": shortened}
            self._long[key] = (old, new, (shown_old, shown_new, values))  # holding both keeps their ids theirs
        return self._long[key][2]


def duplicate_id(where: str, found: DuplicateId) -> Finding:
    """Return the finding that several elements of a list have one id."""
    return Finding(
        "duplicate_id",
        where=where,
        level="warning",
        values={"old_count": found.n_old, "new_count": found.n_new},
        message=f"id {found.id} is not unique: {found.n_old:,} in OLD, {found.n_new:,} in NEW; compared in their order",
    )


def not_comparable(where: str, value: object) -> Finding:
    """Return the finding that two values of a foreign type cannot say whether they are equal."""
    return Finding(
        "not_compared",
        where=where,
        status="not_measurable",
        level="warning",
        message=f"two values of type {type(value).__name__} cannot be compared; the loader should give plain values",
    )


def of_one_format(only_old: list[str], only_new: list[str]) -> Finding:
    """Return what to say about entries for which the other format has no place."""
    return Finding(
        "entries_of_one_format",
        level="info",
        values={"only_old": sorted(only_old), "only_new": sorted(only_new)},
        message=f"entries beside the tensors that only one format has: {len(only_old)} in OLD, {len(only_new)} in NEW"
        " (--verbose lists them)",
    )


def nothing_selected() -> Finding:
    """Return the finding that the selection leaves nothing to compare."""
    return Finding(
        "not_compared",
        where="selection",
        status="not_measurable",
        level="warning",
        message="no key matches --filter, --path and --ignore-keys-regex",
    )


def within_tolerance(n_values: int) -> Finding:
    """Return the finding that values differ and count as equal, by the tolerance or the other options given."""
    return Finding("values_within_tolerance", level="info", values={"n_values": n_values}, null=0)


def repeated(where: str, n_skipped: int) -> Finding:
    """Return the finding that differences already listed stand at further paths, because values are shared."""
    return Finding(
        "repeated_difference",
        where=where,
        level="info",
        values={"n_skipped": n_skipped},
        message=f"from here on, differences inside shared values are not listed again ({n_skipped:,} skipped)",
    )


def not_followed(where: str, n_skipped: int) -> Finding:
    """Return the finding that shared values were met at too many paths to compare them at each."""
    return Finding(
        "not_compared",
        where=where,
        status="not_measurable",
        level="warning",
        values={"n_skipped": n_skipped},
        message=f"values shared by very many paths were not compared at {n_skipped:,} of them, this one the first;"
        " write the file without aliases, or compare without key patterns",
    )
