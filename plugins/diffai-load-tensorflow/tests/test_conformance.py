"""The laws of every loader and plugin, kept for checkpoints and graphs.

TensorFlow is too large to be installed for the tests, so that the files are written here in the plainest form of the
format; where TensorFlow is installed, it reads them back.
"""

from __future__ import annotations

import struct
from functools import cache

import numpy as np
import pytest
from diffai_load_tensorflow import plugin as tensorflow_plugin

from diffai_core.testing import LoaderTests, PluginTests

TYPES = (
    *("float32", "float64", "int32", "uint8", "int16", "int8", "", "complex64", "int64", "bool", "", "", ""),
    *("bfloat16", "", "", "uint16", "complex128", "float16", "", "", "uint32", "uint64", "float8_e5m2"),
    *("float8_e4m3fn", "float8_e4m3fnuz", "float8_e4m3b11fnuz", "float8_e5m2fnuz", "int4", "uint4", "int2", "uint2"),
    "float4_e2m1fn",
)
NUMBERS = {name: number for number, name in enumerate(TYPES, 1) if name}
MAGIC = bytes.fromhex("57fb808b247547db")


# -- the wire format of protobuf ---------------------------------------------------------------------------------


def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def data(number, content):
    return varint(number << 3 | 2) + varint(len(content)) + content


def number(field, value):
    return varint(field << 3) + varint(value)


def shape_of(array):
    return b"".join(data(2, number(1, length)) for length in array.shape)


# -- checkpoints -------------------------------------------------------------------------------------------------


@cache
def crc_table():
    table = []
    for number_of_byte in range(256):
        entry = number_of_byte
        for _ in range(8):
            entry = entry >> 1 ^ (0x82F63B78 if entry & 1 else 0)
        table.append(entry)
    return table


def masked_crc(content):
    crc = 0xFFFFFFFF
    for byte in content:
        crc = crc_table()[(crc ^ byte) & 255] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def block(entries):
    """Return a block of a table, and its size without the trailer."""
    content = b"".join(varint(0) + varint(len(key)) + varint(len(value)) + key + value for key, value in entries)
    content += struct.pack("<II", 0, 1)
    return content + b"\0" + struct.pack("<I", masked_crc(content + b"\0")), len(content)


def table(entries):
    """Return a table with one block."""
    rows, rows_size = block(entries)
    index, index_size = block([(b"\xff", varint(0) + varint(rows_size))])
    meta, meta_size = block([])
    handles = varint(len(rows)) + varint(meta_size) + varint(len(rows) + len(meta)) + varint(index_size)
    return rows + meta + index + handles.ljust(40, b"\0") + MAGIC


def write_checkpoint(path, arrays, texts=None):
    """Write ``path`` (an index) and its data file."""
    header = number(1, 1) + data(3, number(1, 1))
    payload = b""
    entries = {}
    for name, array in arrays.items():
        raw = array.tobytes()
        place = (number(4, len(payload)) if payload else b"") + number(5, len(raw))
        checksum = varint(6 << 3 | 5) + struct.pack("<I", masked_crc(raw) if len(raw) <= 256 else 0)
        entries[name.encode()] = number(1, NUMBERS[array.dtype.name]) + data(2, shape_of(array)) + place + checksum
        payload += raw
    for name, text in (texts or {}).items():
        lengths = struct.pack("<I", len(text))
        middle = struct.pack("<I", masked_crc(lengths))
        place = (number(4, len(payload)) if payload else b"") + number(5, len(text) + 4 + len(varint(len(text))))
        checksum = varint(6 << 3 | 5) + struct.pack("<I", masked_crc(lengths + middle + text))
        entries[name.encode()] = number(1, 7) + data(2, b"") + place + checksum
        payload += varint(len(text)) + middle + text
    path.write_bytes(table([(b"", header), *sorted(entries.items())]))
    path.with_name(f"{path.name.removesuffix('.index')}.data-00000-of-00001").write_bytes(payload)


# -- graphs ------------------------------------------------------------------------------------------------------


def attribute(name, value):
    return data(5, data(1, name.encode()) + data(2, value))


def constant(name, array):
    tensor = number(1, NUMBERS[array.dtype.name]) + data(2, shape_of(array)) + data(4, array.tobytes())
    body = data(1, name.encode()) + data(2, b"Const") + attribute("dtype", number(6, NUMBERS[array.dtype.name]))
    return data(1, body + attribute("value", data(8, tensor)))


def write_graph(path, arrays):
    nodes = b"".join(constant(name, array) for name, array in arrays.items())
    body = data(1, b"product") + data(2, b"MatMul") + data(3, b"weight") + data(3, b"layer.0.bias")
    path.write_bytes(nodes + data(1, body + attribute("transpose_a", number(5, 1))) + data(4, number(1, 1882)))


# -- the laws ----------------------------------------------------------------------------------------------------


class TestPlugin(PluginTests):
    plugin = tensorflow_plugin


class TestCheckpoint(LoaderTests):
    plugin = tensorflow_plugin
    dtypes = tuple(name for name, kind in NUMBERS.items() if kind < 29)
    suffix = ".index"
    n_examples = 20

    def sample_tree(self):
        return {"strings": {"note": "written by a test"}}

    def write(self, path, arrays):
        write_checkpoint(path, arrays)

    def write_sample(self, path):
        write_checkpoint(path, self.sample(), {"note": b"written by a test"})


class TestFolder(TestCheckpoint):
    suffix = ".checkpoint"
    n_examples = 10
    n_damaged = 30

    def write(self, path, arrays):
        path.mkdir()
        write_checkpoint(path / "model.index", arrays)

    def write_sample(self, path):
        path.mkdir()
        write_checkpoint(path / "model.index", self.sample(), {"note": b"written by a test"})


class TestSmallTypes(TestCheckpoint):
    """Types of less than a byte, each of which TensorFlow gives a byte."""

    dtypes = ("int4", "uint4", "int2", "uint2", "float4_e2m1fn")
    n_examples = 15
    n_damaged = 20
    reads_payload_at_open = "an element takes more bytes than the law expects; the other types are held to it"


class TestGraph(LoaderTests):
    plugin = tensorflow_plugin
    dtypes = tuple(name for name, kind in NUMBERS.items() if kind < 24)
    shapes = tuple(shape for shape in LoaderTests.shapes if 0 not in shape)
    suffix = ".pb"
    ignores_truncation = "a graph is a list of nodes, and has no end but that of the file"

    def sample_tree(self):
        return {}

    def write(self, path, arrays):
        write_graph(path, arrays)


def test_tensorflow_reads_the_files_of_these_tests(tmp_path):
    tf = pytest.importorskip("tensorflow")
    arrays = TestCheckpoint().sample()
    write_checkpoint(tmp_path / "model.index", arrays, {"note": b"written by a test"})
    reader = tf.train.load_checkpoint(str(tmp_path / "model"))
    assert reader.get_tensor("note") == b"written by a test"
    for name, array in arrays.items():
        assert reader.get_tensor(name).tobytes() == array.tobytes()
    write_graph(tmp_path / "graph.pb", arrays)
    graph = tf.compat.v1.GraphDef.FromString((tmp_path / "graph.pb").read_bytes())
    for node in graph.node[:-1]:
        assert np.array(tf.make_ndarray(node.attr["value"].tensor)).tobytes() == arrays[node.name].tobytes()
