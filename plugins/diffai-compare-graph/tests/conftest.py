"""Compares two graphs given in memory."""

from __future__ import annotations

import pytest
from diffai_compare_graph.comparator import compare

from diffai_core.plugin import Artifact, Comparison, KeyFilter, Tolerances


@pytest.fixture(scope="session")
def find():
    """Return a function that lists the findings of a comparison of two graphs."""

    def findings(old, new, *, keys=None, results=(), formats=("onnx", "onnx")):
        sides = [
            Artifact(name=side, format=format_, graph=graph)
            for side, format_, graph in zip(("old", "new"), formats, (old, new), strict=True)
        ]
        return list(compare(Comparison(*sides, tuple(results), keys or KeyFilter(), Tolerances()), {}))

    return findings


@pytest.fixture(scope="session")
def changes(find):
    """Return a function that lists kind and place of the findings of level change."""

    def listed(old, new, **more):
        return [(found.kind, found.where) for found in find(old, new, **more) if found.level == "change"]

    return listed
