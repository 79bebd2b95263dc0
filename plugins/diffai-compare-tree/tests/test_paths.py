"""How paths are written, and in which order."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

SCALAR_KEYS = (
    st.text(max_size=3)
    | st.text('.[]"=# \\\n0', max_size=3)
    | st.integers(-3, 3)
    | st.floats(allow_nan=False)
    | st.booleans()
    | st.none()
    | st.binary(max_size=2)
    | st.dates()
)


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("lr", "lr"),
        ("learning rate", "learning rate"),
        ("a-b/c:d", "a-b/c:d"),
        ("größe", "größe"),
        ("$", "$"),
        ("x.y", '["x.y"]'),
        ("x[0]", '["x[0]"]'),
        ("", '[""]'),
        (" x", '[" x"]'),
        ('say "hi"', '["say \\"hi\\""]'),
        ("a\nb", '["a\\nb"]'),
        ("\x1b[31m", '["\\u001b[31m"]'),
        ("\u202ex", '["\\u202ex"]'),
        ("\ud800", '["\\ud800"]'),
        (3, "[3]"),
        (3.0, "[3]"),
        (-1.5, "[-1.5]"),
        (float("inf"), "[Infinity]"),
        (float("nan"), "[NaN]"),
        (True, "[true]"),
        (None, "[null]"),
        (b"k", "[b'k']"),
        ((1, "a"), "[(1, 'a')]"),
        (date(2024, 5, 1), "[2024-05-01]"),
    ],
)
def test_keys_are_plain_or_stand_in_brackets(find, key, path):
    assert [f.where for f in find({key: 1}, {key: 2})] == [path]
    below = find({"top": {key: [0, {"end": 1}]}}, {"top": {key: [0, {"end": 2}]}})
    joined = path if path.startswith("[") else f".{path}"
    assert [f.where for f in below] == [f"top{joined}[1].end"]


@settings(deadline=None, derandomize=True, max_examples=150)
@given(st.lists(st.tuples(SCALAR_KEYS, SCALAR_KEYS), max_size=6))
def test_no_two_places_of_one_tree_are_written_alike(find, pairs):
    new = {}
    for outer, inner in pairs:
        new.setdefault(outer, {})[inner] = 1
    old = {key: {} for key in new}
    found = [f.where for f in find(old, new)]
    assert len(found) == sum(len(inner) for inner in new.values())
    assert len(set(found)) == len(found)


def test_keys_of_all_types_have_one_order_whatever_the_order_in_the_file(find):
    keys = ["b", "a", 2, 1.5, None, True, False, b"z", "1", (1,), float("inf"), float("nan")]
    orders = [[f.where for f in find({}, dict.fromkeys(order, 0))] for order in (keys, keys[::-1])]
    assert orders[0] == orders[1]
    assert len(set(orders[0])) == len(keys)
    assert orders[0].index("a") < orders[0].index("b")
    assert orders[0].index("[1.5]") < orders[0].index("[2]") < orders[0].index("[Infinity]")


def test_the_keys_1_and_true_and_text_1_are_three_keys_and_1_and_1_0_are_one(find):
    assert [(f.kind, f.where) for f in find({1: "x"}, {True: "x"})] == [("added", "[true]"), ("removed", "[1]")]
    assert [(f.kind, f.where) for f in find({1: "x"}, {"1": "x"})] == [("removed", "[1]"), ("added", "1")]
    assert find({1: "x"}, {1.0: "x"}) == []


def test_two_nan_keys_are_two_places(find):
    nan, other = float("nan"), float("nan")
    found = find({nan: 1, other: 2}, {nan: 1, other: 3})
    assert [(f.kind, f.where) for f in found] == [("modified", "[NaN #2]")]


def test_long_keys_are_cut_and_still_told_apart(find):
    old = {"k" * 1_000_000 + end: 1 for end in "ab"} | {10**4000 + end: 1 for end in (0, 1)}
    found = [f.where for f in find(old, {})]
    assert len(set(found)) == 4
    assert max(map(len, found)) < 300
    assert any(path.startswith('["kkkk') for path in found)


def test_an_integer_key_too_long_for_decimal_is_written(find):
    [finding] = find({1 << 100_000: 1}, {1 << 100_000: 2})
    assert finding.where.startswith("[0x10000")
