"""Metrics, histories and settings of the layouts that training programs write."""

from __future__ import annotations

import argparse
import enum
import math
import sys
import types

import pytest
from diffai_lib_training import direction_of, training_of
from hypothesis import given, settings
from hypothesis import strategies as st

from diffai_core.testing import artifact

TRAINER_STATE = {
    "best_metric": None,
    "epoch": 2.0,
    "global_step": 20,
    "log_history": [
        {"epoch": 0.5, "loss": 2.0, "learning_rate": 1e-4, "grad_norm": 0.7, "step": 5},
        {"epoch": 1.0, "eval_loss": 1.5, "eval_accuracy": 0.5, "eval_runtime": 1.0, "step": 10},
        {"epoch": 1.0, "loss": 1.0, "learning_rate": 5e-5, "grad_norm": 0.6, "step": 10},
    ],
    "max_steps": 100,
}


def training(tree):
    return training_of(artifact({}, tree))


def settings_of(tree):
    return {setting.name: (setting.value, setting.kind) for setting in training(tree).hyperparameters}


def test_the_log_of_a_trainer_is_read_as_series_over_steps():
    found = training({"trainer_state.json": TRAINER_STATE})
    series = {history.name: history for history in found.histories}
    assert (series["loss"].values, series["loss"].steps, series["loss"].unit) == ((2.0, 1.0), (5.0, 10.0), "step")
    assert [series[name].direction for name in ("loss", "eval_loss", "eval_accuracy", "eval_runtime")] == [
        "lower", "lower", "higher", None,
    ]  # fmt: skip
    assert (found.step(), found.epoch) == (20, 2.0)
    assert [(rate.value, rate.source) for rate in found.learning_rates] == [(5e-5, "log")]
    assert found.metrics == ()


def test_saved_arguments_are_settings_and_say_what_is_none(saved):
    pytest.importorskip("torch")
    arguments = argparse.Namespace(
        lr=1e-3, opt="adamw", output="/runs/7", seed=3, num_workers=4, run_name="r", device="x"
    )
    found = training_of(saved({"args": arguments, "epoch": 3, "metric": 77.3}))
    assert {setting.name: setting.kind for setting in found.hyperparameters} == {
        "lr": "hyperparameter", "opt": "hyperparameter", "output": "path", "seed": "seed", "num_workers": "runtime",
        "run_name": "identity", "device": "runtime",
    }  # fmt: skip
    assert [(metric.name, metric.value, metric.direction) for metric in found.metrics] == [("metric", 77.3, None)]


def test_arguments_saved_as_an_object_are_settings_with_the_values_of_their_enumerations(saved, monkeypatch):
    torch = pytest.importorskip("torch")
    module = types.ModuleType("transformers.training_args")
    names = {"__module__": module.__name__}
    module.TrainingArguments = type("TrainingArguments", (), names)
    module.SchedulerType = enum.Enum("SchedulerType", {"COSINE": "cosine"}, module=module.__name__)
    monkeypatch.setitem(sys.modules, "transformers", types.ModuleType("transformers"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    arguments = module.TrainingArguments()
    vars(arguments).update(learning_rate=5e-4, output_dir="/x", lr_scheduler_type=module.SchedulerType.COSINE)
    found = training_of(saved({"training_args": arguments, "w": torch.ones(2)}))
    assert {setting.name: (setting.value, setting.kind) for setting in found.hyperparameters} == {
        "learning_rate": (5e-4, "hyperparameter"),
        "output_dir": ("/x", "path"),
        "lr_scheduler_type": ("cosine", "hyperparameter"),
    }
    assert [rate.value for rate in found.learning_rates] == [5e-4]


def test_lightning_keeps_hyperparameters_steps_and_the_direction_of_its_monitor(saved):
    pytest.importorskip("torch")
    found = training_of(
        saved(
            {
                "epoch": 4,
                "global_step": 120,
                "pytorch-lightning_version": "2.1",
                "hyper_parameters": {"lr": 5e-4, "opt": {"name": "adamw", "betas": (0.9, 0.98)}, "data_dir": "/data"},
                "callbacks": {"ModelCheckpoint{'monitor': 'val_q', 'mode': 'max'}": {"monitor": "val_q"}},
                "metrics": {"val_q": 0.3},
            }
        )
    )
    assert (found.step(), found.epoch) == (120, 4)
    names = {setting.name: setting.value for setting in found.hyperparameters if setting.kind == "hyperparameter"}
    assert names == {"lr": 5e-4, "opt.name": "adamw", "opt.betas": [0.9, 0.98]}
    assert [(metric.name, metric.direction) for metric in found.metrics] == [("val_q", "higher")]


def test_results_of_the_evaluation_harness_have_the_directions_that_it_states():
    tree = {
        "results": {"arc": {"alias": "arc", "acc,none": 0.4, "acc_stderr,none": 0.01, "odd,none": 2.0}},
        "higher_is_better": {"arc": {"acc": True, "odd": False}},
        "n-shot": {"arc": 5},
        "config": {"model": "hf", "batch_size": 8, "seed": 0},
    }
    found = training(tree)
    assert {metric.name: (metric.value, metric.direction) for metric in found.metrics} == {
        "arc.acc,none": (0.4, "higher"),
        "arc.odd,none": (2.0, "lower"),
    }
    assert settings_of(tree) == {
        "model": ("hf", "hyperparameter"),
        "batch_size": (8, "hyperparameter"),
        "seed": (0, "seed"),
    }


@pytest.mark.parametrize(
    ("tree", "wanted"),
    [
        ({"training_history": {"e": {"train": [3.0, 2.0], "val": [4.0, 3.0]}}}, {"e.train": None, "e.val": None}),
        ({"train_results": {"epoch": [1, 2], "train/box_loss": [3.0, 2.0]}}, {"train/box_loss": (1.0, 2.0)}),
        ({"history": [{"epoch": 1, "loss": 3.0}, {"epoch": 2, "loss": 2.0}]}, {"loss": (1.0, 2.0)}),
        ({"train_loss": [1.0, 0.5, 0.2], "layers": [64, 32]}, {"train_loss": None}),
    ],
)
def test_dicts_of_lists_and_lists_of_dicts_are_series(tree, wanted):
    assert {history.name: history.steps for history in training(tree).histories} == wanted


def test_metadata_of_safetensors_holds_numbers_as_text():
    import numpy as np

    tree = {
        "__metadata__": {"lr": "0.01", "ss_optimizer": "AdamW", "nested": '{"wd": 0.1}', "format": "pt", "flag": "True"}
    }
    side = artifact({"w": np.zeros(2)}, tree)
    found = {setting.name: (setting.value, setting.kind) for setting in training_of(side).hyperparameters}
    assert found == {
        "lr": (0.01, "hyperparameter"), "ss_optimizer": ("AdamW", "hyperparameter"),
        "nested.wd": (0.1, "hyperparameter"),
        "format": ("pt", "identity"), "flag": (True, "hyperparameter"),
    }  # fmt: skip
    assert [rate.value for rate in training_of(side).learning_rates] == [0.01]


def test_a_configuration_file_is_settings_as_a_whole():
    assert settings_of({"model": {"layers": 3}, "optim": {"lr": 0.1}, "save_dir": "runs"}) == {
        "model.layers": (3, "hyperparameter"),
        "optim.lr": (0.1, "hyperparameter"),
        "save_dir": ("runs", "path"),
    }


DIRECTIONS = {
    "lower": [
        "loss",
        "val_loss",
        "eval_loss",
        "train/box_loss",
        "perplexity",
        "word_perplexity",
        "wer",
        "test.rmse",
        "mae",
    ],
    "higher": [
        "accuracy",
        "val_acc",
        "metrics/mAP50(B)",
        "f1",
        "bleu",
        "acc_norm,none",
        "eval_rouge1",
        "best_acc",
        "top1",
    ],
    None: [
        "loss_weight",
        "eval_runtime",
        "epoch",
        "x",
        "neg_loss",
        "-loss",
        "num_losses",
        "error_free_rate",
        "accuracy_drop",
        "mixed_precision",
        "loss_fn",
        "samples_per_second",
        "acc_stderr",
        "lr",
        "",
    ],
}


@pytest.mark.parametrize(("direction", "name"), [(way, name) for way, names in DIRECTIONS.items() for name in names])
def test_directions_are_those_that_metrics_of_the_name_have(direction, name):
    assert direction_of(name) == direction


_KEYS = (
    *("param_groups", "state", "lr", "params", "last_epoch", "_last_lr", "base_lrs", "_schedulers", "log_history"),
    *("results", "config", "loss", "monitor", "mode", "higher_is_better", "epoch", "step", "__metadata__", "betas"),
)
_TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(_KEYS) | st.text(max_size=4), inner, max_size=5)
    ),
    max_leaves=30,
)


@settings(max_examples=150, deadline=None)
@given(tree=st.dictionaries(st.sampled_from(["optimizer", "scheduler", "results", "args", "log"]), _TREES))
def test_any_tree_is_read_without_an_exception(tree):
    found = training(tree)
    found.step()
    assert all(not math.isnan(metric.value) for metric in found.metrics)
    for optimizer in found.optimizers:
        assert all(len(group.betas or (0, 0)) == 2 for group in optimizer.groups)
        assert all(state.group is None or state.group < len(optimizer.groups) for state in optimizer.states)


@pytest.mark.parametrize("name", ["recall@5", "val_acc@1", "mAP@0.5", "metrics/mAP@0.5:0.95"])
def test_a_cutoff_does_not_hide_which_metric_it_is(name):
    assert direction_of(name) == "higher"


def test_a_list_among_results_hides_none_of_the_numbers_beside_it():
    found = training({"metrics": {"elbo": 2.5, "accuracy": 0.5, "loss": [3.0, 2.0]}})
    assert {metric.name: metric.value for metric in found.metrics} == {"elbo": 2.5, "accuracy": 0.5}
    assert [history.values for history in found.histories] == [(3.0, 2.0)]
