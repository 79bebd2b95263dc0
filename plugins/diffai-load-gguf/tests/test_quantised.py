"""Every block type has the values that ``gguf.quants`` gives, bit for bit."""

from __future__ import annotations

import math
import pickle
import struct

import gguf
import numpy as np
import pytest
from diffai_load_gguf.types import BLOCK_TYPES, OPAQUE_TYPES, PLAIN_TYPES
from gguf import GGMLQuantizationType as Kind
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize, quantize
from hypothesis import given, settings
from hypothesis import strategies as st

from diffai_core.testing import watch

_OWN = {Kind.Q8_K, Kind.Q1_0}  # the package cannot dequantise them
_Q2_0 = 42  # the package does not know it
_CASES = [Kind(number) for number in BLOCK_TYPES if number not in {*_OWN, _Q2_0}]
_ROWS = 5


def _random_blocks(kind, n_rows, n_blocks, seed=0):
    """Return rows of blocks in which every code occurs and scales are finite, for all but a few blocks."""
    elements, nbytes = GGML_QUANT_SIZES[kind]
    rng = np.random.default_rng([seed, kind])
    return rng.integers(0, 256, (n_rows, n_blocks * nbytes), dtype=np.uint8), (n_rows, n_blocks * elements)


def _write(path, blocks, kind, endianess=gguf.GGUFEndian.LITTLE, name="w"):
    writer = gguf.GGUFWriter(path, "llama", endianess=endianess)
    writer.add_tensor(name, blocks, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _same(found, wanted):
    return np.array_equal(found.view(np.uint32), wanted.view(np.uint32))


def test_the_table_of_block_types_is_that_of_the_package():
    known = {kind: (block.name, block.elements, block.nbytes) for kind, block in BLOCK_TYPES.items()}
    del known[_Q2_0]
    assert known == {
        int(kind): (kind.name.lower(), *sizes)
        for kind, sizes in GGML_QUANT_SIZES.items()
        if kind not in PLAIN_TYPES and kind is not Kind.Q8_1
    }
    for number, element in PLAIN_TYPES.items():
        assert GGML_QUANT_SIZES[Kind(number)] == (1, element.bits // 8)


@pytest.mark.parametrize("kind", _CASES, ids=lambda kind: kind.name)
def test_random_blocks_have_the_values_of_the_package(tmp_path, open_path, kind):
    blocks, shape = _random_blocks(kind, _ROWS, 3)
    _write(tmp_path / "a.gguf", blocks, kind)
    with np.errstate(all="ignore"):
        wanted = dequantize(blocks, kind)
    with open_path(tmp_path / "a.gguf") as artifact:
        ref = artifact.tensors["w"]
        assert (ref.shape, ref.dtype.name, ref.stored_as) == (shape, "float32", kind.name.lower())
        assert ref.nbytes == blocks.nbytes
        assert _same(ref.read(), wanted)


@pytest.mark.parametrize("kind", _CASES, ids=lambda kind: kind.name)
def test_blocks_of_values_of_any_size_join_to_the_whole(tmp_path, open_path, kind):
    blocks, shape = _random_blocks(kind, _ROWS, 2)
    _write(tmp_path / "a.gguf", blocks, kind)
    with np.errstate(all="ignore"):
        wanted = dequantize(blocks, kind).reshape(-1)
    with open_path(tmp_path / "a.gguf") as artifact:
        for max_bytes in (1, 4 * 7, 4 * shape[1], 9 * shape[1], 1 << 20):
            pieces = [piece.copy() for piece in artifact.tensors["w"].blocks(max_bytes)]
            assert _same(np.concatenate(pieces), wanted)
            assert all(piece.nbytes <= max(max_bytes, 4) for piece in pieces)
            if max_bytes >= 4 * shape[1]:
                assert all(piece.size % shape[1] == 0 for piece in pieces)


_QUANTISABLE = [Kind.Q4_0, Kind.Q4_1, Kind.Q5_0, Kind.Q5_1, Kind.Q8_0, Kind.TQ1_0, Kind.TQ2_0, Kind.MXFP4]


@pytest.mark.parametrize("kind", _QUANTISABLE, ids=lambda kind: kind.name)
@settings(max_examples=10, deadline=None, derandomize=True)
@given(shape=st.sampled_from([(256,), (3, 256), (2, 3, 512), (1, 2, 2, 256)]), seed=st.integers(0, 1 << 16))
def test_what_the_package_quantised_is_read_as_it_dequantises_it(tmp_path_factory, open_path, kind, shape, seed):
    values = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    blocks = quantize(values, kind)
    path = tmp_path_factory.mktemp("case") / "a.gguf"
    _write(path, blocks, kind)
    with open_path(path) as artifact:
        found = artifact.tensors["w"].read()
    assert found.shape == shape
    assert _same(found, dequantize(blocks, kind))


def test_values_of_a_large_tensor_are_those_of_the_package(tmp_path, open_path):
    values = np.random.default_rng(0).standard_normal((300, 1024)).astype(np.float32)
    blocks = quantize(values, Kind.Q8_0)
    _write(tmp_path / "a.gguf", blocks, Kind.Q8_0)
    with open_path(tmp_path / "a.gguf") as artifact:
        assert _same(artifact.tensors["w"].read(), dequantize(blocks, Kind.Q8_0))


def test_q8_k_is_its_scale_times_its_codes(tmp_path, open_path):
    blocks, shape = _random_blocks(Kind.Q8_K, 2, 2)
    raw = blocks.reshape(-1, 292)
    raw[:, :4] = np.frombuffer(np.array([0.5, -2.0, 3.25, 1e-3], "<f4").tobytes(), np.uint8).reshape(4, 4)
    _write(tmp_path / "a.gguf", blocks, Kind.Q8_K)
    wanted = []
    for row in raw:
        (scale,) = struct.unpack("<f", row[:4].tobytes())
        wanted += [np.float32(scale) * np.float32(code) for code in struct.unpack("<256b", row[4:260].tobytes())]
    with open_path(tmp_path / "a.gguf") as artifact:
        assert _same(artifact.tensors["w"].read(), np.array(wanted, np.float32).reshape(shape))


def test_q1_0_is_plus_or_minus_its_scale(tmp_path, open_path):
    blocks = np.frombuffer(struct.pack("<e", 0.75) + bytes([0b10000001]) + bytes(15), np.uint8).reshape(1, 18)
    _write(tmp_path / "a.gguf", blocks, Kind.Q1_0)
    wanted = np.full((1, 128), -0.75, np.float32)
    wanted[0, [0, 7]] = 0.75
    with open_path(tmp_path / "a.gguf") as artifact:
        assert _same(artifact.tensors["w"].read(), wanted)


def test_q2_0_is_a_code_less_1_times_its_scale(handmade, opened):
    block = struct.pack("<e", 0.75) + bytes([0b11100100]) + bytes(15)
    with opened(handmade().tensor("w", [64], _Q2_0).build(block)) as artifact:
        assert artifact.tensors["w"].read().tolist() == [-0.75, 0.0, 0.75, 1.5] + [-0.75] * 60


@pytest.mark.parametrize(
    ("kind", "places"), [(Kind.Q4_0, [0]), (Kind.Q8_0, [0]), (Kind.Q4_K, [0, 2]), (Kind.Q6_K, [208]), (Kind.MXFP4, [])]
)
def test_a_big_endian_file_has_the_same_values_and_other_stored_bytes(tmp_path, open_path, kind, places):
    """The places are those that llama.cpp's gguf_convert_endian swaps."""
    blocks, _ = _random_blocks(kind, 2, 2)
    turned = blocks.copy().reshape(-1, GGML_QUANT_SIZES[kind][1])
    for place in places:
        turned[:, [place, place + 1]] = turned[:, [place + 1, place]]
    _write(tmp_path / "little.gguf", blocks, kind)
    # The writer would swap the bytes of elements, and those of uint8 have none.
    _write(tmp_path / "big.gguf", turned.reshape(blocks.shape), kind, gguf.GGUFEndian.BIG)
    with open_path(tmp_path / "little.gguf") as little, open_path(tmp_path / "big.gguf") as big:
        assert _same(little.tensors["w"].read(), big.tensors["w"].read())
        stored = [side.tensors["w"].quantization.stored[0].dtype for side in (little, big)]
        assert (stored[0] == stored[1]) == (not places)


def test_a_quantised_type_of_unknown_order_in_a_big_endian_file_is_opaque(tmp_path, open_path):
    blocks, _ = _random_blocks(Kind.IQ2_S, 2, 2)
    _write(tmp_path / "big.gguf", blocks, Kind.IQ2_S, gguf.GGUFEndian.BIG)
    with open_path(tmp_path / "big.gguf") as artifact:
        ref = artifact.tensors["w"]
        assert (ref.dtype.kind, ref.shape, ref.quantization) == ("opaque", (2, 2), None)
        assert ref.read().tobytes() == blocks.tobytes()


def test_big_endian_bfloat16_has_its_values(open_path, tmp_path, handmade):
    built = handmade(order=">").tensor("w", [3], 30).build(struct.pack(">HHH", 0x3F80, 0xC000, 0x7FC0))
    (tmp_path / "a.gguf").write_bytes(built)
    with open_path(tmp_path / "a.gguf") as artifact:
        found = artifact.tensors["w"].read().astype(np.float32)
    assert found[:2].tolist() == [1.0, -2.0]
    assert math.isnan(found[2])


@pytest.mark.parametrize("number", sorted(OPAQUE_TYPES))
def test_a_type_that_ggml_gave_up_can_only_be_equal_or_not(handmade, opened, number):
    with opened(handmade().tensor("w", [64, 2], number).build(bytes(range(72)))) as artifact:
        ref = artifact.tensors["w"]
        assert (ref.dtype.kind, ref.shape, ref.read().tobytes()) == ("opaque", (2, 2), bytes(range(72)))


@pytest.mark.parametrize("number", [4, 5, 9, 99])
def test_a_type_without_a_known_layout_is_listed_as_not_readable(handmade, opened, number):
    built = handmade().tensor("a", [4], 0).tensor("w", [64, 2], number, 32).build(bytes(96))
    with opened(built) as artifact:
        assert list(artifact.tensors) == ["a"]
        assert [lost.where for lost in artifact.not_readable] == ["w"]


def test_a_quantised_tensor_can_be_pickled_and_read_elsewhere(tmp_path, open_path):
    blocks, _ = _random_blocks(Kind.Q6_K, 2, 2)
    _write(tmp_path / "a.gguf", blocks, Kind.Q6_K)
    with open_path(tmp_path / "a.gguf") as artifact:
        packed = pickle.dumps(artifact.tensors["w"])
    with watch.closing_reopened_files(), np.errstate(all="ignore"):
        ref = pickle.loads(packed)
        assert _same(ref.read(), dequantize(blocks, Kind.Q6_K))


def test_group_sizes_are_those_in_which_values_share_a_scale(tmp_path, open_path):
    """Scaling one group's codes cannot be seen from outside; what can is how many distinct values a group has."""
    for kind in (Kind.Q4_K, Kind.Q2_K, Kind.Q4_0, Kind.MXFP4, Kind.IQ4_NL):
        path = tmp_path / f"{kind.name}.gguf"
        blocks, _ = _random_blocks(kind, 40, 4)
        _write(path, blocks, kind)
        with open_path(path) as artifact:
            ref = artifact.tensors["w"]
            quantization = ref.quantization
            groups = ref.read().reshape(-1, quantization.group_size)
        most = max(len(np.unique(group.view(np.uint32))) for group in groups)
        assert most <= 1 << int(quantization.bits)
        pairs = groups.reshape(-1, 2 * quantization.group_size)
        assert max(len(np.unique(pair.view(np.uint32))) for pair in pairs) > 1 << int(quantization.bits)
