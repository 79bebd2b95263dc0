"""A published Core ML package, held against coremltools and against the same model in ONNX."""

from __future__ import annotations

import hashlib
import shutil

import pytest
from command import findings_of, report_of

from diffai_core.plugin import Source

pytestmark = pytest.mark.real
WEIGHTS_AS_COREMLTOOLS_READS_THEM = "c6810203292d5df37effeabf4096e15b478ee44becf53bb8316c75d3fc8f486b"
SAME_IN_ONNX = {
    "StatefulPartitionedCall_model_1_cq_t2010v2_1_Sqrt",
    *("squeeze_0", "squeeze_1", "transpose_61", "transpose_63", "const_47"),
    *("conv_0_weight_0", "conv_1_weight_0"),
}
"""Weights that both converters took as they are; the others are multiplied with the normalisation that follows."""


@pytest.fixture
def package(model, tmp_path):
    """Return the folder of the package."""
    inner = tmp_path / "nmp.mlpackage/Data/com.apple.CoreML"
    (inner / "weights").mkdir(parents=True)
    shutil.copy(model("basic-pitch/Manifest.json"), tmp_path / "nmp.mlpackage/Manifest.json")
    shutil.copy(model("basic-pitch/model.mlmodel"), inner / "model.mlmodel")
    shutil.copy(model("basic-pitch/weight.bin"), inner / "weights/weight.bin")
    return tmp_path / "nmp.mlpackage"


def test_weights_are_bit_for_bit_those_that_coremltools_reads(package):
    from diffai_load_coreml.loader import open_coreml

    digest = hashlib.sha256()
    with open_coreml(Source(package), {}) as artifact:
        assert len(artifact.tensors) == 29
        for name, ref in sorted(artifact.tensors.items()):
            array = ref.read()
            digest.update(f"{name} {array.dtype} {list(array.shape)}\n".encode())
            digest.update(array.tobytes())
    assert digest.hexdigest() == WEIGHTS_AS_COREMLTOOLS_READS_THEM


def test_weights_that_both_converters_left_alone_are_paired_with_those_of_onnx(model, package):
    report = report_of(model("basic-pitch.onnx"), package)
    paired = {found["new"] for found in findings_of(report, "tensor_renamed").values()}
    assert paired >= SAME_IN_ONNX
