"""Products of circuits against torch, which forms the whole matrices, and against sums over all distances."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from diffai_compare_attention.circuits import (
    Circuit,
    change,
    effective_rank,
    inner,
    pair_energies,
    spectrum,
    trace,
)
from hypothesis import given, settings
from hypothesis import strategies as st


def _factors(seed, dim, left=12, right=15):
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(dim, left, generator=generator, dtype=torch.float64),
        torch.randn(dim, right, generator=generator, dtype=torch.float64),
    )


def _circuit(factors, n_pairs=0):
    return Circuit(factors[0].numpy(), factors[1].numpy(), n_pairs)


@settings(deadline=None, derandomize=True, max_examples=30)
@given(seed=st.integers(0, 1000), dims=st.tuples(st.integers(1, 20), st.integers(1, 20)))
def test_change_and_inner_products_are_those_of_the_whole_matrices(seed, dims):
    old, new = _factors(seed, dims[0]), _factors(seed + 1, dims[1])
    wholes = [left.T @ right for left, right in (old, new)]
    found = change(_circuit(old), _circuit(new))
    assert inner(_circuit(old), _circuit(new)) == pytest.approx(float((wholes[0] * wholes[1]).sum()), abs=1e-9)
    assert found.old_norm == pytest.approx(float(wholes[0].norm()))
    assert found.new_norm == pytest.approx(float(wholes[1].norm()))
    assert found.delta_rel == pytest.approx(float((wholes[1] - wholes[0]).norm() / wholes[0].norm()))
    cosine = torch.nn.functional.cosine_similarity(wholes[0].flatten(), wholes[1].flatten(), dim=0)
    assert found.cos == pytest.approx(float(cosine), abs=1e-12)


@pytest.mark.parametrize("size", [1e-3, 1e-6, 1e-9, 1e-12])
@pytest.mark.parametrize("n_pairs", [0, 2, 4])
def test_small_changes_do_not_drown_in_the_rounding_of_large_products(size, n_pairs):
    old, direction = _factors(1, 8), _factors(2, 8)
    new = (old[0], old[1] + size * direction[1])
    found = change(_circuit(old, n_pairs), _circuit(new, n_pairs))
    exact = change(_circuit(old, n_pairs), _circuit((old[0], old[1] + direction[1]), n_pairs))  # linear in the keys
    assert found.delta_rel == pytest.approx(exact.delta_rel * size, rel=2e-3 if size == 1e-12 else 1e-5)
    assert 1 - found.cos < 2 * size


@pytest.mark.parametrize("dim", [3, 12, 20])
def test_singular_values_and_effective_rank_are_those_of_the_whole_matrix(dim):
    factors = _factors(3, dim)
    values = torch.linalg.svdvals(factors[0].T @ factors[1])[: min(dim, 12)]
    found = spectrum(_circuit(factors))
    np.testing.assert_allclose(found[: len(values)], values, rtol=1e-6)
    assert found[len(values) :].max(initial=0.0) < 1e-6 * found[0]
    shares = values / values.sum()
    assert effective_rank(found) == pytest.approx(float(torch.exp(torch.special.entr(shares).sum())), rel=1e-5)


def test_effective_rank_of_equal_singular_values_is_their_number_and_of_zeros_is_none():
    assert effective_rank(np.array([2.0, 2.0, 2.0, 0.0])) == pytest.approx(3)
    assert effective_rank(np.zeros(3)) is None


def test_trace_is_that_of_the_whole_matrix():
    left, right = _factors(4, 5, left=9, right=9)
    assert trace(_circuit((left, right))) == pytest.approx(float(torch.trace(left.T @ right)))
    assert trace(_circuit(_factors(4, 5))) is None


def _at_angles(factors, n_pairs, angles):
    """Return the whole matrix where the keys of each pair are turned by an angle."""
    left, right = factors[0], factors[1].clone()
    for pair, angle in zip(range(n_pairs), angles, strict=True):
        turn = torch.tensor([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        right[2 * pair : 2 * pair + 2] = turn @ right[2 * pair : 2 * pair + 2]
    return left.T @ right


@pytest.mark.parametrize(("dim", "n_pairs"), [(6, 3), (6, 2), (2, 1)])
def test_with_rotating_pairs_products_are_means_over_all_distances(dim, n_pairs):
    old, new = _factors(5, dim), _factors(6, dim)
    grid = list(product(2 * np.pi * np.arange(4) / 4, repeat=n_pairs))  # four angles give the mean of squares exactly
    means = {
        name: np.mean([float((_at_angles(a, n_pairs, at) * _at_angles(b, n_pairs, at)).sum()) for at in grid])
        for name, a, b in (("old", old, old), ("new", new, new), ("both", old, new))
    }
    one, other = _circuit(old, n_pairs), _circuit(new, n_pairs)
    assert inner(one, other) == pytest.approx(means["both"], abs=1e-9)
    found = change(one, other)
    assert found.old_norm**2 == pytest.approx(means["old"])
    assert found.delta_rel**2 * means["old"] == pytest.approx(means["old"] + means["new"] - 2 * means["both"])
    if 2 * n_pairs == dim:
        assert pair_energies(one).sum() == pytest.approx(means["old"])


def test_zero_circuits_have_no_direction():
    zero = Circuit(np.zeros((2, 3)), np.zeros((2, 3)))
    some = Circuit(np.ones((2, 3)), np.ones((2, 3)))
    assert (change(zero, some).delta_rel, change(zero, some).cos) == (None, None)
    assert (change(some, zero).delta_rel, change(some, zero).cos) == (1.0, None)
