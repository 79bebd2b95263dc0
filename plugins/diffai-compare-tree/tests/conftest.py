"""Compares two trees given as plain values."""

from __future__ import annotations

import numpy as np
import pytest
from diffai_compare_tree.comparator import compare

from diffai_core.plugin import Artifact, Comparison, KeyFilter, Tolerances
from diffai_core.testing import artifact


@pytest.fixture(scope="session")
def find():
    """Return a function that lists the findings of a comparison, less the count of values within tolerance."""

    def findings(old, new, *, keys=None, tolerances=None, **options):
        sides = [Artifact(name="side", format="memory", tree=tree) for tree in (old, new)]
        comparison = Comparison(*sides, (), keys or KeyFilter(), tolerances or Tolerances())
        return [found for found in compare(comparison, options) if found.kind != "values_within_tolerance"]

    return findings


@pytest.fixture(scope="session")
def find_formats():
    """Return a function that lists the findings between ``(format, tree)`` and ``(format, tree)``."""

    def findings(old, new, *, tensors=True):
        weights = artifact({"w": np.zeros(2)} if tensors else {}).tensors
        sides = [Artifact(name="side", format=name, tree=tree, tensors=weights) for name, tree in (old, new)]
        return list(compare(Comparison(*sides, (), KeyFilter(), Tolerances()), {}))

    return findings
