"""Rows read alone are those of the whole tensor, and little else is read for them."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffai_core.dtypes import DTYPE_NAMES, dtype
from diffai_core.errors import LoadError
from diffai_core.files import DataFile
from diffai_core.permuted import long_axes, permuted
from diffai_core.plugin import BlockTensor, FileTensor, block_length, opaque_dtype, regroup

SHAPES = st.one_of(
    st.just(()),
    st.tuples(st.integers(0, 40)),
    st.tuples(st.integers(0, 9), st.integers(0, 9)),
    st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 9)),
)
HEAD = b"head of no length"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("rows")


def whole(shape, kind):
    """Return a shape near it whose elements fill whole bytes."""
    if math.prod(shape) % kind.packed_group == 0:
        return shape
    return (*shape[:-1], shape[-1] * kind.packed_group) if shape else (kind.packed_group,)


def written(folder, kind, shape, seed=0):
    raw = np.random.default_rng(seed).integers(0, 256, kind.nbytes(math.prod(shape)), np.uint8)
    if kind.name == "bool":
        raw &= 1
    path = folder / f"{kind.name}-{'x'.join(map(str, shape))}-{seed}"
    path.write_bytes(HEAD + raw.tobytes() + b"what follows")
    return FileTensor(name="w", shape=shape, dtype=kind, file=DataFile(path), offset=len(HEAD))


def pieces(array, length, max_bytes):
    yield from regroup([array[start : start + 7] for start in range(0, len(array), 7)], min(length, 11), _kind(array))


def _kind(array):
    return dtype(array.dtype.name)


def asked(data, length, name):
    return data.draw(st.lists(st.integers(0, length - 1), max_size=12) if length else st.just([]), label=name)


@settings(deadline=None, derandomize=True, max_examples=12)
@given(data=st.data())
@pytest.mark.parametrize("name", DTYPE_NAMES)
def test_rows_and_columns_of_a_file_are_those_of_the_whole_tensor(folder, name, data):
    ref = written(folder, dtype(name), whole(data.draw(SHAPES), dtype(name)))
    with ref.file:
        full = ref.read().reshape(ref.shape or (1,))
        rows = asked(data, len(full), "rows")
        found = ref.read_rows(rows)
        assert found.dtype == ref.dtype.numpy
        assert found.shape == (len(rows), *ref.shape[1:])
        assert found.tobytes() == full[rows].tobytes()
        flat = full.reshape(len(full), math.prod(ref.shape[1:]))
        columns = asked(data, flat.shape[1], "columns")
        some = ref.read_rows(rows, columns)
        assert some.shape == (len(rows), len(columns))
        assert some.tobytes() == flat[rows][:, columns].tobytes()
        del full, flat


@settings(deadline=None, derandomize=True, max_examples=150)
@given(shape=SHAPES, data=st.data())
def test_rows_of_a_decoded_tensor_are_those_of_the_whole_one(shape, data):
    array = np.arange(math.prod(shape), dtype=np.int32).reshape(shape)
    length = block_length(shape, dtype("int32"), 40)
    ref = BlockTensor(
        name="w", shape=shape, dtype=dtype("int32"), open_blocks=partial(pieces, array.reshape(-1), length)
    )
    full = array.reshape(shape or (1,))
    rows = asked(data, len(full), "rows")
    np.testing.assert_array_equal(ref.read_rows(rows), full[rows], strict=True)
    flat = full.reshape(len(full), math.prod(shape[1:]))
    columns = asked(data, flat.shape[1], "columns")
    np.testing.assert_array_equal(ref.read_rows(rows, columns), flat[rows][:, columns], strict=True)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(data=st.data(), shape=st.lists(st.integers(0, 4), min_size=1, max_size=4).map(tuple))
def test_rows_of_a_permuted_tensor_are_those_of_the_transposed_array(folder, data, shape):
    stored = written(folder, dtype("float32"), shape)
    with stored.file:
        full = stored.read().copy()
        if data.draw(st.booleans(), label="decoded"):
            stored = BlockTensor(
                name="w", shape=shape, dtype=dtype("float32"), open_blocks=partial(pieces, full.reshape(-1), 5)
            )
        axes = tuple(data.draw(st.permutations(range(len(long_axes(shape)))), label="axes"))
        array = full.reshape(long_axes(shape)).transpose(axes)
        if data.draw(st.booleans(), label="one row"):
            array = array[None]
        if not array.ndim:
            array = array.reshape(1)
        ref = permuted(stored, array.shape, axes)
        rows = asked(data, len(array), "rows")
        assert ref.read_rows(rows).tobytes() == array[rows].tobytes()
        flat = array.reshape(len(array), math.prod(array.shape[1:]))
        columns = asked(data, flat.shape[1], "columns")
        assert ref.read_rows(rows, columns).tobytes() == flat[rows][:, columns].tobytes()


def test_rows_of_a_permuted_tensor_seen_in_another_shape_are_those_of_its_elements(folder):
    stored = written(folder, dtype("float32"), (6, 4))
    with stored.file:
        array = stored.read().T.copy()
        ref = replace(permuted(stored, (4, 6), (1, 0)), shape=(8, 3))
        np.testing.assert_array_equal(ref.read_rows([5, 0]), array.reshape(8, 3)[[5, 0]])


def test_rows_of_opaque_elements_keep_their_bytes(folder):
    ref = written(folder, opaque_dtype("string", 5), (4, 3))
    with ref.file:
        assert ref.read_rows([2, 0]).tobytes() == ref.read()[[2, 0]].tobytes()


@pytest.mark.parametrize(("rows", "columns"), [([4], None), ([-1], None), ([0], [6]), ([0], [-1])])
def test_a_row_or_column_that_is_not_there_is_an_index_error(folder, rows, columns):
    ref = written(folder, dtype("float32"), (4, 2, 3))
    turned = permuted(ref, (4, 3, 2), (0, 2, 1))
    with ref.file:
        for tensor in (ref, turned):
            with pytest.raises(IndexError):
                tensor.read_rows(rows, columns)


def test_no_map_is_made_and_few_bytes_are_read_for_spaced_rows(folder, monkeypatch):
    ref = written(folder, dtype("float16"), (3000, 4096))
    n_bytes = []
    for name, size in (("pread", lambda _, count, __: count), ("preadv", lambda _, buffers, __: len(buffers[0]))):
        real = getattr(os, name)

        def counted(*args, real=real, size=size):
            n_bytes.append(size(*args))
            return real(*args)

        monkeypatch.setattr(os, name, counted)
    monkeypatch.setattr(DataFile, "map", lambda _: pytest.fail("mapped"))
    with ref.file:
        rows = np.linspace(0, 2999, 90).astype(int)
        ref.read_rows(rows)
        assert sum(n_bytes) == 90 * 8192
        n_bytes.clear()
        ref.read_rows([0, 2999], [0, 1, 4095])
        assert sum(n_bytes) <= 4 * 4096
        n_bytes.clear()
        permuted(ref, (4096, 3000), (1, 0)).read_rows([7])
        assert sum(n_bytes) == ref.nbytes
        assert max(n_bytes) <= 1 << 20


def test_a_decoded_tensor_is_decoded_no_further_than_the_last_row():
    taken = []

    def blocks(_):
        for start in range(0, 100, 10):
            taken.append(start)
            yield np.arange(start, start + 10, dtype=np.int32)

    ref = BlockTensor(name="w", shape=(50, 2), dtype=dtype("int32"), open_blocks=blocks)
    piece_of_one_row = ref.read_rows([0], [1])
    assert piece_of_one_row.tolist() == [[1]]
    assert taken == [0]


def test_rows_of_a_file_that_shrank_are_an_error_that_names_it(folder):
    ref = written(folder, dtype("float32"), (100, 100), seed=5)
    with ref.file:
        os.truncate(ref.file.path, 20_000)
        assert ref.read_rows([1]).shape == (1, 100)
        with pytest.raises(LoadError, match="shrank"):
            ref.read_rows([1, 99])
