"""Every tensor that PyTorch or the safetensors library can save is read bit for bit."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys

import numpy as np
import pytest
import safetensors
import safetensors.numpy
import safetensors.torch
import torch
from diffai_load_safetensors.dtypes import DTYPES

from diffai_core.plugin import FileTensor, LoadError

_SAVEABLE = sorted((dtype for dtype in safetensors.torch._SIZE if dtype is not None), key=str)
_PACKED = torch.float4_e2m1fn_x2


def _every_bit_pattern(dtype: torch.dtype) -> torch.Tensor:
    """Return 512 random elements; every byte is among them where one fits, and NaN, Inf, denormals and payloads."""
    rng = np.random.default_rng(0)
    n_bytes = 512 * torch.empty(0, dtype=dtype).element_size()
    data = rng.integers(0, 2 if dtype is torch.bool else 256, n_bytes, np.uint8)
    if n_bytes == 512 and dtype is not torch.bool:
        data[:256] = np.arange(256)
    return torch.from_numpy(data).view(dtype)


def _bytes(tensor: torch.Tensor) -> bytes:
    return bytes(tensor.reshape(-1).view(torch.uint8).numpy())


def test_the_dtypes_are_those_of_the_library(tmp_path, raw):
    path = tmp_path / "x.safetensors"
    path.write_bytes(raw({"a": {"dtype": "?", "shape": [0], "data_offsets": [0, 0]}}))
    with pytest.raises(safetensors.SafetensorError) as caught, safetensors.safe_open(path, "np"):
        pass
    assert set(DTYPES) == set(re.findall(r"`([A-Z0-9_]+)`", str(caught.value)))


@pytest.mark.parametrize("dtype", _SAVEABLE, ids=str)
def test_a_saved_tensor_is_read_bit_for_bit(tmp_path, open_path, dtype):
    tensor = _every_bit_pattern(dtype)
    safetensors.torch.save_file({"w": tensor, "rows": tensor.reshape(8, -1)[:6].clone()}, tmp_path / "x.safetensors")
    with open_path(tmp_path / "x.safetensors") as artifact:
        ref, rows = artifact.tensors["w"], artifact.tensors["rows"]
        array = ref.read()
        expected_name = "float4_e2m1fn" if dtype is _PACKED else str(dtype).removeprefix("torch.")
        assert ref.dtype.name == array.dtype.name == expected_name
        packed = array.view(np.uint8)
        if dtype is _PACKED:
            packed = packed[0::2] | packed[1::2] << 4
            assert rows.shape == (6, 128)
        else:
            assert rows.shape == (6, 64)
        assert packed.tobytes() == _bytes(tensor)
        assert rows.read().reshape(-1).tobytes() == array[: rows.numel].tobytes()


@pytest.mark.parametrize("dtype", [d for d in _SAVEABLE if d.is_floating_point and d is not _PACKED], ids=str)
def test_the_values_are_those_of_torch(tmp_path, open_path, dtype):
    tensor = _every_bit_pattern(dtype)
    safetensors.torch.save_file({"w": tensor}, tmp_path / "x.safetensors")
    with open_path(tmp_path / "x.safetensors") as artifact, np.errstate(invalid="ignore"):  # signalling NaNs
        values = artifact.tensors["w"].read().astype(np.float64)
    np.testing.assert_array_equal(values, tensor.to(torch.float64).numpy())


def test_four_bit_floats_have_the_values_of_the_ocp_table_low_nibble_first(tmp_path, open_path):
    table = [0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6]
    packed = torch.tensor([low | (low + 1) << 4 for low in range(0, 16, 2)], dtype=torch.uint8).view(_PACKED)
    safetensors.torch.save_file({"w": packed}, tmp_path / "x.safetensors")
    with open_path(tmp_path / "x.safetensors") as artifact:
        ref = artifact.tensors["w"]
        assert ref.shape == (16,)
        assert ref.nbytes == 8
        assert ref.read().astype(np.float64).tolist() == table


@pytest.mark.parametrize(
    ("code", "values"),
    [("F6_E2M3", [0.125, 7.5, -0.125, 1.0]), ("F6_E3M2", [0.0625, 28.0, -0.0625, 0.5])],
)
def test_six_bit_floats_have_the_values_of_the_ocp_table(tmp_path, open_path, raw, code, values):
    codes = [0b000001, 0b011111, 0b100001, 0b001000]
    word = sum(number << 6 * place for place, number in enumerate(codes))
    path = tmp_path / "x.safetensors"
    path.write_bytes(raw({"w": {"dtype": code, "shape": [2, 2], "data_offsets": [0, 3]}}, word.to_bytes(3, "little")))
    with safetensors.safe_open(path, "np") as reference:
        assert reference.get_slice("w").get_shape() == [2, 2]
    with open_path(path) as artifact:
        assert artifact.tensors["w"].read().astype(np.float64).reshape(-1).tolist() == values


@pytest.mark.parametrize("shape", [(), (1,), (0,), (3, 0, 2), (1, 1, 1, 1, 1, 1, 1, 1, 1), (2, 3, 4)], ids=str)
def test_scalars_and_empty_tensors_keep_their_shape(tmp_path, open_path, shape):
    tensors = {"a": torch.full(shape, 1.5, dtype=torch.bfloat16), "b": torch.ones(3)}
    safetensors.torch.save_file(tensors, tmp_path / "x.safetensors")
    with open_path(tmp_path / "x.safetensors") as artifact:
        array = artifact.tensors["a"].read()
        assert array.shape == artifact.tensors["a"].shape == shape
        assert array.astype(np.float64).sum() == 1.5 * tensors["a"].numel()
        assert artifact.tensors["b"].read().tolist() == [1, 1, 1]


def test_a_file_without_tensors_opens(tmp_path, open_path):
    safetensors.numpy.save_file({}, tmp_path / "x.safetensors", {"only": "metadata"})
    with open_path(tmp_path / "x.safetensors") as artifact:
        assert artifact.tensors == {}
        assert artifact.tree == {"__metadata__": {"only": "metadata"}}


def test_metadata_is_what_the_library_reads(tmp_path, open_path):
    metadata = {
        "format": "pt",
        "": "empty key",
        "ключ": "значение 🙂",
        'quote"\\\n\x00': "\x7f\t\u2028",
        "json": '{"a":1}',
    }
    safetensors.numpy.save_file({"w": np.ones(1)}, tmp_path / "x.safetensors", metadata)
    with safetensors.safe_open(tmp_path / "x.safetensors", "np") as reference:
        assert reference.metadata() == metadata
    with open_path(tmp_path / "x.safetensors") as artifact:
        assert artifact.tree == {"__metadata__": metadata}


def test_a_file_without_metadata_has_an_empty_tree(tmp_path, open_path):
    safetensors.numpy.save_file({"w": np.ones(1)}, tmp_path / "x.safetensors")
    with open_path(tmp_path / "x.safetensors") as artifact:
        assert artifact.tree == {}


def test_an_unaligned_tensor_is_read_and_the_library_agrees(tmp_path, open_path, raw):
    values = np.array([1.5, -2.25, np.pi], np.float32)
    header = {
        "byte": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]},
        "w": {"dtype": "F32", "shape": [3], "data_offsets": [1, 13]},
    }
    path = tmp_path / "x.safetensors"
    path.write_bytes(raw(header, b"\x07" + values.tobytes()))
    np.testing.assert_array_equal(safetensors.numpy.load_file(path)["w"], values)
    with open_path(path) as artifact:
        np.testing.assert_array_equal(artifact.tensors["w"].read(), values)
        np.testing.assert_array_equal(np.concatenate(list(artifact.tensors["w"].blocks(4))), values)


def test_a_bool_byte_that_is_neither_0_nor_1_is_true_and_keeps_its_bits(tmp_path, open_path, raw):
    path = tmp_path / "x.safetensors"
    path.write_bytes(raw({"w": {"dtype": "BOOL", "shape": [4], "data_offsets": [0, 4]}}, b"\x00\x01\x02\xff"))
    with open_path(path) as artifact:
        array = artifact.tensors["w"].read()
        assert [bool(item) for item in array] == [False, True, True, True]
        assert array.tobytes() == b"\x00\x01\x02\xff"


def test_tensors_come_in_the_order_of_their_bytes(tmp_path, open_path, raw):
    header = {
        "second": {"dtype": "U8", "shape": [1], "data_offsets": [1, 2]},
        "first": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]},
    }
    (tmp_path / "x").write_bytes(raw(header, b"\x01\x02"))
    with open_path(tmp_path / "x") as artifact:
        assert {name: ref.read().tolist() for name, ref in artifact.tensors.items()} == {"first": [1], "second": [2]}
        assert list(artifact.tensors) == ["first", "second"]


def test_reading_copies_nothing(tmp_path, open_path):
    safetensors.numpy.save_file({"w": np.arange(1000.0)}, tmp_path / "x.safetensors")
    with open_path(tmp_path / "x.safetensors") as artifact:
        ref = artifact.tensors["w"]
        assert isinstance(ref, FileTensor)
        mapped = np.frombuffer(ref.file.map(), np.uint8)
        assert np.shares_memory(ref.read(), mapped)
        assert all(np.shares_memory(block, mapped) for block in ref.blocks(64))


def test_a_pickled_tensor_is_read_again_and_refuses_another_file(tmp_path, open_path):
    path = tmp_path / "x.safetensors"
    safetensors.numpy.save_file({"w": np.arange(10)}, path)
    with open_path(path) as artifact:
        pickled = pickle.dumps(artifact.tensors["w"])
    ref = pickle.loads(pickled)
    assert ref.read().tolist() == list(range(10))
    ref.file.close()
    safetensors.numpy.save_file({"w": np.arange(11)}, path)
    with pytest.raises(LoadError, match="no longer the one that was opened"):
        pickle.loads(pickled)


def test_a_file_that_shrinks_after_opening_is_an_error_and_not_a_crash(tmp_path, open_path):
    path = tmp_path / "x.safetensors"
    safetensors.numpy.save_file({"w": np.arange(100_000)}, path)
    with open_path(path) as artifact:
        os.truncate(path, 5000)
        with pytest.raises(LoadError, match="shrank"):
            artifact.tensors["w"].read()
        with pytest.raises(LoadError, match="written to"):
            artifact.check_unchanged()


def test_opening_imports_neither_numpy_nor_torch_nor_safetensors(tmp_path):
    safetensors.numpy.save_file({"w": np.ones(3)}, tmp_path / "x.safetensors", {"a": "b"})
    code = (
        "import sys; from diffai_core.plugin import Source; import diffai_load_safetensors.loader as l;"
        "a = l.open_safetensors(Source(sys.argv[1]), {}); assert a.tensors['w'].nbytes == 24;"
        "print([m for m in ('numpy', 'ml_dtypes', 'torch', 'safetensors') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "x.safetensors")]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() == "[]"
