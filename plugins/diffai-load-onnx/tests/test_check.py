"""With ``--onnx-check`` the ``onnx`` package has its say about a model."""

from __future__ import annotations

import sys

import pytest
from diffai_load_onnx.loader import open_onnx
from onnx import TensorProto, helper

from diffai_core.plugin import LoadError, Source, UsageError

CHECKED = {"onnx_check": True}
ENDS = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "xyz"]


def model(save, node):
    return save([node], inputs=ENDS[:1], outputs=ENDS[1:2])


def test_a_valid_model_is_opened(save):
    with open_onnx(Source(model(save, helper.make_node("Relu", ["x"], ["y"]))), CHECKED) as artifact:
        assert len(artifact.graph.nodes) == 1


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (helper.make_node("Relu", ["x"], ["y"], bogus=1), "Unrecognized attribute: bogus for operator Relu"),
        (helper.make_node("NoSuchOperator", ["x"], ["y"]), "No Op registered for NoSuchOperator"),
        (helper.make_node("Concat", ["x", "x"], ["y"], axis=0), "ShapeInferenceError"),
    ],
)
def test_a_model_that_is_not_valid_is_an_error_only_when_it_is_checked(save, node, expected):
    path = model(save, node)
    open_onnx(Source(path), {"onnx_check": False}).close()
    with pytest.raises(LoadError) as caught:
        open_onnx(Source(path), CHECKED)
    message = str(caught.value)
    assert message.startswith(f"{path}: not valid by onnx.checker: ")
    assert expected in message
    assert "\n" not in message


def test_a_missing_package_is_named_with_the_command_that_installs_it(save, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx.checker", None)
    with pytest.raises(UsageError, match=r"pip install 'diffai-load-onnx\[check\]'"):
        open_onnx(Source(model(save, helper.make_node("Relu", ["x"], ["y"]))), CHECKED)
