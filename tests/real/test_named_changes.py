"""Published models whose relation is known get the right name."""

from __future__ import annotations

import pytest

from diffai_core import compare

pytestmark = pytest.mark.real


@pytest.fixture
def named(model):
    """Return a function that gives the finding that names the change between two models."""

    def name(old, new):
        report = compare(model(old), model(new))
        (finding,) = [finding for finding in report.findings if finding.kind == "named_change"]
        return finding

    return name


def test_chgnet_for_r2scan_is_a_fine_tune_of_chgnet_030(named):
    finding = named("chgnet-0.3.0", "chgnet-r2scan")
    assert finding.values["change"] in {"full_fine_tune", "partial_fine_tune"}
    assert finding.values["median_centred_cos"] > 0.9


def test_what_chgnet_for_r2scan_did_not_train_is_named(named):
    assert "angle_layers.2" in named("chgnet-0.3.0", "chgnet-r2scan").message


def test_chgnet_030_is_no_fine_tune_of_chgnet_020(named):
    finding = named("chgnet-0.2.0", "chgnet-0.3.0")
    assert finding.values["change"] == "unrelated_weights"
    assert abs(finding.values["median_centred_cos"]) < 0.1


@pytest.mark.parametrize("other", ["silero", "silero-op15.onnx"])
def test_the_half_model_of_silero_is_another_training(named, other):
    finding = named(other, "silero-half.onnx")
    assert finding.values["change"] == "unrelated_weights"
    assert abs(finding.values["median_centred_cos"]) < 0.1
