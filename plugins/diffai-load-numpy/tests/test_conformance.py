"""The laws of every loader and plugin, kept by this one."""

from __future__ import annotations

import numpy as np
from diffai_load_numpy import plugin as numpy_plugin

from diffai_core.testing import LoaderTests, PluginTests

INTEGERS = tuple(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
NATIVE = ("bool", *INTEGERS, "float16", "float32", "float64", "complex64", "complex128")
WORDS = np.array(["a", None, 3.5], object)


class TestPlugin(PluginTests):
    plugin = numpy_plugin


class TestNpy(LoaderTests):
    plugin = numpy_plugin
    name = "npy"
    dtypes = NATIVE
    names = ("array",)
    max_tensors = 1

    def write(self, path, arrays):
        np.save(path, arrays["array"])

    def sample_tree(self):
        return {}


class TestNpz(LoaderTests):
    plugin = numpy_plugin
    name = "npz"
    dtypes = NATIVE
    min_tensors = 0
    save = staticmethod(np.savez)

    def write(self, path, arrays):
        self.save(path, **arrays)

    def write_sample(self, path):
        self.save(path, **self.sample(), words=WORDS)

    def sample_tree(self):
        return {"words": {"dtype": "object", "shape": [3], "elements": ["a", None, 3.5]}}


class TestCompressedNpz(TestNpz):
    save = staticmethod(np.savez_compressed)
    n_examples = 20
