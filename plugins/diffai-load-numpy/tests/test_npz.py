"""``.npz`` archives against NumPy and zipfile."""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile

import numpy as np
import pytest
from diffai_load_numpy.sniff import looks_like_npz

from diffai_core.plugin import BlockTensor

SAVES = pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
METHODS = pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])


class Pipe(io.RawIOBase):
    """A file that cannot seek, as standard output cannot."""

    def __init__(self):
        self.data = bytearray()

    def writable(self):
        return True

    def write(self, data):
        self.data += data
        return len(data)


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {
        "layer.0.weight": rng.standard_normal((7, 5), dtype=np.float32),
        "layer.0.bias": rng.standard_normal(7).astype(">f8"),
        "steps": np.array(3),
        "empty": np.zeros((0, 4), np.int8),
        "größe/λ": np.asfortranarray(rng.integers(0, 9, (4, 6))),
    }


@pytest.fixture
def same(opened):
    """Check that an archive holds exactly these arrays."""

    def same(path, arrays):
        artifact = opened(path)
        assert list(artifact.tensors) == list(arrays)
        for key, array in arrays.items():
            read = artifact.tensors[key].read()
            assert read.dtype == array.dtype.newbyteorder("=")
            assert np.array_equal(read, array)
        return artifact

    return same


@SAVES
def test_archives_hold_what_numpy_saved(tmp_path, same, save, arrays):
    save(tmp_path / "a.npz", **arrays)
    with np.load(tmp_path / "a.npz") as loaded:
        artifact = same(tmp_path / "a.npz", dict(loaded))
    assert artifact.tree == {}
    assert artifact.not_readable == ()


@SAVES
def test_members_are_never_taken_past_their_checksum(tmp_path, opened, save, arrays):
    save(tmp_path / "a.npz", **arrays)
    assert {type(ref) for ref in opened(tmp_path / "a.npz").tensors.values()} == {BlockTensor}


def test_an_archive_without_members_is_empty(tmp_path, opened):
    np.savez(tmp_path / "a.npz")
    artifact = opened(tmp_path / "a.npz")
    assert not artifact.tensors
    assert not artifact.tree


@SAVES
def test_archives_written_to_a_pipe_are_read(tmp_path, same, save, arrays):
    pipe = Pipe()
    save(pipe, **arrays)
    assert b"PK\x07\x08" in pipe.data  # sizes after the data
    (tmp_path / "a.npz").write_bytes(pipe.data)
    same(tmp_path / "a.npz", arrays)


@METHODS
def test_archives_with_64_bit_records_are_read(tmp_path, same, saved, arrays, method, monkeypatch):
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 2)
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", method) as archive:
        for key, array in arrays.items():
            archive.writestr(f"{key}.npy", saved(array))
    assert b"PK\x06\x06" in path.read_bytes()
    same(path, arrays)


def test_other_extra_fields_of_a_member_are_passed_over(tmp_path, same, saved):
    array = np.arange(4)
    time = struct.pack("<2HBL", 0x5455, 5, 1, 0)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        member = zipfile.ZipInfo("w.npy")
        member.extra = time
        with archive.open(member, "w", force_zip64=True) as file:
            file.write(saved(array))
    data = (tmp_path / "a.npz").read_bytes()
    assert data.index(time) < data.index(struct.pack("<2H", 1, 16))  # before the 64-bit sizes
    same(tmp_path / "a.npz", {"w": array})


@METHODS
def test_members_that_are_no_arrays_are_compared_by_digest(tmp_path, opened, saved, method):
    text = b'{"format": "x"}' * 100
    with zipfile.ZipFile(tmp_path / "a.npz", "w", method) as archive:
        archive.writestr("w.npy", saved(np.ones(3)))
        archive.writestr("schema.json", text)
        archive.writestr("folder/", b"")
    artifact = opened(tmp_path / "a.npz")
    assert list(artifact.tensors) == ["w"]
    empty = hashlib.blake2b(digest_size=32).hexdigest()
    assert artifact.tree == {
        "schema.json": {"bytes": len(text), "blake2b": hashlib.blake2b(text, digest_size=32).hexdigest()},
        "folder/": {"bytes": 0, "blake2b": empty},
    }


@METHODS
def test_an_array_under_any_name_is_an_array_as_it_is_for_numpy(tmp_path, same, saved, method):
    array = np.arange(4)
    with zipfile.ZipFile(tmp_path / "a.npz", "w", method) as archive:
        archive.writestr("weights", saved(array))
    with np.load(tmp_path / "a.npz") as loaded:
        assert np.array_equal(loaded["weights"], array)
    same(tmp_path / "a.npz", {"weights": array})


def test_the_comment_on_an_archive_is_in_the_tree(tmp_path, opened, saved):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("w.npy", saved(np.ones(3)))
        archive.comment = b"trained by PK\x05\x06 me"
    assert opened(tmp_path / "a.npz").tree == {"/zip comment": b"trained by PK\x05\x06 me"}


@METHODS
def test_records_give_a_tensor_for_each_field(tmp_path, same, method, saved):
    records = np.array([(1, 2.5), (3, 4.5)], [("n", "<i4"), ("x", ">f8")])
    with zipfile.ZipFile(tmp_path / "a.npz", "w", method) as archive:
        archive.writestr("r.npy", saved(records))
    same(tmp_path / "a.npz", {"r.n": records["n"], "r.x": records["x"]})


@pytest.mark.parametrize("names", [("w.npy", "w"), ("a.txt", "a.txt.npy"), ("r.npy", "r.n.npy")])
def test_two_things_with_one_key_are_an_error_that_names_it(tmp_path, refused, saved, names):
    contents = {"r.npy": saved(np.array([(1,)], [("n", "<i4")])), "a.txt": b"text"}
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        for name in names:
            archive.writestr(name, contents.get(name, saved(np.ones(2))))
    key = names[1].removesuffix(".npy")
    assert f"another array has the key {key!r} already" in refused(tmp_path / "a.npz").reason


def test_a_member_named_npy_that_is_no_array_is_an_error(tmp_path, refused):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("w.npy", b"not an array")
    assert refused(tmp_path / "a.npz").reason == "member 'w.npy': does not start as a NumPy array does"


@SAVES
def test_an_archive_is_recognised_by_its_first_member(tmp_path, save, arrays):
    save(tmp_path / "a.npz", **arrays)
    data = (tmp_path / "a.npz").read_bytes()
    assert looks_like_npz(data[:4096], len(data))


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"PK\x03\x04",
        b"PK\x05\x06" + bytes(18),
        b"PK\x03\x04" + bytes(22) + struct.pack("<2H", 16, 0) + b"archive/data.pkl",
        b"PK\x03\x04" + bytes(22) + struct.pack("<2H", 12, 0) + b"archive/data.npy",
        b"\x93NUMPY\x01\x00",
    ],
)
def test_other_zip_files_are_not_recognised(head):
    assert not looks_like_npz(head, len(head))
