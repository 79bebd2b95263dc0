"""Opens models of XGBoost, written as JSON or UBJSON: numbers of the trees as tensors, everything else as a tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffai_lib_json import parse_json

from diffai_core.plugin import Artifact, LoadError, read_text
from diffai_load_boosting.arrays import big_endian_tensor, packed_tensor
from diffai_load_boosting.ubjson import MAX_DEPTH, TypedArray, read_ubjson

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diffai_core.plugin import DataFile, Source, TensorRef

MAX_BYTES = 1 << 30
"""Largest JSON file that is read."""
MAX_CONTAINERS = 8_000_000
"""Most objects and arrays in a JSON file; a tree has about 15."""
MAX_LISTED = 1_000_000
"""Most numbers of an array in a UBJSON file that are read into the tree."""

_OF_TREE = {
    **dict.fromkeys(("base_weights", "leaf_weights", "loss_changes", "split_conditions", "sum_hessian"), "float32"),
    **dict.fromkeys(("left_children", "right_children", "parents", "split_indices", "leaf_child_counts"), "int32"),
    **dict.fromkeys(("default_left", "split_type"), "uint8"),
    **dict.fromkeys(("categories", "categories_nodes"), "int32"),
    **dict.fromkeys(("categories_segments", "categories_sizes"), "int64"),
}
_OF_MODEL = {"weights": "float32", "weight_drop": "float32"}


def open_xgboost(source: Source, _options: Mapping[str, Any]) -> Artifact:
    """Open a model of XGBoost 1.0 or later.

    Returns:
        Tensors ``trees.N.split_conditions``, ``trees.N.left_children`` … (those without elements are left out),
        ``weights`` of a linear model, ``weight_drop`` of DART; in the tree, all the rest.

    Raises:
        LoadError: If it is no such model, or of the binary format before 1.0.
    """
    file = source.open()
    try:
        model = _Model(file, _document(file))
        return Artifact(name=source.name, format="xgboost", tensors=model.tensors, tree=model.tree, files=(file,))
    except BaseException:
        file.close()
        raise


def _document(file: DataFile) -> dict[str, Any]:
    head = file.read(0, min(file.size, 4))
    if head == b"binf":
        reason = (
            "is of the old binary format of XGBoost; load it with XGBoost < 3.1 and write it with"
            ' save_model("model.json")'
        )
        raise LoadError(file.name, reason, 0)
    is_binary = head[:1] == b"{" and head[1:2] in {b"L", b"l", b"I", b"U", b"i", b"#", b"$"}
    document = read_ubjson(file) if is_binary else parse_json(read_text(file, MAX_BYTES), MAX_CONTAINERS)
    if not isinstance(document, dict) or not isinstance(document.get("learner"), dict):
        raise LoadError(file.name, "not a model of XGBoost: it has no 'learner'", 0)
    return document


class _Model:
    """A document, taken apart."""

    def __init__(self, file: DataFile, document: dict[str, Any]) -> None:
        self._file = file
        self.tensors: dict[str, TensorRef] = {}
        self.tree: dict[str, Any] = self._plain(document, ())

    def _error(self, reason: str) -> LoadError:
        return LoadError(self._file.name, f"not a model of XGBoost: {reason}", 0)

    def _plain(self, value: Any, path: tuple[str, ...]) -> Any:
        """Return what stands in the tree for a value."""
        if len(path) > MAX_DEPTH:
            raise LoadError(self._file.name, f"is nested more than {MAX_DEPTH} deep", 0)
        if isinstance(value, dict):
            return self._object(value, path)
        if isinstance(value, TypedArray):
            return self._listed(value)
        if not isinstance(value, list):
            return value
        if path and path[-1] == "trees":
            return [self._tree(entry, number) for number, entry in enumerate(value)]
        return [self._plain(entry, (*path, "")) for entry in value]

    def _object(self, value: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
        found = {}
        for key, entry in value.items():
            if key in _OF_MODEL and path[:2] == ("learner", "gradient_booster") and _is_array(entry):
                self._add(key, entry, _OF_MODEL[key])
            else:
                found[key] = self._plain(entry, (*path, key))
        return found

    def _tree(self, value: Any, number: int) -> Any:
        """Return what is no array of a tree."""
        if not isinstance(value, dict):
            raise self._error(f"tree {number:,} is no object")
        found = {}
        for key, entry in value.items():
            if key in _OF_TREE and _is_array(entry):
                self._add(f"trees.{number}.{key}", entry, _OF_TREE[key])
            else:
                found[key] = self._plain(entry, (key,))
        return found

    def _add(self, name: str, values: Any, dtype_name: str) -> None:
        if name in self.tensors:
            raise self._error(f"{name} is there twice")
        if isinstance(values, TypedArray):
            if values.length:
                self.tensors[name] = big_endian_tensor(name, values.dtype, values.length, self._file, values.offset)
        elif values:
            self.tensors[name] = packed_tensor(name, values, dtype_name, self._error)

    def _listed(self, values: TypedArray) -> list[Any]:
        if values.length > MAX_LISTED:
            reason = f"an array of {values.length:,} numbers is longer than the {MAX_LISTED:,} that are read"
            raise LoadError(self._file.name, reason, values.offset)
        if not values.length:
            return []
        read: list[Any] = big_endian_tensor("", values.dtype, values.length, self._file, values.offset).read().tolist()
        return read


def _is_array(value: Any) -> bool:
    return isinstance(value, TypedArray) or (
        isinstance(value, list) and all(isinstance(entry, int | float) for entry in value)
    )
