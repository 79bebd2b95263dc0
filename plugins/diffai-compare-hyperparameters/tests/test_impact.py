"""Differences in settings are found and attributed only where one alone can be the cause."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch")


@pytest.fixture
def save(tmp_path):
    """Save a training with some settings and metrics; return the path."""

    def saved(name, settings, **more):
        path = tmp_path / name
        torch.save({"state_dict": {"w": torch.zeros(2)}, "hyper_parameters": settings, **more}, path)
        return path

    return saved


BASE = {"lr": 0.1, "dropout": 0.1, "opt": {"name": "sgd"}, "data_dir": "/data/1", "run_name": "a", "num_workers": 2}


def test_the_one_setting_that_differs_is_held_against_the_metrics(save, findings):
    old = save("a.pt", BASE, val_loss=0.5, val_acc=0.8)
    new = save("b.pt", {**BASE, "dropout": 0.3, "run_name": "b", "data_dir": "/other"}, val_loss=0.4, val_acc=0.7)
    summary, others = findings(old, new, name="hyperparameter-impact")
    assert others == []
    values = summary.values
    assert (values["n_changes"], values["high_impact"], summary.status) == (1, "dropout", "measured")
    assert [(row["name"], row["old"], row["new"]) for row in values["changes"]] == [("dropout", 0.1, 0.3)]
    metrics = {row["name"]: (round(row["delta"], 12), row["better"]) for row in values["metrics"]}
    assert metrics == {"val_acc": (-0.1, False), "val_loss": (-0.1, True)}


def test_several_differences_are_confounded_and_nothing_is_attributed(save, findings):
    old = save("a.pt", BASE, loss=0.5)
    new = save("b.pt", {**BASE, "lr": 0.2, "opt": {"name": "adam"}}, loss=0.4)
    summary, _ = findings(old, new, name="hyperparameter-impact")
    assert (summary.values["n_changes"], summary.values["high_impact"]) == (2, None)
    assert "confounded: 2 differ" in summary.message


def test_metrics_that_did_not_move_are_no_impact(save, findings):
    old, new = save("a.pt", BASE, loss=0.5), save("b.pt", {**BASE, "lr": 0.2}, loss=0.5)
    summary, _ = findings(old, new, name="hyperparameter-impact")
    assert (summary.values["n_changes"], summary.values["high_impact"]) == (1, None)


def test_a_setting_that_the_optimizer_repeats_is_one_difference(save, findings):
    def training(rate):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(2))], lr=rate, momentum=0.9)
        torch.optim.lr_scheduler.StepLR(optimizer, 3)
        return {"optimizer": optimizer.state_dict(), "loss": rate}

    old, new = (save(f"{rate}.pt", {**BASE, "lr": rate}, **training(rate)) for rate in (0.1, 0.2))
    summary, _ = findings(old, new, name="hyperparameter-impact")
    (change,) = summary.values["changes"]
    assert (change["name"], change["also"]) == ("lr", ["optimizer.param_groups[0].initial_lr"])
    assert summary.values["high_impact"] == "lr"


def test_settings_that_the_program_does_not_state_are_read_from_the_optimizer(save, findings):
    def training(decay):
        optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(2))], weight_decay=decay)
        return {"optimizer": optimizer.state_dict(), "loss": decay}

    old, new = (save(f"{decay}.pt", BASE, **training(decay)) for decay in (0.1, 0.2))
    summary, _ = findings(old, new, name="hyperparameter-comparison")
    assert [(row["name"], row["old"], row["new"]) for row in summary.values["changes"]] == [
        ("optimizer.param_groups[0].weight_decay", 0.1, 0.2)
    ]


def test_comparison_tells_what_is_no_hyperparameter_apart(save, findings):
    old = save("a.pt", BASE)
    new = save("b.pt", {**BASE, "lr": 1e-3, "run_name": "b", "num_workers": 9, "data_dir": "/x", "seed": 3})
    summary, _ = findings(old, new, name="hyperparameter-comparison")
    assert summary.values["changed"] == ["lr", "seed"]
    assert {row["name"] for row in summary.values["not_hyperparameters"]} == {"run_name", "num_workers", "data_dir"}
    assert (summary.values["n_changed"], summary.values["n_same"]) == (2, 2)


def test_configurations_and_results_without_tensors_are_compared_too(tmp_path, findings):
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    for path, batch, accuracy in zip(paths, (32, 64), (0.8, 0.9), strict=True):
        path.write_text(json.dumps({"config": {"batch_size": batch}, "results": {"accuracy": accuracy}}))
    summary, _ = findings(*paths, name="hyperparameter-impact")
    assert summary.values["high_impact"] == "batch_size"
    assert summary.values["metrics"][0]["better"] is True


def test_a_series_lists_pairs_of_runs_that_differ_in_one_setting_and_ranks_nothing(save, findings):
    settings = [BASE, {**BASE, "lr": 0.2}, {**BASE, "lr": 0.2, "dropout": 0.5}, {**BASE, "lr": 0.4, "dropout": 0.9}]
    paths = [save(f"{i}.pt", setting, loss=1.0 - 0.1 * i) for i, setting in enumerate(settings)]
    summary, _ = findings(*paths, name="hyperparameter-impact")
    found = [(row["runs"], row["setting"]["name"]) for row in summary.values["attributions"]]
    assert found == [([0, 1], "lr"), ([1, 2], "dropout")]
    assert "not ranked: 4 runs are fewer than 20" in summary.message
    assert summary.values["high_impact"] is None


@pytest.mark.parametrize("name", ["hyperparameter-impact", "hyperparameter-comparison", "learning-rate-analysis"])
def test_names_of_files_tell_nothing_and_metadata_does(tmp_path, findings, name):
    from safetensors.numpy import save_file

    paths = [tmp_path / "model_lr_0.01.safetensors", tmp_path / "model_lr_0.001.safetensors"]
    for index, path in enumerate(paths):
        save_file({"w": np.full(3, index, np.float32)}, path)
    summary, others = findings(*paths, name=name)
    assert (summary.status, dict(summary.values), others) == ("not_measurable", {}, [])
    assert "give training checkpoints" in summary.message
    told = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    for path, rate in zip(told, ("0.3", "0.6"), strict=True):
        save_file({"w": np.zeros(3, np.float32)}, path, metadata={"lr": rate, "format": "np"})
    stated, _ = findings(*told, name=name)
    if name == "learning-rate-analysis":
        assert (stated.values["lr_old"], stated.values["lr_new"], stated.values["lr_ratio"]) == (0.3, 0.6, 2.0)
    else:
        assert [(row["name"], row["old"], row["new"]) for row in stated.values["changes"]] == [("lr", 0.3, 0.6)]
    if name == "hyperparameter-impact":
        assert stated.status == "not_measurable"
        assert "needs logs or results" in stated.message


def test_telling_file_names_change_nothing(save, findings):
    paths = [save("a.pt", BASE, loss=0.5), save("b.pt", {**BASE, "lr": 0.2}, loss=0.4)]
    named = [path.with_name(name) for path, name in zip(paths, ("lr_9.pt", "dropout_0.9_acc_99.pt"), strict=True)]
    for path, name in zip(paths, named, strict=True):
        shutil.copy(path, name)
    for analysis in ("hyperparameter-impact", "hyperparameter-comparison", "learning-rate-analysis"):
        assert findings(*paths, name=analysis) == findings(*named, name=analysis)
