"""Tensors of other names are paired by what they hold: axes in another order, another dtype, and nothing looser."""

from __future__ import annotations

import time
from itertools import permutations
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffai_core.artifact import FileTensor
from diffai_core.dtypes import dtype
from diffai_core.files import DataFile
from diffai_core.pairing import Relation
from diffai_core.permuted import PermutedTensor
from diffai_core.renames import pair_tensors
from diffai_core.run import compare_artifacts
from diffai_core.testing import artifact

if TYPE_CHECKING:
    from pathlib import Path

    from diffai_core.pairing import TensorPair

RNG = np.random.default_rng(11)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def pairs(old: dict[str, Any], new: dict[str, Any]) -> list[TensorPair]:
    return list(pair_tensors(artifact(tensors=old).tensors, artifact(tensors=new).tensors))


def names(old: dict[str, Any], new: dict[str, Any]) -> set[tuple[str | None, str | None]]:
    return {(pair.old and pair.old.name, pair.new and pair.new.name) for pair in pairs(old, new)}


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=5).filter(lambda shape: np.prod(shape) > 1),
    order=st.randoms(use_true_random=False),
)
def test_any_order_of_axes_is_found_and_read_back_as_the_old_tensor(shape, order) -> None:
    array = RNG.standard_normal(shape).astype(np.float32)
    axes = list(range(len(shape)))
    order.shuffle(axes)
    (pair,) = pairs({"old": array}, {"new": np.ascontiguousarray(array.transpose(axes))})
    assert pair.new is not None
    assert pair.new.shape == array.shape
    assert pair.new.read().tobytes() == array.tobytes()
    for size in (1, 7, 64, 1 << 20):
        blocks = [block.copy() for block in pair.new.blocks(size)]
        assert np.concatenate(blocks).tobytes() == array.tobytes()
        assert max(block.nbytes for block in blocks) <= max(size, 4)


@pytest.mark.parametrize("axes", list(permutations(range(4))))
def test_a_convolution_of_another_framework_is_identical_in_another_order(axes) -> None:
    array = normal(2, 3, 4, 5)
    report = compare_artifacts(
        artifact(tensors={"conv.weight": array}), artifact(tensors={"conv/kernel": array.transpose(axes)}), ()
    )
    assert report.counts.renamed == 1
    assert report.counts.changed == report.counts.added == report.counts.removed == 0


def test_a_square_matrix_is_told_from_its_transpose() -> None:
    array = normal(6, 6)
    (straight,) = pairs({"a": array}, {"b": array})
    (turned,) = pairs({"a": array}, {"b": np.ascontiguousarray(array.T)})
    assert not isinstance(straight.new, PermutedTensor)
    assert isinstance(turned.new, PermutedTensor)
    assert turned.new.axes == (1, 0)


@pytest.mark.parametrize("narrow", [np.float16, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn])
def test_a_rounded_and_transposed_tensor_is_paired_and_measured_as_changed(narrow) -> None:
    array = normal(7, 9)
    for old, new in (({"a": array}, {"b": array.T.astype(narrow)}), ({"b": array.T.astype(narrow)}, {"a": array})):
        (pair,) = pairs(old, new)
        assert pair.paired_by == "content"
        report = compare_artifacts(artifact(tensors=old), artifact(tensors=new), ())
        assert report.counts.changed == 1


def test_integers_are_paired_with_wider_ones_only_if_every_value_is_the_same() -> None:
    small = np.arange(1, 13, dtype=np.int32).reshape(3, 4)
    assert names({"a": small}, {"b": small.astype(np.int64)}) == {("a", "b")}
    wrapped = small.astype(np.int64) + (1 << 32)
    assert names({"a": small}, {"b": wrapped}) == {("a", None), (None, "b")}


def test_the_same_values_in_an_order_that_no_axes_give_are_not_paired() -> None:
    array = normal(4, 6)
    shuffled = RNG.permutation(array.reshape(-1)).reshape(4, 6)
    assert names({"a": array}, {"b": shuffled}) == {("a", None), (None, "b")}
    assert names({"a": array}, {"b": array.reshape(6, 4)}) == {("a", None), (None, "b")}


def test_one_other_value_is_enough_to_be_no_pair() -> None:
    array = normal(4, 6)
    other = np.ascontiguousarray(array.T)
    other[5, 3] = np.nextafter(other[5, 3], np.float32(9))
    assert names({"a": array}, {"b": other}) == {("a", None), (None, "b")}


def test_equal_contents_are_paired_in_order_if_they_are_there_equally_often() -> None:
    ones, zeros = np.ones(5, np.float32), np.zeros(5, np.float32)
    old = {"g1": ones, "g2": ones, "b1": zeros, "b2": zeros}
    new = {"x1": zeros, "y1": ones, "x2": zeros, "y2": ones}
    assert names(old, new) == {("g1", "y1"), ("g2", "y2"), ("b1", "x1"), ("b2", "x2")}
    del new["x2"]
    assert names(old, new) == {("g1", "y1"), ("g2", "y2"), ("b1", None), ("b2", None), (None, "x1")}


def test_nan_and_negative_zero_are_compared_by_their_bits() -> None:
    array = normal(3, 4)
    array[0, 0], array[1, 2] = np.nan, -0.0
    assert names({"a": array}, {"b": np.ascontiguousarray(array.T)}) == {("a", "b")}
    positive = np.where(array == 0, np.float32(0), array).T
    assert names({"a": array}, {"b": np.ascontiguousarray(positive)}) == {("a", None), (None, "b")}


def test_axes_of_length_one_may_come_and_go() -> None:
    array = normal(5, 1, 3)
    (pair,) = pairs({"a": array}, {"b": array.reshape(5, 3)})
    assert pair.new is not None
    assert pair.new.shape == (5, 1, 3)
    report = compare_artifacts(artifact(tensors={"a": array}), artifact(tensors={"b": array.reshape(5, 3)}), ())
    assert [report.counts.renamed, report.counts.changed] == [1, 0]


def test_tensors_in_files_are_read_in_the_other_order_too(tmp_path: Path) -> None:
    array = normal(300, 70)
    refs = []
    for name, stored in (("old", array), ("new", np.ascontiguousarray(array.T))):
        (tmp_path / name).write_bytes(b"x" + stored.tobytes())
        file = DataFile(tmp_path / name)
        refs.append(FileTensor(name=name, shape=stored.shape, dtype=dtype("float32"), file=file, offset=1))
    old, new = refs
    (pair,) = pair_tensors({"old": old}, {"new": new})
    assert isinstance(pair.new, PermutedTensor)
    assert pair.new.read().tobytes() == array.tobytes()
    assert pair.new.storage == new.storage


def test_the_relation_of_a_permuted_pair_is_identical() -> None:
    from diffai_core.engine import PassPlan, run_pass
    from diffai_core.keys import Tolerances

    array = normal(4, 5)
    found = pairs({"a": array}, {"b": np.ascontiguousarray(array.T)})
    (result,) = run_pass(PassPlan({}, {}, Tolerances()), found)
    assert result.relation is Relation.IDENTICAL


def test_one_element_is_no_evidence() -> None:
    zero = np.zeros((), np.float32)
    assert names({"decay": zero}, {"log/div": zero}) == {("decay", None), (None, "log/div")}
    assert names({"a": zero.reshape(1)}, {"b": zero.reshape(1, 1)}) == {("a", None), (None, "b")}


def test_many_tensors_of_the_same_values_in_no_order_of_axes_take_bounded_time() -> None:
    sides = [{f"{side}{i}": RNG.permutation(64).astype("f4").reshape((2,) * 6) for i in range(300)} for side in "ab"]
    start = time.process_time()
    assert all(pair.old is None or pair.new is None for pair in pairs(*sides))
    assert time.process_time() - start < 6
