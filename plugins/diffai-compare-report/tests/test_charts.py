"""Every number of a chart is held to NumPy or to what was planted."""

from __future__ import annotations

import math
from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest
from diffai_compare_report import plugin

from diffai_core.testing import artifact
from diffai_core.testing.running import run_comparator

SPEC = next(spec for spec in plugin.diffai_comparators() if spec.name == "include-charts")
RNG = np.random.default_rng(7)


def layer(block, role, size=64, dtype=np.float32):
    return f"model.layers.{block}.self_attn.{role}_proj.weight", RNG.normal(size=(size, size)).astype(dtype)


def drawn(old, new, tree=(None, None), **names):
    sides = (artifact(old, tree[0], **names), artifact(new, tree[1]))
    (finding,) = run_comparator(SPEC, *sides, {})
    return finding


def chart(finding, title):
    (found,) = [chart for chart in finding.values["charts"] if chart["title"].startswith(title)]
    assert found["data_points"] == sum(isinstance(x, (int, float)) for row in found["rows"] for x in row[1:])
    assert all(len(row) == len(found["columns"]) for row in found["rows"])
    return found


def rel(old, new):
    old, new = np.float64(old), np.float64(new)
    return np.linalg.norm(new - old) / np.linalg.norm(old)


def test_the_heat_map_has_the_change_of_every_block_and_role():
    old = dict([layer(0, "q"), layer(0, "k"), layer(1, "q"), layer(10, "q")]) | {"lm_head.weight": np.ones(4)}
    new = {key: array.copy() for key, array in old.items()}
    key = "model.layers.1.self_attn.q_proj.weight"
    new[key] = new[key] * np.float32(1.01)
    found = chart(drawn(old, new), "Relative change by block")
    assert found["columns"] == ["block", "q", "k", "head"]
    assert [row[0] for row in found["rows"]] == [
        "outside blocks",
        "model.layers.0",
        "model.layers.1",
        "model.layers.10",
    ]
    assert [row[1:] for row in found["rows"]] == [
        [None, None, "="],
        ["=", "=", None],
        [pytest.approx(math.log10(rel(old[key], new[key])), rel=1e-9), None, None],
        ["=", None, None],
    ]


def test_tensors_of_one_cell_are_taken_together():
    old = {"h.0.ln_1.weight": np.float32([3, 4]), "h.0.ln_1.bias": np.float32([1, 1, 1])}
    new = {"h.0.ln_1.weight": np.float32([3, 5]), "h.0.ln_1.bias": np.float32([1, 1, 2])}
    found = chart(drawn(old, new), "Relative change by block")
    together = rel(np.concatenate(list(old.values())), np.concatenate(list(new.values())))
    assert found["rows"] == [["h.0", pytest.approx(math.log10(together))]]


def test_the_text_of_the_heat_map_fits_a_terminal():
    old = dict(layer(block, role, 2) for block in range(60) for role in ["q", "k", "v", "o"])
    new = {key: array * np.float32(1 + 10 ** -(index % 7)) for index, (key, array) in enumerate(old.items())}
    lines = drawn(old, new).detail
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["q", "k", "v", "o"]
    assert lines[-2] == "… 20 more blocks, 0 more roles"
    shades = {-1: "█", -1.5: "▓", -3: "▒", -4: "░", -5: "·"}
    assert {char for line in lines[1:-2] for char in line.split()[1:]} == set(shades.values())


def test_tensors_are_counted_by_the_size_of_their_change():
    old = {f"w{number}": np.full(100, 1.0) for number in range(5)}
    factors = [1.0, 1 + 2e-3, 1 + 2.5e-3, 1.5, 1 + 1e-12]
    new = {key: array * factor for (key, array), factor in zip(old.items(), factors, strict=True)}
    rows = chart(drawn(old, new), "How many tensors")["rows"]
    assert rows[0] == [0.0, 0.0, 1]
    assert sum(row[2] for row in rows) == 5
    assert rows[1] == [None, pytest.approx(10**-8.5), 1]
    (middle,) = [row for row in rows if row[0] and row[0] <= 2e-3 < row[1]]
    assert middle == [pytest.approx(1e-3), pytest.approx(10**-2.5), 2]


def test_the_shares_of_the_change_are_those_of_the_squared_norm():
    old = {f"w{number:02}": np.zeros(10) + 1 for number in range(20)}
    new = {key: array + number for number, (key, array) in enumerate(old.items())}
    energies = np.array([number**2 * 10.0 for number in range(20)])
    rows = chart(drawn(old, new), "Which tensors hold")["rows"]
    assert rows[0] == ["w19", 0.05, pytest.approx(energies[19] / energies.sum())]
    assert rows[-1][0] == "4 others"
    assert sum(row[2] for row in rows) == pytest.approx(1)


def test_histograms_of_a_small_dtype_are_those_of_numpy():
    old = RNG.normal(size=5000).astype(ml_dtypes.bfloat16)
    new = (old.astype(np.float32) * 1.5).astype(ml_dtypes.bfloat16)
    found = chart(drawn({"w": old}, {"w": new}), "Values of w")
    edges = [found["rows"][0][0], *(row[1] for row in found["rows"])]
    assert edges[0] == min(np.float64(old).min(), np.float64(new).min())
    assert edges[-1] == max(np.float64(old).max(), np.float64(new).max())
    for column, side in ((2, old), (3, new)):
        wanted = np.histogram(np.float64(side), edges)[0] / side.size
        np.testing.assert_allclose([row[column] for row in found["rows"]], wanted, atol=1e-12)
    assert found["tensor"] == "w"
    assert found["ks_d"] > 0.05


def test_values_beyond_all_numbers_are_left_out_of_a_histogram():
    old = np.array([np.nan, np.inf, 1.0, 2.0], np.float32)
    rows = chart(drawn({"w": old}, {"w": old * 2}), "Values of w")["rows"]
    assert sum(row[2] for row in rows) == pytest.approx(1)
    assert all(math.isfinite(value) for row in rows for value in row)


def test_constant_sides_have_one_bin():
    rows = chart(drawn({"w": np.ones(3)}, {"w": np.array([1, 1, 1 + 1e-12])}), "Values of w")["rows"]
    assert len(rows) == 1
    assert rows[0][2:] == [1.0, 1.0]


def test_training_histories_of_both_sides_are_drawn_over_their_steps():
    logs = [
        {"log_history": [{"step": step, "loss": 2.0 / step * scale} for step in steps]}
        for steps, scale in (((1, 2, 3), 1.0), ((2, 3, 4), 0.5))
    ]
    found = chart(drawn({}, {}, tree=logs), "History of loss")
    assert found["columns"] == ["step", "OLD", "NEW"]
    assert found["rows"] == [[1, 2.0, None], [2, 1.0, 0.5], [3, 2 / 3, 1 / 3], [4, None, 0.25]]
    assert found["better"] == "lower"


def test_a_long_history_is_thinned_and_keeps_its_ends():
    log = {"log_history": [{"step": step, "loss": float(step)} for step in range(5000)]}
    found = chart(drawn({}, {}, tree=(log, log)), "History of loss")
    assert len(found["rows"]) == 400
    assert found["rows"][0][0] == 0
    assert found["rows"][-1] == [4999, 4999.0, 4999.0]
    assert found["n_points"] == 10_000


def test_without_tensors_and_histories_there_is_nothing_to_draw():
    finding = drawn({}, {}, tree=({"a": 1}, {"a": 2}))
    assert finding.status == "not_measurable"
    assert "trainer_state.json" in finding.message


def test_coverage_is_the_share_of_parameters_that_are_drawn():
    old = {"a": np.ones(30), "b": np.ones(10)}
    assert drawn(old, {"a": np.ones(30) * 2, "b": np.ones((2, 15))}).coverage == 0.5
    assert drawn(old, old).coverage == 1.0


def test_a_tied_tensor_is_drawn_once():
    made, other = artifact({"a": np.ones(4)}), artifact({"a": np.ones(4) * 2})
    for side in (made, other):
        first = side.tensors["a"]
        side.tensors["b"] = replace(first, name="b", shared_storage=first.storage)
    (finding,) = run_comparator(SPEC, made, other, {})
    assert sum(row[2] for row in chart(finding, "How many tensors")["rows"]) == 1


def test_names_of_files_change_nothing():
    old, new = dict([layer(0, "q")]), dict([layer(0, "q")])
    assert drawn(old, new, name="epoch_50_lr_0.01.pt") == drawn(old, new)
