"""The plugin keeps the laws of the conformance kit; files are written as OpenVINO writes them."""

from __future__ import annotations

import shutil
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from diffai_load_openvino import plugin
from diffai_load_openvino.precisions import STORED

from diffai_core.testing import LoaderTests, PluginTests

FIXTURES = Path(__file__).parent / "fixtures"
PORTS = {"f64": "FP64", "f32": "FP32", "f16": "FP16", "boolean": "BOOL"}
CODES = {dtype.name: code for code, dtype in STORED.items()}


def packed(array):
    """Return the bytes of an array, elements of less than a byte packed without gaps, the first one low."""
    name = array.dtype.name
    flat = np.ascontiguousarray(array).reshape(-1)
    bits = {"int4": 4, "uint4": 4, "float4_e2m1fn": 4, "uint2": 2}.get(name)
    if bits is None:
        return flat.tobytes()
    per_byte = 8 // bits
    codes = flat.view(np.uint8) & ((1 << bits) - 1)
    codes = np.concatenate([codes, np.zeros(-len(codes) % per_byte, np.uint8)]).reshape(-1, per_byte)
    return sum((codes[:, i] << np.uint8(bits * i) for i in range(per_byte)), np.zeros(len(codes), np.uint8)).tobytes()


def add_port(parent, number, precision, shape):
    port = ET.SubElement(parent, "port", id=str(number), precision=precision)
    for length in shape:
        ET.SubElement(port, "dim").text = str(length)


def write_ir(path, arrays):
    """Write a model whose constants are its results."""
    net = ET.Element("net", name="constants", version="11")
    layers, edges = ET.SubElement(net, "layers"), ET.SubElement(net, "edges")
    data = bytearray()
    for number, (name, array) in enumerate(arrays.items()):
        code, raw = CODES[array.dtype.name], packed(array)
        constant = ET.SubElement(layers, "layer", id=str(2 * number), name=name, type="Const", version="opset1")
        shape = ", ".join(map(str, array.shape))
        ET.SubElement(constant, "data", element_type=code, shape=shape, offset=str(len(data)), size=str(len(raw)))
        add_port(ET.SubElement(constant, "output"), 0, PORTS.get(code, code.upper()), array.shape)
        result = ET.SubElement(
            layers, "layer", id=str(2 * number + 1), name=f"{name}/r", type="Result", version="opset1"
        )
        add_port(ET.SubElement(result, "input"), 0, PORTS.get(code, code.upper()), array.shape)
        ends = {"from-layer": str(2 * number), "from-port": "0", "to-layer": str(2 * number + 1), "to-port": "0"}
        ET.SubElement(edges, "edge", ends)
        data += raw
    info = ET.SubElement(ET.SubElement(net, "rt_info"), "conversion_parameters")
    ET.SubElement(info, "framework", value="pytorch")
    ET.indent(net)
    ET.ElementTree(net).write(path, encoding="utf-8", xml_declaration=True)
    path.with_suffix(".bin").write_bytes(data)


TREE = {"name": "constants", "version": "11", "rt_info": {"conversion_parameters": {"framework": "pytorch"}}}


class TestPlugin(PluginTests):
    plugin = plugin


class TestFile(LoaderTests):
    plugin = plugin
    dtypes = tuple(name for name in CODES if name != "int4")  # ml_dtypes leaves half of its bytes open

    def sample_tree(self):
        return TREE

    def write(self, path, arrays):
        write_ir(path, arrays)


class TestFolder(LoaderTests):
    plugin = plugin
    dtypes = ("float32", "uint4", "float16")
    suffix = ".model"
    n_examples = 20

    def sample_tree(self):
        return TREE

    def write(self, path, arrays):
        path.mkdir(exist_ok=True)
        write_ir(path / "openvino_model.xml", arrays)


class TestRichFolder(LoaderTests):
    """A folder whose damaged copies keep both of their files: quantised constants, strings, bodies."""

    plugin = plugin
    dtypes = ()
    suffix = ".model"
    n_damaged = 40

    def write_sample(self, path):
        path.mkdir(exist_ok=True)
        for ending in (".xml", ".bin"):
            shutil.copy(FIXTURES / f"quantized{ending}", path / f"openvino_model{ending}")


def test_openvino_reads_what_these_tests_write(tmp_path):
    openvino = pytest.importorskip("openvino")
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    write_ir(tmp_path / "model.xml", {"weight": array})
    (constant,) = (
        op for op in openvino.Core().read_model(tmp_path / "model.xml").get_ops() if op.type_info.name == "Constant"
    )
    assert constant.friendly_name == "weight"
    assert np.array_equal(constant.data, array)
