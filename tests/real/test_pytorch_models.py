"""Published PyTorch checkpoints, old and new: every tensor is the one that PyTorch reads, bit for bit."""

from __future__ import annotations

import warnings

import pytest
from command import report_of

pytestmark = pytest.mark.real
torch = pytest.importorskip("torch")

CHECKPOINTS = (
    *("chgnet-0.2.0", "chgnet-0.3.0", "chgnet-r2scan", "dists", "facenet-onet"),
    *("lpips-alex", "lpips-squeeze", "lpips-vgg", "resemblyzer"),
)


def flattened(value, path=""):
    """Yield all tensors in nested dicts and lists with their dotted path."""
    if isinstance(value, torch.Tensor):
        yield path, value
    elif isinstance(value, dict | list | tuple):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in pairs:
            yield from flattened(item, f"{path}.{key}" if path else str(key))


def assert_all_equal(path, wanted):
    from diffai_load_pytorch.loader import open_pytorch

    from diffai_core.plugin import Source

    with open_pytorch(Source(path), {}) as artifact:
        assert not artifact.not_readable
        for name, tensor in wanted.items():
            ref = artifact.tensors[name]
            assert ref.shape == tuple(tensor.shape)
            raw = (
                tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""
            )
            assert ref.read().tobytes() == raw, name
        return artifact


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_checkpoint_has_the_tensors_that_torch_loads(model, name):
    path = model(name)
    wanted = dict(flattened(torch.load(path, map_location="cpu", weights_only=True)))
    artifact = assert_all_equal(path, wanted)
    assert set(artifact.tensors) == set(wanted)
    assert artifact.foreign == ()


def test_torchscript_has_the_tensors_of_its_state_dict_and_its_code(model):
    path = model("silero-jit")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is about to be removed
        wanted = torch.jit.load(path, map_location="cpu").state_dict()
    artifact = assert_all_equal(path, wanted)
    assert any("def forward" in text for text in artifact.tree["__code__"].values())
    assert artifact.foreign == ()


def test_optimizer_state_has_its_role_and_settings_are_in_the_tree(model):
    from diffai_load_pytorch.loader import open_pytorch

    from diffai_core.plugin import Source

    path = model("chgnet-0.3.0")
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    with open_pytorch(Source(path), {}) as artifact:
        roles = {name.partition(".")[0]: ref.role for name, ref in artifact.tensors.items()}
        assert roles == {"model": "weights", "optimizer": "optimizer"}
        found = artifact.tree["optimizer"]["param_groups"][0]["lr"]
        assert found == checkpoint["optimizer"]["param_groups"][0]["lr"]


def test_a_checkpoint_and_its_own_tensors_as_safetensors_are_the_same(model, tmp_path):
    from safetensors.torch import save_file

    state = torch.load(model("facenet-onet"), map_location="cpu", weights_only=True)
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, tmp_path / "a.safetensors")
    report = report_of(model("facenet-onet"), tmp_path / "a.safetensors")
    assert report["exit_code"] == 0
    assert report["counts"]["identical"] == len(state)
