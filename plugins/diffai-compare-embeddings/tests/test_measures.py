"""Measures of geometry and clusters against scikit-learn, SciPy and definitions written out."""

from __future__ import annotations

import numpy as np
import pytest
from diffai_compare_embeddings import geometry
from diffai_compare_embeddings.agreement import (
    adjusted_mutual_information,
    adjusted_rand,
    contingency,
    n_moved,
    variation_of_information,
)
from diffai_compare_embeddings.kmeans import k_means, silhouette
from diffai_compare_embeddings.samples import anisotropy
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import orthogonal_procrustes
from scipy.stats import entropy, special_ortho_group
from sklearn import cluster, metrics, neighbors

RNG = np.random.default_rng(8)
_LABELS = st.integers(2, 60).flatmap(
    lambda n: st.tuples(*(st.lists(st.integers(0, 6), min_size=n, max_size=n) for _ in range(2)))
)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(labels=_LABELS)
def test_agreements_are_those_of_scikit_learn(labels):
    one, other = (np.array(some) for some in labels)
    assert adjusted_rand(one, other) == pytest.approx(metrics.adjusted_rand_score(one, other), abs=1e-12)
    expected = metrics.adjusted_mutual_info_score(one, other)
    assert adjusted_mutual_information(one, other) == pytest.approx(expected, abs=1e-9)
    joint = metrics.mutual_info_score(one, other)
    entropies = sum(entropy(np.bincount(some)) for some in (one, other))
    assert variation_of_information(one, other) == pytest.approx(entropies - 2 * joint, abs=1e-9)
    assert contingency(one, other).tolist() == metrics.cluster.contingency_matrix(one, other).tolist()


def test_what_moved_is_counted_after_the_names_of_the_clusters_were_matched():
    one = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2])
    assert n_moved(one, np.array([2, 2, 2, 0, 0, 0, 1, 1, 1])) == 0
    assert n_moved(one, np.array([2, 2, 0, 0, 0, 0, 1, 1, 1])) == 1
    assert n_moved(one, np.zeros(9, np.intp)) == 6


def _blobs(k=4, n=50, width=5, apart=8.0, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(k), n)
    return rng.standard_normal((k, width))[labels] * apart + rng.standard_normal((k * n, width)), labels


def test_k_means_finds_planted_clusters_and_is_as_good_as_that_of_scikit_learn():
    points, labels = _blobs()
    found = k_means(points, 4, 1)
    assert metrics.adjusted_rand_score(labels, found.labels) == 1
    noise = RNG.standard_normal((300, 6))
    library = cluster.KMeans(8, n_init=4, random_state=0).fit(noise)
    assert k_means(noise, 8, 1).inertia == pytest.approx(library.inertia_, rel=0.05)
    assert k_means(noise, 8, 1).labels.tolist() == k_means(noise, 8, 1).labels.tolist()


def test_k_means_of_equal_points_has_no_distances():
    assert k_means(np.ones((6, 2)), 3, 0).inertia == 0


@pytest.mark.parametrize("k", [2, 5, 9])
def test_silhouettes_are_those_of_scikit_learn(k):
    points = RNG.standard_normal((60, 4))
    labels = RNG.integers(0, k, 60)
    labels[0] = k  # a cluster of one
    assert silhouette(points, labels) == pytest.approx(metrics.silhouette_score(points, labels))
    assert silhouette(points, np.zeros(60, np.intp)) is None


def _hsic(one, other):
    """The unbiased estimator of Song et al. (2012), as it is written."""
    n = len(one)
    one, other = (gram - np.diag(np.diag(gram)) for gram in (one, other))
    ones = np.ones(n)
    trace, product = np.trace(one @ other), ones @ one @ ones * (ones @ other @ ones)
    return (trace + product / ((n - 1) * (n - 2)) - 2 / (n - 2) * (ones @ one @ other @ ones)) / (n * (n - 3))


@pytest.mark.parametrize(("n", "widths"), [(30, (5, 8)), (12, (40, 40)), (20, (10, 50))])
def test_debiased_cka_is_the_unbiased_estimator_as_it_is_written(n, widths):
    old, new = (RNG.standard_normal((n, width)) for width in widths)
    new[:, :3] += old[:, :3]
    grams = [points @ points.T for points in (old, new)]
    expected = _hsic(*grams) / np.sqrt(_hsic(grams[0], grams[0]) * _hsic(grams[1], grams[1]))
    assert geometry.debiased_cka(old, new) == pytest.approx(expected)


def test_debiased_cka_of_unrelated_points_is_nothing_also_with_as_many_columns_as_points():
    found = [geometry.debiased_cka(*np.random.default_rng(seed).standard_normal((2, 128, 128))) for seed in range(20)]
    assert abs(float(np.mean(found))) < 0.02


def _rotated(points, seed=0):
    return points @ special_ortho_group.rvs(points.shape[1], random_state=seed)


def test_a_rotated_copy_is_the_same_by_every_measure():
    old = RNG.standard_normal((80, 12)) + 0.5
    new = _rotated(old)
    assert geometry.debiased_cka(old, new) == pytest.approx(1)
    assert geometry.procrustes(old, new).residual < 1e-6
    found = geometry.neighbours(old, new, 50, 5)
    assert found.overlap == 1
    assert found.similarity == pytest.approx(1)


def test_the_residual_of_the_alignment_is_that_of_scipy():
    old, new = RNG.standard_normal((2, 40, 6))
    sides = [points - points.mean(axis=0) for points in (old, new)]
    one, other = (points / np.linalg.norm(points) for points in sides)
    rotation, _ = orthogonal_procrustes(one, other)
    found = geometry.procrustes(old, new)
    assert found.residual == pytest.approx(float(np.linalg.norm(one @ rotation - other)))
    assert found.null == pytest.approx(found.residual, rel=0.2)


def test_neighbours_are_those_of_scikit_learn():
    old, new = RNG.standard_normal((2, 90, 6))
    new += 2 * old
    found = geometry.neighbours(old, new, 90, 5)
    nearest = []
    for points in (old, new):
        model = neighbors.NearestNeighbors(n_neighbors=6, metric="cosine").fit(points - points.mean(axis=0))
        nearest.append(model.kneighbors(return_distance=True)[1][:, :5])
    shares = [len(set(one) & set(other)) / 5 for one, other in zip(*nearest, strict=True)]
    assert found.overlap == pytest.approx(np.mean(shares))
    assert found.null == pytest.approx(5 / 89)
    unrelated = geometry.neighbours(old, RNG.standard_normal((90, 6)), 90, 5)
    assert abs(unrelated.overlap - unrelated.null) < 0.04


def test_anisotropy_is_the_mean_cosine_of_all_pairs():
    points = RNG.standard_normal((30, 5)) + 0.7
    cosines = metrics.pairwise.cosine_similarity(points)
    assert anisotropy(points) == pytest.approx(cosines[np.triu_indices(30, 1)].mean())


def test_effective_rank_is_the_number_of_equal_directions():
    points = np.concatenate([np.eye(4), -np.eye(4)])
    assert geometry.effective_rank(np.pad(points, ((0, 0), (0, 5)))) == pytest.approx(4)
    assert geometry.effective_rank(np.ones((5, 3))) is None


def test_wide_tables_are_not_aligned():
    wide = np.zeros((3, geometry.WIDEST + 1))
    assert geometry.procrustes(wide, wide) is None
