"""Walks two trees side by side, without recursion and in bounded time however their values are shared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from diffai_compare_tree.children import Child, children, duplicate_ids
from diffai_compare_tree.describe import Describer, duplicate_id, not_comparable, not_followed, repeated
from diffai_compare_tree.paths import Path
from diffai_compare_tree.values import (
    CONTAINERS,
    NUMBER,
    Sameness,
    equality,
    is_container,
    plainly_equal,
    type_name,
    within,
)
from diffai_core.plugin import ABSENT, Tolerance, Tolerances

if TYPE_CHECKING:
    from collections.abc import Iterator

    from diffai_core.plugin import Finding, KeyFilter

MAX_VISITS = 100
"""How often a container that is shared by many paths is compared again, each time reporting at the new path."""
MAX_REVISITS = 20_000
"""How many such repetitions one comparison makes; after that a shared container is compared at its first path only."""

_KNOWN = frozenset({"Boolean", "Null", "String", "Bytes", "DateTime", "Date", "Time", "Duration", "Set", "Complex"})


@dataclass(frozen=True)
class Rules:
    """What counts as a difference, and where.

    Args:
        keys: Which paths are looked at.
        tolerances: How far numbers may differ.
        id_key: Key that identifies the elements of lists; empty to pair them by position.
        ignore_case: Whether upper and lower case of texts are the same.
        ignore_whitespace: Whether white space in texts is left out.
    """

    keys: KeyFilter
    tolerances: Tolerances
    id_key: str = ""
    ignore_case: bool = False
    ignore_whitespace: bool = False

    @property
    def exact(self) -> Rules:
        """The same selection and pairing, where nothing but equality will do."""
        return Rules(self.keys, Tolerances(), self.id_key)

    @property
    def same_at_every_path(self) -> bool:
        """Whether two values that are no difference at one path are none at any other."""
        return not self.keys.active and not self.tolerances.by_pattern


@dataclass(slots=True)
class _Pair:
    """Two containers that were compared. Holding them keeps their ids theirs."""

    old: Any
    new: Any
    open: bool = False
    settled: bool = False  # no difference at any path
    n_findings: int = 0


@dataclass(slots=True)
class _Frame:
    """A pair of containers that is being compared at one path."""

    pair: _Pair
    path: Path | None
    children: Iterator[Child]
    n_differences: int = 0  # before filter and tolerances by path
    n_findings: int = 0


@dataclass(slots=True)
class _Tally:
    """References that were not followed, and the first of them."""

    first: Path | None = None
    count: int = 0

    def add(self, path: Path) -> None:
        self.first = self.first or path
        self.count += 1


class Walk:
    """One comparison of two trees.

    Args:
        rules: What counts as a difference, and where.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._same = Sameness(
            Tolerance() if rules.tolerances.by_pattern else rules.tolerances.default,
            ignore_case=rules.ignore_case,
            ignore_whitespace=rules.ignore_whitespace,
        )
        self._describe = Describer()
        self._pairs: dict[tuple[int, int], _Pair] = {}
        self._visits_of_old: dict[int, int] = {}
        self._visits_of_new: dict[int, int] = {}
        self._n_revisits = 0
        self._repeated = _Tally()
        self._not_followed = _Tally()

    def findings(self, old: Any, new: Any) -> Iterator[Finding]:
        """Yield all differences between two containers, in the order of their keys."""
        stack = [] if old is new else [self._open(_Pair(old, new), None)]
        while stack:
            frame = stack[-1]
            child = next(frame.children, None)
            if child is None:
                yield from self._close(stack)
            else:
                yield from self._visit(stack, frame, child)
        if self._repeated.first:
            yield repeated(str(self._repeated.first), self._repeated.count)
        if self._not_followed.first:
            yield not_followed(str(self._not_followed.first), self._not_followed.count)

    def _visit(self, stack: list[_Frame], frame: _Frame, child: Child) -> Iterator[Finding]:
        """Yield the finding at one path, or go on with what is below it."""
        name = type_name(child.old)
        if name in CONTAINERS and name == type_name(child.new):
            self._descend(stack, child)
            return
        frame.n_differences += 1
        where = str(Path(frame.path, child.segment))
        if self._rules.keys.keeps(where):
            finding = self._judge(where, child.old, child.new)
            if finding:
                frame.n_findings += 1
                yield finding
        elif is_container(child.old) or is_container(child.new):  # paths below one that is left out may be kept
            self._descend(stack, child)

    def _judge(self, where: str, old: Any, new: Any) -> Finding | None:
        """Return what to say about two unequal values at ``where``, or ``None`` if they are within tolerance."""
        name = type_name(old)
        if old is ABSENT or new is ABSENT or name != type_name(new):
            return self._describe.change(where, old, new)
        if name == NUMBER:
            tolerated = within(old, new, self._rules.tolerances.of(where))
            return None if tolerated else self._describe.change(where, old, new)
        if name not in _KNOWN and equality(old, new) is None:
            return not_comparable(where, new)
        return self._describe.change(where, old, new)

    def _descend(self, stack: list[_Frame], child: Child) -> None:
        """Compare what is inside a pair next, unless it is known or was visited often enough."""
        pair = self._pairs.get((id(child.old), id(child.new)))
        if pair and (pair.open or pair.settled):
            return
        if self._is_visited_enough(child):
            stack[-1].n_differences += 1
            tally = self._repeated if pair and pair.n_findings else self._not_followed
            tally.add(Path(stack[-1].path, child.segment))
        elif pair is None and plainly_equal(child.old, child.new):
            self._note(_Pair(child.old, child.new, settled=True))
        else:
            stack.append(self._open(pair or _Pair(child.old, child.new), Path(stack[-1].path, child.segment)))

    def _is_visited_enough(self, child: Child) -> bool:
        visits = min(self._visits_of_old.get(id(child.old), 0), self._visits_of_new.get(id(child.new), 0))
        if visits:
            self._n_revisits += 1
        return visits >= (MAX_VISITS if self._n_revisits < MAX_REVISITS else 1)

    def _open(self, pair: _Pair, path: Path | None) -> _Frame:
        self._note(pair)
        pair.open = True
        return _Frame(pair, path, children(pair.old, pair.new, self._same, self._rules.id_key))

    def _note(self, pair: _Pair) -> None:
        key = id(pair.old), id(pair.new)
        self._pairs[key] = pair
        self._visits_of_old[key[0]] = self._visits_of_old.get(key[0], 0) + 1
        self._visits_of_new[key[1]] = self._visits_of_new.get(key[1], 0) + 1

    def _close(self, stack: list[_Frame]) -> Iterator[Finding]:
        """Leave a pair: note what is known of it now, and tell its parent."""
        frame = stack.pop()
        if frame.n_differences and self._rules.id_key:
            yield from self._duplicates(frame)
        pair = frame.pair
        pair.open = False
        pair.n_findings = max(pair.n_findings, frame.n_findings)
        pair.settled = not frame.n_differences or (self._rules.same_at_every_path and not frame.n_findings)
        if stack:
            stack[-1].n_differences += frame.n_differences
            stack[-1].n_findings += frame.n_findings

    def _duplicates(self, frame: _Frame) -> Iterator[Finding]:
        for found in duplicate_ids(frame.pair.old, frame.pair.new, self._rules.id_key):
            where = str(Path(frame.path, found.segment))
            if self._rules.keys.keeps(where):
                frame.n_findings += 1
                yield duplicate_id(where, found)
