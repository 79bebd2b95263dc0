"""Three published checkpoints of one architecture: separate trainings, and a fine-tune.

The checkpoints are read with ``torch.load(weights_only=True)`` and saved as safetensors; every number is held against
torch in float64.
"""

from __future__ import annotations

import pytest
from command import findings_of, report_of

pytestmark = pytest.mark.real
torch = pytest.importorskip("torch")
PAIRS = {"separate trainings": ("chgnet-0.2.0", "chgnet-0.3.0"), "a fine-tune": ("chgnet-0.3.0", "chgnet-r2scan")}


@pytest.fixture(scope="module")
def weights(model, tmp_path_factory):
    """Return a function that gives the tensors of a checkpoint and the safetensors file that holds them."""
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("checkpoints")

    def get(name):
        checkpoint = torch.load(model(name), map_location="cpu", weights_only=True)
        tensors = {key: tensor.contiguous() for key, tensor in checkpoint["model"]["state_dict"].items()}
        path = folder / f"{name}.safetensors"
        if not path.exists():
            save_file(tensors, path)
        return tensors, path

    return get


@pytest.fixture(scope="module", params=PAIRS)
def compared(request, weights):
    """Return both sides' tensors and diffai's report on them."""
    (old, old_path), (new, new_path) = map(weights, PAIRS[request.param])
    return old, new, report_of(old_path, new_path)


def test_tensors_are_counted_as_torch_sees_them(compared):
    old, new, report = compared
    both = [key for key in old if key in new]
    identical = [key for key in both if old[key].shape == new[key].shape and torch.equal(old[key], new[key])]
    counts = report["counts"]
    assert report["exit_code"] == 1
    assert counts["identical"] == len(identical)
    assert counts["changed"] == len(both) - len(identical)
    assert counts["added"] + counts["renamed"] == len(new.keys() - old.keys())
    assert counts["removed"] + counts["renamed"] == len(old.keys() - new.keys())
    assert report["old"]["n_parameters"] == sum(tensor.numel() for tensor in old.values())
    assert report["new"]["n_parameters"] == sum(tensor.numel() for tensor in new.values())


def test_changes_are_measured_as_torch_measures_them_in_float64(compared):
    old, new, report = compared
    found = findings_of(report, "tensor_stats_changed")
    assert found.keys() == {
        key
        for key in old.keys() & new.keys()
        if old[key].shape == new[key].shape and not torch.equal(old[key], new[key])
    }
    for key, finding in found.items():
        a, b = old[key].double(), new[key].double()
        difference = b - a
        values = finding["values"]
        assert values["n_changed"] == int((difference != 0).sum())
        assert values["max_abs_diff"] == float(difference.abs().max())
        assert float(difference[tuple(values["max_abs_diff_index"])].abs()) == values["max_abs_diff"]
        norm = float(a.norm())
        if norm:
            assert values["rel_change"] == pytest.approx(float(difference.norm()) / norm, rel=1e-12)
        else:
            assert values["rel_change"] is None
        for side, tensor in (("old", a), ("new", b)):
            assert finding[side]["mean"] == pytest.approx(float(tensor.mean()), rel=1e-10, abs=1e-15)
            assert finding[side]["std"] == pytest.approx(float(tensor.std(correction=0)), rel=1e-10, abs=1e-15)
            assert (finding[side]["min"], finding[side]["max"]) == (float(tensor.min()), float(tensor.max()))


def test_a_changed_shape_is_told_with_both_shapes(compared):
    old, new, report = compared
    expected = {
        key: (list(old[key].shape), list(new[key].shape))
        for key in old.keys() & new.keys()
        if old[key].shape != new[key].shape
    }
    found = findings_of(report, "tensor_shape_changed")
    assert {key: (finding["old"], finding["new"]) for key, finding in found.items()} == expected


def test_a_fine_tune_is_nearer_than_a_separate_training(weights):
    def median_change(names):
        report = report_of(*(weights(name)[1] for name in names))
        measured = findings_of(report, "tensor_stats_changed").values()
        changes = sorted(one["values"]["rel_change"] for one in measured if one["values"]["rel_change"] is not None)
        return changes[len(changes) // 2]

    assert median_change(PAIRS["a fine-tune"]) < 0.2
    assert median_change(PAIRS["separate trainings"]) > 1  # unrelated tensors of equal norm are sqrt(2) apart
