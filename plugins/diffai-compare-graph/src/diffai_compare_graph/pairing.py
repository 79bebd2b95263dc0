"""Which node of OLD stands against which of NEW."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Any

from diffai_compare_graph.sequences import common
from diffai_compare_graph.sides import once

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from diffai_compare_graph.sides import Side
    from diffai_core.plugin import Node


class Pairing:
    """Pairs of nodes, found step by step: from what is certain to what follows from it.

    Args:
        old: One body.
        new: The other.
        outer: Values around the bodies, and tensors: names in NEW by those in OLD, where they differ.
    """

    def __init__(self, old: Side, new: Side, outer: Mapping[str, str]) -> None:
        self.old, self.new = old, new
        self._outer = outer
        self.to_new: dict[int, int] = {}
        self.to_old: dict[int, int] = {}
        self._fresh: deque[tuple[int, int]] = deque()

    def find(self, *, by_names: bool) -> Pairing:
        """Find all pairs.

        Args:
            by_names: Whether names of nodes and values count, or only what nodes do and how they are connected.
        """
        if by_names:
            self._pair_equal((node.name for node in self.old.nodes), (node.name for node in self.new.nodes))
            self._pair_equal(map(_first_output, self.old.nodes), map(_first_output, self.new.nodes))
            if len(self.to_new) == len(self.old.nodes) == len(self.new.nodes):
                return self
        self._pair_equal(*self._tokens())
        self._pair_ends()
        self._spread()
        self._pair_in_order(*self._tokens())
        self._spread()
        self._pair_replaced(by_names=by_names)
        return self

    # -- steps -------------------------------------------------------------------------------------------------

    def _add(self, i: int, j: int) -> bool:
        """Pair two nodes unless one of them has a partner."""
        if i in self.to_new or j in self.to_old:
            return False
        self.to_new[i], self.to_old[j] = j, i
        self._fresh.append((i, j))
        return True

    def _add_alike(self, i: int, j: int) -> None:
        """Pair two nodes if they are of one kind."""
        if self.old.nodes[i].op == self.new.nodes[j].op:
            self._add(i, j)

    def _pair_equal(self, old: Iterable[Any], new: Iterable[Any]) -> None:
        """Pair nodes by something that is unique on either side."""
        places = once(new)
        for key, i in once(old).items():
            if key in places:
                self._add_alike(i, places[key])

    def _tokens(self) -> tuple[list[Any], list[Any]]:
        """Return for each node what it does and which tensors it takes; an empty text where it has a partner."""
        old = ["" if i in self.to_new else self._token(self.old, i, self._outer) for i in range(len(self.old.nodes))]
        new = ["" if j in self.to_old else self._token(self.new, j, {}) for j in range(len(self.new.nodes))]
        held = [{name for token in side if token for name in token[2]} for side in (old, new)]
        both = held[0] & held[1]
        return [_with_known(token, both) for token in old], [_with_known(token, both) for token in new]

    @staticmethod
    def _token(side: Side, index: int, renamed: Mapping[str, str]) -> Any:
        node = side.nodes[index]
        tensors = tuple([renamed.get(name, name) if side.is_tensor(name) else "" for name in node.inputs])
        return side.actions[index], len(node.outputs), tensors

    def _pair_ends(self) -> None:
        """Pair the nodes that make outputs of one name, and those that alone take an input of one name."""
        for name in self.old.graph.outputs:
            if name in self.old.producers and name in self.new.producers and name in self.new.graph.outputs:
                self._add_alike(self.old.producers[name][0], self.new.producers[name][0])
        for name in self.old.graph.inputs:
            if name in self.new.graph.inputs:
                self._pair_consumers(name, name)

    def _spread(self) -> None:
        """From each pair go to the nodes before and behind, and pair those that are alike and cannot be mistaken."""
        while self._fresh:
            i, j = self._fresh.popleft()
            old, new = self.old.nodes[i], self.new.nodes[j]
            for before, after in zip(old.inputs, new.inputs, strict=False):
                one, other = self.old.producers.get(before), self.new.producers.get(after)
                if one and other and one[1] == other[1]:
                    self._add_alike(one[0], other[0])
            for before, after in zip(old.outputs, new.outputs, strict=False):
                self._pair_consumers(before, after)

    def _pair_consumers(self, before: str, after: str) -> None:
        olds = self._free(self.old, before, self.to_new)
        news = self._free(self.new, after, self.to_old)
        for key, i in olds.items():
            if key in news:
                self._add(i, news[key])

    @staticmethod
    def _free(side: Side, name: str, paired: Mapping[int, int]) -> dict[tuple[str, int], int]:
        """Return the nodes without a partner that take a value, by operator and place, where there is one such."""
        found = [((side.nodes[i].op, slot), i) for i, slot in side.consumers.get(name, ()) if i not in paired]
        counts = Counter(key for key, _ in found)
        return {key: i for key, i in found if counts[key] == 1}

    def _pair_in_order(self, old: list[Any], new: list[Any]) -> None:
        """Pair what is left by the longest common subsequence of what nodes do."""
        olds, news = ([i for i, token in enumerate(side) if token] for side in (old, new))
        for i, j in common([old[i] for i in olds], [new[j] for j in news]):
            self._add(olds[i], news[j])

    def _pair_replaced(self, *, by_names: bool) -> None:
        """Pair nodes of other operators that took the place of one: of one name or output, or with the same inputs."""
        if by_names:
            for name in (lambda node: node.name), _first_output:
                places = once(map(name, self.new.nodes))
                for key, i in once(map(name, self.old.nodes)).items():
                    if key in places:
                        self._add(i, places[key])
        for i, j in list(self.to_new.items()):
            pairs = zip(self.old.nodes[i].inputs, self.new.nodes[j].inputs, strict=False)
            for before, after in pairs:
                one, other = self.old.producers.get(before), self.new.producers.get(after)
                if one and other and self._takes_the_same(one[0], other[0]):
                    self._add(one[0], other[0])

    def _takes_the_same(self, i: int, j: int) -> bool:
        """Whether two nodes without partners take the same values."""
        if i in self.to_new or j in self.to_old:
            return False
        old, new = self.old.nodes[i].inputs, self.new.nodes[j].inputs
        return len(old) == len(new) and all(map(self.same_value, old, new))

    def same_value(self, before: str, after: str) -> bool:
        """Whether a value of OLD and one of NEW are made by one pair of nodes, or are of one name around them."""
        one, other = self.old.producers.get(before), self.new.producers.get(after)
        if one is None or other is None:
            return one is other and self._outer.get(before, before) == after
        return self.to_new.get(one[0]) == other[0] and one[1] == other[1]


def _first_output(node: Node) -> str:
    return node.outputs[0] if node.outputs else ""


def _with_known(token: Any, known: set[str]) -> Any:
    """Return a token without the names of tensors that the other side does not have."""
    if not token or all(name in known for name in token[2]):
        return token
    return (*token[:2], tuple([name if name in known else bool(name) for name in token[2]]))
