"""The plugin keeps the laws of the conformance kit; packages are written as coremltools writes them."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from diffai_load_coreml import plugin

from diffai_core.testing import LoaderTests, PluginTests

FIXTURES = Path(__file__).parent / "fixtures"
TYPES = {
    # vocabulary: number in the program, number in the file of weights
    "float16": (10, 1),
    "float32": (11, 2),
    "uint8": (31, 3),
    "int8": (21, 4),
    "bfloat16": (13, 5),
    "int16": (22, 6),
    "uint16": (32, 7),
    "uint2": (36, 10),
    "uint4": (35, 11),
    "int32": (23, 14),
    "uint32": (33, 15),
    "float8_e4m3fn": (40, 16),
    "float8_e5m2": (41, 17),
}
TREE = {"specificationVersion": 9, "description": {"metadata": {"author": "someone"}}, "mlProgram": {"version": 1}}


def varint(number):
    digits = bytearray()
    while number > 0x7F:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*digits, number])


def field(number, value):
    """Return a field of a message: a number, a text, or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def entry(number, key, value):
    return field(number, field(1, key) + field(2, value))


def packed(array):
    """Return the bytes of an array, elements of less than a byte packed without gaps, the first one low."""
    bits = {"uint4": 4, "uint2": 2}.get(array.dtype.name)
    flat = np.ascontiguousarray(array).reshape(-1)
    if bits is None:
        return flat.tobytes()
    codes = np.concatenate([flat.view(np.uint8), np.zeros(-flat.size % (8 // bits), np.uint8)]).reshape(-1, 8 // bits)
    return sum((codes[:, i] << np.uint8(bits * i) for i in range(8 // bits)), np.zeros(len(codes), np.uint8)).tobytes()


def write_model(path, weights, arrays):
    """Write an ML program whose constants lie in the file ``weights``."""
    blob = bytearray(struct.pack("<II", len(arrays), 2).ljust(64, b"\0"))
    operations = b""
    for name, array in arrays.items():
        number, code = TYPES[array.dtype.name]
        raw = packed(array)
        place = field(1, f"@model_path/weights/{weights.name}") + field(2, len(blob))
        padding = len(raw) * 8 - array.size * {"uint4": 4, "uint2": 2}.get(array.dtype.name, array.dtype.itemsize * 8)
        blob += struct.pack("<IIQQQ", 0xDEADBEEF, code, len(raw), len(blob) + 64, padding).ljust(64, b"\0") + raw
        blob += b"\0" * (-len(blob) % 64)
        dims = b"".join(field(3, field(1, field(1, length))) for length in array.shape)
        kind = field(1, field(1, number) + field(2, array.ndim) + dims)
        text = field(2, field(1, field(1, 2))) + field(3, field(1, field(4, field(1, name))))
        attributes = entry(5, "name", text) + entry(5, "val", field(2, kind) + field(5, place))
        operations += field(3, field(1, "const") + field(3, field(1, name) + field(2, kind)) + attributes)
    function = field(2, "CoreML8") + entry(3, "CoreML8", operations)
    program = field(1, 1) + entry(2, "main", function)
    description = field(100, field(3, "someone"))
    path.write_bytes(field(1, 9) + field(2, description) + field(502, program))
    weights.parent.mkdir(exist_ok=True)
    weights.write_bytes(blob)


def write_package(path, arrays):
    inner = path / "Data/com.apple.CoreML"
    inner.mkdir(parents=True, exist_ok=True)
    items = {
        number: {"author": "com.apple.CoreML", "description": "", "name": name, "path": f"com.apple.CoreML/{name}"}
        for number, name in (("1", "model.mlmodel"), ("2", "weights"))
    }
    said = {"fileFormatVersion": "1.0.0", "itemInfoEntries": items, "rootModelIdentifier": "1"}
    (path / "Manifest.json").write_text(json.dumps(said), encoding="utf-8")
    write_model(inner / "model.mlmodel", inner / "weights/weight.bin", arrays)


class TestPlugin(PluginTests):
    plugin = plugin


class TestPackage(LoaderTests):
    plugin = plugin
    dtypes = tuple(TYPES)
    suffix = ".mlpackage"
    n_examples = 25
    n_damaged = 30

    def sample_tree(self):
        return TREE

    def write(self, path, arrays):
        write_package(path, arrays)

    def test_the_model_inside_opens_by_itself(self, tmp_path):
        path = self.written(tmp_path)
        with self.open(path) as package, self.open(path / "Data/com.apple.CoreML/model.mlmodel") as model:
            assert list(package.tensors) == list(model.tensors)


class TestCompressedPackage(LoaderTests):
    """A package that coremltools wrote, with codes and tables."""

    plugin = plugin
    dtypes = ()
    suffix = ".mlpackage"
    n_damaged = 20

    def write_sample(self, path):
        shutil.copytree(FIXTURES / "new_lut3groups.mlpackage", path, dirs_exist_ok=True)


class TestNetwork(LoaderTests):
    """A neural network with quantised weights, all in one file."""

    plugin = plugin
    dtypes = ()

    def write_sample(self, path):
        shutil.copy(FIXTURES / "network_linear4.mlmodel", path)


def test_coremltools_reads_what_these_tests_write(tmp_path):
    coremltools = pytest.importorskip("coremltools")
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    write_package(tmp_path / "m.mlpackage", {"weight": array})
    spec = coremltools.utils.load_spec(str(tmp_path / "m.mlpackage"))
    (constant,) = spec.mlProgram.functions["main"].block_specializations["CoreML8"].operations
    value = constant.attributes["val"]
    reader = coremltools.libmilstoragepython._BlobStorageReader(
        str(tmp_path / "m.mlpackage/Data/com.apple.CoreML/weights/weight.bin")
    )
    assert constant.outputs[0].name == "weight"
    assert np.array_equal(np.array(reader.read_float_data(value.blobFileValue.offset)).reshape(2, 3), array)
