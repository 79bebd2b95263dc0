"""What stands at the start of a GGUF file: every kind of value, every version, and every lie."""

from __future__ import annotations

import math
import struct
import time
import tracemalloc

import gguf
import numpy as np
import pytest
from diffai_load_gguf import cursor, metadata
from gguf import GGUFReader

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)

_VALUES = [
    (U8, 255),
    (I8, -128),
    (U16, 65535),
    (I16, -32768),
    (U32, 4294967295),
    (I32, -2147483648),
    (F32, 0.5),
    (BOOL, True),
    (STRING, "größer"),
    (U64, (1 << 64) - 1),
    (I64, -(1 << 63)),
    (F64, 0.1),
]


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_kind_of_value_is_read_in_every_version_and_byte_order(handmade, opened, version, order):
    file = handmade(version, order)
    for kind, value in _VALUES:
        file.pair(f"one.{kind}", kind, value).pair(f"list.{kind}", ARRAY, [value, value], kind)
    file.pair("nested", ARRAY, [[1, 2], [], [3]], ARRAY).pair("none", ARRAY, [], F32)
    file.tensor("w", [2, 3], 0)
    data = struct.pack(f"{order}6f", *range(6))
    with opened(file.build(data)) as artifact:
        wanted = {
            key: value for kind, one in _VALUES for key, value in ((f"one.{kind}", one), (f"list.{kind}", [one] * 2))
        }
        assert artifact.tree == wanted | {"nested": [[1, 2], [], [3]], "none": []}
        assert type(artifact.tree["one.7"]) is bool
        assert artifact.tensors["w"].shape == (3, 2)
        assert artifact.tensors["w"].read().tolist() == [[0, 1], [2, 3], [4, 5]]


def test_the_package_reads_what_the_tests_write_by_hand_in_the_same_way(handmade, opened, tmp_path):
    file = handmade()
    for kind, value in _VALUES:
        file.pair(f"one.{kind}", kind, value).pair(f"list.{kind}", ARRAY, [value, value], kind)
    built = file.tensor("w", [2, 3], 0).build(struct.pack("<6f", *range(6)))
    with opened(built) as artifact:
        reader = GGUFReader(tmp_path / "x.gguf")
        for key, value in artifact.tree.items():
            assert reader.get_field(key).contents() == value
        assert reader.tensors[0].data.tolist() == artifact.tensors["w"].read().tolist()


def test_numbers_that_are_none_are_kept(handmade, opened):
    with opened(handmade().pair("a", ARRAY, [math.inf, math.nan], F32).build()) as artifact:
        assert artifact.tree["a"][0] == math.inf
        assert math.isnan(artifact.tree["a"][1])


def test_strings_that_are_not_utf8_or_hold_zeros_are_kept_as_they_are(handmade, opened):
    tokens = ["a", b"\xff\xfe", "\0", "", "ü\0", "漢"]
    with opened(handmade().pair("t", ARRAY, tokens, STRING).pair("s", STRING, b"\x80").build()) as artifact:
        assert artifact.tree == {"t": tokens, "s": b"\x80"}


def test_strings_that_span_windows_are_joined(handmade, opened, monkeypatch):
    monkeypatch.setattr(cursor, "FIRST_WINDOW", 16)
    monkeypatch.setattr(cursor, "WINDOW", 24)
    tokens = [f"token {number}" * (number % 5) for number in range(500)]
    file = handmade().pair("t", ARRAY, tokens, STRING).pair("n", ARRAY, list(range(300)), U32).tensor("w", [1], 0)
    with opened(file.build(bytes(4))) as artifact:
        assert artifact.tree == {"t": tokens, "n": list(range(300))}


def test_what_describes_the_container_alone_is_no_difference(handmade, opened):
    file = handmade().pair("general.alignment", U32, 64).pair("split.no", U16, 0).pair("split.count", U16, 0)
    file.pair("split.tensors.count", I32, 1).pair("general.name", STRING, "x").tensor("w", [1], 0)
    with opened(file.build(bytes(4), alignment=64)) as artifact:
        assert artifact.tree == {"general.name": "x"}
        assert artifact.not_readable == ()


@pytest.mark.parametrize("alignment", [1, 8, 32, 4096])
def test_tensors_are_found_at_any_alignment(tmp_path, open_path, alignment):
    writer = gguf.GGUFWriter(tmp_path / "a.gguf", "llama")
    writer.add_custom_alignment(alignment)
    arrays = {f"t{number}": np.arange(number + 1, dtype=np.float32) for number in range(9)}
    for name, array in arrays.items():
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with open_path(tmp_path / "a.gguf") as artifact:
        assert {name: ref.read().tolist() for name, ref in artifact.tensors.items()} == {
            name: array.tolist() for name, array in arrays.items()
        }
        assert artifact.not_readable == ()


def test_a_vocabulary_of_262144_tokens_opens_without_numpy_in_little_time(handmade, opened):
    count = 1 << 18
    file = handmade().pair("tokens", ARRAY, [f"token{number}" for number in range(count)], STRING)
    built = file.pair("scores", ARRAY, [0.5] * count, F32).build()
    started = time.process_time()
    with opened(built) as artifact:
        seconds = time.process_time() - started
        assert artifact.tree["tokens"][-1] == "token262143"
    assert seconds < 2.5  # 0.15 s on an idle machine; the package's own reader takes 12


# -- lies ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("magic", [b"lmgg", b"fmgg", b"tjgg", b"algg"])
def test_formats_that_came_before_gguf_are_refused_by_their_names(refusal, magic):
    error = refusal(magic + bytes(100))
    assert "came before GGUF; convert it" in error.reason
    assert error.offset == 0


@pytest.mark.parametrize("version", [0, 4, 1 << 31])
def test_an_unknown_version_is_an_error_that_names_it(refusal, version):
    error = refusal(b"GGUF" + struct.pack("<I", version) + bytes(100))
    assert error.offset == 4
    assert "versions 1 to 3 are read" in error.reason


@pytest.mark.parametrize("number", [1 << 63, (1 << 64) - 1, 1000, 1_000_001])
def test_more_tensors_or_pairs_than_fit_are_an_error_at_once(handmade, refusal, number):
    for name in ("n_tensors", "n_pairs"):
        file = handmade().pair("a", U8, 1)
        setattr(file, name, number)
        error = refusal(file.build())
        assert "more than fit" in error.reason
        assert error.offset is not None


@pytest.mark.parametrize("kind", [U8, F64, STRING, ARRAY, 77])
@pytest.mark.parametrize("count", [(1 << 64) - 1, 1 << 40, 10_000])
def test_a_list_longer_than_the_file_is_an_error_before_memory_is_taken(handmade, refusal, kind, count):
    file = handmade()
    raw = file.text("a") + file.pack("I", ARRAY) + file.pack("I", kind) + file.pack("Q", count)
    tracemalloc.start()
    error = refusal(file.raw_pair(raw).build(bytes(1000)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "under 'a'" in error.reason
    assert peak < 1 << 22


def test_more_elements_of_lists_than_are_allowed_are_an_error(handmade, refusal, monkeypatch):
    monkeypatch.setattr(metadata, "MAX_VALUES", 10)
    file = handmade().pair("a", ARRAY, [1] * 6, U8).pair("b", ARRAY, [1] * 6, U8)
    assert "under 'b', more than fit" in refusal(file.build()).reason


def test_lists_in_lists_count_for_more_as_they_take_more_time(handmade, refusal, monkeypatch):
    monkeypatch.setattr(metadata, "MAX_VALUES", 100)
    assert "under 'a', more than fit" in refusal(handmade().pair("a", ARRAY, [[]] * 7, ARRAY).build()).reason


@pytest.mark.parametrize("depth", [9, 1000, 100_000])
def test_lists_nested_too_deeply_are_an_error(handmade, refusal, depth):
    file = handmade()
    level = file.pack("I", ARRAY) + file.pack("Q", 1)
    error = refusal(file.raw_pair(file.text("a") + file.pack("I", ARRAY) + level * depth).build())
    assert error.reason == "lists nested more than 8 deep under 'a'"


def test_a_string_longer_than_the_file_is_an_error(handmade, refusal):
    file = handmade()
    raw = file.text("a") + file.pack("I", STRING) + file.pack("Q", (1 << 64) - 1)
    error = refusal(file.raw_pair(raw).build())
    assert "bytes too early" in error.reason
    assert error.offset == 24 + 9 + 4


def test_a_string_longer_than_is_allowed_is_an_error(handmade, refusal, monkeypatch):
    monkeypatch.setattr(cursor, "MAX_STRING", 5)
    monkeypatch.setattr(cursor, "FIRST_WINDOW", 1)
    monkeypatch.setattr(cursor, "WINDOW", 1)
    assert refusal(handmade().pair("a", STRING, "123456").build()).reason == "a string of 6 bytes; at most 5 are read"


def test_a_header_longer_than_is_allowed_is_an_error(handmade, refusal, monkeypatch):
    monkeypatch.setattr(cursor, "MAX_HEADER", 1000)
    monkeypatch.setattr(cursor, "FIRST_WINDOW", 1)
    monkeypatch.setattr(cursor, "WINDOW", 1)
    error = refusal(handmade().pair("a", ARRAY, ["x" * 50] * 50, STRING).build())
    assert error.reason == "a header of more than 1,000 bytes"


def test_the_same_key_twice_is_an_error(handmade, refusal):
    file = handmade().pair("a", U8, 1)
    place = len(file.build(alignment=1))
    error = refusal(file.pair("a", U8, 1).build())
    assert (error.reason, error.offset) == ("the key 'a' is there twice", place)


def test_a_key_that_is_no_text_is_an_error(handmade, refusal):
    assert refusal(handmade().pair(b"\xff", U8, 1).build()).reason == "the key b'\\xff' is not UTF-8"


def test_an_unknown_kind_of_value_is_an_error(handmade, refusal):
    file = handmade()
    error = refusal(file.raw_pair(file.text("a") + file.pack("I", 13) + bytes(8)).build())
    assert "unknown type 13" in error.reason


def test_a_truth_value_of_2_is_an_error(handmade, refusal):
    assert "other than 0 and 1" in refusal(handmade().pair("a", BOOL, 2).build()).reason


@pytest.mark.parametrize("alignment", [0, 3, 33, (1 << 32) - 1])
def test_an_alignment_that_is_no_power_of_two_is_an_error(handmade, refusal, alignment):
    error = refusal(handmade().pair("general.alignment", U32, alignment).tensor("w", [1], 0).build(bytes(64)))
    assert error.reason == f"general.alignment is {alignment}, which is no power of two"
    assert error.offset == 24


def test_an_alignment_that_is_no_number_is_an_error(handmade, refusal):
    error = refusal(handmade().pair("general.alignment", STRING, "32").build())
    assert error.reason == "general.alignment is no unsigned number of 32 bits"


@pytest.mark.parametrize("n_bytes", range(0, 200, 7))
def test_a_file_that_ends_in_its_header_is_an_error_that_names_the_byte(handmade, refusal, n_bytes):
    built = handmade().pair("a", STRING, "x" * 100).pair("b", ARRAY, [1] * 50, U8).tensor("w", [1], 0).build()
    error = refusal(built[:n_bytes])
    assert error.offset is not None
    assert error.offset <= n_bytes
