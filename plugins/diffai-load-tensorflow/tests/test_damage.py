"""Files that lie: each is an error that names file and byte, at once and in little memory."""

from __future__ import annotations

import random
import shutil
import struct
import time

import numpy as np
import pytest
from diffai_load_tensorflow.crc32c import crc32c, unmasked
from diffai_load_tensorflow.loader import open_tensorflow

from diffai_core.plugin import LoadError, Source

MAGIC = bytes.fromhex("57fb808b247547db")


def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def data(number, content):
    return varint(number << 3 | 2) + varint(len(content)) + content


def number(field, value):
    return varint(field << 3) + varint(value % (1 << 64))


def masked(content):
    crc = crc32c(content)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def sealed(content, kind=0):
    """Return a block with its trailer, and its size."""
    body = content + bytes([kind])
    return body + struct.pack("<I", masked(body)), len(content)


def table(content, kind=0, handle=None):
    """Return a table of one block with this content."""
    rows, size = sealed(content, kind)
    place = handle or varint(0) + varint(size)
    index, index_size = sealed(varint(0) + varint(1) + varint(len(place)) + b"\xff" + place + struct.pack("<II", 0, 1))
    handles = varint(0) + varint(0) + varint(len(rows)) + varint(index_size)
    return rows + index + handles.ljust(40, b"\0") + MAGIC


def entries(*pairs):
    body = b"".join(varint(0) + varint(len(key)) + varint(len(value)) + key + value for key, value in pairs)
    return body + struct.pack("<II", 0, 1)


HEADER = (b"", number(1, 1) + data(3, number(1, 1)))


def shape(*lengths):
    return data(2, b"".join(data(2, number(1, length)) for length in lengths))


@pytest.fixture
def checkpoint(tmp_path):
    """Return a function that writes an index and a data file of 16 bytes and returns the error of opening them."""

    def get(index):
        path = tmp_path / "model.index"
        path.write_bytes(index)
        (tmp_path / "model.data-00000-of-00001").write_bytes(bytes(range(16)))
        with pytest.raises(LoadError) as caught:
            open_tensorflow(Source(path), {})
        return caught.value

    return get


@pytest.fixture
def graph(tmp_path):
    """Return a function that writes a graph with one constant and returns its path."""

    def get(tensor, name=b"constant"):
        body = data(1, name) + data(2, b"Const") + data(5, data(1, b"value") + data(2, data(8, tensor)))
        path = tmp_path / "graph.pb"
        path.write_bytes(data(1, body))
        return path

    return get


def opened_error(path):
    with pytest.raises(LoadError) as caught:
        open_tensorflow(Source(path), {})
    assert caught.value.path == str(path)
    return caught.value


# -- checksums -----------------------------------------------------------------------------------------------------


def test_checksums_are_those_of_the_published_vectors():
    assert crc32c(b"123456789") == 0xE3069283  # the check value of CRC-32C
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, B.4
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E
    assert crc32c(b"world", crc32c(b"hello ")) == crc32c(b"hello world")
    assert unmasked(masked(b"foo")) == crc32c(b"foo")


def test_a_flipped_bit_in_the_index_is_an_error_that_names_the_block(fixtures, tmp_path):
    folder = shutil.copytree(fixtures / "shards", tmp_path / "shards")
    path = folder / "model.index"
    intact = path.read_bytes()
    for at in (0, 20, 60, 100):
        path.write_bytes(intact[:at] + bytes([intact[at] ^ 4]) + intact[at + 1 :])
        error = opened_error(path)
        assert "checksum of a block" in error.reason
        assert error.offset is not None
        assert error.offset <= at


def test_damaged_texts_are_an_error(fixtures, tmp_path):
    folder = shutil.copytree(fixtures / "shards", tmp_path / "shards")
    path = folder / "model.data-00002-of-00003"
    path.write_bytes(path.read_bytes()[:-1] + b"T")
    with pytest.raises(LoadError, match=r"data-00002-of-00003: byte 0: the checksum of tensor 'd' is wrong"):
        open_tensorflow(Source(folder), {})


# -- the index -----------------------------------------------------------------------------------------------------


def test_a_compressed_block_is_refused_by_name(checkpoint):
    assert checkpoint(table(b"\0" * 20, kind=1)).reason == "a block is compressed (snappy), which is not supported"


@pytest.mark.parametrize("handle", [varint(1 << 62) + varint(8), varint(0) + varint(1 << 40)])
def test_a_block_behind_the_end_of_the_file_is_refused(checkpoint, handle):
    assert "a block of the table would end at byte" in checkpoint(table(entries(HEADER), handle=handle)).reason


@pytest.mark.parametrize(
    "content",
    [
        b"",
        struct.pack("<I", 1 << 30),
        varint(5) + varint(1) + varint(0) + b"x" + struct.pack("<II", 0, 1),
        varint(0) + varint(1 << 40) + varint(0) + struct.pack("<II", 0, 1),
        b"\xff" * 12 + struct.pack("<II", 0, 1),
    ],
)
def test_entries_that_reach_out_of_their_block_are_refused(checkpoint, content):
    assert checkpoint(table(content)).offset is not None


def test_keys_out_of_order_are_refused(checkpoint):
    assert "not in order" in checkpoint(table(entries(HEADER, (b"b", b""), (b"a", b"")))).reason
    assert "not in order" in checkpoint(table(entries(HEADER, (b"a", b""), (b"a", b"")))).reason


def test_an_index_without_header_is_refused(checkpoint):
    assert "has no header" in checkpoint(table(entries((b"a", number(1, 1))))).reason


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (number(1, 1) + shape(1 << 32, 1 << 32), "a tensor has a shape that no tensor can have"),
        (number(1, 1) + shape(-1), "a tensor has a shape that no tensor can have"),
        (number(1, 1) + shape(*[1] * 65) + number(5, 4), "a tensor has a shape that no tensor can have"),
        (number(1, 1) + data(2, number(3, 1)), "a tensor has a shape that no tensor can have"),
        (number(1, 1) + shape(4) + number(4, -8) + number(5, 16), "a tensor has a negative place or size"),
        (number(1, 1) + shape(4) + number(5, 12), "tensor 'w' needs 16 bytes (float32, shape [4]), and has 12"),
        (number(1, 1) + shape(1 << 32) + number(5, 4), "tensor 'w' needs 17,179,869,184 bytes (float32, shape [429"),
        (
            number(1, 1) + shape(4) + number(4, 8) + number(5, 16),
            "the file ends here, 8 bytes too early for tensor 'w'",
        ),
        (number(1, 1) + shape(4) + number(3, 7) + number(5, 16), "a tensor lies in data file 7, and there are 1"),
        (number(1, 7) + shape(9) + number(5, 8), "tensor 'w' has 9 texts in 8 bytes, which is not possible"),
        (number(1, 7) + shape(2) + number(4, 3) + number(5, 3), "the lengths of the texts of tensor 'w' are damaged"),
    ],
)
def test_a_tensor_that_cannot_be_is_refused(checkpoint, entry, reason):
    assert checkpoint(table(entries(HEADER, (b"w", entry)))).reason.startswith(reason)


def test_slices_outside_of_their_tensor_or_missing_are_refused(checkpoint):
    def part(start, length):
        return data(7, data(1, number(1, start) + number(2, length)))

    outside = number(1, 1) + shape(4) + part(3, 2)
    assert "leaves a dimension of length 4" in checkpoint(table(entries(HEADER, (b"w", outside)))).reason
    missing = number(1, 1) + shape(4) + part(0, 4)
    assert "a slice of tensor 'w' is not there" in checkpoint(table(entries(HEADER, (b"w", missing)))).reason
    stray = number(1, 1) + shape(4) + number(5, 16)
    key = b"\0w\0\1\1\1\x80\x84"
    assert "1 slices belong to no tensor" in checkpoint(table(entries(HEADER, (key, stray)))).reason


def test_slices_that_do_not_cover_their_tensor_are_an_error_when_it_is_read(tmp_path):
    part = data(7, data(1, number(1, 0) + number(2, 2)))
    whole = number(1, 1) + shape(4) + part
    key = b"\0w\0\1\1\1\x80\x82"
    held = number(1, 1) + shape(2) + number(5, 8)
    (tmp_path / "model.index").write_bytes(table(entries(HEADER, (key, held), (b"w", whole))))
    (tmp_path / "model.data-00000-of-00001").write_bytes(bytes(8))
    with open_tensorflow(Source(tmp_path), {}) as artifact, pytest.raises(LoadError, match="do not cover it"):
        artifact.tensors["w"].read()


def test_tensors_that_share_bytes_are_refused(checkpoint):
    rows = [
        (b"a", number(1, 1) + shape(2) + number(5, 8)),
        (b"b", number(1, 1) + shape(2) + number(4, 4) + number(5, 8)),
    ]
    assert checkpoint(table(entries(HEADER, *rows))).reason == "a tensor lies in the bytes of another one"


def test_a_missing_data_file_is_an_error_that_names_it(fixtures, tmp_path):
    folder = shutil.copytree(fixtures / "shards", tmp_path / "shards")
    (folder / "model.data-00001-of-00003").unlink()
    with pytest.raises(LoadError, match=r"model.index: its data file .*-00001-of-00003 cannot be read: no such file"):
        open_tensorflow(Source(folder), {})


def test_a_data_file_that_is_a_link_out_of_the_folder_is_refused(fixtures, tmp_path):
    folder = shutil.copytree(fixtures / "shards", tmp_path / "shards")
    part = folder / "model.data-00001-of-00003"
    part.rename(tmp_path / "elsewhere")
    part.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LoadError, match="is a link that leads out of the folder"):
        open_tensorflow(Source(folder), {})


def test_an_asset_outside_of_the_model_is_refused(fixtures, tmp_path):
    folder = shutil.copytree(fixtures / "saved_model", tmp_path / "model")
    path = folder / "saved_model.pb"
    path.write_bytes(path.read_bytes().replace(b"\x12\x09words.txt", b"\x12\x09../../etc"))
    with pytest.raises(LoadError, match=r"names the file 'assets/../../etc', which is not inside the folder"):
        open_tensorflow(Source(folder), {})


def test_a_big_endian_checkpoint_is_read(tmp_path):
    values = np.array([1.5, -2.0], ">f4").tobytes() + np.array([3 - 4j], ">c8").tobytes()
    header = (b"", number(1, 1) + number(2, 1) + data(3, number(1, 1)))
    rows = [
        (b"c", number(1, 8) + shape(1) + number(4, 8) + number(5, 8)),
        (b"f", number(1, 1) + shape(2) + number(5, 8)),
    ]
    (tmp_path / "model.index").write_bytes(table(entries(header, *rows)))
    (tmp_path / "model.data-00000-of-00001").write_bytes(values)
    with open_tensorflow(Source(tmp_path), {}) as artifact:
        assert artifact.tensors["f"].read().tolist() == [1.5, -2.0]
        assert artifact.tensors["c"].read().tolist() == [3 - 4j]


# -- graphs --------------------------------------------------------------------------------------------------------


def test_a_constant_of_a_few_bytes_that_declares_16_gigabytes_is_no_tensor(graph):
    path = graph(number(1, 1) + shape(1 << 16, 1 << 16) + data(5, struct.pack("<f", 2.5)))
    with open_tensorflow(Source(path), {}) as artifact:
        assert not artifact.tensors
        assert artifact.tree["constants"]["constant"]["shape"] == [1 << 16, 1 << 16]
        assert artifact.tree["constants"]["constant"]["bytes"] < 40


def test_many_constants_that_each_declare_much_are_written_out_up_to_a_bound(tmp_path):
    tensor = number(1, 1) + shape(1 << 25) + data(5, struct.pack("<f", 2.5))  # 128 MiB
    attribute = data(5, data(1, b"value") + data(2, data(8, tensor)))
    nodes = [data(1, data(1, b"n%d" % place) + data(2, b"Const") + attribute) for place in range(100)]
    path = tmp_path / "graph.pb"
    path.write_bytes(b"".join(nodes))
    with open_tensorflow(Source(path), {}) as artifact:
        assert (len(artifact.tensors), len(artifact.tree["constants"])) == (2, 98)


def test_a_constant_that_repeats_its_last_element_is_written_out_in_blocks(graph):
    path = graph(number(1, 1) + shape(1 << 12, 1 << 10) + data(5, struct.pack("<2f", 1.0, 2.5)))
    with open_tensorflow(Source(path), {}) as artifact:
        sizes = [
            (block.nbytes, float(block.min()), float(block.max()))
            for block in artifact.tensors["constant"].blocks(1 << 16)
        ]
    assert sum(size for size, _, _ in sizes) == 1 << 24
    assert max(size for size, _, _ in sizes) <= 1 << 16
    assert sizes[0][1:] == (1.0, 2.5)
    assert set(sizes[1:]) == {(1 << 16, 2.5, 2.5)}


@pytest.mark.parametrize(
    ("tensor", "reason"),
    [
        (number(1, 1) + shape(3) + data(4, bytes(8)), "a tensor needs 12 bytes (float32, shape [3]), and has 8"),
        (number(1, 1) + shape(1 << 62) + data(4, bytes(8)), "a tensor has a shape that no tensor can have"),
        (number(1, 1) + shape(-5), "a tensor has a shape that no tensor can have"),
    ],
)
def test_a_constant_that_cannot_be_is_refused(graph, tensor, reason):
    error = opened_error(graph(tensor))
    assert error.reason == reason
    assert error.offset is not None


def test_more_elements_than_the_shape_needs_are_an_error_when_they_are_read(graph):
    path = graph(number(1, 3) + shape(2) + data(7, bytes([1, 2, 3])))
    with open_tensorflow(Source(path), {}) as artifact, pytest.raises(LoadError, match="more elements than its shape"):
        artifact.tensors["constant"].read()


def test_two_nodes_of_one_name_are_refused(graph):
    path = graph(number(1, 1) + shape(1) + data(4, bytes(4)))
    path.write_bytes(path.read_bytes() * 2)
    assert opened_error(path).reason == "there are two nodes called 'constant'"


def write_objects(folder, graph_of_objects):
    size = struct.pack("<I", len(graph_of_objects))
    middle = struct.pack("<I", masked(size))
    raw = varint(len(graph_of_objects)) + middle + graph_of_objects
    checksum = varint(6 << 3 | 5) + struct.pack("<I", masked(size + middle + graph_of_objects))
    entry = number(1, 7) + data(2, b"") + number(5, len(raw)) + checksum
    (folder / "model.index").write_bytes(table(entries(HEADER, (b"_CHECKPOINTABLE_OBJECT_GRAPH", entry))))
    (folder / "model.data-00000-of-00001").write_bytes(raw)


def child(place, name):
    return data(1, number(1, place) + data(2, name))


def test_an_object_that_refers_to_none_is_an_error(tmp_path):
    write_objects(tmp_path, data(1, child(9, b"child")))
    with pytest.raises(LoadError, match="an object refers to object 9, and there are 1"):
        open_tensorflow(Source(tmp_path), {})


def test_objects_in_a_circle_and_of_one_name_have_one_path_each(tmp_path):
    variable = data(2, data(1, b"VARIABLE_VALUE") + data(2, b"v") + data(3, b"k"))
    nodes = [child(1, b"a") + child(2, b"a"), child(0, b"up") + variable, variable]
    write_objects(tmp_path, b"".join(data(1, node) for node in nodes))
    attributes = {"VARIABLE_VALUE": {"full_name": "v", "key": "k"}}
    with open_tensorflow(Source(tmp_path), {}) as artifact:
        assert artifact.tree["objects"] == {
            ".": {"also": {"a": "a (object 2)"}},
            "a": {"attributes": attributes, "also": {"up": "."}},
            "a (object 2)": {"attributes": attributes},
        }


def test_objects_nested_ten_thousand_deep_do_not_fill_the_memory(tmp_path):
    write_objects(tmp_path, b"".join(data(1, child(place + 1, b"child")) for place in range(10_000)) + data(1, b""))
    started = time.process_time()
    with pytest.raises(LoadError, match="nested too deeply"):
        open_tensorflow(Source(tmp_path), {})
    assert time.process_time() - started < 5


def test_functions_that_are_nested_in_attributes_without_end_are_refused(tmp_path):
    value = b""
    for _ in range(200):
        value = data(10, data(1, b"f") + data(2, data(1, b"a") + data(2, value)))
    path = tmp_path / "deep.pb"
    path.write_bytes(data(1, data(1, b"n") + data(2, b"Op") + data(5, data(1, b"a") + data(2, value))))
    assert "nested more than 100 deep" in opened_error(path).reason


@pytest.mark.parametrize("name", ["frozen.pb", "model.meta", "saved_model/saved_model.pb", "slices/model.index"])
def test_random_damage_is_an_error_or_something_readable(fixtures, tmp_path, name):
    folder = shutil.copytree((fixtures / name).parent, tmp_path / "copy") if "/" in name else tmp_path
    path = folder / name.rpartition("/")[2]
    intact = (fixtures / name).read_bytes()
    rng = random.Random(name)
    n_errors = 0
    for _ in range(60):
        damaged = bytearray(intact)
        for _ in range(rng.randrange(1, 4)):
            damaged[rng.randrange(len(damaged))] = rng.choice((0, 1, 8, 10, 18, 127, 128, 255, rng.randrange(256)))
        path.write_bytes(damaged)
        started = time.process_time()
        try:
            with open_tensorflow(Source(path), {}) as artifact:
                for ref in artifact.tensors.values():
                    assert sum(block.size for block in ref.blocks(1 << 16)) == ref.numel
        except LoadError:
            n_errors += 1
        assert time.process_time() - started < 1
    assert n_errors > 0
