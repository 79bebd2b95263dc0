"""What three published training checkpoints remember of their training: unseen elements, noise, learning rates.

Numbers are held against torch in float64, and names against the periodic table.
"""

from __future__ import annotations

import math

import pytest
from command import findings_of, report_of

pytestmark = pytest.mark.real
torch = pytest.importorskip("torch")
NAMES = ("chgnet-0.2.0", "chgnet-0.3.0", "chgnet-r2scan")
PAIRS = [("chgnet-0.2.0", "chgnet-0.3.0"), ("chgnet-0.3.0", "chgnet-r2scan")]
ELEMENTS = {70: "Yb", 84: "Po", 85: "At", 86: "Rn", 87: "Fr", 88: "Ra"}
EMBEDDING = "model.state_dict.atom_embedding.embedding.weight"


@pytest.fixture(scope="module")
def summaries(model):
    """Return the summary of each training analysis for a pair of checkpoints."""
    flags = ("--gradient-analysis", "--compare-gradients", "--learning-rate-analysis", "--hyperparameter-impact")
    known = {}

    def get(pair):
        if pair not in known:
            known[pair] = report_of(*map(model, pair), *flags)
        return known[pair]

    return get


@pytest.fixture(scope="module")
def states(model):
    """Return a function that gives the corrected moments of a checkpoint's optimizer, by number of the parameter."""

    def get(name):
        optimizer = torch.load(model(name), map_location="cpu", weights_only=True)["optimizer"]
        beta1, beta2 = optimizer["param_groups"][0]["betas"]
        found = {}
        for key, slots in optimizer["state"].items():
            step = float(slots["step"])
            first, second = slots["exp_avg"].double(), slots["exp_avg_sq"].double()
            found[key] = first / (1 - beta1**step), second / (1 - beta2**step)
        return found

    return get


@pytest.mark.parametrize("pair", PAIRS)
def test_elements_without_a_gradient_are_those_that_the_training_data_lacks(summaries, pair):
    values = findings_of(summaries(pair), "gradient_analysis")[""]["values"]
    rows = {row["name"]: row["never_updated_rows"] for row in values["never_updated_rows"]}
    absent = {ELEMENTS[row + 1] for row in rows.pop(EMBEDDING)}
    assert rows == {}
    rare_earth = {"Yb"} if pair[1] == "chgnet-r2scan" else set()
    assert absent == {"Po", "At", "Rn", "Fr", "Ra"} | rare_earth
    assert (values["n_never_updated_rows_old"], values["n_never_updated_rows_new"]) == (5, 5 + len(rare_earth))


@pytest.mark.parametrize("pair", PAIRS)
def test_sizes_and_ratios_of_gradients_are_those_of_torch(summaries, states, pair):
    finding = findings_of(summaries(pair), "gradient_analysis")[""]
    for name, side in zip(pair, ("old", "new"), strict=True):
        moments = states(name).values()
        squares = sum(float(first.square().sum()) for first, _ in moments)
        second = sum(float(second.sum()) for _, second in moments)
        values = finding["values"]
        assert values[f"rms_grad_{side}"] == pytest.approx(math.sqrt(second), rel=1e-10)
        assert values[f"pooled_R_{side}"] == pytest.approx(squares / second, rel=1e-10)
        assert finding["null"][f"pooled_R_{side}"] == pytest.approx(0.1 / 1.9, rel=1e-12)
        assert finding["coverage"] == 1.0


def test_median_ratios_say_that_noise_dominates(summaries):
    details = {
        name: findings_of(summaries(pair), "gradient_analysis")[""]["values"][f"details_{side}"]
        for pair in PAIRS
        for name, side in zip(pair, ("old", "new"), strict=True)
    }
    medians = {name: details[name]["pooled_R_median"] for name in NAMES}
    assert medians == pytest.approx({"chgnet-0.2.0": 0.024, "chgnet-0.3.0": 0.045, "chgnet-r2scan": 0.050}, abs=6e-4)


def test_directions_of_a_fine_tune_are_compared_as_torch_compares_them(summaries, states):
    values = findings_of(summaries(PAIRS[1]), "compare_gradients")[""]["values"]
    old, new = (states(name) for name in PAIRS[1])
    flat = [torch.cat([state[key][0].flatten() for key in old]) for state in (old, new)]
    assert values["cos"] == pytest.approx(float(torch.nn.functional.cosine_similarity(*flat, dim=0)), abs=1e-12)
    sizes = [math.sqrt(sum(float(second.sum()) for _, second in state.values())) for state in (old, new)]
    assert values["rms_grad_ratio"] == pytest.approx(sizes[1] / sizes[0], rel=1e-10)
    assert values["n_parameters"] == 127


def test_learning_rates_are_those_of_their_schedules_to_rounding(summaries):
    fields = {}
    for pair in PAIRS:
        finding = findings_of(summaries(pair), "learning_rate_analysis")[""]
        assert "learning_rate_off_schedule" not in {found["kind"] for found in summaries(pair)["findings"]}
        for name, side in zip(pair, ("old", "new"), strict=True):
            fields[name] = {
                key: finding["values"][f"{key}_{side}"] for key in ("lr", "pattern", "max_rel_error", "details")
            }
    cosine = 2.5e-5 + (0.005 - 2.5e-5) * (1 + math.cos(math.pi * 280 / 300)) / 2
    wanted = {"chgnet-0.2.0": 1e-4 * 0.97**100, "chgnet-0.3.0": cosine, "chgnet-r2scan": 1e-5}
    assert cosine == pytest.approx(7.935784317465863e-05, rel=1e-14)
    assert {name: fields[name]["lr"] for name in NAMES} == pytest.approx(wanted, rel=1e-14)
    for name in NAMES:
        (schedule,) = fields[name]["details"]["schedules"]
        assert schedule["predicted"] == pytest.approx([wanted[name]], rel=1e-14)
        assert fields[name]["max_rel_error"] < 1e-14
    assert fields["chgnet-0.3.0"]["pattern"] == "cosine (T_max=300, eta_min=2.5e-05)"
    assert fields["chgnet-0.2.0"]["pattern"] == "exponential (gamma=0.97)"


def test_steps_are_whole_numbers_of_those_in_an_epoch(summaries, model):
    values = findings_of(summaries(PAIRS[1]), "learning_rate_analysis")[""]["values"]
    steps = {name: values[f"details_{side}"]["step"] for name, side in zip(PAIRS[1], ("old", "new"), strict=True)}
    assert steps == {"chgnet-0.3.0": 35598 * 28, "chgnet-r2scan": 2978 * 50}
    for name, n_steps in steps.items():
        history = torch.load(model(name), map_location="cpu", weights_only=True)["training_history"]
        assert n_steps % len(history["e"]["train"]) == 0


def test_two_trainings_that_differ_in_many_settings_are_confounded(summaries):
    finding = findings_of(summaries(PAIRS[1]), "hyperparameter_impact")[""]
    changes = {row["name"]: (row.get("old"), row.get("new")) for row in finding["values"]["changes"]}
    assert changes["learning_rate"] == (0.005, 0.001)
    assert changes["epochs"] == (30, 50)
    assert changes["energy_loss_ratio"] == (1, 3)
    assert {row["name"] for row in finding["values"]["metrics"]} >= {"e.val (last)", "f.val (last)"}
    assert finding["values"]["high_impact"] is None
    assert f"confounded: {len(changes)} differ" in finding["message"]
