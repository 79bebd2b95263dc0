"""The laws that every accumulator keeps."""

from __future__ import annotations

import dataclasses
import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffai_core.accumulators import ACCUMULATORS, LEAF, Block, Fold, Histogram, PairLayout, Workspace, leaves
from diffai_core.dtypes import DTYPE_NAMES, dtype
from diffai_core.keys import Tolerance

LAWFUL = settings(deadline=None, max_examples=25, derandomize=True)
UNIT = 128  # every accumulator may be cut at multiples of this within a row
names = st.sampled_from(DTYPE_NAMES)
seeds = st.integers(0, 2**32 - 1)
accumulators = pytest.mark.parametrize("accumulator", ACCUMULATORS)


def plain(result):
    """Return a result as nested tuples of numbers and arrays."""
    if isinstance(result, Histogram):
        return result.keys, result.counts
    if dataclasses.is_dataclass(result):
        return tuple(plain(getattr(result, field.name)) for field in dataclasses.fields(result))
    if isinstance(result, dict):
        return tuple((key, plain(value)) for key, value in result.items())
    if isinstance(result, tuple):
        return tuple(plain(part) for part in result)
    return result


def assert_close(left, right, rel=1e-9):
    """Check two results: integers and strings exactly, float64 up to the rounding of a few additions."""
    if isinstance(left, tuple):
        assert isinstance(right, tuple)
        assert len(left) == len(right)
        for a, b in zip(left, right, strict=True):
            assert_close(a, b, rel)
    elif isinstance(left, np.ndarray) and left.dtype.kind == "f":
        scale = np.nanmax(np.abs(left), initial=0, where=np.isfinite(left))
        np.testing.assert_allclose(left, right, rtol=rel, atol=scale * 1e-12)
    elif isinstance(left, float):
        assert left == pytest.approx(right, rel=rel, abs=1e-12)
    else:
        np.testing.assert_equal(left, right)


def properties(record):
    """Evaluate every property of a record and of the records in it, so that none fails or warns."""
    if isinstance(record, tuple):
        for part in record:
            properties(part)
    if not isinstance(record, (int, float, str, np.ndarray, type(None), dict, list)):
        for name in dir(type(record)):
            if not name.startswith("_") and isinstance(value := getattr(record, name), float):
                assert not math.isnan(value), name
    if isinstance(record, dict):
        for part in record.values():
            properties(part)


def pair(tools, name, shape, seed):
    """Return two moderate tensors with equal parts, some special values and some bits of any kind."""
    rng = np.random.default_rng(seed)
    n = math.prod(shape)
    old, new = (tools.moderate(name, n, rng) for _ in range(2))
    equal = rng.random(n) < 0.5
    new[equal] = old[equal]
    if dtype(name).bits <= 16 and seed % 2:
        wild = rng.random(n) < 0.01
        old[wild] = tools.elements(name, n, rng)[wild]
    return old.reshape(shape), new.reshape(shape)


@accumulators
@LAWFUL
@given(name=names, seed=seeds, rows=st.integers(1, 6), cut=st.lists(st.integers(1, 11), min_size=2, max_size=2))
def test_merging_is_associative_and_start_its_identity(tools, accumulator, name, seed, rows, cut):
    fold: Fold = ACCUMULATORS[accumulator]
    old, new = pair(tools, name, (rows, 2 * UNIT), seed)
    layout = tools.layout_of(old, new, name)
    cuts = sorted({0, *(min(c, 2 * rows) * UNIT for c in cut), 2 * rows * UNIT})
    states = pickle.dumps(tools.states(accumulator, layout, old, new, cuts))

    def finished(merge):
        return plain(fold.finish(merge(pickle.loads(states))))

    def from_left(parts):
        total = parts[0]
        for part in parts[1:]:
            total = fold.merge(total, part)
        return total

    def from_right(parts):
        total = parts[-1]
        for part in parts[-2::-1]:
            total = fold.merge(part, total)
        return total

    expected = finished(from_left)
    assert_close(finished(from_right), expected)
    assert_close(finished(lambda parts: fold.merge(fold.start(layout), from_left(parts))), expected)
    assert_close(finished(lambda parts: fold.merge(from_left(parts), fold.start(layout))), expected)


@accumulators
@LAWFUL
@given(name=names, seed=seeds, rows=st.integers(1, 6), cuts=st.lists(st.integers(0, 12), max_size=5))
def test_the_result_does_not_depend_on_the_split(tools, accumulator, name, seed, rows, cuts):
    old, new = pair(tools, name, (rows, 2 * UNIT), seed)
    cuts = sorted({0, *(min(c, 2 * rows) * UNIT for c in cuts), 2 * rows * UNIT})
    split = tools.measure(accumulator, old, new, name, cuts=cuts, tolerance=Tolerance(0.1, 0.1))
    whole = tools.measure(accumulator, old, new, name, tolerance=Tolerance(0.1, 0.1))
    assert_close(plain(split), plain(whole))


@accumulators
@settings(LAWFUL, max_examples=8)
@given(name=names, seed=seeds)
def test_updating_one_state_gives_what_merging_gives(tools, accumulator, name, seed):
    old, new = pair(tools, name, (3, 16_000), seed)
    layout = tools.layout_of(old, new, name)
    fold, workspace = ACCUMULATORS[accumulator], Workspace()
    state = fold.start(layout)
    for start, n in leaves(layout):
        ends = slice(start, start + n)
        state = fold.update(state, Block(layout, workspace, start, old.reshape(-1)[ends], new.reshape(-1)[ends]))
    assert_close(plain(fold.finish(state)), plain(tools.measure(accumulator, old, new, name)))


@accumulators
def test_the_hint_that_bytes_are_equal_changes_nothing_for_any_dtype(tools, accumulator):
    for name in DTYPE_NAMES:
        old = tools.elements(name, 3 * 256, np.random.default_rng(51)).reshape(3, 256)
        hinted = tools.measure(accumulator, old, old.copy(), name, same_bytes=True)
        assert_close(plain(hinted), plain(tools.measure(accumulator, old, old.copy(), name)), rel=0)


@accumulators
@pytest.mark.parametrize("shape", [(), (1,), (0,), (0, 4), (4, 0), (2, 1, 3), (1, 130), (2, 32)])
def test_any_bits_of_any_dtype_are_measured_without_a_warning(tools, accumulator, shape):
    rng = np.random.default_rng(52)
    for name in DTYPE_NAMES:
        old, new = (tools.elements(name, math.prod(shape), rng).reshape(shape) for _ in range(2))
        properties(tools.measure(accumulator, old, new, name))


@accumulators
@pytest.mark.parametrize("names", [("float32", "bfloat16"), ("float16", "complex64"), ("int64", "float64"),
                                   ("bool", "uint64"), ("float8_e5m2", "int4"), ("complex128", "int64")])  # fmt: skip
def test_any_two_numeric_dtypes_can_be_measured_together(tools, accumulator, names):
    rng = np.random.default_rng(53)
    old, new = (tools.elements(name, 256, rng).reshape(2, 128) for name in names)
    properties(tools.measure(accumulator, old, new, *names))


@accumulators
def test_unaligned_and_read_only_elements_give_the_same_result(tools, accumulator):
    def shifted(array):
        return np.frombuffer(b"x" + array.tobytes(), array.dtype, offset=1)

    rng = np.random.default_rng(54)
    for name in DTYPE_NAMES:
        old, new = (tools.elements(name, 256, rng) for _ in range(2))
        expected = tools.measure(accumulator, old, new, name, shape=(2, 128))
        result = tools.measure(accumulator, shifted(old), shifted(new), name, shape=(2, 128))
        assert_close(plain(result), plain(expected), rel=0)


@accumulators
def test_folds_and_states_are_picklable(tools, accumulator):
    fold = pickle.loads(pickle.dumps(ACCUMULATORS[accumulator]))
    old, new = pair(tools, "float32", (4, 256), 55)
    layout = pickle.loads(pickle.dumps(tools.layout_of(old, new, "float32")))
    (state,) = pickle.loads(pickle.dumps(tools.states(accumulator, layout, old, new)))
    expected = tools.measure(accumulator, old, new, "float32")
    assert_close(plain(fold.finish(fold.merge(fold.start(layout), state))), plain(expected), rel=0)


@LAWFUL
@given(name=names, seed=seeds)
def test_a_tensor_against_itself_has_not_changed(tools, name, seed):
    old = tools.elements(name, 300, np.random.default_rng(seed))
    changes = tools.measure("changes", old, old.copy(), name)
    assert changes.identical
    assert changes.equal
    assert tools.measure("moments", old, old.copy(), name).delta.norm == 0
    if tools.measure("extrema", old, old.copy(), name).max_abs_diff_index is not None:
        assert tools.measure("extrema", old, old.copy(), name).max_abs_diff == 0


@LAWFUL
@given(name=names, seed=seeds)
def test_swapping_the_sides_mirrors_the_result(tools, name, seed):
    rng = np.random.default_rng(seed)
    old, new = (tools.elements(name, 300, rng) for _ in range(2))
    there, back = (tools.measure("moments", *sides, name) for sides in ((old, new), (new, old)))
    assert (there.old, there.new) == (back.new, back.old)
    assert there.delta.std == back.delta.std
    there, back = (tools.measure("extrema", *sides, name) for sides in ((old, new), (new, old)))
    assert there.max_abs_diff == back.max_abs_diff
    assert there.max_diff is None or there.max_diff == -back.max_diff
    assert tools.measure("changes", old, new, name) == tools.measure("changes", new, old, name)


def test_opaque_elements_have_changes_and_no_other_statistic(tools):
    from diffai_core.dtypes import opaque_dtype

    old = np.array([b"ab", b"cd"]).view("V2")
    results = {name: tools.measure(name, old, old.copy(), opaque_dtype("bytes2", 2)) for name in ACCUMULATORS}
    assert [name for name, result in results.items() if result is not None] == ["changes"]


def test_a_block_of_a_workspace_used_before_sees_nothing_of_it(tools):
    rng = np.random.default_rng(56)
    layout = PairLayout.of((LEAF,), dtype("bfloat16"), dtype("bfloat16"))
    first, second = (tools.moderate("bfloat16", LEAF, rng) for _ in range(2))
    fold, workspace = ACCUMULATORS["moments"], Workspace()
    fold.update(fold.start(layout), Block(layout, workspace, 0, first, second))
    again = fold.update(fold.start(layout), Block(layout, workspace, 0, second, first))
    assert again == fold.update(fold.start(layout), Block(layout, Workspace(), 0, second, first))
