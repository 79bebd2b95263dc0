"""Each layout is recognised and has the values that its own library gives, bit for bit."""

from __future__ import annotations

import hashlib
import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from diffai_lib_quantization.hints import may_be_quantised
from diffai_lib_quantization.recognise import recognised
from safetensors.numpy import save_file

from diffai_core.plugin import LoadError
from diffai_core.testing import watch

_FIXTURES = Path(__file__).parent / "fixtures"
_EXPECTED = json.loads((_FIXTURES / "expected.json").read_text(encoding="utf-8"))
_NEED_CONFIG = {
    *("gptq_2bit", "gptq_3bit", "gptq_4bit", "gptq_8bit", "gptq_act_order"),
    *("mlx_3bit", "mlx_4bit", "mlx_6bit", "mlx_8bit"),
}
"""Zero points that are not symmetric do not show in which version of GPTQ they are stored, shapes no bits of MLX."""
_ALL = pytest.mark.parametrize("case", sorted(_EXPECTED))


def _open(stored, case, config="own"):
    config = _EXPECTED[case]["config"] if config == "own" else config
    return recognised(stored(_FIXTURES / f"{case}.safetensors"), config)


def _digest(array):
    return hashlib.blake2b(array.tobytes(), digest_size=16).hexdigest()


def _check(ref, wanted):
    values = ref.read()
    assert values.dtype == np.float32
    assert ref.shape == tuple(wanted["shape"])
    assert values.reshape(-1)[:6].tolist() == wanted["first"]
    assert _digest(values) == wanted["digest"]


@_ALL
def test_a_weight_has_the_values_of_its_library(stored, case):
    tensors = _open(stored, case)
    for name, wanted in _EXPECTED[case]["weights"].items():
        assert tensors[name].stored_as == _EXPECTED[case]["scheme"]
        _check(tensors[name], wanted)


@_ALL
def test_without_a_configuration_a_weight_is_recognised_unless_it_would_be_a_guess(stored, case):
    tensors = _open(stored, case, config=None)
    for name, wanted in _EXPECTED[case]["weights"].items():
        if case in _NEED_CONFIG:
            assert name not in tensors or tensors[name].quantization is None
        else:
            _check(tensors[name], wanted)


@_ALL
def test_a_weight_stands_where_its_parts_stood_and_each_part_is_stored_once(stored, case):
    parts = stored(_FIXTURES / f"{case}.safetensors")
    tensors = recognised(parts, _EXPECTED[case]["config"])
    held = [part.name for ref in tensors.values() if ref.quantization for part in ref.quantization.stored]
    plain = [name for name, ref in tensors.items() if ref.quantization is None]
    assert sorted(held + plain) == sorted(parts)
    assert all(name == ref.name for name, ref in tensors.items())
    assert sum(ref.nbytes for ref in tensors.values()) == sum(ref.nbytes for ref in parts.values())


@_ALL
def test_blocks_of_any_size_join_to_the_whole_and_hold_whole_rows(stored, case):
    for name, ref in _open(stored, case).items():
        if ref.quantization is None:
            continue
        row = ref.numel // ref.shape[0]
        for max_bytes in (52, 4 * row, 9 * row, 1 << 20):
            blocks = [block.copy() for block in ref.blocks(max_bytes)]
            assert _digest(np.concatenate(blocks)) == _EXPECTED[case]["weights"][name]["digest"]
            assert all(block.ndim == 1 and block.nbytes <= max_bytes for block in blocks)
            assert max_bytes < 4 * row or all(block.size % row == 0 for block in blocks)


@_ALL
def test_small_strips_and_pieces_give_the_same_values(stored, case, monkeypatch):
    import diffai_lib_quantization.bitsandbytes as bnb
    from diffai_lib_quantization import columns, rows

    monkeypatch.setattr(columns, "STRIP_BYTES", 1)
    for module in (columns, rows, bnb):
        monkeypatch.setattr(module, "PIECE_ELEMENTS", 70)
    for name, wanted in _EXPECTED[case]["weights"].items():
        _check(_open(stored, case)[name], wanted)


@_ALL
def test_a_weight_can_be_pickled_and_read_elsewhere(stored, case):
    packed = pickle.dumps([_open(stored, case)[name] for name in _EXPECTED[case]["weights"]])
    with watch.closing_reopened_files():
        for ref, wanted in zip(pickle.loads(packed), _EXPECTED[case]["weights"].values(), strict=True):
            _check(ref, wanted)


@_ALL
def test_names_alone_show_that_it_is_worth_to_look(stored, case):
    assert may_be_quantised(stored(_FIXTURES / f"{case}.safetensors"))


def test_names_of_a_float_model_do_not():
    assert not may_be_quantised(["model.embed_tokens.weight", "blocks.0.mlp.weight", "fc.bias"])


@_ALL
def test_a_part_that_is_missing_leaves_no_logical_weight_of_wrong_values(stored, case):
    """Whatever part is taken away, the weight is left as it is stored, or has the same values."""
    parts = stored(_FIXTURES / f"{case}.safetensors")
    config = _EXPECTED[case]["config"]
    for missing in parts:
        tensors = recognised({name: ref for name, ref in parts.items() if name != missing}, config)
        for name, wanted in _EXPECTED[case]["weights"].items():
            if name in tensors and tensors[name].quantization is not None and not missing.endswith("zero_point"):
                _check(tensors[name], wanted)


@_ALL
def test_a_part_of_another_shape_leaves_the_weight_as_it_is_stored(stored, case):
    from dataclasses import replace

    parts = stored(_FIXTURES / f"{case}.safetensors")
    names = {part.name for ref in _open(stored, case).values() if ref.quantization for part in ref.quantization.stored}
    for name in names:
        shape = parts[name].shape
        if parts[name].numel == 1 or name.endswith(("_qdata", ".weight", "bitsandbytes__nf4", "bitsandbytes__fp4")):
            continue  # a weight may have any shape that its scales fit, and a description any length
        bent = parts | {name: replace(parts[name], shape=(shape[0] - 1, *shape[1:]))}
        for ref in recognised(bent, _EXPECTED[case]["config"]).values():
            assert not ref.quantization or name not in {part.name for part in ref.quantization.stored}


def test_gptq_of_an_unknown_version_stays_as_it_is(stored):
    config = _EXPECTED["gptq_4bit"]["config"] | {"checkpoint_format": "marlin"}
    assert "model.q_proj.qweight" in _open(stored, "gptq_4bit", config)


def test_gptq_without_groups_by_input_takes_its_bits_from_the_configuration(stored):
    parts = stored(_FIXTURES / "gptq_3bit.safetensors")
    del parts["model.q_proj.g_idx"]
    expected = _EXPECTED["gptq_3bit"]
    _check(recognised(parts, expected["config"])["model.q_proj.weight"], expected["weights"]["model.q_proj.weight"])
    assert "model.q_proj.qweight" in recognised(parts, {"quant_method": "gptq"})


def test_versions_of_gptq_are_schemes_of_their_own(stored):
    """Equal stored parts must not mean equal values where zero points are counted differently."""
    schemes = [_open(stored, case)["model.q_proj.weight"].stored_as for case in ("gptq_sym", "gptq_v2")]
    assert schemes == ["gptq", "gptq_v2"]


def test_awq_for_gemv_stays_as_it_is(stored):
    config = _EXPECTED["awq"]["config"] | {"version": "gemv"}
    assert "fc.qweight" in _open(stored, "awq", config)


def test_a_weight_that_is_there_twice_stays_as_it_is_stored(stored):
    parts = stored(_FIXTURES / "awq.safetensors")
    parts["fc.weight"] = parts["fc.scales"]
    assert recognised(parts, _EXPECTED["awq"]["config"]) == parts


@pytest.mark.parametrize(
    "config",
    [
        {"quant_method": 3, "bits": "4", "checkpoint_format": []},
        {"config_groups": [1]},
        {"config_groups": {"a": 1, "b": {"weights": 2}, "c": {"weights": {"num_bits": "x"}}}},
        {"weight_block_size": [0, -1]},
        {"weight_block_size": "128"},
        {"weight_block_size": [True, 128]},
    ],
)
@_ALL
def test_a_configuration_of_nonsense_breaks_nothing(stored, case, config):
    for name, ref in _open(stored, case, config).items():
        if ref.quantization is not None:
            _check(ref, _EXPECTED[case]["weights"][name])


def test_a_group_that_is_not_there_is_an_error_that_names_file_and_place(stored, tmp_path):
    parts = {
        "a.qweight": np.zeros((8, 32), np.int32),
        "a.qzeros": np.full((2, 4), 0x77777777, np.int32),
        "a.scales": np.ones((2, 32), np.float16),
    }
    for value in (2, -1, 1 << 30):
        path = tmp_path / f"{value}.safetensors"
        save_file(parts | {"a.g_idx": np.full(64, value, np.int32)}, path)
        tensors = stored(path)
        ref = recognised(tensors)["a.weight"]
        with pytest.raises(LoadError) as caught:
            ref.read()
        assert (caught.value.path, caught.value.offset) == (str(path), tensors["a.g_idx"].offset)


def _described(tmp_path, state):
    numel = 64
    parts = {
        "a": np.zeros((numel // 2, 1), np.uint8),
        "a.absmax": np.ones(1, np.float32),
        "a.quant_map": np.arange(16, dtype=np.float32),
        "a.quant_state.bitsandbytes__nf4": np.frombuffer(state, np.uint8),
    }
    save_file(parts, tmp_path / "a.safetensors")
    return tmp_path / "a.safetensors"


def test_a_description_of_bitsandbytes_is_read(stored, tmp_path):
    path = _described(tmp_path, b'{"shape": [4, 16], "blocksize": 64}')
    assert recognised(stored(path))["a"].shape == (4, 16)


@pytest.mark.parametrize(
    "state",
    [
        b"\xff\xfe",
        b"[]",
        b"{",
        b"[" * 60_000,
        b"{}" + b" " * (1 << 17),
        b'{"shape": [4, 16], "blocksize": 0}',
        b'{"shape": [4, 16], "blocksize": 1e400}',
        b'{"shape": [4, 17], "blocksize": 64}',
        b'{"shape": [-4, -16], "blocksize": 64}',
        b'{"shape": "ab", "blocksize": 64}',
        b'{"shape": [1000000000000, 1000000000000], "blocksize": 64}',
        b'{"shape": [4, 16], "blocksize": 1000000000000}',
    ],
)
def test_a_description_of_bitsandbytes_that_makes_no_sense_leaves_the_parts(stored, tmp_path, state):
    parts = stored(_described(tmp_path, state))
    assert recognised(parts) == parts


def test_a_weight_wider_than_any_is_left_as_it_is_stored(stored, tmp_path):
    save_file({"a.weight": np.zeros((1, (1 << 18) + 1), np.int8), "a.SCB": np.ones(1, np.float32)}, tmp_path / "a")
    parts = stored(tmp_path / "a")
    assert recognised(parts) == parts


def test_nvfp4_of_modelopt_has_the_values_of_compressed_tensors_with_the_inverse_scale(stored, tmp_path):
    """A power of two, so that to divide by it and to multiply by its inverse is the same."""
    parts = stored(_FIXTURES / "ct_nvfp4.safetensors")
    raw = {name: part.file.read(part.offset, part.nbytes) for name, part in parts.items()}
    import ml_dtypes

    arrays = {
        "packed": np.frombuffer(raw["fc.weight_packed"], np.uint8).reshape(parts["fc.weight_packed"].shape),
        "fine": np.frombuffer(raw["fc.weight_scale"], ml_dtypes.float8_e4m3fn).reshape(parts["fc.weight_scale"].shape),
    }
    save_file(
        {
            "a.weight_packed": arrays["packed"],
            "a.weight_scale": arrays["fine"],
            "a.weight_global_scale": np.array([1024], np.float32),
            "b.weight": arrays["packed"],
            "b.weight_scale": arrays["fine"],
            "b.weight_scale_2": np.array(2**-10, np.float32),
        },
        tmp_path / "both",
    )
    tensors = recognised(stored(tmp_path / "both"))
    assert (tensors["a.weight"].stored_as, tensors["b.weight"].stored_as) == ("nvfp4", "nvfp4_modelopt")
    assert tensors["b.weight"].read().tobytes() == tensors["a.weight"].read().tobytes()


def test_of_two_layouts_that_name_one_weight_the_second_keeps_its_parts_and_nothing_is_lost(stored, tmp_path):
    arrays = {
        "a.qweight": np.zeros((8, 32), np.int32),
        "a.qzeros": np.full((2, 4), 0x77777777, np.int32),
        "a.scales": np.ones((2, 32), np.float16),
        "a.g_idx": np.arange(64, dtype=np.int32) // 32,
        "a.weight_packed": np.zeros((32, 8), np.int32),
        "a.weight_shape": np.array([32, 64]),
        "a.weight_scale": np.ones((32, 2), np.float16),
    }
    save_file(arrays, tmp_path / "a")
    parts = stored(tmp_path / "a")
    tensors = recognised(parts)
    held = [part.name for ref in tensors.values() if ref.quantization for part in ref.quantization.stored]
    plain = [name for name, ref in tensors.items() if ref.quantization is None]
    assert sorted(held + plain) == sorted(parts)
    assert tensors["a.weight"].quantization


def test_codes_of_eight_bits_whose_groups_are_no_runs_of_columns_stay_as_they_are_stored(stored, tmp_path):
    arrays = {
        "a.weight": np.ones((4, 64), np.int8),
        "a.weight_scale": np.ones((4, 2), np.float32),
        "a.weight_g_idx": np.arange(64, dtype=np.int32) % 2,
    }
    save_file(arrays, tmp_path / "a")
    parts = stored(tmp_path / "a")
    assert recognised(parts) == parts


@pytest.mark.parametrize(("group_size", "is_recognised"), [(48, True), (64, False), (-1, True)])
def test_without_group_indices_groups_have_the_size_that_the_configuration_says(
    stored, tmp_path, group_size, is_recognised
):
    """96 inputs in groups of 64 have two groups, of which the second is shorter; they are not two of 48."""
    arrays = {
        "a.qweight": np.zeros((12, 32), np.int32),
        "a.qzeros": np.zeros((2, 4), np.int32),
        "a.scales": np.ones((2, 32), np.float16),
    }
    save_file(arrays, tmp_path / "a")
    config = {"quant_method": "gptq", "bits": 4, "group_size": group_size, "desc_act": False}
    assert ("a.weight" in recognised(stored(tmp_path / "a"), config)) == is_recognised


def test_the_same_parts_in_other_tiles_are_another_scheme_with_other_values(stored, tmp_path):
    import ml_dtypes

    scale = np.array([[1, 2], [3, 4]], np.float32)
    save_file({"a.weight": np.ones((128, 128), ml_dtypes.float8_e4m3fn), "a.weight_scale_inv": scale}, tmp_path / "a")
    parts = stored(tmp_path / "a")
    found = {side: recognised(parts, {"weight_block_size": [side, side]})["a.weight"] for side in (64, 100)}
    assert {side: ref.stored_as for side, ref in found.items()} == {
        64: "float8_block_64x64",
        100: "float8_block_100x100",
    }
    for side, ref in found.items():
        tile = np.arange(128) // side
        assert np.array_equal(ref.read(), scale[tile][:, tile])


def test_tied_weights_share_their_storage_and_others_do_not(stored):
    parts = stored(_FIXTURES / "gptq_sym.safetensors")
    tied = {
        name.replace("q_proj", "tied"): replace(part, name=name.replace("q_proj", "tied"))
        for name, part in parts.items()
    }
    tensors = recognised({**parts, **tied})
    assert tensors["model.q_proj.weight"].storage == tensors["model.tied.weight"].storage
    other = recognised(stored(_FIXTURES / "gptq_v2.safetensors"))["model.q_proj.weight"]
    assert tensors["model.q_proj.weight"].storage != other.storage
