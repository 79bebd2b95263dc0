"""Content decides: what PyTorch writes is recognised without its suffix, and other zip and tar files are not."""

from __future__ import annotations

import io
import pickle
import struct
import tarfile
import warnings
import zipfile

import numpy as np
import pytest
import torch
from diffai_load_pytorch.sniff import looks_like_pytorch
from pytorch_files import assert_same, zipped_again

TENSORS = {"w": torch.arange(6.0).reshape(2, 3), "v": torch.arange(6.0)[2:5], "t": torch.arange(4.0).reshape(2, 2).T}


def recognised(path):
    data = path.read_bytes()
    return looks_like_pytorch(data[:4096], len(data))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_checkpoint_is_recognised_also_when_zipped_again_in_any_order(tmp_path, method):
    path = tmp_path / "a"
    torch.save(TENSORS, path)
    assert recognised(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for first in members:
        with zipfile.ZipFile(path, "w", method) as archive:
            archive.mkdir(first.partition("/")[0])
            for name in sorted(members, key=lambda name: name != first):
                archive.writestr(name, members[name])
        assert recognised(path), first


def test_programs_are_recognised(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / "script")
        torch.export.save(torch.export.export(torch.nn.Linear(2, 2), (torch.ones(1, 2),)), tmp_path / "a.pt2")
    assert recognised(tmp_path / "script")
    assert recognised(tmp_path / "a.pt2")


def test_other_zip_files_are_not_recognised(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.ones(1), data=np.ones(2))
    assert not recognised(tmp_path / "a.npz")
    for names in (
        ["metadata.json", "config.json"],
        ["schema.json"],
        ["a/b/c.txt"],
        ["word/document.xml"],
        ["data.pkl.txt"],
    ):
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            for name in names:
                archive.writestr(name, "x")
        assert not recognised(tmp_path / "a.zip")


def legacy_tar(value, path):
    """Write the first format, of PyTorch before 0.1.10, as its reader in PyTorch describes it."""
    storages, tensors = {}, {}

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj):
            if not isinstance(obj, torch.Tensor):
                return None
            storage = obj.untyped_storage()
            storages.setdefault(storage.data_ptr(), obj)
            tensors[id(obj)] = obj
            return str(id(obj))

    pickled = io.BytesIO()
    Pickler(pickled, 2).dump(value)
    parts = {"sys_info": pickle.dumps({"protocol_version": 1000, "little_endian": True}, 2)}
    data = pickle.dumps(len(storages), 2)
    for key, tensor in storages.items():
        storage = tensor.untyped_storage()
        data += pickle.dumps((str(key), "cpu", torch.FloatStorage), 2)
        data += struct.pack("<q", storage.nbytes() // 4) + bytes(storage.tolist())
    parts["storages"] = data + pickle.dumps([], 2)
    data = pickle.dumps(len(tensors), 2)
    for key, tensor in tensors.items():
        data += pickle.dumps((key, str(tensor.untyped_storage().data_ptr()), torch.FloatTensor), 2)
        numbers = (*tensor.size(), *tensor.stride(), tensor.storage_offset())
        data += struct.pack(f"<ii{len(numbers)}q", tensor.dim(), 0, *numbers)
    parts["tensors"], parts["pickle"] = data, pickled.getvalue()
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        for name, content in parts.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


@pytest.fixture
def tar(tmp_path):
    legacy_tar({"state": TENSORS, "epoch": 3}, tmp_path / "a.tar")
    return tmp_path / "a.tar"


@pytest.mark.parametrize("member", ["storages", "tensors", "pickle"])
def test_each_pickle_in_a_tar_file_is_searched_for_code(tar, opened, member):
    with tarfile.open(tar) as archive:
        parts = {info.name: archive.extractfile(info).read() for info in archive}
    call = b"cposix\nsystem\n(S'true'\ntR0"  # may stand behind the version of any pickle
    parts[member] = parts[member][:2] + call + parts[member][2:]
    with tarfile.open(tar, "w", format=tarfile.GNU_FORMAT) as archive:
        for name, content in parts.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    assert [foreign.name for foreign in opened(tar).foreign] == ["posix.system"]


def test_the_tar_file_of_the_test_is_one_that_pytorch_reads(tar):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = torch.load(tar, weights_only=False)
    assert all(torch.equal(found["state"][name], tensor) for name, tensor in TENSORS.items())


def test_the_tar_format_is_recognised_and_read(tar, opened):
    assert recognised(tar)
    artifact = opened(tar)
    for name, tensor in TENSORS.items():
        assert_same(artifact.tensors[f"state.{name}"], tensor)
    assert artifact.tree == {"epoch": 3}


def test_another_tar_file_is_not_recognised(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        info = tarfile.TarInfo("other")
        archive.addfile(info, io.BytesIO())
    assert not recognised(tmp_path / "a.tar")


def test_every_flipped_byte_of_a_tar_file_is_an_error_or_readable(tar, tmp_path):
    from diffai_load_pytorch.loader import open_pytorch

    from diffai_core.plugin import LoadError, Source

    data = tar.read_bytes()
    n_errors = 0
    for at in range(0, len(data), 23):
        damaged = bytearray(data)
        damaged[at] ^= 0xFF
        (tmp_path / "b.tar").write_bytes(damaged)
        try:
            with open_pytorch(Source(tmp_path / "b.tar"), {}) as artifact:
                for ref in artifact.tensors.values():
                    ref.read()
        except LoadError:
            n_errors += 1
    assert n_errors > 30


def test_a_zip_file_without_a_top_folder_is_read(tmp_path, opened):
    torch.save(TENSORS, tmp_path / "a.pt")
    with zipfile.ZipFile(tmp_path / "a.pt") as archive:
        members = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "b.pt", "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    assert_same(opened(tmp_path / "b.pt").tensors["w"], TENSORS["w"])
    zipped_again(tmp_path / "b.pt")
    assert_same(opened(tmp_path / "b.pt").tensors["t"], TENSORS["t"])


def test_an_index_of_shards_is_recognised_and_that_of_safetensors_is_not():
    index = b'{\n  "metadata": {"total_size": 5},\n  "weight_map": {"a": "pytorch_model-00001-of-00002.bin"}}'
    assert looks_like_pytorch(index, len(index))
    other = index.replace(b".bin", b".safetensors")
    assert not looks_like_pytorch(other, len(other))
    assert not looks_like_pytorch(b'{"a": "x.bin"}', 14)
