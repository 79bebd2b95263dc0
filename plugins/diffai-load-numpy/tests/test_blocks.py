"""Fortran order, and how much memory reading takes."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from diffai_lib_numpy import arrays, blocks
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

MIB = 1 << 20


def write(folder, kind, array):
    """Save an array under the key ``array`` in one of the ways there are."""
    if kind == "npy":
        np.save(folder / "a.npy", array)
        return folder / "a.npy"
    save = np.savez if kind == "stored" else np.savez_compressed
    save(folder / "a.npz", array=array)
    return folder / "a.npz"


@settings(
    max_examples=80,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    shape=hnp.array_shapes(min_dims=2, max_dims=5, min_side=1, max_side=5),
    dtype=st.sampled_from(["<f4", ">f8", "|S3", "|u1", "<c16"]),
    kind=st.sampled_from(["npy", "stored", "deflated"]),
    strip=st.integers(16, 2000),
    near=st.sampled_from([1, 30, 4096]),
    piece=st.sampled_from([16, 100, 1 << 20]),
    max_bytes=st.integers(1, 700),
)
def test_fortran_order_is_turned_whatever_the_memory_allows(
    tmp_path, opened, read_blocks, little, shape, dtype, kind, strip, near, piece, max_bytes
):
    count = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.random.default_rng(2).bytes(count)
    array = np.array(np.frombuffer(raw, dtype).reshape(shape), order="F")
    path = write(tmp_path, kind, array)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "STRIP_BYTES", strip)
        patch.setattr(blocks, "PACKED_STRIP_BYTES", strip)
        patch.setattr(blocks, "_NEAR_BYTES", near)
        patch.setattr(blocks, "_PIECE_BYTES", piece)
        assert read_blocks(opened(path).tensors["array"], max_bytes) == little(array)


@pytest.mark.parametrize("kind", ["npy", "stored", "deflated"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_reading_takes_little_memory_however_large_the_array(tmp_path, opened, monkeypatch, kind, order):
    monkeypatch.setattr(blocks, "STRIP_BYTES", 2 * MIB)
    monkeypatch.setattr(blocks, "PACKED_STRIP_BYTES", 2 * MIB)
    array = np.zeros((1500, 1500), ">f4", order=order)  # big-endian, so that no file is mapped
    array[:, 7] = 1
    path = write(tmp_path, kind, array)
    del array
    ref = opened(path).tensors["array"]
    tracemalloc.start()
    total = sum(float(block.sum()) for block in ref.blocks(MIB))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total == 1500
    assert ref.nbytes > 8 * MIB
    assert peak < (6 * MIB if order == "F" else 3 * MIB)


def test_blocks_are_whole_rows_of_one_length(tmp_path, opened):
    records = np.zeros((50, 7), [("x", "<f4", (3,)), ("y", "<i8")])
    for kind in ("npy", "stored", "deflated"):
        ref = opened(write(tmp_path, kind, records)).tensors["array.x"]
        lengths = [len(block) for block in ref.blocks(1000)]
        assert set(lengths[:-1]) == {21 * (250 // 21)}
        assert sum(lengths) == ref.numel


def test_a_compressed_array_too_large_to_be_turned_is_said_to_be_not_readable(tmp_path, opened, monkeypatch):
    monkeypatch.setattr(arrays, "MAX_TURNED_BYTES", MIB)
    path = tmp_path / "a.npz"
    large = np.zeros((600, 600), order="F")
    np.savez_compressed(path, turned=large, plain=large.copy(order="C"), vector=np.zeros((300_000, 1), order="F"))
    artifact = opened(path)
    assert list(artifact.tensors) == ["plain", "vector"]
    assert [part.where for part in artifact.not_readable] == ["turned"]
    assert "save it in C order" in artifact.not_readable[0].reason
    np.savez(path, turned=large)
    assert list(opened(path).tensors) == ["turned"]
