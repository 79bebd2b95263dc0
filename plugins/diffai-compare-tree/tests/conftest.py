"""Compares two trees given as plain values."""

from __future__ import annotations

import pytest
from diffai_compare_tree.comparator import compare

from diffai_core.plugin import Artifact, Comparison, KeyFilter, Tolerances


@pytest.fixture(scope="session")
def find():
    """Return a function that lists the findings of a comparison, less the count of values within tolerance."""

    def findings(old, new, *, keys=None, tolerances=None, **options):
        sides = [Artifact(name="side", format="memory", tree=tree) for tree in (old, new)]
        comparison = Comparison(*sides, (), keys or KeyFilter(), tolerances or Tolerances())
        return [found for found in compare(comparison, options) if found.kind != "values_within_tolerance"]

    return findings
