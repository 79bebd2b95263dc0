"""Holds the plugin to the laws of the test kit: plain pickles, joblib files, compressed ones, skops archives."""

from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
from diffai_load_pickle import plugin as pickle_plugin

from diffai_core.testing import LoaderTests, PluginTests

if TYPE_CHECKING:
    from numpy.typing import NDArray

DTYPES = (
    *("float16", "float32", "float64", "complex64", "complex128", "bool", "bfloat16", "float8_e4m3fn"),
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
)
NUMPY = DTYPES[:6] + DTYPES[8:]
DECOMPRESSED = "everything has to be decompressed once"
FIXTURES = Path(__file__).parent / "fixtures"


class TestPlugin(PluginTests):
    plugin = pickle_plugin


class TestProtocol5(LoaderTests):
    plugin = pickle_plugin
    name = "pickle"
    dtypes = DTYPES
    protocol = 5
    n_examples = 20
    n_damaged = 60

    def write(self, path: Path, arrays: dict[str, NDArray[Any]]) -> None:
        path.write_bytes(pickle.dumps(arrays, protocol=self.protocol))


class TestProtocol2(TestProtocol5):
    """Bytes are written as text, so that they are not there as they are."""

    protocol = 2
    reads_payload_at_open = "elements are written as text"
    dtypes = ("float32", "int8")
    n_examples = 10
    n_damaged = 40


class TestJoblib(LoaderTests):
    plugin = pickle_plugin
    name = "pickle"
    suffix = ".joblib"
    dtypes = NUMPY
    n_examples = 20
    n_damaged = 60

    def write(self, path: Path, arrays: dict[str, NDArray[Any]]) -> None:
        joblib.dump(arrays, path)


class TestCompressedJoblib(TestJoblib):
    reads_payload_at_open = DECOMPRESSED
    dtypes = ("float32", "uint16")
    n_examples = 10
    n_damaged = 40

    def write(self, path: Path, arrays: dict[str, NDArray[Any]]) -> None:
        joblib.dump(arrays, path, compress=3)


class TestSkops(LoaderTests):
    plugin = pickle_plugin
    name = "skops"
    dtypes = NUMPY
    names = ("weight", "layer", "bias")
    n_examples = 20
    n_damaged = 60

    def write(self, path: Path, arrays: dict[str, NDArray[Any]]) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            content = {}
            for number, (name, array) in enumerate(arrays.items()):
                member = f"{140268485490736 + number}.npy"
                with archive.open(member, "w") as file:
                    np.save(file, array)
                loader = {"__loader__": "NdArrayNode", "type": "numpy", "file": member}
                content[name] = {"__class__": "ndarray", "__module__": "numpy", **loader}
            root = {"__class__": "dict", "__module__": "builtins", "__loader__": "DictNode", "content": content}
            archive.writestr("schema.json", json.dumps(root | {"protocol": 2, "_skops_version": "0.16.0"}))

    def write_sample(self, path: Path) -> None:
        path.write_bytes((FIXTURES / "pipeline.skops").read_bytes())
