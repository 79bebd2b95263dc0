"""Compares two bodies: main graphs, bodies of loops and conditions, functions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from diffai_compare_graph import describe
from diffai_compare_graph.pairing import Pairing
from diffai_compare_graph.plain import holds_graph, same
from diffai_compare_graph.sides import Side
from diffai_core.plugin import ABSENT, Graph, Value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from diffai_core.plugin import Finding, Node

FUNCTIONS = "functions"
"""Attribute of a graph with functions by name; what goes in and out of them is known by its position."""
VALUES = "values"
"""Attribute of a graph with types and shapes of the values between nodes."""


@dataclass
class Outcome:
    """What a comparison of two bodies found.

    Args:
        findings: In order.
        nodes: Other names of equal nodes.
        values: Other names of equal values.
        told_once: How many values only one side describes.
    """

    findings: list[Finding] = field(default_factory=list)
    nodes: list[tuple[str, str]] = field(default_factory=list)
    values: list[tuple[str, str]] = field(default_factory=list)
    told_once: list[int] = field(default_factory=lambda: [0, 0])

    def add(self, other: Outcome) -> None:
        """Add what was found in a body inside."""
        self.findings += other.findings
        self.nodes += other.nodes
        self.values += other.values
        self.told_once = [mine + more for mine, more in zip(self.told_once, other.told_once, strict=True)]

    @property
    def n_changes(self) -> int:
        """Findings that say that the graphs differ."""
        return sum(finding.level == "change" for finding in self.findings)

    @property
    def n_changed_nodes(self) -> int:
        """Findings that other pairs of nodes might spare."""
        return sum(finding.kind != "graph_io_changed" for finding in self.findings)


class Bodies:
    """A pair of bodies.

    Args:
        old: The body in OLD.
        new: The body in NEW.
        outer: Names in NEW by those in OLD, of values around the bodies that have others.
        path: Stands before the places that findings name.
        named_ends: Whether inputs and outputs are known by their names, and not by their order.
    """

    def __init__(
        self, old: Side, new: Side, outer: Mapping[str, str], path: str = "", *, named_ends: bool = True
    ) -> None:
        self._old, self._new = old, new
        self._outer = dict(outer)
        self._path = path
        self._named_ends = named_ends
        self._pair_inputs()

    def compare(self) -> Outcome:
        """Compare by names and, where that leaves changes, by structure; return what says it with fewer findings."""
        by_names = self._outcome(Pairing(self._old, self._new, self._outer).find(by_names=True))
        if not by_names.n_changed_nodes:
            return by_names
        by_structure = self._outcome(Pairing(self._old, self._new, self._outer).find(by_names=False))
        return by_structure if by_structure.n_changes < by_names.n_changes else by_names

    def _pair_inputs(self) -> None:
        olds, news = list(self._old.graph.inputs), list(self._new.graph.inputs)
        if self._named_ends:
            olds, news = [name for name in olds if name not in news], [name for name in news if name not in olds]
        if len(olds) == len(news):
            self._outer.update(zip(olds, news, strict=True))

    def _outcome(self, pairing: Pairing) -> Outcome:
        return _Comparison(self._old, self._new, self._outer, self._path, pairing).run(named_ends=self._named_ends)


class _Comparison:
    """What differs under one pairing of the nodes."""

    def __init__(self, old: Side, new: Side, outer: Mapping[str, str], path: str, pairing: Pairing) -> None:
        self._old, self._new, self._path, self._pairing = old, new, path, pairing
        self._outer = dict(outer)
        self._taken: dict[str, str] = {}
        self._labels = old.labels(), new.labels()
        self._outcome = Outcome()

    def run(self, *, named_ends: bool) -> Outcome:
        pairing, found = self._pairing, self._outcome.findings
        for i, node in enumerate(self._old.nodes):
            if i not in pairing.to_new:
                found.append(describe.node_removed(self._where(0, i), node))
        for j, node in enumerate(self._new.nodes):
            if j in pairing.to_old:
                self._compare_nodes(pairing.to_old[j], j)
            else:
                found.append(describe.node_added(self._where(1, j), node))
        self._compare_ends(named_ends=named_ends)
        self._compare_values()
        self._compare_attributes()
        return self._outcome

    def _where(self, side: int, index: int) -> str:
        return self._path + self._labels[side][index]

    # -- nodes -------------------------------------------------------------------------------------------------

    def _compare_nodes(self, i: int, j: int) -> None:
        old, new, where = self._old.nodes[i], self._new.nodes[j], self._where(1, j)
        differing = [
            part
            for part, is_same in (
                ("op", old.op == new.op),
                ("inputs", self._same_inputs(old, new)),
                ("outputs", [bool(name) for name in old.outputs] == [bool(name) for name in new.outputs]),
            )
            if not is_same
        ]
        if differing:
            sides = [{part: _plain(getattr(node, part)) for part in ("op", *differing)} for node in (old, new)]
            self._outcome.findings.append(describe.node_changed(where, *sides))
        self._note_names(old, new)
        for name in {**old.attributes, **new.attributes} if old.attributes or new.attributes else ():
            self._compare_any(f"{where}.{name}", old.attributes.get(name, ABSENT), new.attributes.get(name, ABSENT))

    def _same_inputs(self, old: Node, new: Node) -> bool:
        return len(old.inputs) == len(new.inputs) and all(map(self._same_value, old.inputs, new.inputs))

    def _same_value(self, before: str, after: str) -> bool:
        """Whether two values are the same; tensors that nothing pairs are, where one always stands for the other."""
        if not before or not after:
            return before == after
        if self._pairing.same_value(before, after):
            return True
        if not self._old.is_tensor(before) or not self._new.is_tensor(after):
            return False
        if before in self._new.consumers or after in self._old.consumers:
            return False  # they are there, and elsewhere
        return self._outer.setdefault(before, after) == after and self._taken.setdefault(after, before) == before

    def _note_names(self, old: Node, new: Node) -> None:
        if old.name != new.name:
            self._outcome.nodes.append((old.name, new.name))
        pairs = zip(old.outputs, new.outputs, strict=False)
        self._outcome.values += [(before, after) for before, after in pairs if before != after]

    # -- attributes --------------------------------------------------------------------------------------------

    def _compare_attributes(self) -> None:
        old, new = self._old.graph.attributes, self._new.graph.attributes
        for name in {**old, **new}:
            if name != VALUES:
                self._compare_any(f"{self._path}{name}", old.get(name, ABSENT), new.get(name, ABSENT), closed=True)

    def _compare_any(self, where: str, old: Any, new: Any, *, closed: bool = False) -> None:
        """Compare two attributes; graphs in them node by node, mappings entry by entry.

        Args:
            where: Which attribute.
            old: Its value in OLD.
            new: Its value in NEW.
            closed: Whether graphs in it see nothing of the graph around, as functions do.
        """
        if old is ABSENT or new is ABSENT:
            self._outcome.findings.append(describe.attribute_changed(where, old, new))
        elif isinstance(old, Graph) and isinstance(new, Graph):
            self._outcome.add(self._inside(where, old, new, closed=closed))
        elif isinstance(old, dict) and isinstance(new, dict):
            for name in {**old, **new}:
                self._compare_any(f"{where}.{name}", old.get(name, ABSENT), new.get(name, ABSENT), closed=closed)
        elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new) and holds_graph(old):
            for index, (before, after) in enumerate(zip(old, new, strict=True)):
                self._compare_any(f"{where}[{index}]", before, after, closed=closed)
        elif not same(old, new):
            self._outcome.findings.append(describe.attribute_changed(where, old, new))

    def _inside(self, where: str, old: Graph, new: Graph, *, closed: bool) -> Outcome:
        if closed:
            is_function = where.startswith(f"{self._path}{FUNCTIONS}.")
            return Bodies(Side(old), Side(new), {}, f"{where}/", named_ends=not is_function).compare()
        names = dict(self._outer)
        for i, j in self._pairing.to_new.items():
            names.update(zip(self._old.nodes[i].outputs, self._new.nodes[j].outputs, strict=False))
        sides = Side(old, self._old), Side(new, self._new)
        return Bodies(*sides, names, f"{where}/", named_ends=False).compare()

    # -- inputs, outputs, values -------------------------------------------------------------------------------

    def _compare_ends(self, *, named_ends: bool) -> None:
        old, new = self._old.graph, self._new.graph
        for kind, befores, afters in (("input", old.inputs, new.inputs), ("output", old.outputs, new.outputs)):
            if named_ends:
                for name in {**befores, **afters}:
                    self._compare_end(kind, name, (name, befores.get(name)), (name, afters.get(name)))
            elif len(befores) == len(afters):
                for one, other in zip(befores.items(), afters.items(), strict=True):
                    self._compare_end(kind, other[0], one, other)
            else:
                where = f"{self._path}{kind}s"
                self._outcome.findings.append(describe.io_changed(where, len(befores), len(afters)))

    def _compare_end(self, kind: str, name: str, old: tuple[str, Value | None], new: tuple[str, Value | None]) -> None:
        sides = [ABSENT if value is None else {"kind": kind, **_described(value)} for _, value in (old, new)]
        if kind == "output" and old[1] is not None and new[1] is not None and not self._same_value(old[0], new[0]):
            origins = [_origin(side, end[0]) for side, end in ((self._old, old), (self._new, new))]
            sides = [{**side, "made_by": origin} for side, origin in zip(sides, origins, strict=True)]  # type: ignore[dict-item] # neither is absent
        if not same(*sides):
            self._outcome.findings.append(describe.io_changed(f"{self._path}{name}", *sides))

    def _compare_values(self) -> None:
        befores: Mapping[str, Value] = self._old.graph.attributes.get(VALUES, {})
        afters: Mapping[str, Value] = self._new.graph.attributes.get(VALUES, {})
        if not befores and not afters:
            return
        for before, after in self._value_pairs():
            old, new = befores.get(before), afters.get(after)
            if old is not None and new is not None and not same(old, new):
                finding = describe.value_changed(
                    f"{self._path}{after}", old, new, only_told_otherwise=_may_agree(old, new)
                )
                self._outcome.findings.append(finding)
            elif (old is None) != (new is None):
                self._outcome.told_once[old is None] += 1

    def _value_pairs(self) -> Iterator[tuple[str, str]]:
        for i, j in self._pairing.to_new.items():
            yield from zip(self._old.nodes[i].outputs, self._new.nodes[j].outputs, strict=False)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _described(value: Value) -> dict[str, Any]:
    return {"dtype": value.dtype, "shape": None if value.shape is None else list(value.shape)}


def _origin(side: Side, name: str) -> str:
    """Return what makes a value, in words."""
    if name in side.producers:
        return side.labels()[side.producers[name][0]]
    return f"{'tensor' if side.is_tensor(name) else 'input'} {name}"


def _may_agree(old: Value, new: Value) -> bool:
    """Whether two descriptions can both be true: nowhere two different numbers or types."""
    if old.dtype and new.dtype and old.dtype != new.dtype:
        return False
    if old.shape is None or new.shape is None:
        return True
    pairs: Callable[..., Any] = zip
    lengths = list(pairs(old.shape, new.shape, strict=False))
    both_numbers = [(one, other) for one, other in lengths if isinstance(one, int) and isinstance(other, int)]
    return len(old.shape) == len(new.shape) and all(one == other for one, other in both_numbers)
