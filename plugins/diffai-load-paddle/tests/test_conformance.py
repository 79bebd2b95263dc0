"""The plugins keep the laws of the conformance kit; files are written as PaddlePaddle writes them."""

from __future__ import annotations

import base64
import json
import pickle
import shutil
import struct
from pathlib import Path

import numpy as np
from diffai_load_paddle import plugin
from diffai_load_paddle.parameters import TYPES

from diffai_core.testing import LoaderTests, PluginTests

FIXTURES = Path(__file__).parent / "fixtures"
NUMBERS = {dtype.name: number for number, dtype in TYPES.items() if number not in {37, 38}}
STRUCTURED = "StructuredToParameterName@@"


def varint(number):
    digits = bytearray()
    while number > 0x7F:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*digits, number])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value % (1 << 64))
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def described(array):
    return field(1, NUMBERS[array.dtype.name]) + b"".join(field(2, length) for length in array.shape)


def record(array):
    """Return the bytes of a tensor in a file of parameters."""
    description = described(array)
    return struct.pack("<IQIi", 0, 0, 0, len(description)) + description + np.ascontiguousarray(array).tobytes()


def write_model(folder, arrays):
    """Write a program whose parameters are ``arrays``, and the parameters in the order of their names."""
    folder.mkdir(exist_ok=True)
    variables = b"".join(
        field(3, field(1, name) + field(2, field(1, 7) + field(3, field(1, described(array)))) + field(3, 1))
        for name, array in arrays.items()
    )
    program = field(1, field(1, 0) + field(2, -1) + variables) + field(4, field(1, 3))
    (folder / "net.pdmodel").write_bytes(program)
    (folder / "net.pdiparams").write_bytes(b"".join(record(arrays[name]) for name in sorted(arrays)))


class TestPlugin(PluginTests):
    plugin = plugin


class TestModel(LoaderTests):
    plugin = plugin
    name = "paddle"
    dtypes = tuple(NUMBERS)
    suffix = ".model"
    n_examples = 25
    n_damaged = 30

    def sample_tree(self):
        return {"version": 3}

    def write(self, path, arrays):
        write_model(path, arrays)


class TestFolderOfPir(LoaderTests):
    plugin = plugin
    name = "paddle"
    dtypes = ()
    suffix = ".model"
    n_damaged = 30
    ignores_truncation = "parameters are missing, which the report says"

    def write_sample(self, path):
        shutil.copytree(FIXTURES / "pir", path, dirs_exist_ok=True)


class TestProgram(LoaderTests):
    """A program alone, in one file."""

    plugin = plugin
    name = "paddle"
    dtypes = ()
    n_damaged = 50
    ignores_truncation = "a message that ends between two fields is a message"

    def write_sample(self, path):
        shutil.copy(FIXTURES / "program/net.pdmodel", path)


class TestState(LoaderTests):
    plugin = plugin
    name = "paddle-state"
    dtypes = ("float32", "float16", "float64", "int64", "int32", "int16", "int8", "uint8", "bool", "complex64")
    n_examples = 25
    n_damaged = 50

    def sample_tree(self):
        return {STRUCTURED: {"fc.weight": "linear_0.w_0"}}

    def write(self, path, arrays):
        with path.open("wb") as file:
            pickle.dump({STRUCTURED: {"fc.weight": "linear_0.w_0"}, **arrays}, file, protocol=4)


def test_parameters_are_written_here_as_paddle_writes_them():
    expected = json.loads((FIXTURES / "expected.json").read_text(encoding="utf-8"))["program"]
    arrays = {
        name: np.frombuffer(base64.b64decode(data), dtype).reshape(shape)
        for name, (dtype, shape, data) in expected.items()
    }
    written = b"".join(record(arrays[name]) for name in sorted(arrays))
    assert written == (FIXTURES / "program/net.pdiparams").read_bytes()
