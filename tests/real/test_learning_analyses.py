"""Progress, convergence and anomalies of published checkpoints, against what is known of their training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from diffai_core import compare

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from diffai_core.plugin import Finding, Report

pytestmark = pytest.mark.real

UNUSED = "model.state_dict.angle_layers.2.twoBody_bond."


@pytest.fixture(scope="module")
def fine_tune(model: Callable[[str], Path]) -> Report:
    """The fine-tune r2scan against its parent 0.3.0."""
    analyses = ["learning-progress", "convergence-analysis", "anomaly-detection"]
    return compare(model("chgnet-0.3.0"), model("chgnet-r2scan"), analyses=analyses)


@pytest.fixture(scope="module")
def separate(model: Callable[[str], Path]) -> Report:
    """Two separate trainings of one architecture."""
    analyses = ["learning-progress", "convergence-analysis", "anomaly-detection"]
    return compare(model("chgnet-0.2.0"), model("chgnet-0.3.0"), analyses=analyses)


def summary(report: Report, kind: str) -> Finding:
    (found,) = [item for item in report.findings if item.kind == kind]
    return found


def test_a_fine_tune_is_related_to_its_parent_and_moved_a_tenth(fine_tune: Report) -> None:
    values = summary(fine_tune, "learning_progress").values
    assert values["related"]
    assert values["centred_cos"] == pytest.approx(0.993, abs=0.001)
    matrices = [row for row in values["tensors"] if row["params"] >= 1024 and not row["identical"]]
    assert 0.08 < np.median([row["rel_change"] for row in matrices]) < 0.15
    assert values["training_restarted"]
    assert values["speed"] is None


def test_the_move_of_a_fine_tune_is_that_of_torch(fine_tune: Report, model: Callable[[str], Path]) -> None:
    sides = [
        torch.load(model(name), map_location="cpu", weights_only=True)["model"]["state_dict"]
        for name in ("chgnet-0.3.0", "chgnet-r2scan")
    ]
    rows = {row["tensor"]: row for row in summary(fine_tune, "learning_progress").values["tensors"]}
    names = [key.removeprefix("model.state_dict.") for key in rows]
    old, new = (torch.cat([side[name].reshape(-1).double() for name in names]) for side in sides)
    values = summary(fine_tune, "learning_progress").values
    assert values["magnitude"] == pytest.approx(float((new - old).norm() / old.norm()), rel=1e-9)
    identical = {f"model.state_dict.{name}" for name in names if torch.equal(sides[0][name], sides[1][name])}
    assert set(values["layers_frozen"]) == identical


def test_the_unused_branch_is_frozen_and_as_torch_drew_it(fine_tune: Report) -> None:
    frozen = summary(fine_tune, "learning_progress").values["layers_frozen"]
    assert len(frozen) == 8
    assert all(name.startswith(UNUSED) for name in frozen)
    untrained = {item.where for item in fine_tune.findings if item.values.get("metric") == "untrained"}
    assert untrained == {f"{UNUSED}mlp_{part}.layers.1.weight" for part in ("core", "gate")}


def test_the_layer_that_was_replaced_by_hand_is_named(fine_tune: Report) -> None:
    (replaced,) = [item for item in fine_tune.findings if item.kind == "learning_progress_tensor"]
    assert replaced.where == "model.state_dict.composition_model.fc.weight"
    assert replaced.values["rel_change"] == pytest.approx(4.2, abs=0.05)


def test_elements_that_were_not_in_the_data_are_rows_without_a_gradient(fine_tune: Report) -> None:
    (rows,) = [item for item in fine_tune.findings if item.values.get("metric") == "no_gradient_rows"]
    assert rows.where == "model.state_dict.atom_embedding.embedding.weight"
    atomic_numbers = [row + 1 for row in rows.values["rows"]]
    assert atomic_numbers == [70, 84, 85, 86, 87, 88]  # Yb, Po, At, Rn, Fr, Ra
    assert (rows.values["old"], rows.values["new"], rows.level) == (
        5,
        6,
        "warning",
    )  # Yb is missing in the fine-tune only


def test_separate_trainings_are_no_progress_of_each_other(separate: Report) -> None:
    values = summary(separate, "learning_progress").values
    assert (values["trend"], values["related"], values["speed"]) == ("unrelated", False, None)
    assert abs(values["centred_cos"]) < 0.02
    assert summary(separate, "convergence_analysis").values["state"] == "unrelated"


def test_two_checkpoints_have_no_direction_to_compare(fine_tune: Report) -> None:
    found = summary(fine_tune, "convergence_analysis")
    assert (found.status, found.values["state"], found.values["cosines"]) == ("not_measurable", None, [])
