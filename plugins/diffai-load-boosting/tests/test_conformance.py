"""Holds the plugin to the laws of the test kit, one class for each library."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from diffai_load_boosting import plugin as boosting_plugin

from diffai_core.testing import LoaderTests, PluginTests, watch

if TYPE_CHECKING:
    from numpy.typing import NDArray

FIXTURES = Path(__file__).parent / "fixtures"
TEXT = "the numbers are text"
MARKS = {"float32": b"d", "float64": b"D", "int8": b"i", "uint8": b"U", "int16": b"I", "int32": b"l", "int64": b"L"}


def ubj(value: Any) -> bytes:
    """Return UBJSON as XGBoost writes it; arrays of NumPy with their type."""
    if isinstance(value, dict):
        members = [_sized(key.encode()) + ubj(entry) for key, entry in value.items()]
        return b"{" + b"".join(members) + b"}"
    if isinstance(value, str):
        return b"S" + _sized(value.encode())
    if isinstance(value, list):
        return b"[#" + _length(len(value)) + b"".join(map(ubj, value))
    return (
        b"[$"
        + MARKS[value.dtype.name]
        + b"#"
        + _length(len(value))
        + value.astype(value.dtype.newbyteorder(">")).tobytes()
    )


def _length(length: int) -> bytes:
    return b"L" + struct.pack(">q", length)


def _sized(data: bytes) -> bytes:
    return _length(len(data)) + data


class TestPlugin(PluginTests):
    plugin = boosting_plugin


class TestUbj(LoaderTests):
    plugin = boosting_plugin
    name = "xgboost"
    dtypes = ("float32", "float64", "int8", "uint8", "int16", "int32", "int64")
    names = ("trees.0.base_weights", "trees.1.base_weights", "trees.2.base_weights")
    shapes = ((1,), (2,), (7,), (300,))
    reads_payload_at_open = "its arrays have one dimension; the test below holds it to this law"

    def write(self, path: Path, arrays: dict[str, NDArray[Any]]) -> None:
        trees = [{"base_weights": arrays[name]} if name in arrays else {} for name in self.names]
        model = {"gradient_booster": {"model": {"trees": trees}, "name": "gbtree"}}
        path.write_bytes(ubj({"learner": model}))

    def write_sample(self, path: Path) -> None:
        path.write_bytes((FIXTURES / "xgboost-categories.ubj").read_bytes())

    def test_names_and_types_of_long_arrays_are_known_without_reading_them(self, tmp_path: Path) -> None:
        path, n_bytes = self.path_in(tmp_path), 16 << 20
        self.open(self.written(tmp_path)).close()
        self.write(path, dict.fromkeys(self.names, np.zeros(n_bytes // 4, "float32")))
        before = watch.bytes_taken(tmp_path)
        with self.open(path) as model:
            assert [ref.nbytes for ref in model.tensors.values()] == [n_bytes] * 3
            assert watch.bytes_taken(tmp_path) - before < n_bytes // 2


class TestXGBoostJson(LoaderTests):
    plugin = boosting_plugin
    name = "xgboost"
    suffix = ".json"
    dtypes = ("float32",)
    names = TestUbj.names
    shapes = TestUbj.shapes
    reads_payload_at_open = TEXT

    def write(self, path: Path, arrays: dict[str, NDArray[Any]]) -> None:
        trees = [{"base_weights": arrays[name].tolist()} if name in arrays else {} for name in self.names]
        path.write_text(json.dumps({"learner": {"gradient_booster": {"model": {"trees": trees}}}}), encoding="utf-8")

    def write_sample(self, path: Path) -> None:
        path.write_bytes((FIXTURES / "xgboost-trees.json").read_bytes())


class TestLightGBM(LoaderTests):
    plugin = boosting_plugin
    name = "lightgbm"
    suffix = ".txt"
    dtypes = ("float64",)
    names = ("trees.0.threshold", "trees.0.leaf_value")
    shapes = TestUbj.shapes
    reads_payload_at_open = TEXT
    ignores_truncation = "what follows the trees is a list of lines, and any of them can be its last"

    def write(self, path: Path, arrays: dict[str, NDArray[Any]]) -> None:
        lines = [f"{name.split('.')[2]}={' '.join(map(repr, array.tolist()))}" for name, array in arrays.items()]
        path.write_text("\n".join(["tree", "version=v4", "Tree=0", *lines, "end of trees", ""]), encoding="utf-8")

    def write_sample(self, path: Path) -> None:
        path.write_bytes((FIXTURES / "lightgbm-categories.txt").read_bytes())


class TestCatBoost(LoaderTests):
    plugin = boosting_plugin
    name = "catboost"
    suffix = ".json"
    dtypes = ("float64",)
    names = ("trees.0.leaf_values", "trees.0.leaf_weights")
    shapes = TestUbj.shapes
    reads_payload_at_open = TEXT

    def write(self, path: Path, arrays: dict[str, NDArray[Any]]) -> None:
        tree = {name.split(".")[2]: array.tolist() for name, array in arrays.items()}
        document = {"features_info": {"float_features": []}, "oblivious_trees": [tree]}
        path.write_text(json.dumps(document), encoding="utf-8")

    def write_sample(self, path: Path) -> None:
        path.write_bytes((FIXTURES / "catboost-nodes.json").read_bytes())
