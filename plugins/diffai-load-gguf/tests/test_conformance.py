"""The plugin keeps the laws of the conformance kit; the ``gguf`` package writes the files."""

from __future__ import annotations

import gguf
import numpy as np
from diffai_load_gguf import plugin
from gguf import GGMLQuantizationType as Kind
from gguf.constants import GGML_QUANT_SIZES

from diffai_core.testing import LoaderTests, PluginTests

_SHAPES = ((0,), (1,), (7,), (8, 4), (2, 0, 3), (1, 1, 1), (3, 5, 4), (64, 8), (2, 1, 3, 2))
_TREE = {
    "general.architecture": "llama",
    "general.name": "Ü",
    "llama.block_count": 2,
    "llama.rope.freq_base": 10000.0,
    "tokenizer.ggml.tokens": ["<s>", "a", "ä"],
    "tokenizer.ggml.scores": [0.0, -1.0, -2.5],
    "tokenizer.ggml.token_type": [3, 1, 1],
    "tokenizer.ggml.add_bos_token": True,
}


_QUANTISED = (Kind.Q4_0, Kind.Q4_K, Kind.Q6_K, Kind.Q8_0, Kind.IQ2_XXS, Kind.MXFP4)


def _write(path, arrays, endianess=gguf.GGUFEndian.LITTLE, quantised=()):
    writer = gguf.GGUFWriter(path, "llama", endianess=endianess)
    writer.add_name("Ü")
    writer.add_block_count(2)
    writer.add_rope_freq_base(10000.0)
    writer.add_token_list(_TREE["tokenizer.ggml.tokens"])
    writer.add_token_scores(_TREE["tokenizer.ggml.scores"])
    writer.add_token_types(_TREE["tokenizer.ggml.token_type"])
    writer.add_add_bos_token(True)
    for name, array in arrays.items():
        if array.dtype.name == "bfloat16":
            writer.add_tensor(name, array.view(np.uint8).reshape(*array.shape[:-1], -1), raw_dtype=Kind.BF16)
        else:
            writer.add_tensor(name, array)
    for kind in quantised:
        blocks = np.random.default_rng(kind).integers(0, 256, (2, GGML_QUANT_SIZES[kind][1]), dtype=np.uint8)
        writer.add_tensor(f"blk.{kind.name}.weight", blocks, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


class TestPlugin(PluginTests):
    plugin = plugin


class TestFile(LoaderTests):
    plugin = plugin
    dtypes = ("float32", "float16", "bfloat16", "float64", "int8", "int16", "int32", "int64")
    shapes = tuple(shape for shape in _SHAPES if 0 not in shape)

    def sample_tree(self):
        return _TREE

    def write(self, path, arrays):
        _write(path, arrays)

    def write_sample(self, path):
        _write(path, self.sample(), quantised=_QUANTISED)


class TestFileWithEmptyTensors(LoaderTests):
    plugin = plugin
    dtypes = ("float32", "int16")
    shapes = _SHAPES
    n_examples = 10
    n_damaged = 20

    def write(self, path, arrays):
        _write(path, arrays)


class TestBigEndianFile(LoaderTests):
    plugin = plugin
    dtypes = ("float32", "float16", "float64", "int8", "int16", "int32", "int64")
    shapes = tuple(shape for shape in _SHAPES if 0 not in shape)
    n_examples = 10
    n_damaged = 15

    def sample_tree(self):
        return _TREE

    def write(self, path, arrays):
        _write(path, arrays, gguf.GGUFEndian.BIG)


class TestFolderOfParts(LoaderTests):
    plugin = plugin
    dtypes = ("float32", "float16")
    shapes = ((7,), (8, 4), (3, 5, 4))
    suffix = ".model"
    min_tensors = 2
    n_examples = 10
    n_damaged = 10

    def sample_tree(self):
        return {"general.architecture": "llama"}

    def write(self, path, arrays):
        path.mkdir()
        writer = gguf.GGUFWriter(path / "model.gguf", "llama", split_max_tensors=1)
        for name, array in arrays.items():
            writer.add_tensor(name, array)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
