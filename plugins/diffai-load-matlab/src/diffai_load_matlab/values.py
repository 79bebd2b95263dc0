"""What a variable of MATLAB can be, whichever version of the format holds it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from diffai_core.plugin import TensorRef

Make = Callable[[str], TensorRef]
"""Makes the tensor of an array under a name."""


@dataclass(frozen=True)
class Numeric:
    """An array of numbers or truth values: its shape, how to make it a tensor, how to read it if it is one number."""

    shape: tuple[int, ...]
    tensor: Make
    scalar: Callable[[], Any]
    is_complex: bool = False


@dataclass(frozen=True)
class Text:
    """Characters: a text for one row, a list for several."""

    value: str | list[str]


@dataclass(frozen=True)
class Cell:
    """A cell array; items in MATLAB's order, the first index running fastest."""

    shape: tuple[int, ...]
    items: tuple[Value, ...]


@dataclass(frozen=True)
class Struct:
    """An array of structs, or of objects if it has a class; items in MATLAB's order."""

    shape: tuple[int, ...]
    items: tuple[dict[str, Value], ...]
    class_name: str = ""


@dataclass(frozen=True)
class Sparse:
    """A sparse matrix: shape, and its arrays (row indices, column starts, values)."""

    shape: tuple[int, ...]
    parts: dict[str, Numeric] = field(default_factory=dict)


@dataclass(frozen=True)
class Unreadable:
    """Something that cannot be represented, and why."""

    reason: str


Value = Numeric | Text | Cell | Struct | Sparse | Unreadable
