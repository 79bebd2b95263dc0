"""The walk gives what protobuf's own library wrote, and reads no more of a file than it must."""

from __future__ import annotations

import pickle

import pytest
from diffai_lib_protobuf import FIXED32, FIXED64, LENGTH, VARINT, Message
from diffai_lib_protobuf.message import MAX_DEPTH
from diffai_lib_protobuf.packed import packed_varints
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given, settings
from hypothesis import strategies as st

from diffai_core.plugin import DataFile

_TYPES = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "int32": (1, _TYPES.TYPE_INT32, lambda field: field.signed()),
    "int64": (2, _TYPES.TYPE_INT64, lambda field: field.signed()),
    "uint32": (3, _TYPES.TYPE_UINT32, lambda field: field.unsigned()),
    "uint64": (4, _TYPES.TYPE_UINT64, lambda field: field.unsigned()),
    "sint32": (5, _TYPES.TYPE_SINT32, lambda field: field.zigzag()),
    "sint64": (6, _TYPES.TYPE_SINT64, lambda field: field.zigzag()),
    "bool": (7, _TYPES.TYPE_BOOL, lambda field: field.boolean()),
    "fixed32": (8, _TYPES.TYPE_FIXED32, lambda field: field.expect(FIXED32).value),
    "fixed64": (9, _TYPES.TYPE_FIXED64, lambda field: field.expect(FIXED64).value),
    "float": (10, _TYPES.TYPE_FLOAT, lambda field: field.float32()),
    "double": (11, _TYPES.TYPE_DOUBLE, lambda field: field.float64()),
    "string": (12, _TYPES.TYPE_STRING, lambda field: field.text()),
    "bytes": (5000, _TYPES.TYPE_BYTES, lambda field: field.data()),
}
_REPEATED = {
    "all_signed": (20, _TYPES.TYPE_INT64),
    "all_unsigned": (21, _TYPES.TYPE_UINT64),
    "all_float32": (22, _TYPES.TYPE_FLOAT),
    "all_float64": (23, _TYPES.TYPE_DOUBLE),
}


def _message_class():
    file = descriptor_pb2.FileDescriptorProto(name="all.proto", package="t", syntax="proto2")
    message = file.message_type.add(name="All")
    for name, (number, kind, _) in _SCALARS.items():
        message.field.add(name=name, number=number, type=kind, label=_TYPES.LABEL_OPTIONAL)
    for name, (number, kind) in _REPEATED.items():
        for packed in (False, True):
            field = message.field.add(
                name=f"{name}_{packed}", number=number + 10 * packed, type=kind, label=_TYPES.LABEL_REPEATED
            )
            field.options.packed = packed
    message.field.add(name="child", number=1000, type=11, type_name=".t.All", label=_TYPES.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("t.All"))


All = _message_class()
_FLOAT32 = st.floats(width=32, allow_nan=False)
_VALUES = {
    "int32": st.integers(-(1 << 31), (1 << 31) - 1),
    "int64": st.integers(-(1 << 63), (1 << 63) - 1),
    "uint32": st.integers(0, (1 << 32) - 1),
    "uint64": st.integers(0, (1 << 64) - 1),
    "sint32": st.integers(-(1 << 31), (1 << 31) - 1),
    "sint64": st.integers(-(1 << 63), (1 << 63) - 1),
    "bool": st.booleans(),
    "fixed32": st.integers(0, (1 << 32) - 1),
    "fixed64": st.integers(0, (1 << 64) - 1),
    "float": _FLOAT32,
    "double": st.floats(allow_nan=False),
    "string": st.text(max_size=300),
    "bytes": st.binary(max_size=300),
}


@pytest.fixture
def in_file(tmp_path):
    opened = []

    def message(data):
        path = tmp_path / f"{len(opened)}.pb"
        path.write_bytes(data)
        opened.append(DataFile(path))
        return Message.in_file(opened[-1])

    yield message
    for file in opened:
        file.close()


@pytest.mark.parametrize("name", _SCALARS)
def test_every_scalar_type_is_read_as_protobuf_wrote_it(name):
    number, _, read = _SCALARS[name]

    @settings(deadline=None, derandomize=True, max_examples=60)
    @given(_VALUES[name])
    def law(value):
        (field,) = Message.in_memory(All(**{name: value}).SerializeToString(), "m").fields()
        assert (field.number, read(field)) == (number, value)

    law()


@pytest.mark.parametrize("name", _REPEATED)
@pytest.mark.parametrize("packed", [False, True])
def test_repeated_numbers_are_read_packed_or_not(name, packed):
    number, _ = _REPEATED[name]
    kind = {"all_signed": "int64", "all_unsigned": "uint64", "all_float32": "float", "all_float64": "double"}[name]

    @settings(deadline=None, derandomize=True, max_examples=40)
    @given(st.lists(_VALUES[kind], max_size=50))
    def law(values):
        message = Message.in_memory(All(**{f"{name}_{packed}": values}).SerializeToString(), "m")
        fields = list(message.fields())
        assert {field.number for field in fields} <= {number + 10 * packed}
        assert [value for field in fields for value in getattr(field, name)()] == values

    law()


def test_a_long_packed_field_is_read_through_the_window(in_file):
    values = [(1 << (k % 64)) - 1 for k in range(200_000)]
    message = in_file(All(all_unsigned_True=values).SerializeToString())
    (field,) = message.fields()
    assert list(field.all_unsigned()) == values
    arrays = list(packed_varints(message.source, field.start, field.value))
    assert [value for array in arrays for value in array.tolist()] == values
    assert max(map(len, arrays)) < 300_000


def test_long_packed_floats_are_read_in_pieces(in_file):
    values = [k / 4 for k in range(50_000)]
    (field,) = in_file(All(all_float32_True=values).SerializeToString()).fields()
    assert field.packed_count(FIXED32) == 50_000
    assert list(field.all_float32()) == values


@settings(deadline=None, derandomize=True)
@given(st.lists(st.integers(0, (1 << 64) - 1), min_size=1, max_size=200))
def test_packed_varints_are_those_that_protobuf_wrote(values):
    message = Message.in_memory(All(all_unsigned_True=values).SerializeToString(), "m")
    (field,) = message.fields()
    found = [int(value) for array in packed_varints(message.source, field.start, field.value) for value in array]
    assert found == values


def test_a_field_says_where_its_data_lie_in_the_file(in_file):
    data = All(string="ab", bytes=b"0123456789" * 10_000, child=All(bytes=b"xyz")).SerializeToString()
    for field in in_file(data).fields():
        if field.wire == LENGTH and field.number == 5000:
            assert data[field.start : field.start + field.value] == b"0123456789" * 10_000
        if field.number == 1000:
            (inner,) = field.message().fields()
            assert data[inner.start : inner.start + inner.value] == b"xyz"


def test_nested_messages_and_their_enclosing_ones_are_walked_in_turn(in_file):
    data = b"".join(All(child=All(string=str(k) * (k % 7), uint64=k), int32=k).SerializeToString() for k in range(9000))
    seen = []
    for field in in_file(data).fields():
        if field.number == 1000:
            seen.append([child.value if child.wire == VARINT else child.text() for child in field.message().fields()])
        else:
            assert field.signed() == len(seen) or field.signed() == len(seen) - 1
    assert sorted(map(str, seen)) == sorted(str([k, str(k) * (k % 7)]) for k in range(9000))


def test_data_are_skipped_and_not_read(tmp_path, monkeypatch):
    path = tmp_path / "big.pb"
    big = All(bytes=bytes(3 << 20), string="end", child=All(bytes=bytes(1 << 20))).SerializeToString()
    path.write_bytes(big)
    taken = []
    read = DataFile.read
    monkeypatch.setattr(DataFile, "read", lambda self, at, count: taken.append(count) or read(self, at, count))
    with DataFile(path) as file:
        numbers = [field.number for field in Message.in_file(file).fields()]
    assert sorted(numbers) == [12, 1000, 5000]
    assert sum(taken) < 20_000


def test_a_message_in_a_part_of_a_file_ends_where_it_is_told_to(tmp_path):
    path = tmp_path / "part.pb"
    data = All(int32=5).SerializeToString()
    path.write_bytes(b"\xff" * 100 + data + b"\xff" * 100)
    with DataFile(path) as file:
        assert [field.value for field in Message.in_file(file, 100, len(data)).fields()] == [5]


def test_a_message_in_a_file_can_be_pickled(tmp_path):
    path = tmp_path / "m.pb"
    path.write_bytes(All(child=All(string="inside")).SerializeToString())
    with DataFile(path) as file:
        (field,) = Message.in_file(file).fields()
        packed = pickle.dumps(field.message())
    message = pickle.loads(packed)
    assert [field.text() for field in message.fields()] == ["inside"]
    message.source.file.close()


def test_fields_are_gathered_by_number_in_the_order_of_the_file():
    found = Message.in_memory(All(int32=1, all_signed_False=[7, 8, 9]).SerializeToString(), "m").by_number()
    assert {number: [field.value for field in fields] for number, fields in found.items()} == {1: [1], 20: [7, 8, 9]}


def test_messages_as_deep_as_protobuf_allows_are_read():
    inner = All(int32=3)
    for _ in range(MAX_DEPTH - 1):
        inner = All(child=inner)
    message = Message.in_memory(inner.SerializeToString(), "m")
    for _ in range(MAX_DEPTH - 1):
        (field,) = message.fields()
        message = field.message()
    assert [field.value for field in message.fields()] == [3]
