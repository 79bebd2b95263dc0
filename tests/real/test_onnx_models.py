"""Published ONNX models, and all that the ``onnx`` package tests itself with, as ``onnx`` reads them: bit for bit."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from command import findings_of, report_of, run_diffai

pytestmark = pytest.mark.real
onnx = pytest.importorskip("onnx")
NAMES = ["basic-pitch.onnx", "silero.onnx", "silero-half.onnx", "silero-ifless.onnx", "silero-op15.onnx"]
BACKEND = sorted((Path(onnx.__file__).parent / "backend/test/data").rglob("*.onnx"))


def opened(path):
    from diffai_load_onnx.loader import open_onnx

    from diffai_core.plugin import Source

    return open_onnx(Source(path), {})


def graphs_of(graph):
    """Yield a graph of onnx and all bodies in it."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for body in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
                yield from graphs_of(body)


def tensors_of(model):
    """Return the bytes of all tensors of a model by onnx's own reader: initializers, and Constants of tensors."""
    found = Counter()
    for graph in [*graphs_of(model.graph), *model.functions]:
        protos = list(getattr(graph, "initializer", ()))
        protos += [node.attribute[0].t for node in graph.node if node.op_type == "Constant" and is_tensor(node)]
        for proto in protos:
            if proto.data_type != onnx.TensorProto.STRING:
                array = onnx.numpy_helper.to_array(proto)
                found[array.dtype.name, array.shape, array.tobytes()] += 1
    return found


def is_tensor(node):
    return len(node.attribute) == 1 and node.attribute[0].HasField("t")


def operators_of(model):
    ops = Counter()
    for graph in graphs_of(model.graph):
        ops.update(node.op_type for node in graph.node if node.op_type != "Constant")
    return ops


def operators_read(graph):
    ops = Counter()
    for node in graph.nodes:
        ops[node.op.rpartition("::")[2]] += 1
        for value in node.attributes.values():
            for body in value if isinstance(value, list) else [value]:
                if hasattr(body, "nodes"):
                    ops += operators_read(body)
    return ops


def check(path):
    """Make sure that tensors, operators, inputs and outputs are those that onnx reads."""
    model = onnx.load(path)
    with opened(path) as artifact:
        assert artifact.not_readable == ()
        found = Counter()
        for ref in artifact.tensors.values():
            parts = ref.quantization.stored if ref.quantization else (ref,)
            for part in parts:
                array = part.read()
                found[array.dtype.name, array.shape, np.ascontiguousarray(array).tobytes()] += 1
        wanted = tensors_of(model)
        assert wanted - found == Counter()
        names = {proto.name for proto in model.graph.initializer}
        assert list(artifact.graph.inputs) == [one.name for one in model.graph.input if one.name not in names]
        assert list(artifact.graph.outputs) == [one.name for one in model.graph.output]
        assert operators_read(artifact.graph) == operators_of(model)
    return sum(wanted.values())


@pytest.mark.parametrize("name", NAMES)
def test_tensors_and_operators_are_those_that_onnx_reads(model, name):
    assert check(model(name)) > 30


def test_all_models_that_onnx_tests_itself_with_are_read_as_onnx_reads_them():
    assert len(BACKEND) > 100
    assert sum(map(check, BACKEND)) > 1000


def test_another_export_with_other_names_of_nodes_is_the_same_model(model, tmp_path):
    path = model("silero-op15.onnx")
    copy = onnx.load(path)
    for graph in graphs_of(copy.graph):
        for node in graph.node:
            if node.op_type not in {"If", "Loop"}:  # their names are in the keys of the tensors inside
                node.name = f"renamed/{node.name}"
    onnx.save(copy, tmp_path / "copy.onnx")
    report = report_of(path, tmp_path / "copy.onnx")
    assert (report["exit_code"], report["verdict"]["identity"]) == (0, "identical tensors")
    (found,) = findings_of(report, "graph_names_changed").values()
    assert found["values"]["n_nodes"] > 50


def test_one_changed_attribute_of_one_node_is_found(model, tmp_path):
    path = model("basic-pitch.onnx")
    copy = onnx.load(path)
    node = next(node for node in copy.graph.node if node.op_type == "Conv")
    strides = next(attribute for attribute in node.attribute if attribute.name == "strides")
    old = list(strides.ints)
    strides.ints[0] += 1
    onnx.save(copy, tmp_path / "copy.onnx")
    report = report_of(path, tmp_path / "copy.onnx")
    (where, found), *more = findings_of(report, "graph_attribute_changed").items()
    assert not more
    assert where == f"{node.name}.strides"
    assert (found["old"], found["new"]) == (old, [old[0] + 1, *old[1:]])
    assert report["exit_code"] == 1


def test_a_renamed_model_without_a_suffix_opens_by_its_content(model, tmp_path):
    (tmp_path / "model").write_bytes(model("silero-half.onnx").read_bytes())
    done = run_diffai(model("silero-half.onnx"), tmp_path / "model", "--brief")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("identical files")
