"""The laws of every loader and plugin, kept by these."""

from __future__ import annotations

import io
import json
import zipfile

import h5py
import numpy as np
from diffai_load_hdf5 import plugin as hdf5_plugin

from diffai_core.testing import LoaderTests, PluginTests

INTEGERS = tuple(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
NATIVE = ("bool", *INTEGERS, "float16", "float32", "float64", "complex64", "complex128")
NAMES = ("weight", "layer.0.bias", "dense/dense/kernel:0")
CONFIG = {"class_name": "Sequential", "config": {"layers": [{"units": 4}]}}


class TestPlugin(PluginTests):
    plugin = hdf5_plugin


def fill(file, arrays, **options):
    for name, array in arrays.items():
        chunked = options if array.ndim and array.size else {}
        file.create_dataset(name, data=array, **chunked)


def enrich(file):
    """Add one of everything that a reader meets besides arrays."""
    file.attrs["model_config"] = json.dumps(CONFIG)
    file.attrs["keras_version"] = "2.15.0"
    file["dense/dense"].attrs["weight_names"] = np.array([b"dense/kernel:0", b"dense/bias:0"])
    file["names"] = np.array(["a", "bc"], h5py.string_dtype())
    file["soft"] = h5py.SoftLink("/weight")


def tree():
    return {
        "model_config": CONFIG,
        "keras_version": "2.15.0",
        "/dense/dense": {"weight_names": ["dense/kernel:0", "dense/bias:0"]},
        "/names": ["a", "bc"],
        "/soft": {"soft link": "/weight"},
    }


class TestHdf5(LoaderTests):
    plugin = hdf5_plugin
    name = "hdf5"
    dtypes = NATIVE
    names = NAMES
    libver = "earliest"

    def how_stored(self):
        return {}

    def write(self, path, arrays):
        with h5py.File(path, "w", libver=self.libver) as file:
            fill(file, arrays, **self.how_stored())

    def write_sample(self, path):
        with h5py.File(path, "w", libver=self.libver) as file:
            fill(file, self.sample(), **self.how_stored())
            enrich(file)

    def sample_tree(self):
        return tree()


class TestNewestFormat(TestHdf5):
    libver = "latest"
    n_examples = 20


class TestCompressedChunks(TestHdf5):
    n_examples = 20

    def how_stored(self):
        return {"chunks": True, "compression": "gzip", "shuffle": True, "fletcher32": True}


class TestKeras(LoaderTests):
    plugin = hdf5_plugin
    name = "keras"
    dtypes = NATIVE
    names = ("layers/dense/vars/0", "layers/dense/vars/1", "optimizer/vars/0")
    n_examples = 20
    method = zipfile.ZIP_STORED

    def write(self, path, arrays):
        weights = io.BytesIO()
        with h5py.File(weights, "w") as file:
            fill(file, arrays)
        with zipfile.ZipFile(path, "w", self.method) as archive:
            archive.writestr("metadata.json", json.dumps({"keras_version": "3.9.0"}))
            archive.writestr("config.json", json.dumps(CONFIG))
            archive.writestr("model.weights.h5", weights.getvalue())

    def sample_tree(self):
        return {"model_config": CONFIG, "keras_version": "3.9.0"}


class TestDeflatedKeras(TestKeras):
    reads_payload_at_open = "a compressed HDF5 file has to be decompressed before anything in it is known"
    method = zipfile.ZIP_DEFLATED
    n_examples = 10
