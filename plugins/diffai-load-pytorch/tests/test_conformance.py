"""The laws of every loader and plugin, kept by this one."""

from __future__ import annotations

import torch
from diffai_load_pytorch import plugin as pytorch_plugin
from pytorch_files import save_distributed, save_legacy, zipped_again

from diffai_core.testing import LoaderTests, PluginTests

INTEGERS = tuple(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
FLOAT8 = ("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu")
DTYPES = ("float32", "float16", "bfloat16", "float64", "bool", "complex64", "complex128", *INTEGERS, *FLOAT8)


def torch_tensors(arrays):
    """Return arrays as tensors of PyTorch, bit for bit."""
    tensors = {}
    for name, array in arrays.items():
        dtype = getattr(torch, array.dtype.name)
        data = bytearray(array.tobytes())
        flat = torch.frombuffer(data, dtype=torch.uint8) if data else torch.empty(0, dtype=torch.uint8)
        tensors[name] = flat.clone().view(dtype).reshape(array.shape)
    return tensors


class TestPlugin(PluginTests):
    plugin = pytorch_plugin


class TestZip(LoaderTests):
    plugin = pytorch_plugin
    dtypes = DTYPES
    min_tensors = 0
    n_examples = 25

    def write(self, path, arrays):
        torch.save(torch_tensors(arrays), path)

    def write_sample(self, path):
        model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
        optimizer = torch.optim.Adam(model.parameters())
        model(torch.ones(4, 3)).sum().backward()
        optimizer.step()
        more = {"turned": torch.ones(3, 4).T, "shown": torch.ones(1).expand(3), "sparse": torch.eye(2).to_sparse()}
        torch.save(
            {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3, **more, "module": model[0]},
            path,
        )


class TestLegacy(TestZip):
    n_examples = 12
    n_damaged = 60

    def write(self, path, arrays):
        save_legacy(torch_tensors(arrays), path)

    def write_sample(self, path):
        model = torch.nn.Linear(3, 2)
        save_legacy({"model": model.state_dict(), "turned": torch.ones(3, 4).T, "epoch": 3}, path)


class TestCompressed(TestZip):
    n_examples = 12
    n_damaged = 30

    def write(self, path, arrays):
        super().write(path, arrays)
        zipped_again(path)

    def write_sample(self, path):
        super().write_sample(path)
        zipped_again(path)


class TestDistributed(LoaderTests):
    plugin = pytorch_plugin
    dtypes = ("float32", "bfloat16", "int64")
    shapes = ((), (5,), (3, 4))
    suffix = ".dcp"
    n_examples = 5
    n_damaged = 12

    def write(self, path, arrays):
        save_distributed(torch_tensors(arrays), path)
