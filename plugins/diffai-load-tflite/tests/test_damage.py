"""Models that lie: each is an error that names file and byte, at once and in little memory."""

from __future__ import annotations

import random
import struct
import time

import flatbuffers
import pytest
from diffai_load_tflite.flatbuffer import FlatBuffer
from diffai_load_tflite.loader import open_tflite

from diffai_core.plugin import LoadError, Source

MODEL_FIELDS = 8


@pytest.fixture
def failing(tmp_path):
    """Return a function that opens bytes as a model and returns the error."""

    def get(data):
        path = tmp_path / "bad.tflite"
        path.write_bytes(data)
        with pytest.raises(LoadError) as caught:
            open_tflite(Source(path), {})
        assert caught.value.path == str(path)
        return caught.value

    return get


def numbers(builder, values):
    builder.StartVector(4, len(values), 4)
    for value in reversed(values):
        builder.PrependInt32(value)
    return builder.EndVector()


def offsets(builder, places):
    builder.StartVector(4, len(places), 4)
    for place in reversed(places):
        builder.PrependUOffsetTRelative(place)
    return builder.EndVector()


def table(builder, n_fields, **fields):
    """Write a table; ``o3=place`` is an offset in slot 3, ``u2=7`` a 32-bit number, ``b1=5`` a byte, ``q1`` 64 bits."""
    builder.StartObject(n_fields)
    for key, value in fields.items():
        slot = int(key[1:])
        if key[0] == "o":
            builder.PrependUOffsetTRelativeSlot(slot, value, 0)
        elif key[0] == "b":
            builder.PrependInt8Slot(slot, value, 0)
        elif key[0] == "q":
            builder.PrependUint64Slot(slot, value, 0)
        else:
            builder.PrependUint32Slot(slot, value, 0)
    return builder.EndObject()


def model(build):
    """Return a model whose tensors, operators and buffers ``build(builder)`` gives."""
    builder = flatbuffers.Builder(256)
    graph, rest = build(builder)
    root = table(builder, MODEL_FIELDS, u0=3, o2=offsets(builder, [graph]), **rest(builder))
    builder.Finish(root, b"TFL3")
    return bytes(builder.Output())


def one_tensor(*, shape=(2,), kind=0, number=1, data=b"", buffer=None, **more):
    """Return a model with one constant."""

    def build(builder):
        first = table(builder, 3)
        payload = builder.CreateByteVector(data)
        second = table(builder, 3, **(buffer or {"o0": payload}))
        fields = {key: make(builder) if callable(make) else make for key, make in more.items()}
        shape_place, name = numbers(builder, shape), builder.CreateString("w")
        tensor = table(builder, 11, o0=shape_place, b1=kind, u2=number, o3=name, **fields)
        graph = table(builder, 5, o0=offsets(builder, [tensor]))
        buffers = offsets(builder, [first, second])
        return graph, lambda _: {"o4": buffers}

    return model(build)


def affine(scale, zero_point, axis):
    def make(builder):
        builder.StartVector(4, len(scale), 4)
        for value in reversed(scale):
            builder.PrependFloat32(value)
        scales = builder.EndVector()
        builder.StartVector(8, len(zero_point), 8)
        for value in reversed(zero_point):
            builder.PrependInt64(value)
        return table(builder, 7, o2=scales, o3=builder.EndVector(), u6=axis)

    return make


def test_an_intact_model_made_this_way_opens(tmp_path):
    path = tmp_path / "good.tflite"
    path.write_bytes(one_tensor(data=struct.pack("<2f", 1.5, -2)))
    with open_tflite(Source(path), {}) as artifact:
        assert artifact.tensors["w"].read().tolist() == [1.5, -2]


def test_a_file_without_the_identifier_is_refused(failing):
    error = failing(b"\0\0\0\0ET12" + bytes(64))
    assert (error.offset, error.reason) == (4, "no TensorFlow Lite model: TFL3 does not stand at byte 4")


def test_a_shape_that_declares_16_gigabytes_is_refused_without_reading_them(failing):
    assert "needs 17,179,869,184 bytes" in failing(one_tensor(shape=(1 << 16, 1 << 16), data=b"abcd")).reason


def test_a_shape_larger_than_any_array_is_refused(failing):
    assert "larger than any array" in failing(one_tensor(shape=(2**31 - 1,) * 3, data=b"abcd")).reason


def test_a_negative_length_of_a_constant_is_refused(failing):
    assert failing(one_tensor(shape=(-1, 2), data=b"abcd")).reason == "the constant 'w' has the shape [-1, 2]"


def test_a_buffer_that_is_not_there_is_refused(failing):
    assert failing(one_tensor(number=7)).reason == "tensor 'w' lies in buffer 7, and there are 2"


@pytest.mark.parametrize(("offset", "size"), [(1 << 40, 8), (16, 1 << 62), ((1 << 64) - 1, (1 << 64) - 1)])
def test_a_large_buffer_behind_the_end_of_the_file_is_refused(failing, offset, size):
    assert "the file ends here" in failing(one_tensor(buffer={"q1": offset, "q2": size})).reason


def test_a_large_buffer_behind_the_tables_is_read(tmp_path):
    path = tmp_path / "large.tflite"
    data = one_tensor(buffer={"q1": 1000, "q2": 8})
    path.write_bytes(data.ljust(1000, b"\0") + struct.pack("<2f", 3, 4))
    with open_tflite(Source(path), {}) as artifact:
        assert artifact.tensors["w"].read().tolist() == [3, 4]


@pytest.mark.parametrize(
    ("scale", "zero_point", "axis", "what"),
    [
        ([1.0, 2.0, 3.0], [0] * 3, 0, "3 scales along dimension 0 of [2, 4]"),
        ([1.0, 2.0], [0] * 2, 5, "2 scales along dimension 5 of [2, 4]"),
        ([1.0, 2.0], [0] * 2, 0xFFFFFFFF, "2 scales along dimension -1 of [2, 4]"),
        ([1.0, 2.0], [0], 0, "2 scales and 1 zero points"),
    ],
)
def test_scales_that_do_not_fit_the_shape_are_refused(failing, scale, zero_point, axis, what):
    error = failing(one_tensor(shape=(2, 4), kind=9, data=bytes(8), o4=affine(scale, zero_point, axis)))
    assert error.reason == f"the quantisation of tensor 'w' has {what}, which does not fit"


@pytest.mark.parametrize("raw", [b"", struct.pack("<i", -1), struct.pack("<3i", 1, 8, 12), struct.pack("<2i", 9999, 8)])
def test_texts_outside_of_their_buffer_are_refused(failing, raw):
    assert failing(one_tensor(shape=(1,), kind=5, data=raw or b"x")).offset is not None


def test_an_operator_that_takes_a_tensor_that_is_not_there_is_refused(failing, fixture_bytes):
    def build(builder):
        operator = table(builder, 5, u0=0, o1=numbers(builder, [0, 12]))
        code = offsets(builder, [table(builder, 4, b0=0)])
        tensor = table(builder, 5, o3=builder.CreateString("x"))
        graph = table(builder, 5, o0=offsets(builder, [tensor]), o3=offsets(builder, [operator]))
        return graph, lambda _: {"o1": code}

    assert failing(model(build)).reason == "refers to tensor 12, and its subgraph has 1"


def test_one_buffer_that_is_the_elements_of_many_tensors_is_refused(failing):
    def build(builder):
        payload = builder.CreateByteVector(bytes(4096))
        buffers = offsets(builder, [table(builder, 3), table(builder, 3, o0=payload)])
        shape, name = numbers(builder, (1024,)), builder.CreateString("w")
        tensors = [table(builder, 11, o0=shape, u2=1, o3=name) for _ in range(1000)]
        graph = table(builder, 5, o0=offsets(builder, tensors))
        return graph, lambda _: {"o4": buffers}

    assert failing(model(build)).reason == "the same bytes are the elements of too many tensors"


def test_a_sparse_constant_of_a_few_bytes_that_declares_gigabytes_is_refused(failing):
    def sparsity(builder):
        dimension = offsets(builder, [table(builder, 6, u1=1 << 30)])
        return table(builder, 3, o0=numbers(builder, [0]), o2=dimension)

    error = failing(one_tensor(shape=(1 << 30,), data=bytes(8), o6=sparsity))
    assert error.reason == "tensor 'w' is sparse and has 1,073,741,824 elements in 8 bytes"


def test_a_damaged_archive_behind_a_model_is_refused(failing, fixture_bytes):
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, 46, 0, 0)
    model_bytes = bytes(fixture_bytes("float.tflite"))
    error = failing(model_bytes + b"PK\x01\x02".ljust(45, b"\0") + end)
    assert error.reason == "the directory of the files behind the model is damaged"
    error = failing(model_bytes + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, 1 << 31, 0, 0))
    assert error.reason == "the directory of the files behind the model is damaged or too large"


def test_a_table_that_a_million_places_point_to_is_not_read_a_million_times(failing):
    def build(builder):
        tensors = offsets(builder, [table(builder, 5, o3=builder.CreateString("x" * 4000))] * 2000)
        graphs = [table(builder, 5, o0=tensors)] * 1
        many = offsets(builder, graphs * 3000)
        return graphs[0], lambda _: {"o3": builder.CreateString("d"), "o6": many}

    started = time.process_time()
    assert failing(model(build)).reason == "parts of the file are referred to again and again"
    assert time.process_time() - started < 2


def test_many_subgraphs_that_are_one_are_refused_in_a_second(failing):
    builder = flatbuffers.Builder(256)
    tensors = offsets(builder, [table(builder, 5)] * 50_000)
    graphs = offsets(builder, [table(builder, 5, o0=tensors)] * 50_000)
    builder.Finish(table(builder, MODEL_FIELDS, o2=graphs), b"TFL3")
    started = time.process_time()
    error = failing(bytes(builder.Output()))
    assert error.reason == "the file has too many tables, or refers to the same ones again and again"
    assert time.process_time() - started < 5


def test_a_description_of_a_table_before_the_file_is_refused(failing):
    data = bytearray(one_tensor(data=bytes(8)))
    (root,) = struct.unpack_from("<I", data)
    struct.pack_into("<i", data, root, 1 << 30)
    assert failing(data).reason == "the description of a table lies before the file"


@pytest.mark.parametrize("step", [0, 1, 0x7FFFFFFF, 0xFFFFFFFF])
def test_an_offset_to_itself_or_out_of_the_file_is_refused(failing, step):
    data = bytearray(one_tensor(data=bytes(8)))
    struct.pack_into("<I", data, 0, step)
    assert failing(data).reason == f"an offset of {step:,} points to nothing in the file"


@pytest.mark.parametrize("name", ["control.tflite", "int8.tflite", "sparse.tflite", "dequantize.tflite"])
def test_random_damage_is_an_error_or_something_readable(fixture_bytes, tmp_path, name):
    intact = fixture_bytes(name)
    rng = random.Random(name)
    path = tmp_path / "damaged.tflite"
    n_errors = 0
    for _ in range(150):
        data = bytearray(intact)
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(data))
            data[at] = rng.choice((0, 1, 4, 127, 128, 255, rng.randrange(256)))
        path.write_bytes(data)
        started = time.process_time()
        try:
            with open_tflite(Source(path), {}) as artifact:
                for ref in artifact.tensors.values():
                    for _ in ref.blocks(1 << 16):
                        pass
        except LoadError:
            n_errors += 1
        assert time.process_time() - started < 1
    assert 0 < n_errors < 150


def test_numbers_are_read_across_the_edges_of_pages(tmp_path):
    path = tmp_path / "pages"
    path.write_bytes(bytes(range(256)) * 40)
    with Source(path).open() as file:
        buffer = FlatBuffer(file)
        for at in range(4090, 4100):
            assert buffer.count(at) == int.from_bytes((bytes(range(256)) * 40)[at : at + 4], "little")
