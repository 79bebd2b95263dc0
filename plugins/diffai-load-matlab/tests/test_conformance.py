"""The laws of every loader and plugin, kept by this one for each version of the format."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import scipy.io
from diffai_load_matlab import plugin as matlab_plugin
from diffai_load_matlab.loader import open_mat

from diffai_core.plugin import Source
from diffai_core.testing import LoaderTests, PluginTests, sample_array

INTEGERS = tuple(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
MATRICES = ((1, 1), (1, 7), (7, 1), (8, 4), (64, 8), (0, 3))


class TestPlugin(PluginTests):
    plugin = matlab_plugin


class TestVersion5(LoaderTests):
    plugin = matlab_plugin
    dtypes = ("bool", *INTEGERS, "float32", "float64", "complex64", "complex128")
    names = ("weight", "layer_0_bias", "layer_1_bias")
    shapes = (*MATRICES, (3, 5, 4), (2, 0, 3))
    ignores_truncation = "variables follow each other without a count; a file cut between two looks complete"
    n_examples = 15
    n_damaged = 50
    compressed = False

    def write(self, path, arrays):
        scipy.io.savemat(path, arrays, do_compression=self.compressed)

    def write_sample(self, path):
        cell = np.array([["relu", np.arange(3.0)]], object)
        net = {"name": "tiny", "rate": 0.5, "bias": np.arange(6.0).reshape(2, 3), "layers": cell}
        scipy.io.savemat(
            path, self.sample() | {"net": net, "rows": np.array(["ab", "cd"])}, do_compression=self.compressed
        )

    def open(self, path):
        """Leave out the arrays inside of the struct, which the laws do not know."""
        artifact = super().open(path)
        for name in [name for name in artifact.tensors if name.startswith("net.")]:
            del artifact.tensors[name]
        return artifact

    def sample_tree(self):
        return {"net": {"name": "tiny", "rate": 0.5, "layers": {"{1}": "relu"}}, "rows": ["ab", "cd"]}


class TestCompressedVersion5(TestVersion5):
    dtypes = TestVersion5.dtypes[:-2]  # of complex numbers, the second part is found only behind the first
    compressed = True


def test_complex_numbers_are_read_from_a_compressed_variable(tmp_path):
    wanted = sample_array("complex128", (30, 20))
    scipy.io.savemat(tmp_path / "a.mat", {"w": wanted}, do_compression=True)
    with open_mat(Source(tmp_path / "a.mat"), {}) as artifact:
        ref = artifact.tensors["w"]
        assert (ref.shape, ref.dtype.name) == ((30, 20), "complex128")
        assert ref.read().tobytes() == wanted.tobytes()


class TestVersion73(TestVersion5):
    """h5py writes what MATLAB would: reversed dimensions, classes as attributes, a user block."""

    ignores_truncation = ""
    shapes = tuple(shape for shape in TestVersion5.shapes if 0 not in shape)  # an empty one is its shape alone

    def write(self, path, arrays):
        with h5py.File(path, "w", userblock_size=512) as file:
            for name, array in arrays.items():
                write_variable(file, name, array)
        with path.open("r+b") as raw:
            raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")

    def write_sample(self, path):
        self.write(path, self.sample())
        with h5py.File(path, "r+") as file:
            net = file.create_group("net")
            net.attrs["MATLAB_class"] = np.bytes_("struct")
            write_text(net, "name", "tiny")
            write_variable(net, "rate", np.array([[0.5]]))
            write_variable(net, "bias", np.arange(6.0).reshape(2, 3))
            write_text(file, "#refs#/a", "relu")
            write_variable(file, "#refs#/b", np.arange(3.0).reshape(1, 3))
            references = np.array([[file["#refs#/a"].ref], [file["#refs#/b"].ref]], h5py.ref_dtype)
            net["layers"] = references
            net["layers"].attrs["MATLAB_class"] = np.bytes_("cell")
            rows = np.array([[ord(a) for a in column] for column in ("ac", "bd")], "u2")
            file["rows"] = rows
            file["rows"].attrs["MATLAB_class"] = np.bytes_("char")


MATLAB_NAMES = {
    "float64": "double",
    "float32": "single",
    "bool": "logical",
    "complex128": "double",
    "complex64": "single",
}


def write_variable(group, name, array):
    stored = array.view("u1") if array.dtype == bool else array
    if array.dtype.kind == "c":
        part = array.real.dtype
        stored = array.view([("real", part), ("imag", part)])
    if array.size:
        group[name] = np.ascontiguousarray(stored.T)
    else:
        group[name] = np.array(array.shape, "u8")
        group[name].attrs["MATLAB_empty"] = np.uint8(1)
    group[name].attrs["MATLAB_class"] = np.bytes_(MATLAB_NAMES.get(array.dtype.name, array.dtype.name))


def write_text(group, name, text):
    group[name] = np.array([[ord(letter)] for letter in text], "u2")
    group[name].attrs["MATLAB_class"] = np.bytes_("char")


class TestVersion4(LoaderTests):
    plugin = matlab_plugin
    dtypes = ("float64", "complex128")
    names = ("weight", "layer_0_bias", "layer_1_bias")
    shapes = MATRICES
    ignores_truncation = "variables follow each other without a count; a file cut between two looks complete"
    n_examples = 15
    n_damaged = 50

    def write(self, path, arrays):
        scipy.io.savemat(path, arrays, format="4")


@pytest.mark.parametrize("dtype", ["float64", "int8", "bool"])
def test_an_empty_array_of_version_73_has_its_shape_and_dtype(tmp_path, dtype):
    TestVersion73().write(tmp_path / "a.mat", {"w": np.zeros((0, 3), dtype)})
    with open_mat(Source(tmp_path / "a.mat"), {}) as artifact:
        ref = artifact.tensors["w"]
        assert (ref.shape, ref.dtype.name, ref.read().size) == ((0, 3), dtype, 0)
