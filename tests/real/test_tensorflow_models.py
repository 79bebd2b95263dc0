"""One published model as SavedModel and as TensorFlow Lite, each held against another reader and against the other."""

from __future__ import annotations

import hashlib
import shutil

import numpy as np
import pytest
from command import findings_of, report_of

from diffai_core.plugin import Source

pytestmark = pytest.mark.real
VARIABLES_AS_TENSORFLOW_READS_THEM = "54b9d96c2e1c1cd59d6f511219d7561151dda6a44ca7a639e4f37ab9df6d7703"
SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
SAME_KERNELS = {
    "model_1/contours-reduced/Conv2D;model_1/contours-reduced/Conv2D": "layer_with_weights-3/kernel",
    "model_1/conv2d_2/Conv2D;model_1/conv2d_2/Conv2D": "layer_with_weights-4/kernel",
    "model_1/conv2d_3/Conv2D;model_1/conv2d_3/Conv2D": "layer_with_weights-7/kernel",
    "model_1/conv2d_5/Conv2D;model_1/conv2d_5/Conv2D1": "layer_with_weights-8/kernel",
}
"""Those that the converter took as they are; the others are multiplied with the normalisation that follows."""


@pytest.fixture
def saved_model(model, tmp_path):
    """Return the folder of the SavedModel."""
    folder = tmp_path / "nmp"
    (folder / "variables").mkdir(parents=True)
    shutil.copy(model("basic-pitch/saved_model.pb"), folder / "saved_model.pb")
    shutil.copy(model("basic-pitch/variables.index"), folder / "variables/variables.index")
    shutil.copy(model("basic-pitch/variables.data"), folder / "variables/variables.data-00000-of-00001")
    return folder


def test_variables_are_bit_for_bit_those_that_tensorflow_reads(saved_model):
    from diffai_load_tensorflow.loader import open_tensorflow

    digest = hashlib.sha256()
    with open_tensorflow(Source(saved_model / "variables"), {}) as artifact:
        assert len(artifact.tensors) == 73
        for name, ref in sorted(artifact.tensors.items()):
            array = ref.read()
            digest.update(f"{name} {array.dtype} {list(array.shape)}\n".encode())
            digest.update(array.tobytes())
    assert digest.hexdigest() == VARIABLES_AS_TENSORFLOW_READS_THEM


def test_constants_of_the_lite_model_are_those_that_the_generated_reader_of_its_schema_gives(model):
    from diffai_load_tflite.loader import open_tflite

    tflite = pytest.importorskip("tflite")
    path = model("basic-pitch.tflite")
    root = tflite.Model.GetRootAs(path.read_bytes(), 0)
    graph = root.Subgraphs(0)
    names = {number: name for name, number in vars(tflite.BuiltinOperator).items() if name.isupper()}
    seen = 0
    with open_tflite(Source(path), {}) as artifact:
        for number in range(graph.TensorsLength()):
            tensor = graph.Tensors(number)
            buffer = root.Buffers(tensor.Buffer())
            if buffer.DataLength():
                ref = artifact.tensors[tensor.Name().decode()]
                assert ref.shape == tuple(tensor.ShapeAsNumpy() if tensor.ShapeLength() else ())
                assert ref.read().tobytes() == buffer.DataAsNumpy().tobytes()
                seen += 1
        operators = [graph.Operators(number) for number in range(graph.OperatorsLength())]
        codes = [root.OperatorCodes(operator.OpcodeIndex()) for operator in operators]
        assert [node.op for node in artifact.graph.nodes] == [
            names[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())] for code in codes
        ]
        assert seen == len(artifact.tensors) == 67


def test_kernels_of_both_formats_are_the_same_but_for_the_order_of_their_axes(model, saved_model):
    from diffai_load_tensorflow.loader import open_tensorflow
    from diffai_load_tflite.loader import open_tflite

    with (
        open_tensorflow(Source(saved_model), {}) as old,
        open_tflite(Source(model("basic-pitch.tflite")), {}) as new,
    ):
        for lite, full in SAME_KERNELS.items():
            assert np.array_equal(new.tensors[lite].read(), old.tensors[full + SUFFIX].read().transpose(3, 0, 1, 2))


def test_the_command_pairs_the_tensors_of_both_formats_by_their_values(model, saved_model):
    report = report_of(saved_model, model("basic-pitch.tflite"))
    assert report["exit_code"] == 1
    assert (report["old"]["format"], report["new"]["format"]) == ("tensorflow", "tflite")
    renamed = {where: finding["old"] for where, finding in findings_of(report, "tensor_renamed").items()}
    assert {key: value.removesuffix(SUFFIX) for key, value in renamed.items()}.items() >= SAME_KERNELS.items()


def test_a_saved_model_and_its_copy_do_not_differ(saved_model, tmp_path):
    copy = shutil.copytree(saved_model, tmp_path / "copy")
    report = report_of(saved_model, copy, "--recursive")
    assert report["exit_code"] == 0
