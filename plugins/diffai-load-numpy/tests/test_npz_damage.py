"""``.npz`` archives that are not what they claim to be: no damage passes silently."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
from diffai_lib_zip import directory as archive_module
from diffai_load_numpy.loader import open_npz

from diffai_core.plugin import LoadError, Source

METHODS = pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"


def zipped(members, method=zipfile.ZIP_STORED):
    """Return the bytes of a zip file."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return bytearray(file.getvalue())


def put(data, signature, offset, value, size, number=0):
    """Overwrite a number in the record that has this signature."""
    at = -1
    for _ in range(number + 1):
        at = data.index(signature, at + 1)
    data[at + offset : at + offset + size] = value.to_bytes(size, "little")
    return data


@pytest.fixture
def two(saved):
    """Return the members of a small archive."""
    return [("a.npy", saved(np.arange(6, dtype="<f4"))), ("b.npy", saved(np.arange(3, dtype="<i8")))]


@pytest.fixture
def refused_bytes(tmp_path, refused):
    def refused_bytes(data):
        path = tmp_path / "a.npz"
        path.write_bytes(data)
        return refused(path)

    return refused_bytes


def everything(path):
    """Return all that a file holds."""
    with open_npz(Source(path), {}) as artifact:
        tensors = {key: (ref.shape, ref.dtype, ref.read().tobytes()) for key, ref in artifact.tensors.items()}
        return tensors, artifact.tree, artifact.not_readable


@METHODS
def test_no_flipped_byte_changes_what_is_read_without_an_error(tmp_path, saved, method):
    path = tmp_path / "a.npz"
    records = np.array([(1, 2.5), (3, 4.5)], [("n", "<i4"), ("x", ">f8")])
    turned = np.arange(6.0).reshape(2, 3, order="F")
    members = [("a.npy", saved(records)), ("b.npy", saved(turned)), ("c.txt", b"text"), ("d.npy", saved(np.ones(0)))]
    data = zipped(members, method)
    path.write_bytes(data)
    whole = everything(path)
    n_errors = 0
    for position in range(len(data)):
        damaged = data.copy()
        damaged[position] ^= 0x11
        path.write_bytes(damaged)
        try:
            assert everything(path) == whole, f"byte {position}"
        except LoadError:
            n_errors += 1
    # Times, attributes and versions of the zip format say nothing about the arrays.
    assert len(data) - n_errors < 40 * len(members)


@METHODS
def test_every_truncation_is_an_error(refused_bytes, two, method):
    data = zipped(two, method)
    for length in range(len(data)):
        error = refused_bytes(data[:length])
        assert error.offset == length
        assert "truncated" in error.reason


@METHODS
def test_damaged_data_are_an_error_that_names_member_and_place(refused_bytes, saved, method):
    data = zipped([("w.npy", saved(np.random.default_rng(0).random(500)))], method)
    start = 30 + len("w.npy")
    data[start + 2000] ^= 1
    error = refused_bytes(data)
    assert "member 'w.npy'" in error.reason
    assert start <= error.offset < start + len(data)


@METHODS
def test_a_wrong_checksum_is_an_error(refused_bytes, two, method):
    data = zipped(two, method)
    wrong = zlib.crc32(two[1][1]) ^ 1
    put(data, LOCAL, 14, wrong, 4, number=1)
    put(data, CENTRAL, 16, wrong, 4, number=1)
    reason = refused_bytes(data).reason
    assert reason.startswith("member 'b.npy': its CRC is")


@METHODS
def test_the_checksum_is_known_before_the_last_block_is_given(tmp_path, saved, method):
    data = zipped([("w.npy", saved(np.random.default_rng(0).random(500)))], method)
    put(data, LOCAL, 14, 1, 4)
    put(data, CENTRAL, 16, 1, 4)
    path = tmp_path / "a.npz"
    path.write_bytes(data)
    n_elements = 0
    with open_npz(Source(path), {}) as artifact, pytest.raises(LoadError, match="CRC"):  # noqa: PT012 - counts blocks
        for block in artifact.tensors["w"].blocks(800):
            n_elements += len(block)
    assert n_elements == 400


@METHODS
@pytest.mark.parametrize("more", [-1, 1, 1000])
def test_a_member_of_another_size_than_its_array_is_an_error(refused_bytes, saved, method, more):
    array = saved(np.arange(500, dtype="<f4"))
    reason = refused_bytes(zipped([("w.npy", array[:more] if more < 0 else array + bytes(more))], method)).reason
    assert reason == f"member 'w.npy': float32 of shape (500,) takes 2,000 bytes, and {2000 + more:,} follow"


@pytest.mark.parametrize(("more", "complaint"), [(-8, "goes on after"), (8, "ends after")])
def test_a_deflated_member_of_another_size_than_declared_is_an_error(refused_bytes, saved, more, complaint):
    array = saved(np.arange(500, dtype="<f4"))
    header = array[:128].replace(b"(500,)", f"({500 + more // 4},)".encode())
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(header + array[128:]) + packer.flush()
    data = zipped([("w.npy", packed)])
    size = len(array) + more
    for signature, method_at in ((LOCAL, 8), (CENTRAL, 10)):
        put(data, signature, method_at, zipfile.ZIP_DEFLATED, 2)
        put(data, signature, method_at + 14, size, 4)
    assert complaint in refused_bytes(data).reason


def test_compressed_data_that_stop_or_are_followed_by_others_are_an_error(refused_bytes, saved):
    array = saved(np.arange(5000, dtype="<f4"))
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(array) + packer.flush()
    for stream, complaint in ((packed[:-9], "too early"), (packed + b"more", "4 bytes follow")):
        data = zipped([("w.npy", stream)])
        for signature, method_at in ((LOCAL, 8), (CENTRAL, 10)):
            put(data, signature, method_at, zipfile.ZIP_DEFLATED, 2)
            put(data, signature, method_at + 6, zlib.crc32(array), 4)
            put(data, signature, method_at + 14, len(array), 4)
        assert complaint in refused_bytes(data).reason


def test_a_bomb_is_refused_or_read_in_little_memory(refused_bytes, npy, saved):
    header = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }\n")
    tracemalloc.start()
    try:
        error = refused_bytes(zipped([("w.npy", header + bytes(1 << 20))], zipfile.ZIP_DEFLATED))
        assert "takes 4,000,000,000,000 bytes, and 1,048,576 follow" in error.reason
        data = zipped([("w.npy", saved(np.zeros(1 << 18, "<f4")))], zipfile.ZIP_DEFLATED)
        tracemalloc.reset_peak()
        for signature, at in ((LOCAL, 22), (CENTRAL, 24)):
            put(data, signature, at, 0xF0000000, 4)
        error = refused_bytes(data)
        assert "more than its 1," in error.reason
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("signature", "offset", "value", "size", "complaint"),
    [
        (CENTRAL, 8, 0x0001, 2, "is encrypted"),
        (CENTRAL, 8, 0x2000, 2, "uses zip features that are not supported (flags 0x2000)"),
        (CENTRAL, 10, 12, 2, "is compressed with bzip2; save it again uncompressed or with deflate"),
        (CENTRAL, 10, 14, 2, "is compressed with LZMA"),
        (CENTRAL, 10, 93, 2, "is compressed with Zstandard"),
        (CENTRAL, 10, 77, 2, "is compressed with method 77"),
        (CENTRAL, 10, 8, 2, "and the zip directory disagree"),
        (CENTRAL, 16, 5, 4, "and the zip directory disagree"),
        (CENTRAL, 20, 5, 4, "is stored as 5 bytes but said to hold"),
        (CENTRAL, 20, 0xFFFFFFFF, 4, "the sizes of member 'a.npy' are damaged"),
        (CENTRAL, 28, 0, 2, "has the name ''"),
        (CENTRAL, 28, 60000, 2, "an entry of the zip directory is damaged"),
        (CENTRAL, 42, 1, 4, "1 bytes belong to no member"),
        (CENTRAL, 42, 0x7FFFFFFF, 4, "bytes belong to no member"),
        (CENTRAL, 46, 0, 1, "has the name '\\x00.npy'"),
        (CENTRAL, 46, ord("c"), 1, "the header of member 'c.npy' and the zip directory disagree"),
        (CENTRAL, 46, ord("b"), 1, "has two members named 'b.npy'"),
        (CENTRAL, 0, 0, 1, "an entry of the zip directory is damaged"),
        (LOCAL, 0, 0, 1, "member 'a.npy' does not start here"),
        (LOCAL, 26, 4, 2, "and the zip directory disagree"),
        (LOCAL, 28, 1, 2, "member 'a.npy' reaches into what follows it"),
        (LOCAL, 28, 60000, 2, "the header of member 'a.npy' is longer than the member"),
        (END, 4, 1, 2, "one part of a zip file in several parts"),
        (END, 8, 1, 2, "one part of a zip file in several parts"),
        (END, 12, 1, 4, "but ends here"),
        (END, 16, 0, 4, "but ends here"),
        (END, 20, 1, 2, "does not end as a zip file does"),
    ],
)
def test_a_directory_that_lies_is_an_error(refused_bytes, two, signature, offset, value, size, complaint):
    error = refused_bytes(put(zipped(two), signature, offset, value, size))
    assert complaint in error.reason
    assert error.offset is not None


@pytest.mark.parametrize(("count", "complaint"), [(1, "goes on after"), (3, "ends before the last of its 3 members")])
def test_a_wrong_number_of_members_is_an_error(refused_bytes, two, count, complaint):
    data = zipped(two)
    put(data, END, 8, count, 2)
    put(data, END, 10, count, 2)
    assert complaint in refused_bytes(data).reason


def test_members_that_overlap_are_an_error(refused_bytes, two):
    data = zipped([two[0], ("c.npy", two[0][1])])
    put(data, CENTRAL, 42, 0, 4, number=1)
    assert "overlap" in refused_bytes(data).reason


def test_two_members_of_one_name_are_an_error(refused_bytes, two):
    with pytest.warns(UserWarning, match="Duplicate name"):
        data = zipped([two[0], two[0]])
    assert refused_bytes(data).reason == "has two members named 'a.npy'"


@METHODS
def test_bytes_that_belong_to_no_member_are_an_error(refused_bytes, two, method):
    data = zipped(two, method)
    directory = data.index(CENTRAL)
    before = put(bytearray(b"more") + data, END, 16, directory + 4, 4)
    assert refused_bytes(before).reason  # offsets do not fit any more
    between = put(data[:directory] + b"more" + data[directory:], END, 16, directory + 4, 4)
    error = refused_bytes(between)
    assert (error.reason, error.offset) == ("4 bytes belong to no member of the archive", directory)
    after = data + b"more"
    assert "does not end as a zip file does" in refused_bytes(after).reason


def test_a_name_that_is_not_utf_8_is_an_error(refused_bytes, saved):
    data = zipped([("ä.npy", saved(np.ones(1)))])
    data[data.index(CENTRAL) + 46] = 0xFF
    assert "is not UTF-8" in refused_bytes(data).reason


def test_too_many_members_are_an_error(refused_bytes, two, monkeypatch):
    monkeypatch.setattr(archive_module, "MAX_MEMBERS", 1)
    assert refused_bytes(zipped(two)).reason == "has 2 members; at most 1 are read"


@pytest.fixture
def wide(two, monkeypatch):
    """Return an archive whose numbers are all in 64-bit records."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)
    data = zipped(two)
    for offset, size in ((8, 2), (10, 2), (12, 4), (16, 4)):
        put(data, END, offset, (1 << (8 * size)) - 1, size)
    return data


def test_numbers_that_are_only_in_64_bit_records_are_read(tmp_path, wide):
    (tmp_path / "a.npz").write_bytes(wide)
    tensors, _, _ = everything(tmp_path / "a.npz")
    assert list(tensors) == ["a", "b"]


@pytest.mark.parametrize(
    ("signature", "offset", "value", "complaint"),
    [
        (b"PK\x06\x07", 8, 1, "is damaged"),
        (b"PK\x06\x07", 8, 1 << 40, "is not where it is said to be"),
        (b"PK\x06\x07", 4, 1, "is not where it is said to be"),
        (b"PK\x06\x06", 4, 1, "is damaged"),
        (b"PK\x06\x06", 24, 1, "is damaged"),
        (b"PK\x06\x06", 40, 1, "but ends here"),
        (b"PK\x06\x06", 48, (1 << 64) - 1, "but ends here"),
    ],
)
def test_64_bit_records_that_lie_are_an_error(refused_bytes, wide, signature, offset, value, complaint):
    assert complaint in refused_bytes(put(wide, signature, offset, value, 4 if offset == 4 else 8)).reason


@pytest.mark.parametrize(("at", "value"), [(0, 2), (2, 8), (2, 60), (4, 1)])
def test_64_bit_sizes_that_are_damaged_are_an_error(tmp_path, refused_bytes, at, value):
    np.savez(tmp_path / "good.npz", w=np.arange(4))
    data = bytearray((tmp_path / "good.npz").read_bytes())
    extra = 30 + len("w.npy")
    assert data[extra : extra + 4] == b"\x01\0\x10\0"
    data[extra + at] = value
    assert "and the zip directory disagree" in refused_bytes(data).reason


def test_the_32_bit_and_the_64_bit_record_must_agree(refused_bytes, two, monkeypatch):
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)
    data = put(zipped(two), END, 12, 7, 4)
    assert refused_bytes(data).reason == "the 32-bit and the 64-bit record of the zip directory disagree"


@pytest.mark.parametrize("data", [b"", b"PK", b"PK\x05\x06", b"PK\x03\x04" * 100, b"\0" * 1000, END * 20_000])
def test_what_is_no_zip_file_is_an_error(refused_bytes, data):
    assert "does not end as a zip file does" in refused_bytes(data).reason
