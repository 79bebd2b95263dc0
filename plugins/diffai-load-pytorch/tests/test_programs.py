"""TorchScript and exported programs: weights, attributes and code, none of which is run."""

from __future__ import annotations

import io
import warnings
import zipfile

import pytest
import torch
from pytorch_files import assert_same, raw, zipped_again


class Scripted(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(3, 2)
        self.norm = torch.nn.BatchNorm1d(2)
        self.names: list[str] = ["a", "b"]
        self.scale = 2.5

    def forward(self, x: torch.Tensor):
        return self.norm(self.fc(x)) * self.scale + torch.tensor([1.0, 2.0])


@pytest.fixture
def program(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is about to be removed
        torch.manual_seed(0)
        model = Scripted().eval()
        traced = torch.jit.trace(model, torch.ones(4, 3))
        torch.jit.save(traced, tmp_path / "a.pt", _extra_files={"note.txt": "hello"})
    return model


def test_torchscript_has_the_tensors_of_its_state_dict(tmp_path, opened, program):
    artifact = opened(tmp_path / "a.pt")
    state = program.state_dict()
    assert {name for name in artifact.tensors if not name.startswith("CONSTANTS")} == set(state)
    for name, tensor in state.items():
        assert_same(artifact.tensors[name], tensor)
    assert artifact.foreign == ()


def test_torchscript_has_its_constants_code_and_extra_files(tmp_path, opened, program):
    artifact = opened(tmp_path / "a.pt")
    constants = [ref.read().tolist() for name, ref in artifact.tensors.items() if name.startswith("CONSTANTS.")]
    assert [1.0, 2.0] in constants
    code = "\n".join(artifact.tree["__code__"].values())
    assert "def forward" in code
    assert artifact.tree["__members__"]["extra/note.txt"] == "hello"
    assert artifact.tree["training"] is False
    assert artifact.tree["fc"]["__class__"] == "torch.nn.modules.linear.Linear"


def test_attributes_of_scripted_modules_are_in_the_tree(tmp_path, opened):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")

        class Small(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.table = torch.jit.Attribute({"a": 1}, dict[str, int])
                self.sizes = torch.jit.Attribute([1, 2], list[int])
                self.w = torch.nn.Parameter(torch.ones(2))

            def forward(self, x: torch.Tensor):
                return x * self.w

        torch.jit.save(torch.jit.script(Small()), tmp_path / "a.pt")
    artifact = opened(tmp_path / "a.pt")
    assert (artifact.tree["table"], artifact.tree["sizes"]) == ({"a": 1}, [1, 2])
    assert list(artifact.tensors) == ["w"]


def test_quantized_torchscript_shows_its_parts(tmp_path, opened):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = torch.ao.quantization.quantize_dynamic(torch.nn.Sequential(torch.nn.Linear(4, 3)), dtype=torch.qint8)
        torch.jit.save(torch.jit.script(model), tmp_path / "a.pt")
    artifact = opened(tmp_path / "a.pt")
    found = [ref for ref in artifact.tensors.values() if ref.quantization is not None]
    assert [ref.read().tolist() for ref in found] == [model[0].weight().dequantize().tolist()]


class Exported(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(3, 2)
        self.register_buffer("turned", torch.arange(6.0).reshape(3, 2).T)
        self.register_buffer("mask", torch.ones(2), persistent=False)

    def forward(self, x):
        return torch.relu(self.fc(x)) @ self.turned + torch.tensor([1.0, 2.0, 3.0]) + self.mask.sum()


@pytest.fixture
def exported(tmp_path):
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = torch.export.export(Exported(), (torch.ones(4, 3),))
        torch.export.save(found, tmp_path / "a.pt2")
    return found


def test_an_exported_program_has_the_tensors_of_its_state_dict(tmp_path, opened, exported):
    artifact = opened(tmp_path / "a.pt2")
    names = {name for name in artifact.tensors if not name.startswith("CONSTANTS.")}
    assert names == set(exported.state_dict)
    for name, tensor in exported.state_dict.items():
        assert_same(artifact.tensors[name], tensor)
    for name, tensor in exported.constants.items():
        assert_same(artifact.tensors[f"CONSTANTS.{name}"], tensor)
    assert exported.constants


def test_an_exported_program_has_its_graph(tmp_path, opened, exported):
    graph = opened(tmp_path / "a.pt2").graph
    wanted = [node for node in exported.graph.nodes if node.op == "call_function"]
    assert [node.name for node in graph.nodes] == [node.name for node in wanted]
    for node, reference in zip(graph.nodes, wanted, strict=True):
        assert node.op == f"torch.ops.{reference.target}"
        assert set(node.inputs) == {part.name for part in reference.all_input_nodes}
    assert graph.inputs["x"].shape == (4, 3)
    assert graph.inputs["x"].dtype == "float32"
    assert list(graph.outputs) == [exported.graph_signature.user_outputs[0]]


def test_where_the_code_was_is_not_compared(tmp_path, opened, exported):
    artifact = opened(tmp_path / "a.pt2")
    assert __file__ not in repr((artifact.tree, artifact.graph))


def test_symbolic_shapes_are_told(tmp_path, opened):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        batch = torch.export.Dim("batch", min=2, max=64)
        program = torch.export.export(torch.nn.Linear(3, 2), (torch.ones(4, 3),), dynamic_shapes=({0: batch},))
        torch.export.save(program, tmp_path / "a.pt2")
    shape = opened(tmp_path / "a.pt2").graph.inputs["input"].shape
    assert isinstance(shape[0], str)
    assert shape[1] == 3


def test_the_exported_format_of_pytorch_2_1_to_2_7_is_read(tmp_path, opened, exported):
    with zipfile.ZipFile(tmp_path / "a.pt2") as archive:
        program = archive.read("a/models/model.json")
    with zipfile.ZipFile(tmp_path / "old.pt2", "w") as archive:
        archive.writestr("version", "7.0")
        archive.writestr("serialized_exported_program.json", program)
        for name, value in (("state_dict", exported.state_dict), ("constants", exported.constants)):
            file = io.BytesIO()
            torch.save(dict(value), file)
            archive.writestr(f"serialized_{name}.pt", file.getvalue())
    artifact = opened(tmp_path / "old.pt2")
    for name, tensor in exported.state_dict.items():
        assert artifact.tensors[name].read().tobytes() == raw(tensor)
    assert [node.op for node in artifact.graph.nodes] == [node.op for node in opened(tmp_path / "a.pt2").graph.nodes]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"sizes": [{"as_int": 2}', b'"sizes": [{"as_int": 9}'),
        (b'"as_int": 3', b'"as_int": 1152921504606846976'),
        (b'"as_int": 3', b'"as_int": -3'),
        (b'"dtype": 7', b'"dtype": 99'),
        (b'"path_name": "weight_0"', b'"path_name": "../weight_0"'),
        (b'"path_name": "weight_0"', b'"path_name": 5'),
        (b'"config"', b'"other"'),
        (b"{", b"["),
        (b'"tensor_meta": {', b'"tensor_meta": {"x": ' + b"[" * 5000),
    ],
)
def test_a_list_of_weights_that_lies_is_an_error(tmp_path, refused, exported, old, new):
    def change(name, data):
        return data.replace(old, new) if name.endswith("weights_config.json") else data

    zipped_again(tmp_path / "a.pt2", zipfile.ZIP_STORED, change)
    assert refused(tmp_path / "a.pt2").offset is not None
