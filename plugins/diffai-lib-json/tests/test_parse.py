"""The parser against the standard library's, and what it refuses."""

from __future__ import annotations

import json

import pytest
from diffai_lib_json import parse_json
from hypothesis import given, settings
from hypothesis import strategies as st

from diffai_core.plugin import LoadError, Text

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=25,
)


def parse(text, max_containers=1000):
    return parse_json(Text("x.json", text, "utf-8", 0), max_containers)


@settings(deadline=None, derandomize=True, max_examples=100)
@given(VALUES)
def test_any_document_is_what_the_standard_library_wrote(value):
    assert parse(json.dumps(value), 10**6) == value


@pytest.mark.parametrize(
    ("text", "offset", "reason"),
    [
        ('{"ü": 1, "a": 2, "a": 3}', 18, 'the key "a" stands twice in one object'),
        ("[1, 1e999]", 4, "the number 1e999 is outside the range of 64-bit floats"),
        (f"[{'9' * 4301}]", 1, "an integer of 4,301 digits is too long to be read"),
        ("[1, ", 4, "not JSON: expecting value (line 1, column 5)"),
        ("[" * 100_000, None, "holds up to 100,000 objects and arrays; more than 1,000 are not read"),
    ],
)
def test_what_cannot_be_read_truly_is_an_error_with_its_byte(text, offset, reason):
    with pytest.raises(LoadError) as caught:
        parse(text)
    assert (caught.value.path, caught.value.offset, caught.value.reason) == ("x.json", offset, reason)


def test_nesting_beyond_what_python_follows_is_an_error():
    with pytest.raises(LoadError, match="nested too deeply"):
        parse("[" * 100_000, 10**6)
