"""The laws of every loader and plugin, kept by these."""

from __future__ import annotations

import json
import shutil

import msgpack
import tensorstore
from diffai_load_jax import plugin as jax_plugin

from diffai_core.testing import LoaderTests, PluginTests, sample_array

INTEGERS = tuple(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
NATIVE = ("bool", *INTEGERS, "float16", "bfloat16", "float32", "float64", "complex64", "complex128")
EXOTIC = ("float8_e4m3fn", "float8_e5m2", "int4")
NAMES = ("params.dense.kernel", "params.dense.bias", "opt_state.0.mu")
TREE = {"step": 5, "config": {"lr": 0.5, "names": ["a", "b"], "nothing": None}}


class TestPlugin(PluginTests):
    plugin = jax_plugin


def packed(array):
    """Return an array as Flax packs it."""
    parts = (array.shape, array.dtype.name, array.tobytes())
    return msgpack.ExtType(1, msgpack.packb(parts, use_bin_type=True))


def codec(name, **settings):
    return {"name": name, "configuration": settings}


def nested(items):
    tree: dict = {}
    for name, value in items.items():
        *parents, last = name.split(".")
        place = tree
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return tree


class TestFlax(LoaderTests):
    plugin = jax_plugin
    name = "flax"
    dtypes = (*NATIVE, *EXOTIC)
    names = NAMES

    def write(self, path, arrays):
        path.write_bytes(msgpack.packb(nested({name: packed(array) for name, array in arrays.items()})))

    def write_sample(self, path):
        arrays = nested({name: packed(array) for name, array in self.sample().items()})
        path.write_bytes(msgpack.packb(arrays | TREE))

    def sample_tree(self):
        return TREE


class TestZarr2(LoaderTests):
    plugin = jax_plugin
    name = "zarr"
    dtypes = (*NATIVE, *EXOTIC)
    names = ("a", "group/b", "group/c")
    n_examples = 8
    n_damaged = 8
    damage_seconds = 90
    suffix = ".zarr"
    driver = "zarr"
    metadata = staticmethod(lambda chunks: {"chunks": chunks, "compressor": {"id": "zstd", "level": 1}})

    def write(self, path, arrays):
        path.mkdir()
        (path / ".zgroup").write_text('{"zarr_format": 2}', encoding="ascii")
        for name, array in arrays.items():
            self.save({"driver": "file", "path": f"{path}/{name}/"}, array)

    def save(self, store, array):
        chunks = [max(1, -(-length // 2)) for length in array.shape]
        spec = {"driver": self.driver, "kvstore": store, "metadata": self.metadata(chunks)}
        spec["context"] = {"file_io_sync": False}
        opened = tensorstore.open(
            spec, create=True, open=False, dtype=tensorstore.dtype(array.dtype), shape=array.shape
        ).result()
        opened.write(array).result()

    def write_sample(self, path):
        """Write it once and copy it: each damaged copy is made from a whole one."""
        template = path.parent / "template"
        if not template.exists():
            self.write_template(template)
        shutil.rmtree(path, ignore_errors=True)  # the same damage may be tried twice
        shutil.copytree(template, path)

    def write_template(self, path):
        self.write(path, self.sample())

    def sample_tree(self):
        return {}

    def sample(self):
        """Return one array, because every file of a folder is damaged in turn."""
        return {self.names[0]: sample_array(self.dtypes[-1], (7,) if (7,) in self.shapes else (8, 4), seed=1)}


class TestUncompressedFortranOrder(TestZarr2):
    shapes = ((8, 4), (3, 5, 4), (64, 8), (2, 0, 3))  # of one dimension, both orders are the same
    metadata = staticmethod(lambda chunks: {"chunks": chunks, "compressor": None, "order": "F"})


class TestZarr3(TestZarr2):
    driver = "zarr3"
    dtypes = tuple(name for name in TestZarr2.dtypes if not name.startswith("float8"))

    @staticmethod
    def metadata(chunks):
        codecs = [codec("bytes", endian="big"), codec("gzip", level=5)]
        grid = {"name": "regular", "configuration": {"chunk_shape": chunks}}
        return {"chunk_grid": grid, "codecs": codecs}


class TestOcdbt(TestZarr2):
    name = "orbax"
    names = NAMES
    suffix = ".orbax"

    def write(self, path, arrays):
        path.mkdir()
        base = {"driver": "file", "path": f"{path}/"}
        for name, array in arrays.items():
            self.save({"driver": "ocdbt", "base": base, "path": f"{name}/"}, array)

    def write_template(self, path):
        super().write_template(path)
        (path / "_strings.json").write_text(json.dumps({"name": "tiny"}), encoding="ascii")

    def sample_tree(self):
        return {"name": "tiny"}


class TestSharded(TestZarr2):
    driver = "zarr3"
    dtypes = ("float32", "int16", "bfloat16")
    shapes = ((8, 4), (64, 8), (7,))
    n_damaged = 6

    @staticmethod
    def metadata(chunks):
        inner = [codec("bytes", endian="little"), codec("zstd", level=1)]
        index = [codec("bytes", endian="little"), {"name": "crc32c"}]
        parts = [length if length % 2 else length // 2 for length in chunks]
        sharding = codec("sharding_indexed", chunk_shape=parts, codecs=inner, index_codecs=index)
        grid = {"name": "regular", "configuration": {"chunk_shape": chunks}}
        return {"chunk_grid": grid, "codecs": [sharding]}
