"""The reviews answer by rules over planted faults, and say what they did not check."""

from __future__ import annotations

import numpy as np
import pytest
from diffai_compare_review.reviews import deployment_readiness, review_friendly, risk_assessment
from planted_models import compared, run, trained, transformer

from diffai_core.plugin import Finding, Foreign
from diffai_core.testing import artifact

BASE = transformer()
CONFIG = {
    "vocab_size": 100,
    "hidden_size": 64,
    "num_attention_heads": 4,
    "num_hidden_layers": 4,
    "tie_word_embeddings": False,
}
NEEDS = ("changes", "moments", "extrema", "counts")


def model(tensors, tree=None, **config):
    return artifact(tensors, {"config.json": {**CONFIG, **config}, **(tree or {})})


def risk(old, new, findings=()):
    (finding,) = risk_assessment(compared(old, new, findings, NEEDS), {})
    return finding


def rules(finding, state="flagged"):
    return {row["rule"]: row for row in finding.values[state]}


def test_a_small_fine_tune_with_its_configuration_raises_nothing():
    finding = risk(model(BASE), model(trained(BASE)))
    assert (finding.values["risk"], finding.level) == ("none", "info")
    assert finding.values["flagged"] == []


def test_what_was_not_asked_is_listed_with_the_flag_that_asks_it():
    open_rules = {row["rule"]: row["needs"] for row in risk(model(BASE), model(trained(BASE))).values["unchecked"]}
    assert "--anomaly-detection" in open_rules["anomalies"]
    assert "--regression-test" in open_rules["metrics"]
    assert "tokenizer" in open_rules["tokenizer_matches_embedding"]


def test_a_new_nan_is_a_high_risk_that_names_its_tensor_and_counts():
    new = trained(BASE)
    new["lm_head.weight"][3, 4:7] = np.nan
    finding = risk(model(BASE), model(new))
    row = rules(finding)["non_finite_values"]
    assert (finding.values["risk"], finding.values["from_rule"], finding.level) == (
        "high",
        "non_finite_values",
        "warning",
    )
    assert (row["where"], row["numbers"]["n_values"]) == ("lm_head.weight", 3)


def test_a_nan_that_was_there_before_is_no_new_risk():
    old, new = dict(BASE), trained(BASE)
    for side in (old, new):
        side["lm_head.weight"] = side["lm_head.weight"].copy()
        side["lm_head.weight"][0, 0] = np.nan
    assert "non_finite_values" in rules(risk(model(old), model(new)), "clear")


def test_values_beyond_float16_are_a_medium_risk():
    new = trained(BASE)
    new["lm_head.weight"][0, :5] = 70000
    finding = risk(model(BASE), model(new))
    assert finding.values["risk"] == "medium"
    assert rules(finding)["float16_overflow"]["numbers"]["n_values"] == 5


@pytest.mark.parametrize(
    ("config", "rule"),
    [
        ({"vocab_size": 120}, "vocab_size_matches_embedding"),
        ({"num_attention_heads": 5}, "heads_match_queries"),
        ({"num_attention_heads": 4, "head_dim": 32}, "heads_match_queries"),
        ({"num_hidden_layers": 5}, "layers_match_blocks"),
        ({"hidden_size": 128}, "hidden_size_matches_embedding"),
        ({"tie_word_embeddings": True}, "tied_embeddings_as_told"),
    ],
)
def test_a_configuration_that_does_not_fit_the_tensors_is_a_high_risk(config, rule):
    finding = risk(model(BASE), model(trained(BASE), **config))
    assert set(rules(finding)) == {rule}
    assert finding.values["risk"] == "high"


def test_tied_embeddings_that_are_equal_or_not_stored_are_as_told():
    tied = BASE | {"lm_head.weight": BASE["model.embed_tokens.weight"]}
    without = {key: value for key, value in BASE.items() if key != "lm_head.weight"}
    for tensors in (tied, without):
        found = risk(
            model(tensors, tie_word_embeddings=True), model(trained(tensors, only="mlp"), tie_word_embeddings=True)
        )
        assert "tied_embeddings_as_told" in rules(found, "clear")


def test_a_removed_tensor_is_a_high_risk_and_an_added_one_a_medium_risk():
    fewer = {key: value for key, value in BASE.items() if key != "model.norm.weight"}
    assert rules(risk(model(BASE), model(fewer)))["tensors_as_before"]["severity"] == "high"
    assert rules(risk(model(fewer), model(BASE)))["tensors_as_before"]["severity"] == "medium"


def test_unrelated_weights_are_a_high_risk_of_lineage():
    finding = risk(model(BASE), model(transformer(seed=7)))
    assert rules(finding)["lineage"]["severity"] == "high"
    assert abs(rules(finding)["lineage"]["numbers"]["median_centred_cos"]) < 0.1


def test_a_changed_tokenizer_over_the_same_embedding_is_a_high_risk():
    tokens = [{"tokenizer.json": {"vocab": {"a": at}}} for at in (0, 1)]
    found = Finding("modified", "tokenizer.json.vocab.a", old=0, new=1)
    old, new = model(BASE, tokens[0]), model(trained(BASE, only="mlp"), tokens[1])
    assert rules(risk(old, new, [found]))["tokenizer_matches_embedding"]["severity"] == "high"
    new = model(trained(BASE), tokens[1])
    assert rules(risk(old, new, [found]))["tokenizer_matches_embedding"]["severity"] == "medium"


def test_another_end_token_is_a_medium_risk():
    found = Finding("modified", '["generation_config.json"].eos_token_id', old=1, new=2)
    finding = risk(model(BASE), model(trained(BASE)), [found])
    assert rules(finding)["generation_settings"]["severity"] == "medium"


def test_code_that_only_new_asks_for_is_a_high_risk():
    from dataclasses import replace

    new = replace(model(trained(BASE)), foreign=(Foreign("posix.system", "new.pt", 3),))
    assert rules(risk(model(BASE), new))["foreign_code"]["severity"] == "high"
    assert rules(risk(replace(model(BASE), foreign=new.foreign), new))["foreign_code"]["severity"] == "low"


def test_warnings_of_analyses_that_ran_are_gates_and_silence_is_clear():
    quiet = Finding("anomaly_detection", level="info", plugin="anomaly-detection")
    loud = Finding("anomaly", "lm_head.weight", level="warning", message="dead rows", plugin="anomaly-detection")
    assert "anomalies" in rules(risk(model(BASE), model(trained(BASE)), [quiet]), "clear")
    row = rules(risk(model(BASE), model(trained(BASE)), [quiet, loud]))["anomalies"]
    assert (row["severity"], row["where"], row["source"]) == ("high", "lm_head.weight", "anomaly")


def readiness(old, new, findings=()):
    (finding,) = deployment_readiness(compared(old, new, findings, NEEDS, "all"), {})
    return finding


def test_readiness_is_undecided_until_the_metrics_were_compared():
    metrics = Finding("regression_test", level="info", plugin="regression-test")
    worse = Finding("regression_test_metric", "loss", level="warning", message="worse", plugin="regression-test")
    sides = model(BASE), model(trained(BASE))
    assert readiness(*sides).values["readiness"] == "undecided"
    assert readiness(*sides, [metrics]).values["readiness"] == "ready"
    assert readiness(*sides, [metrics, worse]).values["readiness"] == "blocked"


def test_readiness_sees_what_is_wrong_in_added_tensors():
    added = BASE | {"model.extra.bias": np.full(4, np.nan, np.float32)}
    finding = readiness(model(BASE), model(added))
    assert finding.values["because_of"] == ["non_finite_values"]


def test_a_review_puts_the_worst_first_and_names_the_change():
    new = trained(BASE)
    new["lm_head.weight"][0, 0] = np.inf
    (finding,) = review_friendly(compared(model(BASE), model(new), (), NEEDS), {})
    looks = [item["look_at"] for item in finding.values["look_at"]]
    assert looks[0] == "non_finite_values"
    assert "the change" in looks
    assert all(len(line) <= 80 for line in finding.detail)


def test_without_tensors_risk_and_readiness_name_what_they_need():
    for name in ("risk-assessment", "deployment-readiness"):
        (finding,) = run(artifact(tree={"a": 1}), artifact(tree={"a": 2}), name)
        assert finding.status == "not_measurable"
        assert "checkpoint" in finding.message


def test_each_review_is_one_finding_even_when_nothing_changed():
    for name in ("change-summary", "review-friendly", "risk-assessment", "deployment-readiness"):
        assert [finding.kind for finding in run(BASE, BASE, name)] == [name.replace("-", "_")]


def test_the_summary_tells_what_became_of_each_tensor():
    (finding,) = run(BASE, trained(BASE, only="q_proj"), "change-summary")
    assert finding.values["change"] == "partial_fine_tune"
    assert finding.status == "measured"
    assert {row["tensor"] for row in finding.values["tensors"]} == {
        f"model.layers.{block}.self_attn.q_proj.weight" for block in range(4)
    }


def test_names_of_files_change_nothing():
    from dataclasses import replace

    sides = model(BASE), model(trained(BASE))
    telling = [replace(side, name=f"epoch_50_lr_0.01_lora_r{at}.pt") for at, side in enumerate(sides)]
    for name in ("change", "change-summary", "review-friendly", "risk-assessment", "deployment-readiness"):
        assert run(*sides, name) == run(*telling, name)
