"""The plugin keeps the laws of the conformance kit; the ``safetensors`` library writes the files."""

from __future__ import annotations

import json

import numpy as np
from diffai_load_safetensors import plugin
from diffai_load_safetensors.dtypes import DTYPES
from safetensors import TensorSpec, serialize_file

from diffai_core.testing import LoaderTests, PluginTests

_UNWRITABLE = {"float6_e2m3fn", "float6_e3m2fn"}  # the library reads them and has no writer
_WHOLE_BYTES = tuple(dtype.name for dtype in DTYPES.values() if dtype.bits >= 8)
_METADATA = {"format": "np", "note": "ü"}


def _save(path, arrays, metadata=None):
    """Save arrays of any dtype; those of 4 bits are packed as PyTorch does, two in a byte, the first one low."""
    specs, alive = {}, []
    for name, array in arrays.items():
        flat = np.ascontiguousarray(array).reshape(-1)
        dtype, shape = array.dtype.name, array.shape
        if dtype == "float4_e2m1fn":
            codes = flat.view(np.uint8)
            flat = codes[0::2] | codes[1::2] << 4
            dtype, shape = "float4_e2m1fn_x2", (*shape[:-1], shape[-1] // 2)
        alive.append(flat)
        specs[name] = TensorSpec(dtype=dtype, shape=shape, data_ptr=flat.ctypes.data, data_len=flat.nbytes)
    serialize_file(specs, path, metadata)


class TestPlugin(PluginTests):
    plugin = plugin


class TestFile(LoaderTests):
    plugin = plugin
    dtypes = _WHOLE_BYTES

    def sample_tree(self):
        return {"__metadata__": _METADATA}

    def write(self, path, arrays):
        _save(path, arrays, _METADATA)


class TestFileOf4BitFloats(LoaderTests):
    plugin = plugin
    dtypes = ("float4_e2m1fn",)
    shapes = ((0,), (2,), (8, 4), (2, 0, 2), (3, 5, 4), (1, 6))

    def sample_tree(self):
        return {}

    def write(self, path, arrays):
        _save(path, arrays)


class TestShardedFolder(LoaderTests):
    plugin = plugin
    dtypes = ("bfloat16", "float32", "int8")
    suffix = ".model"
    n_examples = 20
    n_damaged = 30

    def sample_tree(self):
        return {"__metadata__": _METADATA}

    def write(self, path, arrays):
        path.mkdir()
        weight_map = {}
        for number, (name, array) in enumerate(arrays.items()):
            weight_map[name] = f"model-{number % 2}.safetensors"
            part = {name: array} | {key: arrays[key] for key, file in weight_map.items() if file == weight_map[name]}
            _save(path / weight_map[name], part, _METADATA)
        index = {"metadata": {"total_size": 0}, "weight_map": weight_map}
        (path / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")


def test_every_dtype_is_held_to_the_laws_but_those_that_nothing_writes():
    covered = {*TestFile.dtypes, *TestFileOf4BitFloats.dtypes}
    assert {dtype.name for dtype in DTYPES.values()} - covered == _UNWRITABLE
