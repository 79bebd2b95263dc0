"""What findings hold of values: plain and bounded."""

from __future__ import annotations

import json
from datetime import date, datetime

import numpy as np
import pytest
from diffai_compare_tree.shown import MAX_DEPTH, MAX_TEXT, MAX_VALUES
from hypothesis import given, settings
from hypothesis import strategies as st

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=30,
)


def added(find, value):
    [finding] = find({}, {"k": value})
    return finding


@settings(deadline=None, derandomize=True, max_examples=200)
@given(PLAIN)
def test_plain_values_are_shown_as_they_are(find, value):
    finding = added(find, value)
    assert finding.new == value
    assert json.loads(json.dumps(finding.new)) == json.loads(json.dumps(value))
    assert finding.values == {}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ((1, (2,)), [1, [2]]),
        ({1: "a", "1": "b", None: "c"}, {"1": "a", "1 (String)": "b", "null": "c"}),
        (date(2024, 5, 1), "2024-05-01"),
        (datetime(2024, 5, 1, 12), "2024-05-01T12:00:00"),  # noqa: DTZ001 - configs hold naive times
        ({"b", "a"}, ['"a"', '"b"']),
        (b"\x00\xff", b"\x00\xff"),
        (bytearray(b"x"), b"x"),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (1 + 2j, "(1+2j)"),
    ],
)
def test_other_values_are_shown_as_plain_ones(find, value, shown):
    finding = added(find, value)
    assert finding.new == shown
    assert type(finding.new) is type(shown)


def test_a_container_with_too_many_values_is_described(find):
    assert added(find, list(range(MAX_VALUES - 1))).new == list(range(MAX_VALUES - 1))
    finding = added(find, list(range(MAX_VALUES)))
    assert finding.new == "<Array of 10,000 elements, too large to show>"
    assert finding.values == {"shortened": ["new"]}
    assert added(find, {"a": ["x" * 9_000] * 1_000}).new == "<Object of 1 entries, too large to show>"


def test_a_container_that_is_nested_too_deep_is_described(find):
    value = "leaf"
    for _ in range(MAX_DEPTH):
        value = [value]
    assert added(find, value).new == value
    assert added(find, [value]).new == "<Array of 1 elements, too large to show>"


def test_a_long_text_is_an_excerpt(find):
    assert added(find, "a" * MAX_TEXT).new == "a" * MAX_TEXT
    finding = added(find, "a" * (MAX_TEXT + 1))
    assert finding.new == f"{'a' * 500}… (10,001 characters)"
    assert finding.values == {"shortened": ["new"]}


def test_two_long_texts_are_shown_around_the_place_where_they_part(find):
    old, new = "a" * 200_000, "a" * 150_000 + "THERE" + "a" * 49_995
    [finding] = find({"k": old}, {"k": new})
    assert finding.values == {"first_difference": 150_000, "shortened": ["old", "new"]}
    assert "THERE" in finding.new
    assert "THERE" not in finding.old
    assert len(finding.new) < 600


@pytest.mark.parametrize("place", [0, 1, 65_535, 65_536, 65_537, 99_999])
def test_the_first_difference_of_long_byte_strings_is_exact(find, place):
    new = bytearray(100_000)
    new[place] = 1
    [finding] = find({"k": bytes(100_000)}, {"k": bytes(new)})
    assert finding.values["first_difference"] == place
    assert finding.new.startswith("<100,000 bytes; from ")
    assert "01" in finding.new


def test_a_text_that_only_became_longer_parts_where_the_shorter_ends(find):
    [finding] = find({"k": "a" * 20_000}, {"k": "a" * 20_001})
    assert finding.values["first_difference"] == 20_000


def test_an_integer_too_long_for_decimal_is_described(find):
    assert added(find, 10**4000).new == 10**4000
    assert added(find, 1 << 20_000).new == "<integer of 20,001 bits>"
