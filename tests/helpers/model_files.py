"""One small network written as every format holds it, each by the format's own library where there is one."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import safetensors.numpy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Weights = dict[str, np.ndarray]


def network(seed: int = 3) -> Weights:
    """Return the weights by their names in PyTorch: one convolution, one normalisation, two dense layers."""
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    return {
        "conv.weight": normal(8, 3, 5, 4),
        "conv.bias": normal(8),
        "norm.weight": normal(8),
        "norm.bias": normal(8),
        "fc1.weight": normal(16, 32),
        "fc1.bias": normal(16),
        "fc2.weight": normal(10, 16),
        "fc2.bias": np.zeros(10, np.float32),
    }


def as_tensorflow(weights: Weights) -> Weights:
    """Return the weights under other names and with their axes as TensorFlow and Keras store them."""
    names = {"weight": "kernel", "bias": "bias"}
    found = {}
    for name, array in weights.items():
        layer, _, part = name.partition(".")
        if layer == "norm":
            found[f"batch_normalization/{'gamma' if part == 'weight' else 'beta'}"] = array
            continue
        turned = array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T
        found[f"{layer}/{names[part]}"] = np.ascontiguousarray(turned)
    return found


def write_safetensors(path: Path, weights: Weights) -> None:
    safetensors.numpy.save_file(weights, path)


def write_pytorch(path: Path, weights: Weights) -> None:
    import torch

    torch.save({name: torch.from_numpy(array.copy()) for name, array in weights.items()}, path)


def write_onnx(path: Path, weights: Weights) -> None:
    """Write a graph whose initialisers have the names that an exporter makes up."""
    import onnx
    from onnx import helper, numpy_helper

    tensors = [numpy_helper.from_array(array, f"onnx::{number}") for number, array in enumerate(weights.values())]
    nodes = [helper.make_node("Identity", [tensor.name], [f"out{i}"]) for i, tensor in enumerate(tensors)]
    outputs = [helper.make_tensor_value_info(f"out{i}", 1, list(tensor.dims)) for i, tensor in enumerate(tensors)]
    onnx.save(helper.make_model(helper.make_graph(nodes, "network", [], outputs, tensors)), path)


def write_hdf5(path: Path, weights: Weights) -> None:
    """Write weights as Keras 2 does: a group for each layer, names in attributes."""
    import h5py

    with h5py.File(path, "w") as file:
        layers = dict.fromkeys(name.partition("/")[0] for name in as_tensorflow(weights))
        file.attrs["layer_names"] = [layer.encode() for layer in layers]
        for layer in layers:
            group = file.create_group(layer)
            parts = {name: array for name, array in as_tensorflow(weights).items() if name.startswith(f"{layer}/")}
            group.attrs["weight_names"] = [f"{name}:0".encode() for name in parts]
            for name, array in parts.items():
                group[f"{name}:0"] = array


def write_keras(path: Path, weights: Weights) -> None:
    """Write weights as Keras 3 does: HDF5 in a zip file, numbered variables."""
    import h5py

    inner = io.BytesIO()
    with h5py.File(inner, "w") as file:
        counts: dict[str, int] = {}
        for name, array in as_tensorflow(weights).items():
            layer = name.partition("/")[0]
            file[f"layers/{layer}/vars/{counts.setdefault(layer, 0)}"] = array
            counts[layer] += 1
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.15.1", "date_saved": "2026-01-01@00:00:00"}))
        archive.writestr("config.json", json.dumps({"class_name": "Sequential", "config": {"name": "network"}}))
        archive.writestr("model.weights.h5", inner.getvalue())


def write_paddle(path: Path, weights: Weights) -> None:
    """Write a combined parameter file as Paddle's save op does: no names, a description before each tensor."""
    with path.open("wb") as file:
        for array in weights.values():
            dims = b"".join(b"\x10" + _varint(length) for length in array.shape)
            description = b"\x08\x05" + dims  # data_type FP32
            file.write(struct.pack("<IQIi", 0, 0, 0, len(description)) + description + array.tobytes())


def _varint(number: int) -> bytes:
    parts = []
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])


def write_numpy(path: Path, weights: Weights) -> None:
    with path.open("wb") as file:
        np.savez(file, **weights)


def write_gguf(path: Path, weights: Weights) -> None:
    import gguf

    writer = gguf.GGUFWriter(path, "network")
    for name, array in weights.items():
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


WRITERS: dict[str, Callable[[Path, Weights], None]] = {
    "model.safetensors": write_safetensors,
    "model.pt": write_pytorch,
    "model.onnx": write_onnx,
    "model.h5": write_hdf5,
    "model.keras": write_keras,
    "model.npz": write_numpy,
    "model.gguf": write_gguf,
    "model.pdiparams": write_paddle,
}
"""How to write the network, by a file name of the format."""
