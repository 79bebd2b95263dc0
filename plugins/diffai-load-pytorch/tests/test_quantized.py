"""Quantised tensors have the numbers that PyTorch's ``dequantize`` gives."""

from __future__ import annotations

import warnings

import pytest
import torch
from pytorch_files import blocks_of, save_legacy

SAVE = pytest.mark.parametrize("save", [torch.save, save_legacy], ids=["zip", "legacy"])


def quantized():
    generator = torch.Generator().manual_seed(0)
    floats = torch.randn(6, 8, generator=generator)
    scales, zeros = torch.rand(6, generator=generator) / 50 + 0.01, torch.tensor([0, 3, -5, 7, 0, 1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that PyTorch is about to remove them
        return {
            "qint8": torch.quantize_per_tensor(floats, 0.031, 3, torch.qint8),
            "quint8": torch.quantize_per_tensor(floats, 0.031, 120, torch.quint8),
            "qint32": torch.quantize_per_tensor(floats, 1e-6, 0, torch.qint32),
            "channels": torch.quantize_per_channel(floats, scales, zeros, 0, torch.qint8),
            "columns": torch.quantize_per_channel(floats.T.contiguous(), scales, zeros, 1, torch.qint8),
            "float points": torch.quantize_per_channel(floats, scales, -scales * 4, 0, torch.quint8),
            "four bits": torch.quantize_per_channel(floats, scales, -scales * 4, 0, torch.quint4x2),
        }


@SAVE
@pytest.mark.parametrize("name", quantized())
def test_the_numbers_are_those_of_dequantize(tmp_path, opened, save, name):
    tensor = quantized()[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save({"w": tensor}, tmp_path / "a.pt")
    ref = opened(tmp_path / "a.pt").tensors["w"]
    wanted = tensor.dequantize().numpy()
    assert (ref.shape, ref.dtype.name) == (wanted.shape, "float32")
    assert ref.read().tobytes() == wanted.tobytes()
    assert blocks_of(ref, 50).tobytes() == wanted.tobytes()
    bits = {"quint8": 8, "qint8": 8, "qint32": 32, "quint4x2": 4}[str(tensor.dtype).removeprefix("torch.")]
    assert ref.quantization.bits == bits
    assert ref.quantization.scheme.startswith(str(tensor.dtype).removeprefix("torch."))


def test_the_stored_parts_are_codes_scales_and_zero_points(tmp_path, opened):
    tensors = quantized()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(tensors, tmp_path / "a.pt")
    found = opened(tmp_path / "a.pt").tensors
    codes, scale, zero = found["qint8"].quantization.stored
    assert codes.read().tolist() == tensors["qint8"].int_repr().tolist()
    assert (scale.read().tolist(), zero.read().tolist()) == ([0.031], [3])
    codes, scale, zero = found["channels"].quantization.stored
    assert found["channels"].quantization.axis == 0
    assert scale.read().tolist() == tensors["channels"].q_per_channel_scales().tolist()
    assert zero.read().tolist() == tensors["channels"].q_per_channel_zero_points().tolist()
    assert codes.read().tolist() == tensors["channels"].int_repr().tolist()
