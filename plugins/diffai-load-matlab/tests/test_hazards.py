"""Files that declare too much, run in circles or are damaged; and what MATLAB alone can read."""

from __future__ import annotations

import struct
import time
import zlib

import h5py
import numpy as np
import pytest
import scipy.io
from diffai_load_matlab.loader import open_mat
from diffai_load_matlab.sniff import looks_like_mat

from diffai_core.plugin import LoadError, Source

HEAD = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"


def element(code, data):
    return struct.pack("<2I", code, len(data)) + data + bytes(-len(data) % 8)


def matrix(kind, dims, *parts, name=b"w", flags=0):
    body = element(6, struct.pack("<2I", kind | flags, 0)) + element(5, struct.pack(f"<{len(dims)}i", *dims))
    return element(14, body + element(1, name) + b"".join(parts))


@pytest.fixture
def refused(tmp_path):
    """Write a file and read all of it; return the error there must be."""

    def refused(data):
        path = tmp_path / "a.mat"
        path.write_bytes(data)
        with pytest.raises(LoadError) as caught, open_mat(Source(path), {}) as artifact:  # noqa: PT012 - either may raise
            for ref in artifact.tensors.values():
                ref.read()
        assert caught.value.path == str(path)
        assert caught.value.offset is not None
        assert "\n" not in str(caught.value)
        return caught.value

    return refused


@pytest.fixture
def opened(tmp_path):
    """Write a file and return what was opened, closed."""

    def opened(data):
        path = tmp_path / "a.mat"
        path.write_bytes(data)
        with open_mat(Source(path), {}) as artifact:
            return artifact

    return opened


def test_a_matrix_that_declares_more_than_it_has_is_an_error(refused):
    assert "numbers in 8 bytes" in refused(HEAD + matrix(6, (1 << 15, 1 << 16), element(9, bytes(8)))).reason


def test_an_element_that_is_longer_than_the_file_is_an_error(refused):
    assert "where 4 are left" in refused(HEAD + struct.pack("<2I", 14, 1 << 31) + bytes(4)).reason


def test_a_compressed_variable_that_declares_too_much_is_an_error(refused):
    packed = zlib.compress(struct.pack("<2I", 14, 0xFFFFFFF0))
    assert "more than" in refused(HEAD + struct.pack("<2I", 15, len(packed)) + packed).reason


def test_a_bomb_is_not_decompressed_further_than_declared(refused):
    packed = zlib.compress(matrix(6, (1, 2), element(9, bytes(16))) + bytes(1 << 24))
    started = time.process_time()
    assert "goes on after" in refused(HEAD + struct.pack("<2I", 15, len(packed)) + packed).reason
    assert time.process_time() - started < 1


def test_damaged_compressed_data_are_an_error_and_not_a_difference(refused, tmp_path):
    scipy.io.savemat(tmp_path / "b.mat", {"w": np.arange(1000.0).reshape(10, 100)}, do_compression=True)
    data = bytearray((tmp_path / "b.mat").read_bytes())
    data[-1] ^= 1  # the checksum of the stream
    assert "damaged" in refused(bytes(data)).reason


def test_cells_nested_too_deeply_are_an_error(refused):
    inner = matrix(6, (1, 1), element(9, bytes(8)), name=b"")
    for _ in range(100):
        inner = matrix(1, (1, 1), inner, name=b"")
    assert "nested deeper" in refused(HEAD + inner).reason


def test_a_cell_of_too_many_items_is_an_error(refused):
    assert "more than 500,000" in refused(HEAD + matrix(1, (1 << 15, 1 << 15))).reason


def test_two_variables_of_one_name_are_an_error(refused):
    one = matrix(6, (1, 1), element(9, bytes(8)))
    assert "two variables" in refused(HEAD + one + one).reason


def test_what_only_matlab_can_read_makes_the_result_inconclusive(opened):
    handle = matrix(16, (1, 1), name=b"f")
    flags = element(6, struct.pack("<2I", 17, 0))
    thing = element(14, flags + element(1, b"o") + element(1, b"MCOS") + element(1, b"string"))
    artifact = opened(HEAD + handle + thing + matrix(6, (1, 1), element(9, bytes(8))))
    assert list(artifact.tensors) == ["w"]
    assert {entry.where: entry.reason.split(",")[0] for entry in artifact.not_readable} == {
        "f": "is a function handle",
        "o": "is an object of class 'string'",
    }


def test_cells_that_refer_to_themselves_are_an_error(refused, tmp_path):
    path = tmp_path / "b.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        file.create_dataset("w", (1, 1), h5py.ref_dtype)
        file["w"][0, 0] = file["w"].ref
        file["w"].attrs["MATLAB_class"] = np.bytes_("cell")
    assert "nested too deeply" in refused(path.read_bytes()).reason


def test_a_cell_that_holds_records_makes_the_result_inconclusive(opened, tmp_path):
    path = tmp_path / "b.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        file["w"] = np.zeros((2, 1), [("a", "i4"), ("b", "i4")])
        file["w"].attrs["MATLAB_class"] = np.bytes_("cell")
    artifact = opened(path.read_bytes())
    assert {entry.where for entry in artifact.not_readable} == {"w{1}", "w{2}"}


def test_a_matrix_of_version_4_that_ends_after_the_file_is_an_error(refused):
    whole = struct.pack("<5i", 0, 2, 2, 0, 2) + b"w\0" + bytes(32)
    assert refused(whole + struct.pack("<5i", 0, 1 << 30, 1 << 30, 0, 2) + b"v\0").offset == len(whole)


@pytest.mark.parametrize("head", [b"", b"\0" * 128, bytes(19), b"\x93NUMPY" + bytes(130), b"GGUF" + bytes(130)])
def test_other_files_are_not_taken_for_one_of_matlab(head):
    assert not looks_like_mat(head, 4096)
