"""Documents, arrays and stores that lie about themselves."""

from __future__ import annotations

import json
from contextlib import ExitStack

import msgpack
import numpy as np
import pytest
import tensorstore
import zstandard
from diffai_load_jax.crc32c import crc32c
from diffai_load_jax.flax import open_flax
from diffai_load_jax.ocdbt import read_ocdbt
from diffai_load_jax.orbax import open_orbax, open_zarr
from diffai_load_jax.sniff import looks_like_flax

from diffai_core.plugin import DataFile, LoadError, Source


def refused(path, opened):
    with pytest.raises(LoadError) as caught, opened(Source(path), {}) as artifact:  # noqa: PT012 - either may raise
        for ref in artifact.tensors.values():
            for _ in ref.blocks(1 << 20):
                pass
    assert "\n" not in str(caught.value)
    return caught.value.reason


def array(*parts):
    return msgpack.ExtType(1, msgpack.packb(parts))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "in the middle of a value"),
        (msgpack.packb({"a": 1})[:-1], "in the middle"),
        (msgpack.packb({"a": 1}) + b"\0", "follow the document"),
        (b"\xdf\xff\xff\xff\xff", "4,294,967,295 values in 0 bytes"),
        (b"\x81\xa1a\xdb\x7f\xff\xff\xff", "a text of"),
        (b"\x91" * 200 + b"\x01", "nested deeper"),
        (b"\x82\xa1a\x01\xa1a\x02", "stands twice"),
        (b"\x81\xc0\x01", "a key that is neither"),
        (b"\x81\xa1a\xc1", "no value begins"),
        (msgpack.packb({"a": array([3], "float32", b"12345678")}), "in 8 bytes instead of 12"),
        (msgpack.packb({"a": array([1 << 62, 1 << 62], "float32", b"")}), "in 0 bytes instead of"),
        (msgpack.packb({"a": array([-1], "float32", b"")}), "not a list of lengths"),
        (msgpack.packb({"a": array([1], "object", b"12345678")}), "'object', which is not known"),
        (msgpack.packb({"a": array([1], "float32")}), "not a shape, a dtype and bytes"),
        (msgpack.packb({"a": msgpack.ExtType(9, b"")}), "type 9"),
        (msgpack.packb({"a.b": array([0], "int8", b""), "a": {"b": array([0], "int8", b"")}}), "two arrays"),
        (
            msgpack.packb({"w": {"__msgpack_chunked_array__": True, "shape": {"0": 9}, "chunks": {}}}),
            "do not make an array",
        ),
    ],
)
def test_a_document_that_lies_is_an_error(tmp_path, data, reason):
    path = tmp_path / "a.msgpack"
    path.write_bytes(data)
    assert reason in refused(path, open_flax)


@pytest.mark.parametrize("head", [b"\x80\x02}q\0.", b"\x82\xa1a\x01\xa1b\x02", b"{Lu\7learner", b"PK\x03\x04", b"\x81"])
def test_other_files_are_not_taken_for_flax(head):
    assert not looks_like_flax(head, len(head))


def test_the_checksum_is_the_one_of_its_standard():
    assert crc32c(b"123456789") == 0xE3069283


@pytest.fixture
def zarr(tmp_path):
    """Write a zarr array with a description and chunks."""

    def zarr(stored=None, **changes):
        described = {"zarr_format": 2, "shape": [4], "chunks": [2], "dtype": "<f4", "compressor": None}
        described |= {"fill_value": 1.5, "filters": None, "order": "C"} | changes
        (tmp_path / ".zarray").write_text(json.dumps(described), encoding="ascii")
        for key, data in (stored or {}).items():
            (tmp_path / key).write_bytes(data)
        return tmp_path

    return zarr


def test_chunks_that_were_never_written_are_the_fill_value(zarr):
    with open_zarr(Source(zarr({"1": np.array([3, 4], "f4").tobytes()})), {}) as artifact:
        assert artifact.tensors["array"].read().tolist() == [1.5, 1.5, 3, 4]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"shape": "4"}, "description of a zarr array is damaged"),
        ({"shape": [-1]}, "description of a zarr array is damaged"),
        ({"chunks": [0]}, "do not fit"),
        ({"chunks": [1, 1]}, "do not fit"),
        ({"zarr_format": 7}, "description of a zarr array is damaged"),
        ({"shape": [1 << 50], "chunks": [1 << 49]}, "declares arrays of"),
    ],
)
def test_a_description_that_lies_is_an_error(zarr, changes, reason):
    assert reason in refused(zarr(**changes), open_zarr)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"compressor": {"id": "blosc"}}, "blosc"),
        ({"filters": [{"id": "delta"}]}, "filters"),
        ({"dtype": "|O"}, "elements of type |O"),
        ({"shape": [1 << 30], "chunks": [1]}, "chunks; at most"),
        ({"shape": [1 << 14, 1 << 14], "chunks": [1 << 13, 1 << 13], "order": "F"}, "do not follow each other"),
    ],
)
def test_what_is_not_read_makes_the_result_inconclusive(zarr, changes, reason):
    with open_zarr(Source(zarr(**changes)), {}) as artifact:
        (entry,) = artifact.not_readable
        assert reason in entry.reason


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"1234567", "bytes 0 to 8"),
        (b"123456789", "follow the elements"),
    ],
)
def test_a_chunk_of_another_length_is_an_error(zarr, data, reason):
    assert reason in refused(zarr({"0": data}), open_zarr)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (zstandard.compress(b"1234567"), "too early"),
        (zstandard.compress(bytes(1 << 24)), "goes on after"),
        (b"1234567", "damaged"),
        (zstandard.compress(b"12345678")[:-3], "too early"),
    ],
)
def test_a_compressed_chunk_of_another_length_is_an_error(zarr, data, reason):
    assert reason in refused(zarr({"0": data}, compressor={"id": "zstd"}), open_zarr)


def varints(*numbers):
    return b"".join(bytes([n & 0x7F | 0x80, n >> 7]) if n > 127 else bytes([n]) for n in numbers)


def sealed(magic, body):
    """Return a manifest or node with its head and checksum."""
    head = bytes.fromhex(magic) + (len(body) + 18).to_bytes(8, "little") + b"\0\0"
    return head + body + crc32c(head + body).to_bytes(4, "little")


def manifest(path, offset=0, length=20):
    """Return a manifest whose root node lies in the file ``path``."""
    body = bytes(16) + varints(0, 100, 127) + bytes([4]) + varints(0)
    body += varints(1, len(path), 0) + path
    body += varints(1, 1) + bytes([0]) + varints(0, offset, length, 1, 1, 0) + bytes(8) + varints(0)
    return sealed("0cdb3a2a", body)


def leaf(kind, *places, size=8):
    """Return a node with keys ``a``, ``b`` … whose values are ``size`` bytes at these places of the file ``f``."""
    count = len(places)
    keys = bytes(range(97, 97 + count))
    body = bytes([0]) + varints(1, 1, 0) + b"f" + varints(count, *(0,) * (count - 1), *(1,) * count) + keys
    body += varints(*(size,) * count, *(kind,) * count, *(0,) * count, *places)
    return sealed("0cdb20de", body)


def store(folder, node):
    """Write a store with one node."""
    (folder / "f").write_bytes(node)
    (folder / "manifest.ocdbt").write_bytes(manifest(b"f", length=len(node)))
    return folder


@pytest.mark.parametrize("path", [b"../secret", b"/etc/passwd", b"d/../../secret", b"nothing"])
def test_a_store_that_names_a_file_outside_of_its_folder_is_refused(tmp_path, path):
    (tmp_path / "secret").write_bytes(bytes(100))
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "manifest.ocdbt").write_bytes(manifest(path))
    assert "not in the folder" in refused(folder, open_orbax)


def test_a_node_beyond_the_end_of_its_file_is_an_error(tmp_path):
    (tmp_path / "f").write_bytes(bytes(100))
    (tmp_path / "manifest.ocdbt").write_bytes(manifest(b"f", offset=90))
    assert "ends after 100" in refused(tmp_path, open_orbax)


def test_a_store_whose_root_is_no_node_is_an_error(tmp_path):
    (tmp_path / "f").write_bytes(bytes(100))
    (tmp_path / "manifest.ocdbt").write_bytes(manifest(b"f"))
    assert "no node" in refused(tmp_path, open_orbax)


def test_a_store_that_is_whole_is_read(tmp_path):
    with open_orbax(Source(store(tmp_path, leaf(1, 0, 8))), {}) as artifact:
        assert [entry.where for entry in artifact.not_readable] == ["a", "b"]


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        (leaf(2, 0), "neither in its node nor in a file"),
        (leaf(1, 127), "the file ends after"),
        (leaf(1, *(0,) * 10, size=90), "more than its files hold"),
        (leaf(1, 0)[:-5] + b"!" + leaf(1, 0)[-4:], "checksum"),
        (sealed("0cdb20de", bytes([1])), "not of height 0"),
        (sealed("0cdb20de", bytes([0]) + varints(0, 0)), "is empty"),
        (sealed("0cdb20de", bytes([0]) + varints(0, 100)), "100 entries in 0 bytes"),
        (sealed("0cdb20de", bytes([0]) + b"\xff" * 12), "a number without end"),
    ],
)
def test_a_node_that_lies_is_an_error(tmp_path, node, reason):
    assert reason in refused(store(tmp_path, node), open_orbax)


def test_a_tree_of_several_levels_gives_every_key(tmp_path):
    config = {"max_decoded_node_bytes": 200, "max_inline_value_bytes": 10}
    base = {"driver": "file", "path": f"{tmp_path}/"}
    keys = tensorstore.KvStore.open({"driver": "ocdbt", "base": base, "config": config}).result()
    written = {f"key {number:03}": b"v" * (number % 30) for number in range(300)}
    with tensorstore.Transaction() as transaction:
        for key, value in written.items():
            keys.with_transaction(transaction).write(key, value).result()
    with DataFile(tmp_path / "manifest.ocdbt") as head, ExitStack() as stack:
        found = read_ocdbt(head, lambda path: stack.enter_context(DataFile(tmp_path / path)))
        assert {key: value.read(0, value.size) for key, value in found.items()} == written
