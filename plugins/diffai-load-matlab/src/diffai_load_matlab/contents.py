"""Names for what is in a file: arrays become tensors under MATLAB's own expressions, the rest the tree."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any, Final

from diffai_core.plugin import NotCompared
from diffai_load_matlab.values import Cell, Numeric, Sparse, Struct, Text, Unreadable

if TYPE_CHECKING:
    from diffai_core.plugin import TensorRef
    from diffai_load_matlab.values import Value

CLASS = "class"
"""Key under which the class of an object stands."""

_NOTHING: Final = object()
"""Stands for a value of which nothing is in the tree, because it is a tensor or cannot be read."""


@dataclass
class Contents:
    """What a file holds, gathered variable by variable.

    Args:
        tensors: Tensors by name.
        tree: Plain values by name of the variable.
        not_readable: What can be neither.
    """

    tensors: dict[str, TensorRef] = field(default_factory=dict)
    tree: dict[str, Any] = field(default_factory=dict)
    not_readable: list[NotCompared] = field(default_factory=list)

    def add(self, name: str, value: Value) -> None:
        """Add a variable; an array of numbers is a tensor, whatever its shape."""
        if isinstance(value, Numeric):
            self.tensors[name] = value.tensor(name)
            return
        plain = self._plain(name, value)
        if plain is not _NOTHING:
            self.tree[name] = plain

    def _plain(self, name: str, value: Value) -> Any:
        """Return what stands in the tree for a value inside of a variable, after adding its tensors."""
        if isinstance(value, Numeric):
            return self._number(name, value)
        if isinstance(value, Text):
            return value.value
        if isinstance(value, Cell):
            return self._cell(name, value)
        if isinstance(value, Struct):
            return self._structs(name, value)
        return self._other(name, value)

    def _number(self, name: str, value: Numeric) -> Any:
        if math.prod(value.shape) == 1 and not value.is_complex:
            return value.scalar()
        if not math.prod(value.shape):
            return [] if set(value.shape) == {0} else {"size": list(value.shape)}
        self.tensors[name] = value.tensor(name)
        return _NOTHING

    def _cell(self, name: str, value: Cell) -> Any:
        if not value.items:
            return {"size": list(value.shape)}
        keys = _subscripts(value.shape)
        found = {key: self._plain(f"{name}{{{key}}}", item) for key, item in zip(keys, value.items, strict=True)}
        kept = {f"{{{key}}}": item for key, item in found.items() if item is not _NOTHING}
        if len(kept) == len(found) and _is_line(value.shape):
            return list(kept.values())
        return kept or _NOTHING

    def _structs(self, name: str, value: Struct) -> Any:
        if math.prod(value.shape) == 1:
            return self._struct(name, value.items[0], value.class_name)
        keys = _subscripts(value.shape)
        found: dict[str, Any] = {
            f"({key})": self._struct(f"{name}({key})", item, value.class_name)
            for key, item in zip(keys, value.items, strict=True)
        }
        return found or {"size": list(value.shape)}

    def _struct(self, name: str, fields: dict[str, Value], class_name: str) -> dict[str, Any]:
        found: dict[str, Any] = {CLASS: class_name} if class_name else {}
        for key, value in fields.items():
            plain = self._plain(f"{name}.{key}", value)
            if plain is not _NOTHING:
                found[key] = plain
        return found

    def _other(self, name: str, value: Sparse | Unreadable) -> Any:
        if isinstance(value, Unreadable):
            self.not_readable.append(NotCompared(name, value.reason))
            return _NOTHING
        for key, part in value.parts.items():
            self.tensors[f"{name}.{key}"] = part.tensor(f"{name}.{key}")
        return {"sparse": list(value.shape)}


def _is_line(shape: tuple[int, ...]) -> bool:
    return sum(length != 1 for length in shape) <= 1


def _subscripts(shape: tuple[int, ...]) -> list[str]:
    """Return the subscripts of all items in MATLAB's order: one number in a line of items, else one for each axis."""
    if _is_line(shape):
        return [str(number + 1) for number in range(math.prod(shape))]
    indices = product(*(range(1, length + 1) for length in reversed(shape)))
    return [",".join(map(str, reversed(index))) for index in indices]
