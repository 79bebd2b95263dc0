"""Gradients are those that torch's optimizers saw: planted signal and noise, sizes, untouched rows, odd layers."""

from __future__ import annotations

import json
import math
import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch")


def adam_run(snr, n=100_000, n_steps=60, betas=(0.9, 0.99), scale=1.0, seed=0):
    """Return a parameter and Adam after steps with gradients of a given mean and deviation: snr and 1, times scale."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.nn.Parameter(torch.zeros(n // 100, 100))
    optimizer = torch.optim.Adam([weight], lr=1e-5, betas=betas)
    mean = snr * torch.sign(torch.randn(weight.shape, generator=generator))
    for _ in range(n_steps):
        weight.grad = scale * (mean + torch.randn(weight.shape, generator=generator))
        optimizer.step()
    return {"fc.weight": weight.detach()}, optimizer


@pytest.mark.parametrize(
    ("snr", "margin"), [(0.0, 0.03), (0.05, 0.015), (0.1, 0.01), (0.3, 0.01), (1.0, 0.02), (3.0, 0.05)]
)
def test_planted_signal_and_noise_are_recovered(save, findings, snr, margin):
    model, optimizer = adam_run(snr)
    path = save(model, optimizer)
    summary, _ = findings(path, path)
    values = summary.values
    assert values["snr_new"] == pytest.approx(snr, abs=margin)
    assert values["rms_grad_new"] == pytest.approx(math.sqrt(100_000 * (1 + snr**2)), rel=0.01)
    assert summary.null["pooled_R_new"] == pytest.approx(0.1 / 1.9 * (1 + 0.9**60) / (1 - 0.9**60), rel=1e-9)
    assert (values["optimizer_new"], values["step_new"]) == ("adam", 60)
    assert (summary.status, summary.coverage) == ("measured", 1.0)


@pytest.mark.parametrize(("betas", "n_steps"), [((0.9, 0.999), 3), ((0.95, 0.99), 40), ((0.5, 0.9), 10)])
def test_pure_noise_has_the_ratio_that_is_called_its_null_also_in_the_first_steps(save, findings, betas, n_steps):
    model, optimizer = adam_run(0.0, n_steps=n_steps, betas=betas)
    path = save(model, optimizer)
    summary, _ = findings(path, path)
    assert summary.values["pooled_R_new"] == pytest.approx(summary.null["pooled_R_new"], rel=0.03)


def test_sizes_and_ratios_are_those_of_the_state_in_float64(save, findings):
    torch.manual_seed(1)
    model = torch.nn.Sequential(torch.nn.Linear(7, 5), torch.nn.Tanh(), torch.nn.Linear(5, 3))
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.8, 0.95))
    paths = []
    for name in ("old.pt", "new.pt"):
        for _ in range(6):
            optimizer.zero_grad()
            model(torch.randn(4, 7)).square().mean().backward()
            optimizer.step()
        paths.append(save(model, optimizer, name))
        if name == "old.pt":
            before = {
                key: {slot: x.clone() for slot, x in s.items()} for key, s in optimizer.state_dict()["state"].items()
            }
    summary, _ = findings(*paths)
    after = optimizer.state_dict()["state"]
    names = [f"model.{name}" for name, _ in model.named_parameters()]
    for side, state, step in (("tensors_old", before, 6), ("tensors", after, 12)):
        rows = {row["name"]: row for row in summary.values[side]}
        assert list(rows) == names
        for name, slots in zip(names, state.values(), strict=True):
            m2 = float((slots["exp_avg"].double() / (1 - 0.8**step)).square().sum())
            v = float((slots["exp_avg_sq"].double() / (1 - 0.95**step)).sum())
            assert rows[name]["rms_grad"] == pytest.approx(math.sqrt(v), rel=1e-12)
            assert rows[name]["pooled_R"] == pytest.approx(m2 / v, rel=1e-12)
            assert rows[name]["step"] == step
    both, _ = findings(*paths, "compare-gradients")
    for row, key in zip(both.values["tensors"], after, strict=True):
        a, b = before[key]["exp_avg"].double().flatten(), after[key]["exp_avg"].double().flatten()
        assert row["cos"] == pytest.approx(float(torch.nn.functional.cosine_similarity(a, b, dim=0)), abs=1e-12)
        v_old, v_new = (float(state[key]["exp_avg_sq"].double().sum()) for state in (before, after))
        ratio = math.sqrt(v_new / (1 - 0.95**12)) / math.sqrt(v_old / (1 - 0.95**6))
        assert row["rms_grad_ratio"] == pytest.approx(ratio, rel=1e-12)


def test_rows_that_no_gradient_reached_are_named_and_stale_ones_dated(save, findings):
    torch.manual_seed(0)
    embedding = torch.nn.Embedding(50, 8)
    optimizer = torch.optim.Adam(embedding.parameters(), betas=(0.9, 0.9))
    for step in range(250):
        seen = [3] if step == 0 else [*range(10, 50)]
        optimizer.zero_grad()
        embedding(torch.tensor(seen)).square().sum().backward()
        optimizer.step()
    path = save({"embed_tokens.weight": embedding.weight.detach()}, optimizer)
    summary, others = findings(path, path)
    (rows,) = summary.values["never_updated_rows"]
    assert rows["name"] == "model.embed_tokens.weight"
    assert rows["never_updated_rows"] == [row for row in range(10) if row != 3]
    assert (rows["n_rows"], rows["n_stale_rows"]) == (50, 1)
    assert rows["steps_since_update_est"] == pytest.approx(249, abs=40)
    assert [(f.kind, f.where, f.level) for f in others] == [("never_updated_rows", "model.embed_tokens.weight", "info")]


def test_untouched_rows_have_the_names_of_the_tokenizer_beside_them(tmp_path, findings):
    torch.manual_seed(0)
    embedding = torch.nn.Embedding(4, 3)
    optimizer = torch.optim.Adam(embedding.parameters())
    embedding(torch.tensor([0, 2])).square().sum().backward()
    optimizer.step()
    torch.save({"embed_tokens.weight": embedding.weight.detach()}, tmp_path / "pytorch_model.bin")
    torch.save(optimizer.state_dict(), tmp_path / "optimizer.pt")
    model = {"type": "WordLevel", "vocab": {"a": 0, "un": 1, "the": 2, "seen": 3}, "unk_token": "a"}
    parts = ("truncation", "padding", "normalizer", "pre_tokenizer", "post_processor", "decoder")
    words = {"version": "1.0", **dict.fromkeys(parts), "added_tokens": [], "model": model}
    (tmp_path / "tokenizer.json").write_text(json.dumps(words))
    _, (rows,) = findings(tmp_path, tmp_path)
    assert (rows.values["never_updated_rows"], rows.values["never_updated_tokens"]) == ([1, 3], ["un", "seen"])
    assert rows.message == "no gradient ever reached 2 of 4 rows: 'un', 'seen'"


@pytest.mark.parametrize("n_between", [1, 5, 40])
def test_noise_of_one_run_has_the_cosine_that_its_null_says(tmp_path, save, findings, n_between):
    generator = torch.Generator().manual_seed(0)
    weight = torch.nn.Parameter(torch.zeros(200, 200))
    optimizer = torch.optim.Adam([weight])
    paths = []
    for name, n_steps in (("old.pt", 60), ("new.pt", n_between)):
        for _ in range(n_steps):
            weight.grad = torch.randn(200, 200, generator=generator)
            optimizer.step()
        paths.append(save({"fc.weight": weight.detach()}, optimizer, name))
    summary, _ = findings(*paths, "compare-gradients")
    assert summary.null["cos_if_same_run"] == pytest.approx(0.9**n_between)
    assert summary.values["cos"] == pytest.approx(summary.null["cos_if_same_run"], abs=5 * summary.null["cos_std"])


def deep(n_layers, factor_of=lambda layer: 1.0, seed=0):
    """Return a model of equal layers and Adam whose gradients in layer i have the deviation ``factor_of(i)``."""
    generator = torch.Generator().manual_seed(seed)
    layers = torch.nn.ModuleDict({"layers": torch.nn.ModuleList(torch.nn.Linear(40, 30) for _ in range(n_layers))})
    optimizer = torch.optim.Adam(layers.parameters())
    for _ in range(5):
        for index, layer in enumerate(layers["layers"]):
            for parameter in layer.parameters():
                parameter.grad = factor_of(index) * torch.randn(parameter.shape, generator=generator)
        optimizer.step()
    return layers, optimizer


def test_gradients_that_vanish_along_the_depth_show_their_slope(save, findings):
    path = save(*deep(12, lambda layer: 10 ** (0.25 * layer)))
    summary, _ = findings(path, path)
    details = summary.values["details_new"]
    assert details["depth_slope_log10_per_block"] == pytest.approx(0.25, abs=0.01)
    assert (details["depth_trend"], details["n_blocks"]) == ("grows with depth", 12)
    assert details["max_ratio_within_role"] == pytest.approx(10 ** (0.25 * 11), rel=0.2)


def test_a_layer_with_exploding_gradients_is_flagged_when_it_is_new(save, findings):
    calm = save(*deep(12), "calm.pt")
    odd = save(*deep(12, lambda layer: 30.0 if layer == 7 else 1.0, seed=1), "odd.pt")
    _, none = findings(calm, calm)
    assert none == []
    _, flagged = findings(calm, odd)
    assert {(f.where, f.level) for f in flagged} == {
        ("model.layers.7.weight", "warning"), ("model.layers.7.bias", "warning"),
    }  # fmt: skip
    assert all(f.values["robust_z"] > f.threshold for f in flagged)
    assert {f.level for f in findings(odd, odd)[1]} == {"info"}


def test_overflowed_state_is_told_and_left_out(save, findings):
    old = save(*deep(3), "old.pt")
    model, optimizer = deep(3)
    next(iter(optimizer.state.values()))["exp_avg_sq"][0, :2] = math.inf
    summary, others = findings(old, save(model, optimizer, "new.pt"))
    assert [(f.kind, f.where, f.level, f.values["n_not_finite"]) for f in others] == [
        ("gradient_not_finite", "model.layers.0.weight", "warning", 2)
    ]
    assert math.isfinite(summary.values["rms_grad_new"])
    assert summary.coverage < 1


def test_numbers_beyond_float64_and_states_that_do_not_fit_are_no_measurements(tmp_path, findings):
    def checkpoint(name, first, second):
        state = {0: {"step": torch.tensor(5.0), "exp_avg": first, "exp_avg_sq": second}}
        groups = [{"lr": 0.1, "betas": (0.9, 0.999), "params": [0]}]
        path = tmp_path / name
        torch.save({"model": {"w": torch.ones(4, 3)}, "optimizer": {"state": state, "param_groups": groups}}, path)
        return path

    huge = torch.full((4, 3), 1e308, dtype=torch.float64)
    summary, _ = findings(*[checkpoint("huge.pt", huge, huge)] * 2)
    assert summary.status == "not_measurable"
    other = checkpoint("other.pt", torch.rand(5), torch.rand(4, 3))
    summary, _ = findings(other, other)
    assert summary.values["rms_grad_new"] > 0
    assert summary.values["pooled_R_new"] is None


def momentum_run(seed):
    torch.manual_seed(seed)
    model = torch.nn.Linear(30, 20)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(3):
        for parameter in model.parameters():
            parameter.grad = torch.randn_like(parameter)
        optimizer.step()
    return model, optimizer


def test_momentum_tells_directions_but_no_sizes(save, findings):
    old, new = (save(*momentum_run(seed), f"{seed}.pt") for seed in (0, 1))
    summary, _ = findings(old, new)
    assert summary.status == "not_measurable"
    both, _ = findings(old, new, "compare-gradients")
    assert both.values["cos"] == pytest.approx(0.0, abs=5 * both.null["cos_std"])
    assert both.values["rms_grad_ratio"] is None
    same, _ = findings(old, old, "compare-gradients")
    assert (same.values["cos"], same.values["cos_min"]) == (1.0, 1.0)


@pytest.mark.parametrize("build", [torch.optim.RMSprop, lambda params: torch.optim.Adafactor(params, lr=1e-3)])
def test_other_second_moments_give_the_size_of_gradients_too(save, findings, build):
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.zeros(300, 200))
    optimizer = build([weight])
    for _ in range(30):
        weight.grad = 0.5 * torch.randn(300, 200)
        optimizer.step()
    path = save({"fc.weight": weight.detach()}, optimizer)
    summary, _ = findings(path, path)
    assert summary.values["rms_grad_new"] == pytest.approx(0.5 * math.sqrt(300 * 200), rel=0.01)
    assert summary.values["snr_new"] is None
    optimizer.step()
    both, _ = findings(path, save({"fc.weight": weight.detach()}, optimizer, "next.pt"), "compare-gradients")
    assert (both.status, both.values["cos"]) == ("measured", None)
    assert both.values["rms_grad_old"] == pytest.approx(0.5 * math.sqrt(300 * 200), rel=0.01)
    assert both.values["rms_grad_ratio"] == pytest.approx(1.0, rel=0.05)


@pytest.mark.parametrize("value", [float("nan"), -0.5])
def test_moments_that_are_damaged_throughout_have_no_size_and_not_the_size_0(save, findings, value):
    model, optimizer = adam_run(0.0, n=1000, n_steps=3)
    for state in optimizer.state.values():
        state["exp_avg_sq"].fill_(value)
        state["exp_avg"].fill_(float("nan"))
    path = save(model, optimizer)
    summary, flagged = findings(path, path)
    assert (summary.status, summary.values) == ("not_measurable", {})
    assert "damaged or overflowed" in summary.message
    assert [finding.kind for finding in flagged] == ["gradient_not_finite"]
    both, _ = findings(path, path, "compare-gradients")
    assert both.status == "not_measurable"


def test_means_in_8_bit_codes_are_said_to_be_there_and_not_decoded(tmp_path, findings):
    codes = torch.zeros(64, dtype=torch.uint8)
    state = {"step": 3, "state1": codes, "state2": codes, "absmax1": torch.ones(1), "absmax2": torch.ones(1)}
    state |= {"qmap1": torch.linspace(-1, 1, 256), "qmap2": torch.linspace(0, 1, 256)}
    groups = [{"lr": 0.1, "betas": (0.9, 0.99), "params": [0]}]
    optimizer = {"state": {0: state}, "param_groups": groups}
    torch.save({"model": {"a.weight": torch.zeros(8, 8)}, "optimizer": optimizer}, tmp_path / "a.pt")
    summary, _ = findings(tmp_path / "a.pt", tmp_path / "a.pt")
    assert summary.status == "not_measurable"
    assert "8-bit codes" in summary.message


def test_parameters_are_matched_by_name_where_the_optimizers_number_them_otherwise(save, findings):
    old_model, old = deep(3, lambda layer: 2.0**layer)
    state = old.state_dict()
    last_first = [4, 5, 2, 3, 0, 1]
    turned = {
        "state": {index: state["state"][key] for index, key in enumerate(last_first)},
        "param_groups": [{**state["param_groups"][0], "params": list(range(6))}],
    }
    weights = old_model.state_dict()
    model = {name: weights[name] for layer in (2, 1, 0) for name in weights if name.startswith(f"layers.{layer}.")}
    old_path = save(old_model, old, "old.pt")
    new_path = old_path.with_name("new.pt")
    torch.save({"model": model, "optimizer": turned}, new_path)
    both, _ = findings(old_path, new_path, "compare-gradients")
    assert [row["cos"] for row in both.values["tensors"]] == pytest.approx([1.0] * 6)
    assert [row["rms_grad_ratio"] for row in both.values["tensors"]] == pytest.approx([1.0] * 6)


def test_saved_gradients_are_measured_themselves(tmp_path, findings):
    torch.manual_seed(0)
    gradients = [{"fc.weight": torch.randn(6, 5), "fc.bias": torch.randn(6)} for _ in range(2)]
    paths = [tmp_path / "a.pt", tmp_path / "b.pt"]
    for path, gradient in zip(paths, gradients, strict=True):
        torch.save({"model": {"fc.weight": torch.zeros(6, 5)}, "grads": gradient}, path)
    summary, _ = findings(*paths)
    flat = [torch.cat([g.flatten() for g in gradient.values()]).double() for gradient in gradients]
    assert summary.values["grad_norm_old"] == pytest.approx(float(flat[0].norm()), rel=1e-12)
    assert summary.values["grad_norm_new"] == pytest.approx(float(flat[1].norm()), rel=1e-12)
    both, _ = findings(*paths, "compare-gradients")
    wanted = float(torch.nn.functional.cosine_similarity(*flat, dim=0))
    assert both.values["cos"] == pytest.approx(wanted, abs=1e-12)
    assert both.values["rms_grad_ratio"] == pytest.approx(float(flat[1].norm() / flat[0].norm()), rel=1e-12)


@pytest.mark.parametrize("name", ["gradient-analysis", "compare-gradients"])
def test_without_state_the_answer_names_what_to_give(tmp_path, save, findings, name):
    plain = tmp_path / "adam_gradient_snr_0.3.pt"
    torch.save({"w": torch.ones(3)}, plain)
    summary, others = findings(plain, plain, name)
    assert (summary.status, dict(summary.values), others) == ("not_measurable", {}, [])
    assert "training checkpoints" in summary.message
    trained = save(*deep(2))
    left_out, _ = findings(trained, trained, name, ignore_optimizer_state=True)
    assert left_out.status == "not_measurable"
    assert "--ignore-optimizer-state" in left_out.message
    state = torch.load(trained)["optimizer"]["state"]
    torch.save({"optimizer": {"state": state, "param_groups": [{"params": [0, 1, 2, 3]}]}}, plain)
    unknown, _ = findings(plain, plain)
    assert unknown.status == "not_measurable"
    assert "betas" in unknown.message


def test_one_side_without_state_leaves_the_other_measured(tmp_path, save, findings):
    plain = tmp_path / "plain.pt"
    torch.save({"model": deep(2)[0].state_dict()}, plain)
    summary, _ = findings(plain, save(*deep(2)))
    assert summary.status == "measured"
    assert summary.values["rms_grad_old"] is None
    assert summary.values["rms_grad_new"] > 0
    assert "OLD holds no" in summary.message


def test_telling_file_names_change_nothing(save, findings):
    paths = [save(*deep(3, seed=seed), f"{seed}.pt") for seed in (0, 1)]
    named = [path.with_name(name) for path, name in zip(paths, ("exploding_lr_1e9.pt", "snr_0_sgd.pt"), strict=True)]
    for path, name in zip(paths, named, strict=True):
        shutil.copy(path, name)
    for analysis in ("gradient-analysis", "compare-gradients"):
        assert findings(*paths, analysis) == findings(*named, analysis)


def test_every_number_follows_the_gradients(save, findings):
    base = save(*adam_run(0.3, 20_000, 30), "base.pt")
    larger = save(*adam_run(0.3, 20_000, 30, scale=4.0), "larger.pt")
    clearer = save(*adam_run(3.0, 20_000, 30), "clearer.pt")
    longer = save(*adam_run(0.3, 20_000, 60), "longer.pt")
    scaled, _ = findings(base, larger)
    assert scaled.values["rms_grad_new"] == pytest.approx(4 * scaled.values["rms_grad_old"], rel=1e-5)
    assert scaled.values["snr_new"] == pytest.approx(scaled.values["snr_old"], rel=1e-3)
    assert findings(base, clearer)[0].values["snr_new"] > 5 * scaled.values["snr_old"]
    assert findings(base, longer)[0].values["step_new"] == 60
    turned, _ = findings(base, larger, "compare-gradients")
    assert turned.values["rms_grad_ratio"] == pytest.approx(4.0, rel=1e-5)
    other, _ = findings(base, save(*adam_run(0.3, 20_000, 30, seed=9), "other.pt"), "compare-gradients")
    assert abs(other.values["cos"]) < 0.1 < turned.values["cos"]


def test_filtered_runs_look_at_the_chosen_parameters_only(save, findings):
    path = save(*deep(3))
    summary, _ = findings(path, path, filter=r"layers\.1\.")
    assert [row["name"] for row in summary.values["tensors"]] == ["model.layers.1.weight", "model.layers.1.bias"]
    nothing, _ = findings(path, path, ignore_keys_regex=r"^optimizer\.state")
    assert nothing.status == "not_measurable"


def test_large_tables_are_read_in_blocks():
    from diffai_compare_gradients.sums import row_sums_of, sums_of

    from diffai_core.testing import tensor

    table = np.random.default_rng(0).random((3_000, 211)).astype(np.float32)
    table[17] = 0
    ref = tensor("v", table)
    sums = sums_of(ref)
    assert sums.total == pytest.approx(float(table.sum(dtype=np.float64)), rel=1e-12)
    assert sums.squares == pytest.approx(float((table.astype(np.float64) ** 2).sum()), rel=1e-12)
    assert (sums.n, sums.n_zero) == (table.size, 211)
    assert row_sums_of(ref).sums == pytest.approx(table.sum(axis=1, dtype=np.float64), rel=1e-12)
