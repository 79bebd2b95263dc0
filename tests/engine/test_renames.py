"""Which tensors are paired, and which are not although it would be tempting."""

from __future__ import annotations

from typing import Any

import numpy as np

from diffai_core.renames import pair_tensors
from diffai_core.testing import artifact

RNG = np.random.default_rng(5)
A, B, C = (RNG.standard_normal((4, 5)).astype(np.float32) for _ in range(3))
ZERO = np.zeros((4, 5), np.float32)


def paired(old: dict[str, Any], new: dict[str, Any]) -> set[tuple[str | None, str | None]]:
    sides = (artifact(tensors=old).tensors, artifact(tensors=new).tensors)
    return {(p.old and p.old.name, p.new and p.new.name) for p in pair_tensors(*sides)}


def test_equal_names_are_paired_whatever_they_hold() -> None:
    assert paired({"x": A, "y": B}, {"x": B, "y": ZERO.reshape(-1)}) == {("x", "x"), ("y", "y")}


def test_unique_identical_content_is_a_rename() -> None:
    assert paired({"x": A, "y": B}, {"u": B, "v": A}) == {("x", "v"), ("y", "u")}


def test_content_that_is_there_twice_is_no_evidence() -> None:
    assert paired({"x": ZERO}, {"u": ZERO, "v": ZERO}) == {("x", None), (None, "u"), (None, "v")}
    assert paired({"x": ZERO, "y": ZERO}, {"u": ZERO}) == {("x", None), ("y", None), (None, "u")}


def test_equal_bytes_of_another_shape_or_dtype_are_no_rename() -> None:
    assert paired({"x": A}, {"u": A.reshape(5, 4)}) == {("x", None), (None, "u")}
    assert paired({"x": A}, {"u": A.view(np.int32)}) == {("x", None), (None, "u")}


def test_a_common_prefix_pairs_changed_tensors_in_both_directions() -> None:
    plain, prefixed = {"l.w": A, "l.b": B}, {"model.l.w": A + 1, "model.l.b": B + 1, "head": C}
    expected = {("l.w", "model.l.w"), ("l.b", "model.l.b"), (None, "head")}
    assert paired(plain, prefixed) == expected
    assert paired(prefixed, plain) == {(b, a) for a, b in expected}


def test_one_tensor_that_happens_to_end_alike_is_not_paired_by_prefix() -> None:
    old = {"encoder.w": A, "encoder.b": B, "other": C}
    new = {"x.encoder.w": A + 1, "y": B + 1, "z": C + 1, "q": A + 2, "p": A + 3}
    assert ("encoder.w", "x.encoder.w") not in paired(old, new)


def test_a_prefix_whose_shapes_disagree_is_not_believed() -> None:
    old, new = {"a": A, "b": B}, {"m.a": A[:2], "m.b": B[:3]}
    assert paired(old, new) == {("a", None), ("b", None), (None, "m.a"), (None, "m.b")}


def test_content_decides_only_after_the_whole_tensor_was_seen() -> None:
    long = RNG.standard_normal(50_000)
    near = long.copy()
    near[20_000] += 1
    assert paired({"x": long}, {"u": near}) == {("x", None), (None, "u")}


def test_constants_under_names_of_their_own_do_not_outvote_a_prefix() -> None:
    weights = {"a.w": A, "b.w": B, "c.w": C}
    constants = [{f"{side}_{i}": np.full(3, i + shift) for i in range(20)} for side, shift in (("x", 0), ("y", 50))]
    old = artifact(tensors=weights | constants[0], roles=dict.fromkeys(constants[0], "buffers"))
    changed = {f"model.{name}": array + 1 for name, array in weights.items()}
    new = artifact(tensors=changed | constants[1], roles=dict.fromkeys(constants[1], "buffers"))
    found = {(p.old.name, p.new.name) for p in pair_tensors(old.tensors, new.tensors) if p.old and p.new}
    assert found == {(name, f"model.{name}") for name in weights}
