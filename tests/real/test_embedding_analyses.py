"""Embeddings that others trained: the elements of chgnet in three trainings, and the tokens of wordllama."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from command import findings_of, report_of
from safetensors.numpy import load_file, save_file

pytestmark = pytest.mark.real

ELEMENTS = "atom_embedding.embedding.weight"


def summary(kind, *arguments):
    return findings_of(report_of(*arguments), kind)[""]


def elements(report_values):
    return next(table for table in report_values["tables"] if table["name"].endswith(ELEMENTS))


def test_two_trainings_of_chgnet_learned_the_same_geometry_of_the_elements_on_other_axes(model):
    found = summary("embedding_analysis", model("chgnet-0.2.0"), model("chgnet-0.3.0"), "--embedding-analysis")
    table = elements(found["values"])
    assert (table["rows"], table["width"], table["changed_rows"]) == (94, 64, 94)
    assert table["row_cos"] == pytest.approx(0.015, abs=0.001)
    assert table["cka_debiased"] == pytest.approx(0.737, abs=0.001)
    assert table["neighbour_overlap"] == pytest.approx(0.666, abs=0.001)
    assert table["null"]["neighbour_overlap"] == pytest.approx(5 / 93)


def test_a_fine_tuning_of_chgnet_kept_the_elements_where_they_were(model):
    found = summary("embedding_analysis", model("chgnet-0.3.0"), model("chgnet-r2scan"), "--embedding-analysis")
    table = elements(found["values"])
    assert table["row_cos"] == pytest.approx(0.997, abs=0.001)
    assert table["cka_debiased"] == pytest.approx(0.998, abs=0.001)
    assert table["neighbour_similarity"] == pytest.approx(0.998, abs=0.001)
    assert table["neighbour_overlap"] == pytest.approx(0.949, abs=0.001)


def test_tensors_of_a_fine_tuning_are_alike_and_those_of_another_training_are_not(model):
    tuned = summary("similarity_matrix", model("chgnet-0.3.0"), model("chgnet-r2scan"), "--similarity-matrix")
    other = summary("similarity_matrix", model("chgnet-0.2.0"), model("chgnet-0.3.0"), "--similarity-matrix")
    assert tuned["values"]["median_similarity"] > 0.9
    matrices = [row["centred_cos"] for row in other["values"]["tensors"] if row["n"] >= 1024]
    assert len(matrices) > 30
    assert abs(float(np.median(matrices))) < 0.02
    assert max(matrices) < 0.1
    assert other["values"]["shared_rows"][0]["cka_debiased"] is not None


def test_a_rotated_copy_of_wordllama_is_the_same_geometry_under_the_names_of_its_tokens(model, tmp_path):
    (name, array), *_ = load_file(model("wordllama")).items()
    for side in ("old", "new"):
        (tmp_path / side).mkdir()
        shutil.copy(model("wordllama-tokenizer"), tmp_path / side / "tokenizer.json")
        (tmp_path / side / "config.json").write_text("{}", encoding="utf-8")
    rng = np.random.default_rng(1)
    rotation = np.linalg.qr(rng.standard_normal((array.shape[1], array.shape[1])))[0]
    rotated = array.astype(np.float64) @ rotation
    rotated[17_000] *= 3
    save_file({name: array.astype(np.float32)}, tmp_path / "old/model.safetensors")
    save_file({name: rotated.astype(np.float32)}, tmp_path / "new/model.safetensors")
    found = summary("embedding_analysis", tmp_path / "old", tmp_path / "new", "--embedding-analysis")
    (table,) = found["values"]["tables"]
    assert (table["rows"], table["changed_rows"]) == (32_000, 32_000)
    assert abs(table["row_cos"]) < 0.1
    assert table["cka_debiased"] > 0.999
    assert table["procrustes_residual"] < 0.05
    assert table["neighbour_overlap"] > 0.99
    vocabulary = json.loads((tmp_path / "new/tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    names = {row: token for token, row in vocabulary.items()}
    assert [row["token"] for row in table["top_moved"]] == [names[row["row"]] for row in table["top_moved"]]
    assert table["top_moved"][0]["row"] == 17_000
