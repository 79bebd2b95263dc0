"""What quantisation costs: against PyTorch, NumPy and what was planted."""

from __future__ import annotations

import copy
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import pytest
import torch
from diffai_compare_quantization.schemes import CANDIDATES, Scheme, rounded

from diffai_core import compare
from diffai_core.testing import artifact, tensor

if TYPE_CHECKING:
    from pathlib import Path

RNG = np.random.default_rng(11)
W = (RNG.standard_normal((64, 256)) * 0.02).astype(np.float32)
V = (RNG.standard_normal((96, 128)) * 0.05).astype(np.float32)
BIAS = RNG.standard_normal(64).astype(np.float32)
OLD = {"a.weight": W, "b.weight": V, "a.bias": BIAS}
INT8 = Scheme("int8", "symmetric", 8, "row")
INT4 = Scheme("int4", "symmetric", 4, "group", 32)


def _rounded(matrix: Any, scheme: Scheme = INT8) -> Any:
    return rounded(scheme, matrix.astype(np.float64)).astype(np.float32)


def _model(scheme: Scheme = INT8, **others: Any) -> dict[str, Any]:
    return {"a.weight": _rounded(W, scheme), "b.weight": _rounded(V, scheme), "a.bias": BIAS, **others}


def _sqnr(old: Any, new: Any) -> float:
    old, new = torch.tensor(old).double(), torch.tensor(np.asarray(new, np.float32)).double()
    return float(20 * torch.log10(old.norm() / (old - new).norm()))


def _rows(summary: Any) -> dict[str, Any]:
    return {row["tensor"]: row for row in summary.values["tensors"]}


def test_sqnr_of_a_quantised_model_is_that_of_pytorch(analyse: Any, quantised: Any) -> None:
    new = _model()
    summary, flagged = analyse(OLD, quantised(new, "int8_scaled", 8, axis=0))
    rows = _rows(summary)
    for name in ("a.weight", "b.weight"):
        assert rows[name]["sqnr_db"] == pytest.approx(_sqnr(OLD[name], new[name]), abs=1e-6)
        assert rows[name]["rtn_sqnr_db"] == pytest.approx(rows[name]["sqnr_db"], abs=0.01)
        assert abs(rows[name]["gain_vs_gaussian_db"]) < 0.5  # they are normal values
        assert rows[name]["max_abs_err"] == np.abs(OLD[name] - new[name]).max()
    worst = min(("a.weight", "b.weight"), key=lambda name: rows[name]["sqnr_db"])
    assert (summary.values["worst"], summary.values["worst_sqnr_db"]) == (worst, rows[worst]["sqnr_db"])
    assert summary.values["scheme"] == "int8_scaled per row"
    assert (summary.values["n_rounded"], summary.values["n_compared"]) == (2, 3)
    assert (summary.status, summary.coverage, flagged) == ("measured", 1.0, {})


def test_sqnr_does_not_depend_on_the_unit_of_the_weights(analyse: Any, quantised: Any) -> None:
    scaled = [{name: 8 * array for name, array in side.items()} for side in (OLD, _model())]
    found = [analyse(old, quantised(new, "int8_scaled", 8, axis=0))[0] for old, new in ((OLD, _model()), scaled)]
    rows = [_rows(summary)["a.weight"] for summary in found]
    assert rows[0]["sqnr_db"] == pytest.approx(rows[1]["sqnr_db"], abs=1e-9)
    assert rows[1]["max_abs_err"] == 8 * rows[0]["max_abs_err"]


def test_the_threshold_names_the_tensors_whose_relative_error_is_above_it(analyse: Any, quantised: Any) -> None:
    new = quantised({"a.weight": _rounded(W), "b.weight": _rounded(V, INT4), "a.bias": BIAS}, "int8_scaled", 8, axis=0)
    error = np.linalg.norm(_rounded(V, INT4) - V) / np.linalg.norm(V)
    for limit, wanted in (
        (float(error) * 0.99, ["b.weight"]),
        (float(error) * 1.01, []),
        (1e-6, ["a.weight", "b.weight"]),
    ):
        summary, flagged = analyse(OLD, new, precision_loss_threshold=limit)
        assert summary.values["above_threshold"] == wanted
        assert [name for name, finding in flagged.items() if "above_threshold" in finding.values["flags"]] == wanted
        assert (summary.threshold, summary.threshold_source) == ({"relative_error": limit}, "user")
    assert flagged["b.weight"].values["relative_error"] == pytest.approx(error, rel=1e-6)


def test_a_tensor_that_lost_3_db_more_than_normal_values_is_flagged(analyse: Any, quantised: Any) -> None:
    summary, flagged = analyse(OLD, quantised({**_model(), "b.weight": _rounded(V, INT4)}, "int8_scaled", 8, axis=0))
    assert list(flagged) == ["b.weight"]
    assert flagged["b.weight"].values["flags"] == ["below_null"]
    assert flagged["b.weight"].level == "warning"
    assert (summary.threshold, summary.threshold_source) == ({"gain_vs_gaussian_db": -3.0}, "calibrated")


def test_gptq_is_not_called_worse_on_sqnr_alone(analyse: Any, quantised: Any) -> None:
    worse = {**_model(INT4), "b.weight": _rounded(V, Scheme("", "symmetric", 3, "group", 32))}
    summary, flagged = analyse(OLD, quantised(worse, "gptq", 4, group_size=32))
    assert flagged == {}
    assert "GPTQ" in summary.message


def test_codes_in_the_wrong_order_are_called_mis_packed(analyse: Any, quantised: Any) -> None:
    wrong = {**_model(INT4), "a.weight": _rounded(W, INT4).reshape(64, -1, 2)[:, :, ::-1].reshape(64, 256)}
    _, flagged = analyse(OLD, quantised(wrong, "awq", 4, group_size=32))
    assert list(flagged) == ["a.weight"]
    assert "mis_packed" in flagged["a.weight"].values["flags"]


@pytest.mark.parametrize(("value", "word"), [(np.nan, "NaN"), (-1.0, "negative"), (0.0, "zero")])
def test_scales_that_can_be_none_are_counted(analyse: Any, quantised: Any, value: float, word: str) -> None:
    scales = np.full(64, 0.01, np.float32)
    good = quantised({"a.weight": _rounded(W)}, "int8_scaled", 8, axis=0, scales=scales)
    assert analyse({"a.weight": W}, good)[1] == {}
    scales = scales.copy()
    scales[5] = value
    _, flagged = analyse({"a.weight": W}, quantised({"a.weight": _rounded(W)}, "int8_scaled", 8, axis=0, scales=scales))
    assert flagged["a.weight"].values["flags"] == ["bad_scales"]
    assert f"of 64 scales 1 {word}" in flagged["a.weight"].message


def test_negative_scales_beside_biases_are_right(analyse: Any, quantised: Any) -> None:
    new = quantised({"w": _rounded(W)}, "mlx_int8", 8, group_size=64, scales=np.full(64, -0.01, np.float32))
    quantization = new.tensors["w"].quantization
    biases = tensor("w.biases", np.zeros(64, np.float32))
    parts = replace(quantization, stored=(*quantization.stored, biases))
    new = replace(new, tensors={"w": replace(new.tensors["w"], quantization=parts)})
    assert analyse({"w": W}, new)[1] == {}


def test_codes_of_4_bits_in_bytes_are_held_against_4_bits(analyse: Any, quantised: Any) -> None:
    int4 = _rounded(W, INT4)
    codes = np.rint(int4 / (np.abs(W.reshape(64, 8, 32)).max(axis=2) / 7).repeat(32, axis=1)).astype(np.int8)
    new = quantised({"w": int4}, "int8_scaled", 8, group_size=32)
    quantization = replace(new.tensors["w"].quantization, stored=(tensor("w.codes", codes),))
    new = replace(new, tensors={"w": replace(new.tensors["w"], quantization=quantization)})
    summary, flagged = analyse({"w": W}, new)
    assert flagged == {}
    assert abs(summary.values["gain_vs_gaussian_db"]) < 0.5


def test_a_zero_scale_over_zeros_is_right(analyse: Any, quantised: Any) -> None:
    pruned = W.copy()
    pruned[5] = 0
    scales = np.where(np.arange(64) == 5, 0, 0.01).astype(np.float32)
    new = quantised({"a.weight": _rounded(pruned)}, "int8_scaled", 8, axis=0, scales=scales)
    summary, flagged = analyse({"a.weight": pruned}, new)
    assert (flagged, _rows(summary)["a.weight"]["scales_n_zero"]) == ({}, 1)


def test_an_outlier_column_is_named_as_the_cause(analyse: Any, quantised: Any) -> None:
    outlier = W.copy()
    outlier[:, 7] *= 40
    int4 = Scheme("", "symmetric", 4, "row")
    new = quantised({"a.weight": _rounded(outlier, int4)}, "int4_scaled", 4, axis=0)
    _, flagged = analyse({"a.weight": outlier}, new)
    assert flagged["a.weight"].values["outlier_columns"] == 1
    assert "below_null" in flagged["a.weight"].values["flags"]


def test_peers_of_the_same_scheme_show_the_one_that_stands_out(analyse: Any, quantised: Any) -> None:
    old = {f"{i}.weight": np.roll(W, i, axis=0) for i in range(10)}
    new = {name: _rounded(array, INT4) for name, array in old.items()}
    assert analyse(old, quantised(new, "lut4", 4))[1] == {}
    new["3.weight"] = _rounded(old["3.weight"], Scheme("", "symmetric", 3, "row"))
    assert {k: f.values["flags"] for k, f in analyse(old, quantised(new, "lut4", 4))[1].items()} == {
        "3.weight": ["below_peers"]
    }


def test_an_int8_grid_in_float_storage_is_told(analyse: Any) -> None:
    summary, _ = analyse(OLD, _model())
    assert summary.values["scheme"] == "int8 per row in float32"
    row = _rows(summary)["a.weight"]
    assert (row["change"], row["grid_bits"]) == ("grid", 8)
    assert row["sqnr_db"] == pytest.approx(_sqnr(W, _rounded(W)), abs=1e-6)
    assert summary.values["bits_per_weight"] == 32


def test_codes_with_scales_beside_them_are_multiplied(analyse: Any) -> None:
    steps = np.abs(W).max(axis=1) / 127
    codes = np.rint(W / steps[:, None]).astype(np.int8)
    for name in ("a.weight.scale", "a.weight_scale", "a.scale"):
        summary, _ = analyse({"a.weight": W}, {"a.weight": codes, name: steps})
        row = _rows(summary)["a.weight"]
        assert (row["change"], row["stored_as"], summary.status) == ("codes", "int8 codes with scales", "measured")
        assert row["sqnr_db"] == pytest.approx(_sqnr(W, codes * steps[:, None]), abs=1e-4)
        assert row["bytes"] == codes.nbytes + steps.nbytes


def test_codes_without_scales_are_bounded_by_the_best_there_can_be(analyse: Any) -> None:
    steps = np.abs(W).max(axis=1) / 127
    codes = np.rint(W / steps[:, None]).astype(np.int8)
    summary, _ = analyse({"a.weight": W}, {"a.weight": codes})
    reals, whole = W.astype(np.float64), codes.astype(np.float64)
    best = np.stack([np.linalg.lstsq(c[:, None], w, rcond=None)[0] * c for w, c in zip(reals, whole, strict=True)])
    wanted = 20 * np.log10(np.linalg.norm(reals) / np.linalg.norm(reals - best))
    assert _rows(summary)["a.weight"]["sqnr_db"] == pytest.approx(wanted, abs=1e-6)
    assert summary.status == "bounded"
    assert "no scales" in summary.message


CASTS = {
    "bfloat16": lambda t: t.bfloat16().float(),
    "float16": lambda t: t.half().float(),
    "bfloat16 towards zero": lambda t: (t.view(torch.int32) & -65536).view(torch.float32),
    "float16, then bfloat16": lambda t: t.half().bfloat16().float(),
    "bfloat16, then float16": lambda t: t.bfloat16().half().float(),
    "float8_e4m3fn": lambda t: t.to(torch.float8_e4m3fn).float(),
    "float8_e5m2": lambda t: t.to(torch.float8_e5m2).float(),
}


@pytest.mark.parametrize("name", CASTS)
def test_each_rounding_is_proved_element_by_element_and_no_other(analyse: Any, name: str) -> None:
    old = np.concatenate([W.reshape(-1) * 10, [1e-6, -3e-7, 1e-9]]).astype(np.float32).reshape(1, -1)
    new = CASTS[name](torch.tensor(old)).numpy()
    row = _rows(analyse({"w": old}, {"w": new})[0])["w"]
    assert (row["change"], row["cast"], row["cast_proved"], row["cast_share"]) == ("cast", name, True, 1.0)
    broken = new.copy()
    broken[0, -4] *= 2  # far behind what is sampled first
    assert _rows(analyse({"w": old}, {"w": broken})[0])["w"]["change"] != "cast"


def test_a_file_of_bfloat16_says_so_and_what_overflowed(analyse: Any) -> None:
    old = {"a.weight": W.copy()}
    old["a.weight"][0, :3] = [70000.0, 1e-9, -2e-9]
    with np.errstate(over="ignore"):
        narrow = old["a.weight"].astype(np.float16)
    summary, flagged = analyse(old, {"a.weight": narrow})
    row = _rows(summary)["a.weight"]
    assert (row["cast"], row["overflow_count"], row["underflow_share"]) == ("float16", 1, 2 / W.size)
    assert flagged["a.weight"].values["flags"] == ["overflow"]
    summary, _ = analyse({"a.weight": W}, {"a.weight": W.astype(ml_dtypes.bfloat16)})
    assert summary.values["scheme"] == "bfloat16"
    assert summary.values["gain_vs_gaussian_db"] == pytest.approx(0, abs=0.3)


def test_float32_with_values_of_16_bits_is_told(analyse: Any) -> None:
    content = W.astype(ml_dtypes.bfloat16).astype(np.float32)
    summary, _ = analyse({"a.weight": content, "b.weight": V}, {"a.weight": content, "b.weight": V})
    assert summary.values["origin_dtype_guess"] == {"bfloat16": 1}


def test_predicted_costs_are_those_of_rounding_the_whole_tensor(analyse: Any) -> None:
    heavy = np.random.default_rng(5).standard_t(5, (512, 256)).astype(np.float32)
    summary, _ = analyse({"w": heavy}, {"w": heavy + np.float32(1e-3)})
    found = {row["scheme"]: row for row in summary.values["candidates"]}
    whole = heavy.astype(np.float64) + 1e-3
    for scheme in CANDIDATES:
        wanted = 20 * np.log10(np.linalg.norm(whole) / np.linalg.norm(whole - rounded(scheme, whole)))
        assert found[scheme.name]["sqnr_db"] == pytest.approx(wanted, abs=0.5), scheme.name


def test_a_scheme_is_recommended_only_within_the_users_limit(analyse: Any) -> None:
    assert "recommended" not in analyse(OLD, OLD)[0].values
    limits = {0.2: "int4 groups of 32", 0.01: "int8 per row", 3e-4: "float16", 1e-9: None}
    for limit, wanted in limits.items():
        summary, _ = analyse({"b.weight": V}, {"b.weight": V}, precision_loss_threshold=limit)
        chosen = summary.values["recommended"]
        if limit == 0.2:
            assert chosen.startswith(("int4", "nf4"))
        else:
            assert chosen == wanted


def test_a_format_in_which_values_overflow_is_not_recommended(analyse: Any) -> None:
    large = V.copy()
    large[40, 7] = 7e4
    summary, _ = analyse({"w": V}, {"w": large}, precision_loss_threshold=1e-3)
    found = {row["scheme"]: row for row in summary.values["candidates"]}
    assert (found["float16"]["n_overflow"], found["float16"]["sqnr_db"]) == (1, None)
    assert found["bfloat16"]["n_overflow"] == 0
    assert summary.values["recommended"] != "float16"
    whole = (V * 1024).round()
    summary, _ = analyse({"w": whole}, {"w": whole}, precision_loss_threshold=1e-3)
    lossless = {row["scheme"]: row["n_lossless"] for row in summary.values["candidates"]}
    assert (lossless["float16"], lossless["int4 groups of 32"]) == (1, 0)


def test_tables_fit_80_columns_and_begin_with_the_worst(analyse: Any, quantised: Any) -> None:
    name = "model." * 30 + "weight"
    summary, _ = analyse(
        {name: V, "a": W}, quantised({name: _rounded(V, INT4), "a": _rounded(W)}, "int8_scaled", 8, axis=0)
    )
    assert max(map(len, summary.detail)) <= 80
    assert f"{_rows(summary)[name]['sqnr_db']:.1f}" in summary.detail[1]
    schemes = [line.split("  ")[0] for line in analyse({"b": V}, {"b": V})[0].detail[1:]]
    assert schemes == [scheme.name for scheme in CANDIDATES]


def test_a_fine_tuned_model_is_not_called_quantised(analyse: Any) -> None:
    summary, flagged = analyse(OLD, {**OLD, "a.weight": W + np.float32(1e-4) * V.reshape(-1)[:256]})
    assert (summary.values["scheme"], summary.values["n_rounded"], flagged) == ("none", 0, {})
    assert "no rounding" in summary.message


def test_nothing_to_compare_is_not_measurable(analyse: Any) -> None:
    summary, _ = analyse({"ids": np.arange(4)}, {"ids": np.arange(4)})
    assert summary.status == "not_measurable"
    assert "needs" in summary.message


def test_tied_weights_count_once(analyse: Any) -> None:
    old = artifact(OLD)
    both = replace(old, tensors={**old.tensors, "head.weight": old.tensors["a.weight"]})
    summary, _ = analyse(both, both)
    assert summary.values["n_compared"] == len(OLD)


def test_modules_that_pytorch_packed_are_held_against_their_float_weights(tmp_path: Path) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 16))
    torch.save(model.state_dict(), tmp_path / "old.pth")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch says once that it will take them away
        packed = torch.ao.quantization.quantize_dynamic(copy.deepcopy(model), {torch.nn.Linear}, dtype=torch.qint8)
        torch.save(packed.state_dict(), tmp_path / "new.pth")
    report = compare(tmp_path / "old.pth", tmp_path / "new.pth", analyses=["quantization-analysis"])
    (summary,) = [finding for finding in report.findings if finding.kind == "quantization_analysis"]
    rows = _rows(summary)
    back = packed[0].weight().dequantize().detach().numpy()
    wanted = _sqnr(model[0].weight.detach().numpy(), back)
    assert rows["0._packed_params._packed_params.0"]["sqnr_db"] == pytest.approx(wanted, abs=1e-5)
