"""Common subsequences are common, in order, and as long as possible where that is affordable."""

from __future__ import annotations

import random
from difflib import SequenceMatcher
from itertools import pairwise

import pytest
from diffai_compare_graph import sequences
from diffai_compare_graph.sequences import common
from hypothesis import given, settings
from hypothesis import strategies as st

SEQUENCES = st.lists(st.integers(0, 3), max_size=14)


def longest(old, new):
    """Return the length of a longest common subsequence, from its definition."""
    table = [[0] * (len(new) + 1) for _ in range(len(old) + 1)]
    for i, one in enumerate(old):
        for j, other in enumerate(new):
            table[i + 1][j + 1] = table[i][j] + 1 if one == other else max(table[i][j + 1], table[i + 1][j])
    return table[-1][-1]


@settings(deadline=None, derandomize=True, max_examples=200)
@given(SEQUENCES, SEQUENCES)
def test_pairs_are_a_longest_common_subsequence(old, new):
    pairs = common(old, new)
    assert all(old[i] == new[j] for i, j in pairs)
    assert all(i < k and j < m for (i, j), (k, m) in pairwise(pairs))
    assert len(pairs) == longest(old, new)


def test_sequences_that_differ_much_are_paired_in_their_order(monkeypatch):
    monkeypatch.setattr(sequences, "MAX_DISTANCE", 3)
    rng = random.Random(0)
    old, new = ([rng.randrange(3) for _ in range(200)] for _ in range(2))
    pairs = common(old, new)
    assert all(old[i] == new[j] for i, j in pairs)
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)
    matched = sum(block.size for block in SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks())
    assert len(pairs) >= matched


@pytest.mark.parametrize(("old", "new"), [([], []), ([1], []), ([], [1]), ([1], [1]), ([1], [2])])
def test_short_sequences(old, new):
    assert common(old, new) == ([(0, 0)] if old == new == [1] else [])
