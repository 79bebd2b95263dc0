"""Tensors are those of PyTorch, bit for bit: every dtype, every kind of view, every container."""

from __future__ import annotations

import subprocess
import sys
import warnings
import zipfile

import ml_dtypes
import numpy as np
import pytest
import torch
from diffai_load_pytorch import strided
from diffai_load_pytorch.loader import open_pytorch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_files import assert_same, raw, save_legacy, zipped_again

from diffai_core.plugin import BlockTensor, FileTensor, Source

SAVE = pytest.mark.parametrize("save", [torch.save, save_legacy], ids=["zip", "legacy"])
NUMBERS = [
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64, torch.complex128, torch.bool),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.uint16, torch.uint32, torch.uint64),
    *(torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz, torch.float8_e8m0fnu),
]
OPAQUE = [torch.complex32, torch.bits8, torch.bits16]


def filled(dtype, *shape):
    """Return a tensor of arbitrary bits."""
    n_bytes = int(np.prod(shape)) * dtype.itemsize
    data = torch.arange(n_bytes, dtype=torch.int64).mul(37).to(torch.uint8)
    return (data % 2 if dtype == torch.bool else data).view(dtype).reshape(shape)


@SAVE
@pytest.mark.parametrize("dtype", [*NUMBERS, *OPAQUE], ids=str)
def test_every_dtype_has_the_bits_that_pytorch_saved(tmp_path, opened, save, dtype):
    tensor = filled(dtype, 3, 4)
    save({"w": tensor}, tmp_path / "a.pt")
    ref = opened(tmp_path / "a.pt").tensors["w"]
    assert isinstance(ref, FileTensor)
    assert ref.dtype.name == str(dtype).removeprefix("torch.")
    assert (ref.dtype.kind == "opaque") == (dtype in OPAQUE)
    assert ref.shape == (3, 4)
    assert ref.read().tobytes() == raw(tensor.view(torch.uint8))


@pytest.mark.parametrize("shape", [(2, 3), ()])
def test_packed_four_bit_floats_are_two_elements_a_byte(tmp_path, opened, shape):
    packed = filled(torch.uint8, *shape) if shape else torch.tensor(0x3A, dtype=torch.uint8)
    torch.save({"w": packed.view(torch.float4_e2m1fn_x2)}, tmp_path / "a.pt")
    ref = opened(tmp_path / "a.pt").tensors["w"]
    codes = packed.numpy().reshape(-1)
    wanted = np.stack([codes & 15, codes >> 4], axis=1).reshape(-1).view(ml_dtypes.float4_e2m1fn)
    assert (ref.dtype.name, ref.shape) == ("float4_e2m1fn", (2, 6) if shape else (2,))
    assert (ref.read().reshape(-1).astype(np.float32) == wanted.astype(np.float32)).all()


def views():
    base = torch.arange(24.0).reshape(2, 3, 4)
    z = torch.view_as_complex(torch.arange(12.0).reshape(3, 2, 2))
    return {
        "whole": base,
        "transposed": base.transpose(0, 2),
        "permuted": base.permute(1, 2, 0),
        "sliced": base[:, 1:, ::2],
        "row": base[1],
        "column": base[:, :, 1],
        "element": base[1, 2, 3],
        "expanded": torch.arange(3.0).expand(4, 3),
        "expanded twice": torch.ones(1, 1).expand(5, 7),
        "diagonal": torch.arange(9.0).reshape(3, 3).diagonal(),
        "unfolded": torch.arange(10.0).unfold(0, 4, 2),
        "conjugated": z.conj(),
        "conjugated and transposed": z.mH,
        "negated": z.conj().imag,
        "empty": base[:, :0],
        "channels last": torch.arange(48.0).reshape(1, 3, 4, 4).to(memory_format=torch.channels_last),
        "bytes": torch.arange(8, dtype=torch.uint8)[::3],
        "halves": torch.arange(12, dtype=torch.bfloat16).reshape(3, 4).T,
    }


@SAVE
@pytest.mark.parametrize("name", views())
def test_every_kind_of_view_has_the_elements_that_pytorch_sees(tmp_path, opened, save, name):
    tensor = views()[name]
    save({"w": tensor}, tmp_path / "a.pt")
    ref = opened(tmp_path / "a.pt").tensors["w"]
    assert_same(ref, tensor)
    plain = tensor.is_contiguous() and not tensor.is_conj() and not tensor.is_neg()
    assert isinstance(ref, FileTensor) == plain


@pytest.mark.parametrize("name", views())
def test_views_of_compressed_storages_are_read_too(tmp_path, opened, name):
    tensor = views()[name]
    torch.save({"w": tensor}, tmp_path / "a.pt")
    zipped_again(tmp_path / "a.pt")
    ref = opened(tmp_path / "a.pt").tensors["w"]
    assert isinstance(ref, BlockTensor)
    assert_same(ref, tensor)


@given(st.data())
@settings(deadline=None, derandomize=True, max_examples=60)
def test_any_strided_view_has_the_elements_that_pytorch_sees(tmp_path_factory, data):
    size = data.draw(st.lists(st.integers(0, 4), max_size=4))
    stride = data.draw(st.lists(st.integers(0, 9), min_size=len(size), max_size=len(size)))
    offset = data.draw(st.integers(0, 5))
    dtype = data.draw(st.sampled_from([torch.uint8, torch.int16, torch.float32, torch.complex64]))
    base = filled(dtype, 150)
    tensor = base.as_strided(size, stride, offset)
    path = tmp_path_factory.mktemp("v") / "a.pt"
    torch.save([tensor], path)
    with open_pytorch(Source(path), {}) as artifact:
        assert_same(artifact.tensors["0"], tensor)


def test_large_transposed_views_are_read_in_strips(tmp_path, opened, monkeypatch):
    monkeypatch.setattr(strided, "STRIP_BYTES", 1000)
    monkeypatch.setattr(strided, "READ_BYTES", 1000)
    tensor = torch.arange(60_000.0).reshape(200, 300).T
    torch.save({"w": tensor, "v": tensor.reshape(20, 3, 5, 200).permute(3, 0, 2, 1)}, tmp_path / "a.pt")
    tensors = opened(tmp_path / "a.pt").tensors
    assert_same(tensors["w"], tensor)
    assert_same(tensors["v"], tensor.reshape(20, 3, 5, 200).permute(3, 0, 2, 1))


def test_tied_tensors_share_their_storage_and_others_do_not(tmp_path, opened):
    shared = torch.arange(6.0).reshape(2, 3)
    torch.save(
        {"a": shared, "b": shared, "c": shared.clone(), "d": shared[0], "e": shared.T, "f": shared.T}, tmp_path / "a.pt"
    )
    tensors = opened(tmp_path / "a.pt").tensors
    keys = {name: ref.storage for name, ref in tensors.items()}
    assert keys["a"] == keys["b"]
    assert keys["e"] == keys["f"]
    assert len(set(keys.values())) == 4


@SAVE
def test_views_of_one_storage_are_read_from_it(tmp_path, opened, save):
    base = torch.arange(100.0)
    save(
        {
            "all": base,
            "part": base[10:20],
            "turned": base[20:40].reshape(4, 5).T,
        },
        tmp_path / "a.pt",
    )
    tensors = opened(tmp_path / "a.pt").tensors
    assert_same(tensors["part"], base[10:20])
    assert_same(tensors["turned"], base[20:40].reshape(4, 5).T)


def test_big_endian_files_give_the_same_elements(tmp_path, opened):
    tensors = {str(dtype): filled(dtype, 4, 6) for dtype in NUMBERS if dtype != torch.bool}
    tensors["turned"] = torch.arange(12.0).reshape(3, 4).T
    torch.save(tensors, tmp_path / "a.pt")
    units = {}
    for number, tensor in enumerate(tensors.values()):
        units[f"a/data/{number}"] = tensor.element_size() // (2 if tensor.is_complex() else 1)

    def change(name, data):
        if name == "a/byteorder":
            return b"big"
        width = units.get(name)
        return np.frombuffer(data, np.uint8).reshape(-1, width)[:, ::-1].tobytes() if width else data

    zipped_again(tmp_path / "a.pt", zipfile.ZIP_STORED, change)
    found = opened(tmp_path / "a.pt").tensors
    for name, tensor in tensors.items():
        assert_same(found[name], tensor)


def test_protocols_and_buffers_of_other_writers_are_read(tmp_path, opened):
    tensor = torch.arange(5.0)
    for protocol in (2, 3, 4, 5):
        for save in (torch.save, save_legacy):
            save({"w": tensor}, tmp_path / "a.pt", pickle_protocol=protocol)
            assert_same(opened(tmp_path / "a.pt").tensors["w"], tensor)


@pytest.mark.parametrize(
    "value", [torch.arange(3.0), torch.arange(3.0).untyped_storage(), torch.nn.Parameter(torch.ones(2))]
)
def test_a_tensor_that_is_all_of_a_file_has_a_name(tmp_path, opened, value):
    torch.save(value, tmp_path / "a.pt")
    tensors = opened(tmp_path / "a.pt").tensors
    assert list(tensors) == ["tensor"]
    size = value.nbytes() if isinstance(value, torch.UntypedStorage) else value.nbytes
    assert tensors["tensor"].nbytes == size


def test_tensors_in_a_list_are_named_by_their_place(tmp_path, opened):
    torch.save([torch.ones(1), {"x": (torch.zeros(2), 5)}], tmp_path / "a.pt")
    artifact = opened(tmp_path / "a.pt")
    assert list(artifact.tensors) == ["0", "1.x.0"]
    assert artifact.tree == {"1": {"x": {"1": 5}}}


def test_opening_imports_neither_numpy_nor_torch(tmp_path):
    torch.save({"w": torch.ones(3), "q": torch.ones(2, 3).T}, tmp_path / "a.pt")
    code = (
        "import sys; from diffai_core.plugin import Source; from diffai_load_pytorch.loader import open_pytorch\n"
        f"found = open_pytorch(Source({str(tmp_path / 'a.pt')!r}), {{}})\n"
        "assert [ref.shape for ref in found.tensors.values()] == [(3,), (3, 2)]\n"
        "assert not {'numpy', 'torch', 'ml_dtypes'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_conjugate_and_the_negative_of_complex32_are_those_of_pytorch(tmp_path, opened):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that complex32 is new
        stored = torch.view_as_complex(torch.arange(8, dtype=torch.float16).reshape(4, 2))
        tensors = {"c": stored.conj(), "n": torch._neg_view(stored), "cn": torch._neg_view(stored.conj())}
        torch.save(tensors, tmp_path / "a.pt")
        wide = stored.to(torch.complex64)  # PyTorch computes neither in complex32
        wanted = {"c": wide.conj(), "n": -wide, "cn": -wide.conj()}
    wanted = {name: torch.view_as_real(x.resolve_conj()).half().numpy() for name, x in wanted.items()}
    found = opened(tmp_path / "a.pt").tensors
    for name, values in wanted.items():
        assert found[name].read().tobytes() == values.tobytes()


def test_the_negative_of_what_has_none_is_not_compared(tmp_path, opened):
    path = tmp_path / "a.pt"
    torch.save({"a": torch._neg_view(torch.ones(3, dtype=torch.int8))}, path)
    assert opened(path).tensors["a"].read().tolist() == [-1, -1, -1]
    zipped_again(path, change=lambda _, data: data.replace(b"CharStorage", b"BoolStorage"))
    artifact = opened(path)
    assert not artifact.tensors
    assert [(one.where, "negative" in one.reason) for one in artifact.not_readable] == [("a", True)]
