"""Whatever is wrong with the bytes is a LoadError that names file and byte, soon and in bounded memory."""

from __future__ import annotations

import re

import pytest
from diffai_lib_protobuf import FIXED32, LENGTH, VARINT, Message
from diffai_lib_protobuf.message import MAX_DEPTH
from diffai_lib_protobuf.packed import packed_varints
from hypothesis import given, settings
from hypothesis import strategies as st

from diffai_core.plugin import DataFile, LoadError


def refusal(act):
    with pytest.raises(LoadError) as caught:
        act()
    return str(caught.value)


def walk(data):
    return list(Message.in_memory(data, "m.pb").fields())


def deep(message, levels=0):
    for field in message.fields():
        if field.wire == LENGTH:
            deep(field.message(), levels + 1)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\x0a\x05abc", "m.pb: byte 5: the file ends here, 2 bytes too early for field 1"),
        (b"\x0d\0\0\0", "m.pb: byte 4: the file ends here, 1 bytes too early for field 1"),
        (b"\x09\0\0\0", "m.pb: byte 4: the file ends here, 5 bytes too early for field 1"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "bytes too early for field 1"),
        (b"\x08", "m.pb: byte 1: the message ends inside a number"),
        (b"\x08\x80", "m.pb: byte 2: the message ends inside a number"),
        (b"\x80", "m.pb: byte 1: the message ends inside a number"),
        (b"\x08" + b"\x80" * 10 + b"\x01", "m.pb: byte 1: a number goes on after 10 bytes"),
        (b"\x08" + b"\xff" * 9 + b"\x02", "m.pb: byte 1: a number has more than 64 bits"),
        (b"\x00\x01", "the field number 0 is not allowed"),
        (b"\x05\0\0\0\0", "the field number 0 is not allowed"),
        (b"\x80\x80\x80\x80\x10\x01", "the field number 536870912 is not allowed"),
        (b"\x0b\x0c", "m.pb: byte 1: field 1 is a group (wire type 3), which this format does not use"),
        (b"\x0c", "field 1 is a group (wire type 4)"),
        (b"\x0e", "field 1 has the unknown wire type 6"),
        (b"\x0f", "field 1 has the unknown wire type 7"),
    ],
)
def test_bytes_that_are_no_message_are_an_error_that_names_file_and_byte(data, expected):
    assert expected in refusal(lambda: walk(data))


def test_a_length_that_ends_behind_the_message_is_an_error():
    (field,) = walk(b"\x0a\x02\x0a\x05")
    reason = refusal(lambda: list(field.message().fields()))
    assert reason == "m.pb: byte 4: the file ends here, 5 bytes too early for field 1"
    field, _ = walk(b"\x0a\x02\x0a\x05\x12\x05abcde")
    reason = refusal(lambda: list(field.message().fields()))
    assert reason == "m.pb: byte 4: field 1 has 5 bytes, 5 more than its message"


def test_a_number_that_ends_behind_the_message_is_an_error():
    field, _ = walk(b"\x0a\x02\x08\x80\x10\x01")
    assert "byte 4: the message ends inside a number" in refusal(lambda: list(field.message().fields()))


def test_the_offset_of_bytes_in_memory_is_added():
    message = Message.in_memory(b"\x0a\x05abc", "m.pb", 1000)
    assert "byte 1,005" in refusal(lambda: list(message.fields()))


def test_messages_nested_too_deeply_are_an_error():
    data = b""
    for _ in range(MAX_DEPTH + 5):
        data = b"\x0a" + varint(len(data)) + data
    assert f"nested more than {MAX_DEPTH} deep" in refusal(lambda: deep(Message.in_memory(data, "m.pb")))


def varint(value):
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def test_another_wire_type_than_expected_is_an_error():
    (field,) = walk(b"\x08\x05")
    assert refusal(field.text) == "m.pb: byte 1: field 1 holds a number instead of data with a length"
    assert "instead of 4 bytes" in refusal(field.float32)
    assert "instead of data with a length" in refusal(field.message)
    assert "instead of a number" in refusal(walk(b"\x0a\x00")[0].signed)


def test_text_that_is_not_utf8_is_an_error_at_the_byte():
    (field,) = walk(b"\x0a\x03ab\xff")
    assert refusal(field.text) == "m.pb: byte 4: the text in field 1 is not UTF-8"


def test_data_longer_than_the_limit_are_an_error():
    (field,) = walk(b"\x0a\x03abc")
    assert "field 1 has 3 bytes, more than the 2 allowed" in refusal(lambda: field.data(2))


def test_packed_numbers_that_do_not_fill_the_field_are_an_error():
    (field,) = walk(b"\x0a\x03abc")
    assert "field 1 has 3 bytes, which are no numbers of 4" in refusal(lambda: field.packed_count(FIXED32))
    (field,) = walk(b"\x0a\x02\x01\x80")
    assert "the message ends inside a number" in refusal(lambda: list(field.all_unsigned()))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\x01\x80", "byte 2: the message ends inside a number"),
        (b"\x01" + b"\x80" * 10 + b"\x01", "byte 1: a number goes on after 10 bytes"),
        (b"\x01" + b"\x80" * 20, "byte 1: a number goes on after 10 bytes"),
        (b"\x01" + b"\xff" * 9 + b"\x02", "byte 1: a number has more than 64 bits"),
    ],
)
def test_damaged_packed_numbers_are_an_error_at_the_byte(data, expected):
    source = Message.in_memory(data, "m.pb").source
    assert expected in refusal(lambda: list(packed_varints(source, 0, len(data))))


def test_more_fields_than_allowed_are_an_error():
    message = Message.in_memory(b"\x08\x01" * 11, "m.pb")
    assert len(message.by_number(11)[1]) == 11
    assert "the message has more than 10 fields" in refusal(lambda: message.by_number(10))


def test_a_part_that_the_file_does_not_hold_is_an_error(tmp_path):
    path = tmp_path / "m.pb"
    path.write_bytes(b"\x08\x01")
    with DataFile(path) as file:
        assert "the file ends here, 3 bytes too early" in refusal(lambda: Message.in_file(file, 1, 4))


@settings(deadline=None, derandomize=True, max_examples=500)
@given(st.binary(max_size=120))
def test_random_bytes_are_walked_or_refused_and_windows_agree_with_memory(data):
    found = walked_or_refused(Message.in_memory(data, "m.pb"))
    assert found == walked_or_refused(Message(_Narrow(data), 0, len(data)))
    if isinstance(found, str):
        assert re.match(r"m\.pb: byte \d+: ", found)
        return
    for number, wire, value, _ in found:
        assert 1 <= number < 1 << 29
        assert wire != VARINT or value < 1 << 64


def walked_or_refused(message):
    try:
        return [field[:4] for field in message.fields()]
    except LoadError as error:
        return str(error)


class _Narrow:
    """Gives as little at a time as the contract allows."""

    def __init__(self, data):
        self.size = len(data)
        self._data = data

    def window(self, position, count):
        assert 0 <= position <= position + count <= self.size
        return position, self._data[position : position + count]

    def read(self, position, count):
        return self._data[position : position + count]

    def error(self, reason, position):
        assert 0 <= position <= self.size
        return LoadError("m.pb", reason, position)
