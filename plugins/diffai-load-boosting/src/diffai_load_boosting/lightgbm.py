"""Opens the text of LightGBM: a header, trees as lines of ``key=values``, importances and parameters."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from diffai_core.plugin import Artifact, LoadError, read_text
from diffai_load_boosting.arrays import packed_tensor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from diffai_core.plugin import DataFile, Source, TensorRef, Text

MAX_BYTES = 1 << 30
"""Largest file that is read."""

_FLOATS = (
    *("split_gain", "threshold", "leaf_value", "leaf_weight", "internal_value", "internal_weight"),
    *("leaf_const", "leaf_coeff"),
)
_INTEGERS = (
    *("split_feature", "decision_type", "left_child", "right_child", "leaf_count", "internal_count"),
    *("cat_boundaries", "num_features", "leaf_features"),
)
_ARRAYS = {**dict.fromkeys(_FLOATS, "float64"), **dict.fromkeys(_INTEGERS, "int32"), "cat_threshold": "uint32"}
_SIZES = "tree_sizes"
"""Bytes of each tree, which follow from the text itself; LightGBM cannot read a model in which they are wrong."""
_END_OF_TREES = "end of trees"
_PARAMETERS, _END_OF_PARAMETERS = "parameters:", "end of parameters"
_SECTIONS = {"feature_importances:": "feature_importances", _PARAMETERS: "parameters"}
_CATEGORIES = "pandas_categorical:"
_ENDS = frozenset({_END_OF_TREES, _END_OF_PARAMETERS})


def open_lightgbm(source: Source, _options: Mapping[str, Any]) -> Artifact:
    """Open a model of LightGBM that was saved as text.

    Returns:
        Tensors ``trees.N.threshold``, ``trees.N.leaf_value`` … (those without elements are left out); in the tree,
        ``header``, ``trees``, ``feature_importances``, ``parameters`` and what follows them.

    Raises:
        LoadError: If it is no such text.
    """
    file = source.open()
    try:
        text = _Model(file)
        text.read(read_text(file, MAX_BYTES))
        return Artifact(name=source.name, format="lightgbm", tensors=text.tensors, tree=text.tree, files=(file,))
    except BaseException:
        file.close()
        raise


class _Model:
    """What is known of a text so far, and the section that is being read."""

    def __init__(self, file: DataFile) -> None:
        self._file = file
        self.tensors: dict[str, TensorRef] = {}
        self._trees: list[dict[str, Any]] = []
        self._section: dict[str, Any] = {}
        self._name = ""
        self._is_tree = False
        self._places: list[int] = []
        self.tree: dict[str, Any] = {"header": self._section, "trees": self._trees}

    def read(self, text: Text) -> None:
        """Read all lines."""
        lines = _lines(text)
        if next(lines, (0, ""))[1] != "tree":
            raise LoadError(self._file.name, "not a model of LightGBM: it does not begin with 'tree'", 0)
        end: int | None = None
        open_section = ""
        for place, line in lines:
            if line == _END_OF_TREES and end is None:
                end = place
            if line == _PARAMETERS:
                open_section = line
            elif line == _END_OF_PARAMETERS:
                open_section = ""
            if line and line not in _ENDS:
                self._take(text, place, line)
        if end is None:
            raise text.error("the text ends before its 'end of trees'", len(text.content))
        if open_section:
            raise text.error(f"the text ends before its '{_END_OF_PARAMETERS}'", len(text.content))
        header = self.tree["header"]
        if header.get(_SIZES) == self._sizes(text, end):
            del header[_SIZES]

    def _sizes(self, text: Text, end: int) -> str:
        """Return the bytes of each tree, of which the last ends at ``end``."""
        ends = [*self._places[1:], end]
        trees = (text.content[start:stop] for start, stop in zip(self._places, ends, strict=bool(self._places)))
        return " ".join(str(len(tree.encode(text.encoding))) for tree in trees)

    def _take(self, text: Text, place: int, line: str) -> None:
        if line in _SECTIONS:
            self._name, self._section, self._is_tree = line, self.tree.setdefault(_SECTIONS[line], {}), False
            return
        key, value = self._split(line)
        if key == "Tree":
            self._begin_tree(text, place, value)
        elif self._is_tree and key in _ARRAYS:
            self._add(key, str(value), text, place)
        elif line.startswith(_CATEGORIES):
            self._put(self.tree, key, value, text, place)
        else:
            self._put(self._section, key, _scalar(value) if self._is_tree else value, text, place)

    def _split(self, line: str) -> tuple[str, str | bool]:
        """Return key and value of a line; ``True`` for a switch, which is there or not."""
        if line.startswith(_CATEGORIES):
            key, _, value = line.partition(":")
        elif self._name == _PARAMETERS:
            key, _, value = line.removeprefix("[").removesuffix("]").partition(":")
            value = value.removeprefix(" ")
        elif self._name:
            key, _, value = line.rpartition("=")  # names of features may hold one
        else:
            key, equals, value = line.partition("=")
            if not equals:
                return key, True
        return key, value

    def _begin_tree(self, text: Text, place: int, number: str | bool) -> None:
        if number != str(len(self._trees)) or self._name:
            raise text.error(f"tree {len(self._trees):,} should begin here, and not {number!s:.20}", place)
        self._section, self._is_tree = {}, True
        self._trees.append(self._section)
        self._places.append(place)

    def _add(self, key: str, value: str, text: Text, place: int) -> None:
        name = f"trees.{len(self._trees) - 1}.{key}"
        if name in self.tensors:
            raise text.error(f"{name} is there twice", place)
        try:
            numbers = _numbers(value, float if _ARRAYS[key] == "float64" else int)
        except ValueError as error:
            raise text.error(f"{name} holds something that is no number", place) from error
        if numbers:
            self.tensors[name] = packed_tensor(name, numbers, _ARRAYS[key], lambda reason: text.error(reason, place))

    def _put(self, section: dict[str, Any], key: str, value: Any, text: Text, place: int) -> None:
        if key in section:
            raise text.error(f"{key[:60]!r} is there twice", place)
        section[key] = value


def _lines(text: Text) -> Iterator[tuple[int, str]]:
    content, start = text.content, 0
    while start < len(content):
        end = content.find("\n", start)
        end = len(content) if end < 0 else end
        yield start, content[start:end].removesuffix("\r")
        start = end + 1


def _numbers(text: str, kind: type[float]) -> list[float]:
    """Return the numbers that a text holds.

    Raises:
        ValueError: If something in it is no number, or one that a float cannot hold.
    """
    numbers = [kind(word) for word in text.split()]
    if "_" in text or (kind is float and any(map(math.isinf, numbers)) and "inf" not in text.lower()):
        raise ValueError(text)
    return numbers


def _scalar(value: str | bool) -> float | str | bool:
    """Return the number that a text is, or the text."""
    for kind in (int, float):
        try:
            numbers = _numbers(str(value), kind)
        except ValueError:
            continue
        if len(numbers) == 1:
            return numbers[0]
    return value
