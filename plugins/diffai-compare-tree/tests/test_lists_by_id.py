"""Lists matched by a key of their elements."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffai_core.plugin import ABSENT, KeyFilter

USERS = st.lists(
    st.fixed_dictionaries({"id": st.integers(0, 20)}, optional={"age": st.integers(0, 3)}),
    unique_by=lambda user: user["id"],
    max_size=6,
)


def lines(findings):
    return [(f.kind, f.where) for f in findings]


def test_elements_are_matched_by_id_whatever_their_order(find):
    old = {"users": [{"id": 1, "age": 30}, {"id": 2, "age": 40}]}
    new = {"users": [{"id": 2, "age": 40}, {"id": 3}, {"id": 1, "age": 31}]}
    found = find(old, new, array_id_key="id")
    assert lines(found) == [("modified", "users[id=1].age"), ("added", "users[id=3]")]
    assert (found[0].old, found[0].new) == (30, 31)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(USERS, USERS, st.randoms(use_true_random=False))
def test_lists_matched_by_id_differ_as_dicts_by_that_id_do(find, old, new, rng):
    def by_id(users):
        return {"u": {user["id"]: {"age": user.get("age", -1)} for user in users}}

    filled = [[{"age": -1} | user for user in side] for side in (old, new)]
    rng.shuffle(filled[1])
    wanted = [(f.kind, f.where.replace("u[", "u[id=")) for f in find(by_id(old), by_id(new))]
    assert lines(find({"u": filled[0]}, {"u": filled[1]}, array_id_key="id")) == wanted


def test_duplicates_are_reported_and_compared_in_their_order_never_collapsed(find):
    old = {"u": [{"id": 7, "v": 1}, {"id": 7, "v": 2}, {"id": 8}]}
    new = {"u": [{"id": 7, "v": 1}, {"id": 7, "v": 3}, {"id": 7, "v": 4}, {"id": 8}]}
    found = find(old, new, array_id_key="id")
    assert lines(found) == [("modified", "u[id=7 #2].v"), ("added", "u[id=7 #3]"), ("duplicate_id", "u[id=7]")]
    assert (found[2].level, found[2].values) == ("warning", {"old_count": 2, "new_count": 3})
    assert found[1].new == {"id": 7, "v": 4}
    assert found[1].old is ABSENT


def test_equal_lists_with_duplicates_are_equal(find):
    tree = {"u": [{"id": 1, "v": [1]}, {"id": 1, "v": [2]}]}
    copy = {"u": [{"id": 1, "v": [1]}, {"id": 1, "v": [2]}]}
    assert find(tree, copy, array_id_key="id") == []


def test_duplicates_at_ignored_paths_are_not_reported(find):
    old, new = {"u": [{"id": 1}, {"id": 1}]}, {"u": [{"id": 1}]}
    found = find({**old, "other": 1}, {**new, "other": 1}, array_id_key="id", keys=KeyFilter(path="other"))
    assert found == []


def test_elements_without_an_id_are_compared_by_position(find):
    old = {"u": ["a", {"id": 1, "v": 1}, {"name": "x"}, 5]}
    new = {"u": ["b", {"id": 1, "v": 2}, {"name": "y"}, 5]}
    assert lines(find(old, new, array_id_key="id")) == [
        ("modified", "u[0]"),
        ("modified", "u[2].name"),
        ("modified", "u[id=1].v"),
    ]


def test_ids_of_two_types_are_two_ids_and_true_is_not_1(find):
    old = {"u": [{"id": 1}, {"id": None}]}
    new = {"u": [{"id": "1"}, {"id": True}]}
    assert lines(find(old, new, array_id_key="id")) == [
        ("removed", "u[id=null]"),
        ("added", "u[id=true]"),
        ("removed", "u[id=1]"),
        ("added", 'u[id="1"]'),
    ]


@pytest.mark.parametrize("odd", [[1], {"a": 1}, (1,)])
def test_a_container_is_no_id(find, odd):
    assert lines(find({"u": [{"id": odd, "v": 1}]}, {"u": [{"id": odd, "v": 2}]}, array_id_key="id")) == [
        ("modified", "u[0].v")
    ]


def test_an_id_key_with_dots_is_quoted(find):
    found = find({"u": [{"a.b": 1, "v": 1}]}, {"u": [{"a.b": 1, "v": 2}]}, array_id_key="a.b")
    assert lines(found) == [("modified", 'u["a.b"=1].v')]


def test_without_the_option_lists_go_by_position(find):
    old, new = {"u": [{"id": 1}, {"id": 2}]}, {"u": [{"id": 2}, {"id": 1}]}
    assert lines(find(old, new)) == [("modified", "u[0].id"), ("modified", "u[1].id")]
    assert find(old, new, array_id_key="id") == []
