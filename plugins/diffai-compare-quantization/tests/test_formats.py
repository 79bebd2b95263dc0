"""Whole files as users have them: GGUF and ONNX against the libraries that define the formats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from diffai_core import compare

if TYPE_CHECKING:
    from pathlib import Path

W = np.random.default_rng(0).standard_normal((64, 128)).astype(np.float32)
BOTH = ["quantization-analysis", "quantization-aware"]


def _sqnr(values: Any) -> float:
    noise = values.astype(np.float64) - W
    return float(10 * np.log10(np.sum(W.astype(np.float64) ** 2) / np.sum(noise**2)))


def _answers(old: Path, new: Path) -> dict[str, Any]:
    report = compare(old, new, analyses=BOTH)
    return {finding.kind: finding for finding in report.findings if finding.kind.startswith("quantization")}


def _write_gguf(path: Path, kind: str) -> Any:
    gguf = pytest.importorskip("gguf")
    code = gguf.GGMLQuantizationType[kind]
    data = W if kind == "F32" else gguf.quants.quantize(W, code)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tensor("blk.0.attn_q.weight", data, raw_dtype=code)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return gguf.quants.dequantize(data, code)


@pytest.mark.parametrize(("kind", "bits"), [("Q8_0", 8.5), ("Q4_0", 4.5), ("Q5_1", 6.0), ("F16", 16.0)])
def test_gguf_has_the_sqnr_that_its_library_dequantises_to(tmp_path: Path, kind: str, bits: float) -> None:
    _write_gguf(tmp_path / "old.gguf", "F32")
    values = _write_gguf(tmp_path / "new.gguf", kind)
    found = _answers(tmp_path / "old.gguf", tmp_path / "new.gguf")
    analysis, aware = found["quantization_analysis"].values, found["quantization_aware"].values
    assert analysis["sqnr_db"] == pytest.approx(_sqnr(values), abs=1e-4)
    assert analysis["bits_per_weight"] == bits
    assert abs(analysis["gain_vs_gaussian_db"]) < 0.3
    assert (analysis["n_flagged"], aware["explained"]) == (0, True)


def test_onnx_has_the_sqnr_of_the_reference_evaluator(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    reference = pytest.importorskip("onnx.reference")
    scales = (np.abs(W).max(axis=1) / 127).astype(np.float32)
    codes = np.clip(np.rint(W / scales[:, None]), -127, 127).astype(np.int8)
    parts = [onnx.numpy_helper.from_array(codes, "W_quantized"), onnx.numpy_helper.from_array(scales, "W_scale")]
    back = onnx.helper.make_node("DequantizeLinear", ["W_quantized", "W_scale"], ["W"], axis=0)
    gemm = onnx.helper.make_node("Gemm", ["x", "W"], ["y"], transB=1)
    _save(onnx, tmp_path / "old.onnx", [gemm], [onnx.numpy_helper.from_array(W, "W")])
    _save(onnx, tmp_path / "new.onnx", [back, gemm], parts)
    weight = onnx.helper.make_tensor_value_info("W", onnx.TensorProto.FLOAT, list(W.shape))
    alone = onnx.helper.make_graph([back], "g", [], [weight], parts)
    (values,) = reference.ReferenceEvaluator(_model(onnx, alone)).run(None, {})
    found = _answers(tmp_path / "old.onnx", tmp_path / "new.onnx")
    assert found["quantization_analysis"].values["sqnr_db"] == pytest.approx(_sqnr(values), abs=1e-4)
    assert found["quantization_aware"].values["explained"] is True


def _save(onnx: Any, path: Path, nodes: list[Any], initializers: list[Any]) -> None:
    kind, info = onnx.TensorProto.FLOAT, onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(nodes, "g", [info("x", kind, [1, 128])], [info("y", kind, [1, 64])], initializers)
    onnx.save(_model(onnx, graph), path)


def _model(onnx: Any, graph: Any) -> Any:
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 21)], ir_version=10)
