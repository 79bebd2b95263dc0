"""Each planted change gets its name, and only its own."""

from __future__ import annotations

from functools import cache

import ml_dtypes
import numpy as np
import pytest
from diffai_compare_review.change import compare
from planted_models import BF16, change_of, compared, matrices, named, trained, transformer

from diffai_core.plugin import Finding
from diffai_core.testing import artifact

BASE = transformer()


def cast(tensors, dtype):
    return {key: value.astype(dtype) for key, value in tensors.items()}


@cache
def bases(rows, columns):
    """Return orthonormal columns and rows, of which a matrix of any spectrum is made."""
    rng = np.random.default_rng(9)
    rank = min(rows, columns)
    left, right = (np.linalg.qr(rng.standard_normal((length, rank)))[0] for length in (rows, columns))
    return left, right.T


def lora(tensors, rank, rel, dtype=np.float32, seed=3, only=("q_proj.weight", "v_proj.weight")):
    rng = np.random.default_rng(seed)
    out = dict(tensors)
    for key, value in tensors.items():
        if key.endswith(only):
            wide = value.astype(np.float32)
            delta = rng.standard_normal((len(wide), rank)) @ rng.standard_normal((rank, wide.shape[1]))
            delta *= rel * np.linalg.norm(wide) / np.linalg.norm(delta)
            out[key] = (wide + delta.astype(np.float32)).astype(dtype)
    return out


def test_a_model_against_itself_has_no_name():
    assert named(BASE, {key: value.copy() for key, value in BASE.items()}) is None


def test_metadata_alone_is_named_by_what_the_other_comparators_found():
    tree = Finding("modified", "config.hidden_size", old=1, new=2, level="change")
    comparison = compared(BASE, BASE, findings=(tree,))
    (finding,) = compare(comparison, {})
    assert finding.values["change"] == "metadata_only"
    assert "all else bit-identical" in finding.message


@pytest.mark.parametrize("dtype", [BF16, np.float16])
def test_rounding_to_nearest_is_a_cast(dtype):
    finding = named(BASE, cast(BASE, dtype))
    assert finding.values["change"] == "dtype_cast"
    assert finding.values["variants"] == [f"float32 -> {np.dtype(dtype).name}, rounded to nearest"]


def test_cutting_off_bits_is_a_cast_that_says_so():
    cut = {k: (v.view(np.uint32) >> np.uint32(16)).astype(np.uint16).view(BF16) for k, v in BASE.items()}
    assert named(BASE, cut).values["variants"] == ["float32 -> bfloat16, truncated"]


@pytest.mark.parametrize("rel", [1e-3, 1e-2])
@pytest.mark.parametrize("dtype", [BF16, np.float16])
def test_the_cast_of_another_fine_tune_is_no_cast(dtype, rel):
    assert change_of(BASE, cast(trained(BASE, rel), dtype)) == "full_fine_tune"


def test_rounded_values_stored_wide_are_a_cast():
    finding = named(BASE, cast(cast(BASE, BF16), np.float32))
    assert finding.values["change"] == "dtype_cast"
    assert finding.values["variants"] == ["rounded to bfloat16, stored as float32"]


def test_the_original_of_a_rounded_model_is_a_cast_backwards():
    finding = named(cast(BASE, BF16), BASE)
    assert finding.values["change"] == "dtype_cast"
    assert finding.values["example"]["direction"] == "backward"


def test_a_cast_that_loses_nothing_is_told_from_one_that_rounds():
    finding = named(cast(BASE, BF16), cast(cast(BASE, BF16), np.float32))
    assert (finding.values["change"], finding.values["direction"]) == ("dtype_cast", "lossless")


def test_new_names_alone_are_a_rename():
    assert change_of(BASE, {f"module.{key}": value for key, value in BASE.items()}) == "rename"
    assert change_of(BASE, {f"net.{i:03}.x": value for i, value in enumerate(BASE.values())}) == "rename"


def test_transposed_matrices_of_the_same_names_are_transposed():
    turned = matrices(BASE, lambda value: value.T.copy())
    assert change_of(BASE, turned) == "transposed"
    squares = {k: v for k, v in BASE.items() if "self_attn" in k}
    assert change_of(squares, matrices(squares, lambda value: value.T.copy())) == "transposed"


@pytest.mark.parametrize("layout", ["concatenated", "interleaved"])
def test_fused_qkv_is_fused_and_the_way_back_is_split(layout):
    fused = {k: v for k, v in BASE.items() if not any(f".{p}_proj" in k for p in "qkv")}
    for block in range(4):
        for part in ("weight", "bias"):
            three = [BASE[f"model.layers.{block}.self_attn.{p}_proj.{part}"] for p in "qkv"]
            joined = np.concatenate(three)
            if layout == "interleaved" and part == "weight":
                joined = np.stack([x.reshape(4, 16, 64) for x in three], axis=1).reshape(192, 64)
            fused[f"model.layers.{block}.self_attn.qkv_proj.{part}"] = joined
    there, back = named(BASE, fused), named(fused, BASE)
    assert (there.values["change"], there.values["direction"]) == ("fused_or_split", "fused")
    assert layout in there.values["layouts"]
    assert (back.values["change"], back.values["direction"]) == ("fused_or_split", "split")


def test_scaled_rows_are_rescaled_as_a_folded_batch_norm_scales_them():
    rng = np.random.default_rng(5)
    new = matrices(BASE, lambda v: v * np.exp(0.5 * rng.standard_normal((len(v), 1))).astype(np.float32))
    finding = named(BASE, new)
    assert (finding.values["change"], finding.values["variants"]) == ("rescaled", ["rows"])


@pytest.mark.parametrize("dtype", [np.float32, BF16])
def test_scaled_columns_are_rescaled_as_smoothquant_scales_them(dtype):
    rng = np.random.default_rng(5)
    old = cast(BASE, dtype)
    new = matrices(old, lambda v: (v.astype(np.float32) * np.exp(0.5 * rng.standard_normal(v.shape[1]))).astype(dtype))
    finding = named(old, new)
    assert (finding.values["change"], finding.values["variants"]) == ("rescaled", ["columns"])


def test_scaled_rows_and_columns_are_rescaled_both_ways():
    rng = np.random.default_rng(5)

    def both(v):
        scale = np.exp(0.5 * rng.standard_normal((len(v), 1))) * np.exp(0.5 * rng.standard_normal(v.shape[1]))
        return (v * scale).astype(np.float32)

    assert named(BASE, matrices(BASE, both)).values["variants"] == ["rows and columns"]


def test_flipped_signs_are_sign_flips():
    rng = np.random.default_rng(5)
    new = matrices(BASE, lambda v: (v * rng.choice([-1, 1], (len(v), 1))).astype(np.float32))
    assert change_of(BASE, new) == "sign_flips"


@pytest.mark.parametrize("axis", [0, 1])
def test_permuted_hidden_units_are_permuted(axis):
    rng = np.random.default_rng(5)
    finding = named(BASE, matrices(BASE, lambda v: np.take(v, rng.permutation(v.shape[axis]), axis=axis)))
    assert (finding.values["change"], finding.values["variants"]) == ("permuted", [["rows", "columns"][axis]])


def test_permuted_rows_and_columns_are_permuted_both_ways():
    rng = np.random.default_rng(5)
    new = matrices(BASE, lambda v: v[rng.permutation(len(v))][:, rng.permutation(v.shape[1])])
    assert named(BASE, new).values["variants"] == ["rows and columns"]


@pytest.mark.parametrize("dtype", [np.float32, BF16])
def test_rotated_inputs_are_rotated(dtype):
    old = cast({k: v for k, v in transformer(width=256, blocks=2).items() if "bias" not in k}, dtype)
    turn, _ = np.linalg.qr(np.random.default_rng(6).standard_normal((256, 256)))
    new = {
        key: (v.astype(np.float64) @ turn).astype(dtype) if v.ndim > 1 and v.shape[1] == 256 and "layers" in key else v
        for key, v in old.items()
    }
    assert named(old, new).values["variants"] == ["inputs"]


@pytest.mark.parametrize(("bits", "group"), [(8, 64), (4, 32)])
def test_values_on_an_integer_grid_are_on_a_grid(bits, group):
    def rounded(v):
        grouped = v.reshape(-1, group)
        scale = np.abs(grouped).max(axis=1, keepdims=True) / (2 ** (bits - 1) - 1)
        return (np.rint(grouped / scale) * scale).astype(np.float32).reshape(v.shape)

    finding = named(BASE, matrices(BASE, rounded))
    assert finding.values["change"] == "on_grid"
    assert finding.values["example"]["grid_bits"] == bits


def test_integers_in_place_of_floats_are_quantised():
    new = matrices(BASE, lambda v: np.rint(v / np.abs(v).max() * 127).astype(np.int8))
    finding = named(BASE, new)
    assert (finding.values["change"], finding.values["variants"]) == ("quantised", ["float32 -> int8"])


def test_small_weights_set_to_zero_are_pruned_and_counted():
    new = matrices(BASE, lambda v: np.where(np.abs(v) < np.quantile(np.abs(v), 0.6), 0, v).astype(np.float32))
    finding = named(BASE, new)
    assert (finding.values["change"], finding.values["variants"]) == ("pruned", ["unstructured"])
    n_zeros = sum(int(np.count_nonzero(v == 0)) for v in new.values())
    n_all = sum(v.size for v in new.values())
    assert finding.values["zeroed_share"] == pytest.approx(n_zeros / n_all)


def test_two_of_four_set_to_zero_are_told_as_such():
    def semi(v):
        groups = v.reshape(-1, 4).copy()
        groups[np.arange(len(groups))[:, None], np.argsort(np.abs(groups), axis=1)[:, :2]] = 0
        return groups.reshape(v.shape)

    assert named(BASE, matrices(BASE, semi)).values["variants"] == ["2:4"]


@pytest.mark.parametrize("dtype", [np.float32, BF16])
@pytest.mark.parametrize("rank", [1, 4, 16])
@pytest.mark.parametrize("rel", [1e-2, 1e-1])
def test_a_merged_lora_is_told_with_its_rank(dtype, rank, rel):
    old = cast(transformer(width=256, blocks=3), dtype)
    finding = named(old, lora(old, rank, rel, dtype))
    assert finding.values["change"] == "low_rank"
    assert finding.values["rank"] == rank


@pytest.mark.parametrize("rank", [1, 4, 16])
def test_a_merged_lora_of_a_thousandth_is_told_in_float32_and_never_wrongly_in_bfloat16(rank):
    old = transformer(width=256, blocks=3)
    assert named(old, lora(old, rank, 1e-3)).values["rank"] == rank
    coarse = cast(old, BF16)
    finding = named(coarse, lora(coarse, rank, 1e-3, BF16))
    if finding.values["change"] == "low_rank":
        assert finding.values["rank"] == rank
    else:
        assert finding.status == "hint", "rounding hides it, and the finding must say so"


def test_a_rank_one_change_of_one_matrix_is_an_edit():
    old = transformer(width=128)
    new = lora(old, 1, 0.02, only=("layers.2.mlp.down_proj.weight",))
    finding = named(old, new)
    assert finding.values["change"] == "rank_one_edit"
    assert "model.layers.2.mlp.down_proj.weight" in finding.message


def test_one_direction_taken_from_all_outputs_is_an_edit_along_it():
    old = transformer(width=128)
    direction = np.random.default_rng(8).standard_normal((128, 1))
    direction /= np.linalg.norm(direction)
    new = dict(old)
    for key, value in old.items():
        if key.endswith(("o_proj.weight", "down_proj.weight")):
            new[key] = (value - direction @ (direction.T @ value)).astype(np.float32)
    finding = named(old, new)
    assert finding.values["change"] == "rank_one_edit"
    assert finding.values["example"]["top_u_shared_cos"] > 0.99


@pytest.mark.parametrize(
    ("only", "which"),
    [
        (".bias", "biases"),
        ("norm.weight", "norms"),
        ("lm_head", "head"),
        ("embed_tokens", "embeddings"),
        ("layers.3.", "last blocks"),
        ("q_proj.weight", "listed"),
    ],
)
def test_a_fine_tune_of_a_part_names_the_part(only, which):
    finding = named(BASE, trained(BASE, only=only))
    assert finding.values["change"] == "partial_fine_tune"
    assert finding.values["which"] == which
    assert "all else bit-identical" in finding.message


def test_a_fine_tune_of_all_but_the_embedding_is_told_by_what_was_frozen():
    new = trained(BASE) | {"model.embed_tokens.weight": BASE["model.embed_tokens.weight"]}
    assert "all but model.embed_tokens.weight" in named(BASE, new).message


@pytest.mark.parametrize("dtype", [np.float32, np.float16, BF16])
@pytest.mark.parametrize("rel", [1e-3, 1e-2, 1e-1])
@pytest.mark.parametrize("decay", [0.0, 1.0, 1.5])
def test_a_change_with_a_falling_spectrum_is_never_called_low_rank(dtype, rel, decay):
    old = cast(transformer(width=128, blocks=2), dtype)

    def moved(v):
        u, w = bases(*v.shape)
        delta = (u * np.arange(1, len(w) + 1) ** -decay) @ w
        wide = v.astype(np.float64)
        return (wide + rel * np.linalg.norm(wide) / np.linalg.norm(delta) * delta).astype(dtype)

    assert change_of(old, {k: moved(v) if v.ndim > 1 else v for k, v in old.items()}) in {
        "full_fine_tune",
        "partial_fine_tune",
    }


def test_independent_weights_of_the_same_shapes_are_unrelated():
    finding = named(BASE, transformer(seed=99))
    assert finding.values["change"] == "unrelated_weights"
    assert abs(finding.values["median_centred_cos"]) < 0.1


def test_a_model_of_other_depth_and_width_is_another_architecture():
    finding = named(BASE, transformer(width=96, blocks=6))
    assert finding.values["change"] == "other_architecture"
    assert (finding.values["blocks_old"], finding.values["blocks_new"]) == (4, 6)


def test_rows_added_to_the_embedding_are_a_resize_that_tells_what_became_of_the_others():
    new = dict(BASE)
    for key in ("model.embed_tokens.weight", "lm_head.weight"):
        new[key] = np.concatenate([BASE[key], np.zeros((28, 64), np.float32)])
    finding = named(BASE, new)
    assert finding.values["change"] == "embeddings_resized"
    assert finding.values["resized"]["lm_head.weight"]["common_rows_identical_share"] == 1
    assert finding.values["resized"]["lm_head.weight"]["rows_new"] == 128


def test_a_change_of_the_optimizer_alone_is_no_change_of_the_model():
    state = {f"optimizer.state.{i}.exp_avg": np.ones((4, 4), np.float32) * i for i in range(3)}
    other = {key: value + 1 for key, value in state.items()}
    roles = dict.fromkeys(state, "optimizer")
    old, new = artifact({**BASE, **state}, roles=roles), artifact({**BASE, **other}, roles=roles)
    finding = named(old, new)
    assert finding.values["change"] == "training_state_only"
    assert "all else bit-identical" in finding.message


def test_few_flipped_bits_are_a_fault_with_their_places():
    new = {key: value.copy() for key, value in BASE.items()}
    planted = [("model.layers.1.mlp.up_proj.weight", 77, 21), ("lm_head.weight", 5, 30), ("lm_head.weight", 900, 3)]
    for key, index, bit in planted:
        new[key].reshape(-1).view(np.uint32)[index] ^= np.uint32(1 << bit)
    finding = named(BASE, new)
    assert finding.values["change"] == "bit_flips"
    places = {(place["tensor"], place["index"], place["bit"]) for place in finding.values["places"]}
    assert places == set(planted)


def test_few_trained_elements_are_no_fault():
    new = {key: value.copy() for key, value in BASE.items()}
    new["lm_head.weight"].reshape(-1)[[3, 50, 700]] += np.float32(0.1234567)
    assert change_of(BASE, new) == "partial_fine_tune"


def test_half_cast_of_ranks_and_training_is_mixed():
    old = transformer(width=128, blocks=6)
    half = trained(old, only="mlp")
    new = lora(half, 4, 0.02, only=("q_proj.weight", "k_proj.weight", "v_proj.weight", "o_proj.weight"))
    finding = named(old, new)
    assert finding.values["change"] == "mixed"
    assert set(finding.values["tensors_by_class"]) == {"low_rank", "trained"}


def test_an_adapter_beside_the_same_weights_is_an_added_adapter():
    adapter = {"model.layers.0.self_attn.q_proj.lora_A.weight": np.ones((4, 64), np.float32)}
    assert change_of(BASE, {**BASE, **adapter}) == "adapter_added"


def test_values_and_their_names_are_plain_for_every_dtype():
    for name in ("float8_e4m3fn", "float8_e5m2"):
        dtype = getattr(ml_dtypes, name)
        assert change_of(BASE, cast(BASE, dtype)) == "dtype_cast"
