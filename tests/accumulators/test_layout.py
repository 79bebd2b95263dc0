"""The canonical partition."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffai_core.accumulators import LEAF, PairLayout, leaves
from diffai_core.dtypes import dtype

NAMES = ("float32", "uint8", "int4", "int2", "float6_e2m3fn", "complex128")
shapes = st.one_of(
    st.lists(st.integers(0, 60), max_size=4).map(tuple),
    st.tuples(st.integers(0, 5), st.integers(0, 200_000)),
    st.tuples(st.integers(0, 300_000)),
)
pairs = st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES))


@settings(deadline=None)
@given(shapes, pairs)
def test_leaves_cover_every_element_once_and_in_order(shape, names):
    layout = PairLayout.of(shape, *map(dtype, names))
    at = 0
    for start, count in leaves(layout):
        assert start == at
        assert 0 < count <= LEAF
        at += count
    assert at == math.prod(shape) == layout.numel


@settings(deadline=None)
@given(shapes, pairs)
def test_every_leaf_starts_at_a_whole_byte_of_both_sides(shape, names):
    layout = PairLayout.of(shape, *map(dtype, names))
    for start, _ in leaves(layout):
        assert all(start * dtype(name).bits % 8 == 0 for name in names)


@settings(deadline=None)
@given(shapes)
def test_no_leaf_of_whole_bytes_holds_parts_of_two_rows(shape):
    layout = PairLayout.of(shape, dtype("float32"), dtype("float32"))
    for start, count in leaves(layout):
        whole_rows = start % layout.columns == 0 and count % layout.columns == 0
        assert whole_rows or start // layout.columns == (start + count - 1) // layout.columns


@settings(deadline=None)
@given(shapes, pairs)
def test_the_partition_depends_on_shape_and_packing_only(shape, names):
    plain = PairLayout.of(shape, dtype("float64"), dtype("bool"))
    other = PairLayout.of(shape, *map(dtype, names))
    if other.packed_group == 1:
        assert list(leaves(other)) == list(leaves(plain))


@pytest.mark.parametrize(
    ("shape", "rows", "columns"),
    [((), 1, 1), ((7,), 1, 7), ((3, 4), 3, 4), ((3, 4, 5), 3, 20), ((0, 4), 0, 4), ((4, 0), 4, 0), ((0,), 1, 0)],
)
def test_the_matrix_view_has_the_first_dimension_as_rows(shape, rows, columns):
    layout = PairLayout.of(shape, dtype("float32"), dtype("float32"))
    assert (layout.rows, layout.columns) == (rows, columns)


def test_pieces_of_a_long_row_are_near_equal_and_begin_at_whole_groups():
    layout = PairLayout.of((2, LEAF + 128), dtype("float32"), dtype("float32"))
    counts = [count for _, count in leaves(layout)]
    assert min(counts) > LEAF // 3
    assert all(start % (LEAF + 128) % 512 == 0 for start, _ in leaves(layout))


def test_whole_rows_are_taken_together_as_far_as_they_fit():
    layout = PairLayout.of((100, 1000), dtype("float32"), dtype("float32"))
    assert [count for _, count in leaves(layout)] == [32000, 32000, 32000, 4000]
