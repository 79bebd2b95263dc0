"""Whether rounding explains a change: planted roundings, and changes that are none."""

from __future__ import annotations

import warnings
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from diffai_compare_quantization.schemes import Scheme, rounded

RNG = np.random.default_rng(23)
W = (RNG.standard_normal((96, 256)) * 0.02).astype(np.float32)
V = (RNG.standard_normal((64, 128)) * 0.02).astype(np.float32)
OLD = {"a.weight": W, "b.weight": V, "bias": V[0]}
INT8 = Scheme("", "symmetric", 8, "row")
INT4 = Scheme("", "symmetric", 4, "group", 32)


def _rounded(matrix: Any, scheme: Scheme) -> Any:
    return rounded(scheme, matrix.astype(np.float64)).astype(np.float32)


def _rows(summary: Any) -> dict[str, Any]:
    return {row["tensor"]: row for row in summary.values["tensors"]}


@pytest.mark.parametrize("kind", [np.float16, ml_dtypes.bfloat16])
def test_a_cast_explains_everything(explain: Any, kind: Any) -> None:
    summary, flagged = explain(OLD, {name: array.astype(kind) for name, array in OLD.items()})
    assert (summary.values["explained"], summary.values["n_explained"], flagged) == (True, 3, {})
    assert (summary.status, summary.coverage) == ("measured", 1.0)


def test_one_element_that_is_no_cast_is_found(explain: Any) -> None:
    new = {name: array.astype(np.float16) for name, array in OLD.items()}
    new["a.weight"][95, 255] += np.float16(1e-3)
    summary, flagged = explain(OLD, new)
    assert (summary.values["explained"], summary.values["unexplained"]) == (False, ["a.weight"])
    assert list(flagged) == ["a.weight"]


@pytest.mark.parametrize(
    ("scheme", "quantization"),
    [
        (INT8, {"scheme": "int8_scaled", "bits": 8, "axis": 0}),
        (INT4, {"scheme": "int4_packed", "bits": 4, "group_size": 32, "axis": 0}),
        (Scheme("", "affine", 4, "group", 64), {"scheme": "mlx_int4", "bits": 4, "group_size": 64, "axis": 0}),
        (Scheme("", "nf4", 4, "group", 64), {"scheme": "bnb_nf4", "bits": 4, "group_size": 64}),
        (Scheme("", "signed", 4, "group", 32), {"scheme": "q4_0", "bits": 4, "group_size": 32}),
        (Scheme("", "float", 8, "row"), {"scheme": "float8_scaled", "bits": 8, "axis": 0}),
    ],
    ids=lambda value: value["scheme"] if isinstance(value, dict) else "",
)
def test_rounding_to_nearest_explains_a_quantised_model(
    explain: Any, quantised: Any, scheme: Scheme, quantization: Any
) -> None:
    new = {name: _rounded(array, scheme) if array.ndim == 2 else array for name, array in OLD.items()}
    summary, flagged = explain(OLD, quantised(new, **quantization))
    assert (summary.values["explained"], summary.values["n_explained"], flagged) == (True, 2, {})
    assert summary.values["n_unchanged"] == 1
    new["a.weight"] = np.where(RNG.random(W.shape) < 0.02, np.roll(new["a.weight"], 1, axis=1), new["a.weight"])
    summary, flagged = explain(OLD, quantised(new, **quantization))
    assert (summary.values["explained"], list(flagged)) == (False, ["a.weight"])
    assert 0.97 < flagged["a.weight"].values["explained_share"] < 0.999


def test_pytorchs_own_rounding_is_explained(explain: Any, quantised: Any) -> None:
    values = torch.tensor(W)
    scales, zeros = values.abs().amax(1) / 127, torch.zeros(96, dtype=torch.int32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch says once that it will take them away
        packed = torch.quantize_per_channel(values, scales, zeros, 0, torch.qint8)
    new = quantised({"a.weight": packed.dequantize().numpy()}, "qint8_per_channel_affine", 8, axis=0)
    assert explain({"a.weight": W}, new)[0].values["explained"] is True


def test_a_grid_in_float_storage_is_explained(explain: Any) -> None:
    summary, _ = explain(OLD, {**OLD, "a.weight": _rounded(W, INT8)})
    assert (summary.values["explained"], summary.values["n_explained"]) == (True, 1)


@pytest.mark.parametrize("kind", [np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("scheme", [INT8, INT4])
def test_a_grid_that_is_itself_stored_rounded_is_explained_and_training_on_it_is_not(
    explain: Any, kind: Any, scheme: Scheme
) -> None:
    on_grid = _rounded(W, scheme)
    assert explain({"a.weight": W}, {"a.weight": on_grid.astype(kind)})[0].values["explained"] is True
    trained = _rounded(W + np.float32(0.004) * RNG.standard_normal(W.shape).astype("f4"), scheme).astype(kind)
    assert explain({"a.weight": W}, {"a.weight": trained})[0].values["explained"] is False


@pytest.mark.parametrize("with_scales", [True, False])
def test_codes_are_explained_by_their_scales_or_by_any_that_would_do(explain: Any, with_scales: bool) -> None:
    steps = (np.abs(W).max(axis=1) / 127).astype(np.float32)
    codes = np.rint(W.astype(np.float64) / steps[:, None]).astype(np.int8)
    scales = {"a.weight_scale": steps} if with_scales else {}
    summary, _ = explain({"a.weight": W}, {"a.weight": codes, **scales})
    assert (summary.values["explained"], summary.values["n_scales_added"]) == (True, len(scales))
    codes[::7, ::5] += 2
    assert explain({"a.weight": W}, {"a.weight": codes, **scales})[0].values["explained"] is False


def test_training_is_not_rounding(explain: Any) -> None:
    summary, _ = explain(OLD, {name: array * np.float32(1.01) for name, array in OLD.items()})
    assert (summary.values["explained"], summary.values["n_unexplained"]) == (False, 3)
    assert "3 of 3" in summary.message


def test_what_was_added_or_removed_is_not_explained(explain: Any) -> None:
    summary, _ = explain(OLD, {**OLD, "extra": V + 1})
    assert (summary.values["explained"], summary.values["n_added"], summary.values["n_removed"]) == (False, 1, 0)


def test_levels_that_are_not_known_leave_the_answer_open(explain: Any, quantised: Any) -> None:
    summary, _ = explain({"a.weight": W}, quantised({"a.weight": _rounded(W, INT4)}, "iq4_xs", 4.25, group_size=256))
    assert (summary.values["explained"], summary.values["n_unknown"]) == (None, 1)
    assert summary.status == "not_measurable"


def test_an_unchanged_model_needs_no_explanation(explain: Any) -> None:
    summary, flagged = explain(OLD, OLD)
    assert (summary.values["explained"], summary.values["n_unchanged"], flagged) == (True, 3, {})


def test_a_change_outside_the_sample_is_seen_in_the_error_of_all_elements(explain: Any) -> None:
    large = (RNG.standard_normal((768, 512)) * 0.02).astype(np.float32)
    new = _rounded(large, INT8)
    new[1] *= 3  # between the rows that are sampled
    summary, _ = explain({"a.weight": large}, {"a.weight": new})
    assert summary.values["explained"] is False
    assert _rows(summary)["a.weight"]["share"] == 1.0
