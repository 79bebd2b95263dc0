"""Where tensors lie: descriptions that contradict the file or each other."""

from __future__ import annotations

import pytest


def test_a_tensor_behind_the_end_of_the_file_is_an_error(handmade, refusal):
    built = handmade().tensor("w", [4], 0).build(bytes(12))
    error = refusal(built)
    assert error.reason == "the file ends here, 4 bytes too early for tensor 'w'"
    assert error.offset == len(built)


def test_an_offset_near_2_to_the_64_is_an_error(handmade, refusal):
    assert "too early" in refusal(handmade().tensor("w", [4], 0, (1 << 64) - 32).build(bytes(16))).reason


@pytest.mark.parametrize("kind", [0, 2, 24])
@pytest.mark.parametrize("dims", [[1 << 63, 1 << 63], [1 << 32, 1 << 32], [(1 << 64) - 32], [1 << 40, 0, 1 << 40]])
def test_a_shape_larger_than_any_array_is_an_error(handmade, refusal, kind, dims):
    error = refusal(handmade().tensor("w", dims, kind).build(bytes(64)))
    assert "is larger than any array can be" in error.reason


def test_too_many_dimensions_are_an_error(handmade, refusal):
    error = refusal(handmade().tensor("w", [1] * 17, 0).build(bytes(64)))
    assert error.reason == "tensor 'w' has 17 dimensions, more than 16"


def test_a_tensor_of_five_dimensions_opens(handmade, opened):
    with opened(handmade().tensor("w", [1, 2, 1, 3, 2], 24).build(bytes(range(12)))) as artifact:
        assert artifact.tensors["w"].shape == (2, 3, 1, 2, 1)


def test_a_scalar_opens(handmade, opened):
    with opened(handmade().tensor("w", [], 24).build(b"\x07")) as artifact:
        assert artifact.tensors["w"].shape == ()
        assert artifact.tensors["w"].read().tolist() == 7


def test_a_tensor_that_is_not_aligned_is_an_error(handmade, refusal):
    error = refusal(handmade().tensor("w", [4], 0, 16).build(bytes(32)))
    assert error.reason == "tensor 'w' begins at 16, no multiple of the alignment 32"
    assert error.offset == 24


def test_the_same_name_twice_is_an_error(handmade, refusal):
    file = handmade().tensor("w", [8], 0).tensor("w", [8], 0, 32)
    assert refusal(file.build(bytes(64))).reason == "tensor 'w' is there twice"


def test_a_name_that_is_no_text_is_an_error(handmade, refusal):
    assert "is not UTF-8" in refusal(handmade().tensor(b"\xff", [8], 0).build(bytes(32))).reason


def test_tensors_that_overlap_are_an_error(handmade, refusal):
    file = handmade().tensor("a", [16], 0).tensor("b", [8], 0, 32)
    start = len(file.build())
    error = refusal(file.build(bytes(64)))
    assert (error.reason, error.offset) == ("tensor 'b' begins here, inside tensor 'a'", start + 32)


def test_two_tensors_at_one_place_are_an_error(handmade, refusal):
    assert "inside tensor" in refusal(handmade().tensor("a", [8], 0).tensor("b", [8], 0).build(bytes(32))).reason


def test_tensors_may_lie_in_another_order_than_they_are_described(handmade, opened):
    with opened(handmade().tensor("a", [32], 24, 32).tensor("b", [32], 24).build(bytes(64))) as artifact:
        assert list(artifact.tensors) == ["a", "b"]
        assert artifact.not_readable == ()


def test_rows_that_are_no_multiple_of_a_block_are_an_error(handmade, refusal):
    error = refusal(handmade().tensor("w", [48, 2], 2).build(bytes(96)))
    assert error.reason == "tensor 'w' has rows of 48 elements, no multiple of the 32 in a block of q4_0"


def test_bytes_that_belong_to_no_tensor_are_listed(handmade, opened):
    with opened(handmade().tensor("a", [8], 0).tensor("b", [8], 0, 96).build(bytes(96 + 32 + 500))) as artifact:
        assert [lost.reason for lost in artifact.not_readable] == [
            "64 bytes that belong to no tensor",
            "500 bytes that belong to no tensor",
        ]


def test_padding_is_not_listed(handmade, opened):
    with opened(handmade().tensor("a", [1], 0).tensor("b", [1], 0, 32).build(bytes(64))) as artifact:
        assert artifact.not_readable == ()


def test_a_file_without_tensors_opens(handmade, opened):
    with opened(handmade().pair("a", 0, 1).build(alignment=1)) as artifact:
        assert (dict(artifact.tensors), artifact.tree) == ({}, {"a": 1})
