"""Opens the JSON export of CatBoost: values of leaves as tensors, everything else as a tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffai_lib_json import parse_json

from diffai_core.plugin import Artifact, LoadError, read_text
from diffai_load_boosting.arrays import packed_tensor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diffai_core.plugin import DataFile, Source, TensorRef

MAX_BYTES = 1 << 30
"""Largest file that is read."""
MAX_CONTAINERS = 8_000_000
"""Most objects and arrays in a file; each split is one."""

_ARRAYS = ("leaf_values", "leaf_weights")
_OF_LEAF = {"value": "leaf_values", "weight": "leaf_weights"}


def open_catboost(source: Source, _options: Mapping[str, Any]) -> Artifact:
    """Open a model of CatBoost that was saved with ``format="json"``.

    Returns:
        Tensors ``trees.N.leaf_values`` and ``trees.N.leaf_weights``, of trees that are not symmetric from the leftmost
        leaf to the rightmost; in the tree, all the rest: splits, features, parameters.

    Raises:
        LoadError: If it is no such model, or the binary ``.cbm``.
    """
    file = source.open()
    try:
        model = _Model(file, _document(file))
        return Artifact(name=source.name, format="catboost", tensors=model.tensors, tree=model.tree, files=(file,))
    except BaseException:
        file.close()
        raise


def _document(file: DataFile) -> dict[str, Any]:
    if file.read(0, min(file.size, 4)) == b"CBM1":
        reason = (
            "is a binary model of CatBoost, which only CatBoost reads; export it: python -c 'import catboost, sys;"
            ' catboost.CatBoost().load_model(sys.argv[1]).save_model("model.json", format="json")\' FILE'
        )
        raise LoadError(file.name, reason, 0)
    document = parse_json(read_text(file, MAX_BYTES), MAX_CONTAINERS)
    if not isinstance(document, dict) or not isinstance(document.get("features_info"), dict):
        raise LoadError(file.name, "not a model of CatBoost: it has no 'features_info'", 0)
    return document


class _Model:
    """A document, taken apart."""

    def __init__(self, file: DataFile, document: dict[str, Any]) -> None:
        self._file = file
        self.tensors: dict[str, TensorRef] = {}
        self.tree = dict(document)
        if "oblivious_trees" in document and "trees" in document:
            raise self._error("it has two kinds of trees")
        for key, take in (("oblivious_trees", self._symmetric), ("trees", self._nested)):
            trees = document.get(key, [])
            if not isinstance(trees, list) or not all(isinstance(tree, dict) for tree in trees):
                raise self._error(f"its {key!r} are no list of objects")
            if key in document:
                self.tree[key] = [take(tree, number) for number, tree in enumerate(trees)]

    def _error(self, reason: str) -> LoadError:
        return LoadError(self._file.name, f"not a model of CatBoost: {reason}", 0)

    def _symmetric(self, tree: dict[str, Any], number: int) -> dict[str, Any]:
        """Return the splits of a tree whose nodes of one level all ask the same."""
        for key in _ARRAYS:
            self._add(number, key, tree.get(key, []))
        return {key: value for key, value in tree.items() if key not in _ARRAYS}

    def _nested(self, tree: dict[str, Any], number: int) -> dict[str, Any]:
        """Return a tree of nodes without what its leaves hold; whole where they do not all hold the same."""
        arrays: dict[str, list[Any]] = {key: [] for key in _ARRAYS}
        root: dict[str, Any] = {}
        forms = set()
        stack = [(tree, root)]
        while stack:
            node, copy = stack.pop()
            sides = [side for side in ("right", "left") if isinstance(node.get(side), dict)]
            forms.add((bool(sides), _form(node)))
            for key, value in node.items():
                if key in _OF_LEAF:
                    arrays[_OF_LEAF[key]] += value if isinstance(value, list) else [value]
                else:
                    copy[key] = {} if key in sides else value
            stack += [(node[side], copy[side]) for side in sides]
        by_place = dict(forms)  # inside and in leaves: one form each, the inner nodes hold nothing
        if len(by_place) < len(forms) or by_place.get(True):
            return tree
        for key, values in arrays.items():
            self._add(number, key, values)
        return root

    def _add(self, number: int, key: str, values: Any) -> None:
        name = f"trees.{number}.{key}"
        if not isinstance(values, list):
            raise self._error(f"{name} is no list")
        if values:
            self.tensors[name] = packed_tensor(name, values, "float64", self._error)


def _form(node: dict[str, Any]) -> tuple[tuple[str, int | None], ...]:
    """Return what of :data:`_OF_LEAF` a node holds, and how many numbers of each: ``None`` where it is no list."""
    held = ((key, node[key]) for key in sorted(_OF_LEAF.keys() & node.keys()))
    return tuple((key, len(value) if isinstance(value, list) else None) for key, value in held)
