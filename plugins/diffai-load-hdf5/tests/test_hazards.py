"""Files that lead elsewhere, declare too much, run in circles or are damaged."""

from __future__ import annotations

import time

import h5py
import numpy as np
import pytest

ARRAY = np.arange(12.0, dtype="f4").reshape(3, 4)


@pytest.fixture
def made(tmp_path):
    """Make a file; give a function that fills it."""

    def made(fill, **options):
        path = tmp_path / "a.h5"
        with h5py.File(path, "w", **options) as file:
            fill(file)
        return path

    return made


def test_a_link_to_another_file_is_refused(made, refused, tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["secret"] = ARRAY
    error = refused(made(lambda file: file.__setitem__("w", h5py.ExternalLink("other.h5", "/secret"))))
    assert "link to another file" in error.reason
    assert "other.h5" in error.reason


def test_elements_in_another_file_are_refused(made, refused):
    external = [("/etc/passwd", 0, 48)]
    error = refused(made(lambda file: file.create_dataset("w", (12,), "f4", external=external)))
    assert "in another file" in error.reason


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_a_virtual_dataset_is_refused(made, refused, tmp_path, libver):
    with h5py.File(tmp_path / "source.h5", "w") as source:
        source["w"] = ARRAY
    layout = h5py.VirtualLayout((3, 4), "f4")
    layout[:] = h5py.VirtualSource(str(tmp_path / "source.h5"), "w", (3, 4))
    assert "virtual" in refused(made(lambda file: file.create_virtual_dataset("w", layout), libver=libver)).reason


def test_a_soft_link_is_an_entry_of_the_tree_and_never_followed(made, opened):
    tree = opened(made(lambda file: file.__setitem__("w", h5py.SoftLink("/w")))).tree
    assert tree == {"/w": {"soft link": "/w"}}


@pytest.mark.parametrize("chunks", [None, (1 << 20,)])
def test_a_small_file_that_declares_16_gb_is_an_error(made, refused, chunks):
    path = made(lambda file: file.create_dataset("w", (1 << 32,), "f4", chunks=chunks))
    assert path.stat().st_size < 20_000
    assert "17,179,869,184" in refused(path).reason


def test_a_compressed_file_that_declares_16_gb_is_an_error(made, refused):
    def fill(file):
        file.create_dataset("w", (1 << 32,), "f4", chunks=(1 << 20,), compression="gzip")[:10] = 1

    assert "17,179,869,184" in refused(made(fill)).reason


def test_what_was_never_written_is_the_fill_value(made, opened):
    def fill(file):
        file.create_dataset("w", (3, 4), "f4", fillvalue=2.5)
        file.create_dataset("part", (5, 4), ">i2", chunks=(2, 3), fillvalue=-3)[0] = 1

    artifact = opened(made(fill))
    assert np.array_equal(artifact.tensors["w"].read(), np.full((3, 4), 2.5, "f4"))
    wanted = np.full((5, 4), -3, "i2")
    wanted[0] = 1
    assert np.array_equal(artifact.tensors["part"].read(), wanted)


def test_two_datasets_that_share_bytes_are_refused(made, refused):
    def fill(file):
        file["one"], file["two"] = ARRAY, ARRAY + 1

    path = made(fill)
    with h5py.File(path) as file:
        places = [file[name].id.get_offset() for name in ("one", "two")]
    data = path.read_bytes()
    assert data.count(places[1].to_bytes(8, "little")) == 1
    path.write_bytes(data.replace(places[1].to_bytes(8, "little"), places[0].to_bytes(8, "little")))
    assert "share bytes" in refused(path).reason


def test_hard_links_are_tied_tensors_and_groups_are_visited_once(made, opened):
    def fill(file):
        file["w"] = ARRAY
        file["group/tied"] = file["w"]
        file["group/loop"] = file["/"]
        file["again"] = file["group"]

    artifact = opened(made(fill))
    assert set(artifact.tensors) == {"w", "again/tied"}
    assert artifact.tensors["w"].storage == artifact.tensors["again/tied"].storage
    assert artifact.tree == {"/again/loop": {"hard link": "/"}, "/group": {"hard link": "/again"}}


def test_a_web_of_groups_is_read_in_time(made, opened):
    def fill(file):
        groups = [file.create_group(f"g{n:02}") for n in range(40)]
        for inner, outer in zip(groups[1:], groups, strict=False):
            outer["a"] = outer["b"] = inner

    started = time.process_time()
    opened(made(fill))
    assert time.process_time() - started < 2


def test_groups_nested_too_deeply_are_an_error(made, refused):
    assert "deeper" in refused(made(lambda file: file.create_group("a/" * 300))).reason


def test_a_filter_that_is_not_known_makes_the_dataset_not_readable(made, opened):
    def fill(file):
        file["w"] = ARRAY
        file.create_dataset("scaled", data=np.arange(100), chunks=(10,), scaleoffset=0)

    artifact = opened(made(fill))
    assert list(artifact.tensors) == ["w"]
    (entry,) = artifact.not_readable
    assert entry.where == "scaled"
    assert "scale-offset" in entry.reason


def test_a_chunk_that_grows_beyond_its_size_is_an_error(made, refused):
    def fill(file):
        file.create_dataset("w", (64, 1024), "f4", chunks=(64, 1024), compression="gzip")[:] = 0

    path = made(fill)
    data = path.read_bytes()
    chunk = (64).to_bytes(4, "little") + (1024).to_bytes(4, "little")
    assert data.count(chunk) == 1
    path.write_bytes(data.replace(chunk, (32).to_bytes(4, "little") + (1024).to_bytes(4, "little")))
    assert "grows beyond" in refused(path).reason or "lies outside" in refused(path).reason


def test_a_damaged_chunk_is_an_error_and_not_a_difference(made, refused):
    def fill(file):
        file.create_dataset("w", data=np.arange(4096), chunks=(4096,), fletcher32=True)

    path = made(fill)
    data = bytearray(path.read_bytes())
    data[data.index((4000).to_bytes(8, "little"))] ^= 1
    path.write_bytes(data)
    assert "checksum" in refused(path).reason


def test_a_file_cut_short_is_an_error_at_its_end(made, refused):
    path = made(lambda file: file.__setitem__("w", np.zeros(1000)))
    path.write_bytes(path.read_bytes()[:-1])
    error = refused(path)
    assert error.offset == path.stat().st_size
    assert "superblock" in error.reason


@pytest.mark.parametrize("where", [8, 13, 14, 40, 64])
def test_a_superblock_that_lies_is_an_error(made, refused, where):
    path = made(lambda file: file.__setitem__("w", ARRAY))
    data = bytearray(path.read_bytes())
    data[where] ^= 0xFF
    path.write_bytes(data)
    assert refused(path).reason


def test_elements_that_are_too_large_are_not_readable_and_take_no_memory(made, opened):
    artifact = opened(made(lambda file: file.create_dataset("w", (1,), np.dtype("V20000000"))))
    (entry,) = artifact.not_readable
    assert "20,000,000 bytes" in entry.reason


def test_a_type_that_is_an_array_of_nothing_is_an_error(made, refused):
    path = made(lambda file: file.create_dataset("w", (3,), np.dtype(("f4", (77, 5)))))
    data = path.read_bytes()
    dims = (77).to_bytes(4, "little") + (5).to_bytes(4, "little")
    assert data.count(dims) == 1
    path.write_bytes(data.replace(dims, bytes(4) + (5).to_bytes(4, "little")))
    assert "array type" in refused(path).reason


def test_a_chunk_index_that_runs_in_a_circle_is_an_error(made, refused):
    def fill(file):
        file.create_dataset("w", data=np.arange(4096), chunks=(1,))

    path = made(fill)
    data = bytearray(path.read_bytes())
    root = next(at for at in range(0, len(data), 8) if data[at : at + 5] == b"TREE\1" and data[at + 5] >= 1)
    first_child = root + 24 + 8 + 8 * 2
    assert data[int.from_bytes(data[first_child : first_child + 8], "little") :][:4] == b"TREE"
    data[first_child : first_child + 8] = root.to_bytes(8, "little")
    path.write_bytes(data)
    assert "B-tree" in refused(path).reason


def test_a_newer_file_with_a_flipped_bit_in_its_metadata_is_an_error_by_its_checksum(made, refused):
    path = made(lambda file: file.__setitem__("w", ARRAY), libver="latest")
    data = bytearray(path.read_bytes())
    data[data.index(b"OHDR") + 12] ^= 1
    path.write_bytes(data)
    assert "checksum" in refused(path).reason
