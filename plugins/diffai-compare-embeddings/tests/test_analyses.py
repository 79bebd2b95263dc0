"""The three analyses against planted changes: moved rows, resized vocabularies, rotations, clusters."""

from __future__ import annotations

import numpy as np
import pytest
from diffai_compare_embeddings.plugin import diffai_comparators
from scipy.stats import special_ortho_group

from diffai_core.registry import Registered
from diffai_core.run import Settings, compare_artifacts
from diffai_core.testing import artifact

SPECS = {
    spec.name: Registered(spec, "compare-embeddings", "diffai-compare-embeddings", "0.1.0")
    for spec in diffai_comparators()
}
NAME = "model.embed_tokens.weight"
VOCAB = {f"t{number}": number for number in range(200)}


def run(old, new, name="embedding-analysis", trees=({}, {}), label="memory", **options):
    sides = [artifact(tensors, tree, name=label) for tensors, tree in zip((old, new), trees, strict=True)]
    given = {name: {"n_clusters": 0} | options if name == "clustering-change" else options}
    report = compare_artifacts(*sides, (SPECS[name],), Settings(plugin_options=given))
    assert [finding.message for finding in report.findings if finding.level == "error"] == []
    (finding,) = (finding for finding in report.findings if finding.kind == name.replace("-", "_"))
    assert (finding.where, finding.level) == ("", "info")
    return finding


def table(seed=0, n=200, width=16, dtype=np.float32):
    return np.random.default_rng(seed).standard_normal((n, width)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_rows_that_moved_are_counted_and_named(dtype):
    old = table(dtype=dtype)
    new = old.copy()
    new[7] *= dtype(2)
    new[150] = -new[150]
    trees = ({"tokenizer.json": {"vocab": VOCAB}},) * 2
    found = run({NAME: old}, {NAME: new}, trees=trees)
    values, record = found.values, found.values["tables"][0]
    assert (values["layers"], values["affected_vocab"], record["unchanged_rows"]) == (1, 2, 198)
    assert [(row["row"], row["token"]) for row in record["top_moved"]] == [(150, "t150"), (7, "t7")]
    assert record["top_moved"][0]["rel_change"] == pytest.approx(2)
    assert record["top_moved"][0]["one_minus_cos"] == pytest.approx(2)
    assert record["top_moved"][1]["rel_change"] == pytest.approx(1)
    assert record["top_moved"][1]["one_minus_cos"] == pytest.approx(0, abs=1e-12)
    assert values["top_moved"] == ["t150 2", "t7 1"]
    cosines = (old.astype(float) * new).sum(1) / np.linalg.norm(old.astype(float), axis=1)
    assert values["row_cos"] == pytest.approx(float((cosines / np.linalg.norm(new.astype(float), axis=1)).mean()))


def test_without_a_tokenizer_rows_have_numbers():
    old = table()
    new = old.copy()
    new[3] += 1
    assert run({NAME: old}, {NAME: new}).values["top_moved"][0].startswith("3 ")


def test_a_rotated_table_has_other_rows_and_the_same_geometry():
    old = table(n=400)
    new = (old @ special_ortho_group.rvs(16, random_state=1)).astype(np.float32)
    values = run({NAME: old}, {NAME: new}).values
    assert abs(values["row_cos"]) < 0.5
    assert values["affected_vocab"] == 400
    assert values["cka_debiased"] == pytest.approx(1, abs=1e-6)
    assert values["procrustes_residual"] < 1e-3
    assert values["neighbour_overlap"] > 0.99
    assert values["semantic_drift"] == pytest.approx(1 - values["neighbour_overlap"])


def test_unrelated_tables_are_at_their_nulls():
    found = run({NAME: table(1, 600)}, {NAME: table(2, 600)})
    values, null = found.values, found.null
    assert values["cka_debiased"] == pytest.approx(0, abs=0.02)
    assert values["neighbour_overlap"] == pytest.approx(null["neighbour_overlap"]["unrelated"], abs=0.02)
    assert values["procrustes_residual"] == pytest.approx(null["procrustes_residual"]["unrelated"], rel=0.05)


def test_rows_that_were_appended_as_the_mean_are_told_from_others():
    old = table() + np.float32(0.4)
    mean, noise = old.mean(axis=0), np.random.default_rng(5)
    new = np.concatenate([old, np.stack([mean + noise.normal(0, 1e-4, 16), mean, noise.normal(0, 1, 16)])])
    found = run({NAME: old}, {NAME: new.astype(np.float32)})
    record = found.values["tables"][0]
    assert (record["added_rows"], record["removed_rows"], record["mean_initialised_rows"]) == (3, 0, 2)
    assert (record["common_rows"], record["changed_rows"]) == (200, 0)
    assert "3 rows added" in found.message
    back = run({NAME: new.astype(np.float32)}, {NAME: old}).values
    assert (back["added_rows"], back["removed_rows"]) == (0, 3)


@pytest.mark.parametrize("shape", ["resized", "reordered"])
def test_rows_of_other_vocabularies_are_aligned_by_their_tokens(shape):
    old = table()
    order = np.random.default_rng(2).permutation(200)
    moved = {f"t{row}": place for place, row in enumerate(order.tolist())}
    new = old[order]
    if shape == "resized":
        new = np.concatenate([new[:150], table(9, 10)])
        moved = {token: row for token, row in moved.items() if row < 150} | {
            f"new{row}": 150 + row for row in range(10)
        }
    found = run({NAME: old}, {NAME: new}, trees=({"vocab": VOCAB}, {"vocab": moved}))
    record = found.values["tables"][0]
    assert record["aligned_by"] == "token"
    assert record["changed_rows"] == 0
    if shape == "resized":
        assert (record["common_rows"], record["added_rows"], record["removed_rows"]) == (150, 10, 50)
        assert record["added_tokens"][0] == "new0"
    new[5] += 1
    changed = run({NAME: old}, {NAME: new}, trees=({"vocab": VOCAB}, {"vocab": moved})).values
    assert changed["affected_vocab"] == 1
    assert changed["top_moved"][0].startswith(f"t{order[5]} ")


def test_gguf_tokens_and_added_tokens_name_rows_too():
    old = table()
    new = old.copy()
    new[[4, 199]] += 1
    tokens = [f"g{number}" for number in range(200)]
    shown = run({NAME: old}, {NAME: new}, trees=({}, {"tokenizer.ggml.tokens": tokens})).values["top_moved"]
    assert {text.split()[0] for text in shown} == {"g4", "g199"}
    fewer = {token: row for token, row in VOCAB.items() if row < 199}
    tree = {"tokenizer.json": {"vocab": fewer, "added_tokens": {"<end>": {"id": 199}}}}
    shown = run({NAME: old}, {NAME: new}, trees=({}, tree)).values["top_moved"]
    assert {text.split()[0] for text in shown} == {"t4", "<end>"}


def test_rows_with_nan_are_counted_and_left_out():
    old = table()
    new = old + np.float32(0.1)
    new[3, 2] = np.nan
    old[9, 0] = np.inf
    record = run({NAME: old}, {NAME: new}).values["tables"][0]
    assert record["non_finite_rows"] == 2
    assert record["sampled_rows"] == 198
    assert record["row_rel_change"] > 0
    assert record["changed_rows"] == 200


def test_rows_that_were_zero_are_counted():
    old = table()
    old[4] = 0
    record = run({NAME: old}, {NAME: np.ones_like(old)}).values["tables"][0]
    assert record["rows_from_zero"] == 1


def test_without_an_embedding_the_answer_is_what_is_missing():
    old = {"fc.weight": table()}
    for name in ("embedding-analysis", "clustering-change"):
        found = run(old, {"fc.weight": 2 * old["fc.weight"]}, name, label="bert_embedding.safetensors")
        assert found.status == "not_measurable"
        assert "an embedding that both models have" in found.message
    widths = run({NAME: table()}, {NAME: table(width=8)})
    assert widths.status == "not_measurable"
    assert "16 and 8 columns" in widths.message


def test_similarity_is_pearson_s_r_of_each_tensor_by_role():
    old = {
        NAME: table(0),
        "model.layers.0.self_attn.q_proj.weight": table(1),
        "model.layers.0.mlp.up_proj.weight": table(2),
    }
    new = {
        name: array + np.float32(scale) * table(7) for (name, array), scale in zip(old.items(), (0, 1, 50), strict=True)
    }
    found = run(old, new, "similarity-matrix")
    expected = {name: float(np.corrcoef(old[name].ravel(), new[name].ravel())[0, 1]) for name in old}
    assert {row["name"]: row["centred_cos"] for row in found.values["tensors"]} == pytest.approx(expected, abs=1e-6)
    assert found.values["avg_similarity"] == pytest.approx(np.mean(list(expected.values())), abs=1e-6)
    assert [row["role"] for row in found.values["by_role"]] == ["embed", "q", "up"]
    assert (found.values["matrix_size"], found.values["related_matrices"]) == (3, 2)
    assert found.values["least_similar"] == "model.layers.0.mlp.up_proj.weight"
    assert [row["name"] for row in found.values["shared_rows"]] == [NAME]
    assert found.coverage == 1


def test_unrelated_tensors_are_not_related():
    names = [f"model.layers.{block}.mlp.up_proj.weight" for block in range(20)]
    sides = [{name: table(100 * side + number) for number, name in enumerate(names)} for side in (1, 2)]
    found = run(*sides, "similarity-matrix")
    assert found.values["related_matrices"] == 0
    assert abs(found.values["avg_similarity"]) < 0.02
    assert found.values["shared_rows"] == []


def test_vectors_do_not_make_models_related():
    vector = np.linspace(0, 1, 4096, dtype=np.float32)
    sides = [{"norm.weight": vector, "fc.weight": table(seed)} for seed in (1, 2)]
    values = run(*sides, "similarity-matrix").values
    assert (values["matrices"], values["related_matrices"]) == (1, 0)
    assert values["avg_similarity"] > 0.4


def test_output_layers_are_compared_by_their_rows_too():
    old = {"lm_head.weight": table(1)}
    rotated = {
        "lm_head.weight": (old["lm_head.weight"] @ special_ortho_group.rvs(16, random_state=3)).astype(np.float32)
    }
    (record,) = run(old, rotated, "similarity-matrix").values["shared_rows"]
    assert record["cka_debiased"] == pytest.approx(1, abs=1e-6)
    assert record["procrustes_residual"] < 1e-3 < record["procrustes_null"]


def _clustered(seed=0, k=4, n=50):
    rng = np.random.default_rng(seed)
    centres = 10 * np.random.default_rng(42).standard_normal((k, 8))
    return (centres[np.repeat(np.arange(k), n)] + rng.standard_normal((k * n, 8))).astype(np.float32)


def test_rows_that_moved_to_another_cluster_are_counted():
    old, new = _clustered(0), _clustered(1)
    new[:5] = _clustered(2)[60:65]
    found = run({NAME: old}, {NAME: new}, "clustering-change")
    values = found.values
    assert found.status == "measured"
    assert (values["clusters"], values["migrated"], values["self_ari"]) == ("4->4", 5, 1.0)
    assert 0.8 < values["ari"] < 1
    assert values["stability"] == pytest.approx(values["ari"])
    assert 0 < values["vi_nats"] < 1
    same = run({NAME: old}, {NAME: old[:, ::-1].copy()}, "clustering-change").values
    assert (same["migrated"], same["ari"], same["ami"]) == (0, 1.0, pytest.approx(1.0))


@pytest.mark.parametrize(("width", "k"), [(16, 24), (16, 2), (8, 2), (3, 4)])
def test_where_there_are_no_clusters_no_change_of_them_is_told(width, k):
    old, new = table(0, 300, width), table(1, 300, width)
    found = run({NAME: old}, {NAME: new}, "clustering-change", n_clusters=k)
    assert found.status == "not_measurable"
    assert found.values["self_ari"] < 0.5
    assert (found.values["migrated"], found.values["stability"]) == (None, None)
    assert "two runs on OLD agree to" in found.message


def test_the_number_of_clusters_is_the_user_s():
    values = run({NAME: _clustered(0)}, {NAME: _clustered(1)}, "clustering-change", n_clusters=2).values
    assert values["clusters"] == "2->2"
    report = compare_artifacts(
        *(artifact({NAME: _clustered(seed)}) for seed in (0, 1)),
        (SPECS["clustering-change"],),
        Settings(plugin_options={"clustering-change": {"n_clusters": 1}}),
    )
    assert any("--n-clusters 1" in finding.message for finding in report.findings if finding.level == "error")


def test_telling_file_names_say_nothing():
    for name in SPECS:
        plain = run({NAME: _clustered(0)}, {NAME: _clustered(1)}, name)
        assert run({NAME: _clustered(0)}, {NAME: _clustered(1)}, name, label="glove_embeddings_50_clusters.pt") == plain


def test_a_table_with_more_rows_than_are_looked_at_is_sampled_evenly_and_says_so(monkeypatch):
    monkeypatch.setattr("diffai_compare_embeddings.samples.FEWEST", 100)
    monkeypatch.setattr("diffai_compare_embeddings.samples._WORK", 0)
    old = table(n=1000)
    found = run({NAME: old}, {NAME: old + np.float32(0.1)})
    assert found.values["tables"][0]["sampled_rows"] == 100
    assert "geometry on 100 evenly spaced rows" in found.message
    assert found.values["affected_vocab"] == 1000
