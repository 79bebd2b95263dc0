"""The JSON loader, held against what was written."""

from __future__ import annotations

import codecs
import json
import math
import sys

import pytest
from diffai_load_json import loader
from diffai_load_json.loader import open_json
from diffai_load_json.sniff import looks_like_json
from hypothesis import given, settings
from hypothesis import strategies as st

from diffai_core.plugin import LoadError, Source

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=25,
)
ENCODINGS = {
    "utf-8": b"",
    "utf-8-sig": b"",
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32-le": codecs.BOM_UTF32_LE,
    "utf-32-be": codecs.BOM_UTF32_BE,
}


def read(path):
    with open_json(Source(path), {}) as artifact:
        assert not artifact.tensors
        return artifact.tree


@pytest.fixture
def write(tmp_path):
    def written(text, encoding="utf-8"):
        path = tmp_path / "file.json"
        path.write_bytes(text if isinstance(text, bytes) else ENCODINGS[encoding] + text.encode(encoding))
        return path

    return written


def refused(path):
    with pytest.raises(LoadError) as caught:
        open_json(Source(path), {})
    assert caught.value.path == str(path)
    return caught.value


@settings(deadline=None, derandomize=True, max_examples=200)
@given(VALUES, st.sampled_from(sorted(ENCODINGS)), st.booleans(), st.sampled_from([None, 2]))
def test_any_document_in_any_encoding_is_what_was_written(tmp_path_factory, value, encoding, ascii_only, indent):
    path = tmp_path_factory.mktemp("json") / "any.json"
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    path.write_bytes(ENCODINGS[encoding] + text.encode(encoding))
    tree = read(path)
    wanted = value if isinstance(value, dict) and "$" not in value else {"$": value}
    assert tree == wanted
    assert repr(tree) == repr(wanted)


@pytest.mark.parametrize(("text", "tree"), [("[1, 2]", {"$": [1, 2]}), ("3", {"$": 3}), ("null", {"$": None})])
def test_a_document_that_is_no_object_stands_under_a_dollar_sign(write, text, tree):
    assert read(write(text)) == tree


def test_an_object_with_a_dollar_key_is_told_apart_from_a_list(write):
    assert read(write('{"$": [1]}')) == {"$": {"$": [1]}}


def test_nan_and_infinities_are_read(write):
    tree = read(write('{"a": NaN, "b": [Infinity, -Infinity]}'))
    assert math.isnan(tree["a"])
    assert tree["b"] == [math.inf, -math.inf]


def test_integers_are_exact(write):
    assert read(write(f'{{"n": {2**53 + 1}, "m": -{10**4000}}}')) == {"n": 2**53 + 1, "m": -(10**4000)}


@pytest.mark.parametrize("encoding", sorted(ENCODINGS))
def test_a_duplicate_key_is_refused_with_its_name_and_byte(write, encoding):
    text = '{"ü": {"a": ["\\"x\\": {", {"lr": 1, "ß\\n": 2}]}, "b": {"ß": 1, "lr": {"lr": 3}, "l\\u0072": 4}}'
    error = refused(write(text, encoding))
    bom = {"utf-8": 0, "utf-8-sig": 3, "utf-16-le": 2, "utf-16-be": 2, "utf-32-le": 4, "utf-32-be": 4}[encoding]
    plain = encoding.removesuffix("-sig")
    assert error.offset == bom + len(text[: text.index('"l\\u0072"')].encode(plain))
    assert error.reason == 'the key "lr" stands twice in one object'


def test_a_duplicate_key_is_named_once_however_long(write):
    key = "k" * 100_000
    text = f'{{"{key}": 1, "{key}": 2}}'
    error = refused(write(text))
    assert error.offset == text.rindex('"k')
    assert len(error.reason) < 150


@pytest.mark.parametrize(
    ("text", "offset", "reason"),
    [
        ('{"a": 1 "b"}', 8, "not JSON: expecting ',' delimiter (line 1, column 9)"),
        ('{"ä": tru}', 7, "not JSON: expecting value (line 1, column 7)"),
        ('{"a": "b', 6, "not JSON: unterminated string starting at (line 1, column 7)"),
        ("[1, 2", 5, "not JSON: expecting ',' delimiter (line 1, column 6)"),
        ('{"a": 1}\n{"a": 2}', 9, "not JSON: a second document follows the first (JSON Lines?); only one is read"),
        ('{"a": "\n"}', 7, "not JSON: invalid control character at (line 1, column 8)"),
        ("", 0, "is empty"),
        ("  ", 2, "not JSON: expecting value (line 1, column 3)"),
        ("{'a': 1}", 1, "not JSON: expecting property name enclosed in double quotes (line 1, column 2)"),
    ],
)
def test_what_is_not_json_is_an_error_with_its_byte(write, text, offset, reason):
    error = refused(write(text))
    assert error.offset == offset
    assert error.reason.startswith(reason)


@pytest.mark.parametrize(("written", "offset"), [(b'{"a": "\xff"}', 7), (codecs.BOM_UTF16_LE + b"[\0\xd8", 4)])
def test_bytes_that_are_no_text_are_an_error_at_the_first(write, written, offset):
    error = refused(write(written))
    assert error.offset == offset
    assert "text" in error.reason


@pytest.mark.parametrize("number", ["1e999", "-1E+400", "1e-400", "-0.00001e-330", "9" * 400 + ".0"])
def test_a_number_no_float_can_hold_is_refused_and_not_rounded_to_infinity_or_zero(write, number):
    text = f'{{"{number}": "{number}", "x": [0.0, -0e5, {number}]}}'
    error = refused(write(text))
    assert error.offset == text.rindex(number)
    assert "outside the range of 64-bit floats" in error.reason


@pytest.mark.parametrize("number", ["0e999", "0.000", "-0.0", "5e-324", "1.7976931348623157e308"])
def test_zeros_and_the_extreme_floats_are_read(write, number):
    assert read(write(f"[{number}]")) == {"$": [float(number)]}


def test_an_integer_with_too_many_digits_is_refused(write):
    text = f'["{"9" * 5000}", {"9" * 4300}, -{"9" * 4301}]'
    error = refused(write(text))
    assert error.offset == text.index("-")
    assert error.reason == "an integer of 4,301 digits is too long to be read"
    assert sys.get_int_max_str_digits() == 4300


@pytest.mark.parametrize("text", ["[" * 200_000, "[" * 200_000 + "]" * 200_000, '{"a":' * 200_000])
def test_deep_nesting_is_an_error_and_not_a_crash(write, text):
    assert refused(write(text)).reason == "is nested too deeply to be read"


def test_a_file_beyond_the_bounds_is_refused_before_it_is_parsed(write, monkeypatch):
    monkeypatch.setattr(loader, "MAX_BYTES", 10)
    assert "has 11 bytes" in refused(write("[1,2,3,4,5]")).reason
    monkeypatch.setattr(loader, "MAX_BYTES", 100)
    monkeypatch.setattr(loader, "MAX_CONTAINERS", 3)
    assert read(write("[[],{}]")) == {"$": [[], {}]}
    assert "holds up to 4 objects and arrays" in refused(write("[[],[],{}]")).reason


def test_long_strings_full_of_escapes_are_searched_in_little_memory(write):
    text = '{"long": "' + '\\"' * 2_000_000 + '", "a": 1, "a": 2}'
    error = refused(write(text))
    assert error.offset == text.rindex('"a"')


@pytest.mark.parametrize(
    "head",
    [
        '{"a": 1}',
        '\n [ {"a"',
        "[]",
        '["a", ',
        "[1.5e3, ",
        "[[[-1]",
        "[true, ",
        "[NaN,",
        "{ }",
        '["' + "x" * 5000,
    ],
)
def test_content_is_recognised_whatever_the_suffix(head):
    data = head.encode()
    assert looks_like_json(data[:4096], 10_000)
    assert looks_like_json(codecs.BOM_UTF16_LE + head.encode("utf-16-le")[:4094], 10_000)


@pytest.mark.parametrize(
    "head",
    [
        "",
        "{a: 1}",
        "{'a': 1}",
        "[tool.ruff]\nline-length = 3",
        "[[tool.x]]",
        '["a.b"]\nx = 1',
        "[2024-01-01 12:00] started",
        "[DEFAULT]",
        "# {",
        "3",
        '"text"',
        "\x08\0\0\0\0\0\0\0{}",
    ],
)
def test_other_content_is_declined(head):
    assert not looks_like_json(head.encode(), 10_000)
    assert not looks_like_json(head.encode(), len(head.encode()))


def test_a_small_file_that_only_begins_like_json_is_declined():
    text = b'{"a": 1, b: 2}'
    assert not looks_like_json(text, len(text))
    assert not looks_like_json(b"[" * 4096, 4096)


def test_the_index_of_a_sharded_checkpoint_is_left_to_its_loader():
    index = b'{"metadata": {}, "weight_map": {"w": "model-00001-of-00002.safetensors"}}'
    assert not looks_like_json(index, len(index))
    assert not looks_like_json(index, 100_000)
