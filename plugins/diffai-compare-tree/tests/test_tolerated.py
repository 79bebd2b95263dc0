"""Values that differ and count as equal are counted, so that the verdict can say so."""

from __future__ import annotations

import re

import pytest
from diffai_compare_tree.comparator import compare

from diffai_core.plugin import Artifact, Comparison, KeyFilter, Tolerance, Tolerances

OLD = {"a": 1.0, "b": {"c": 2.0, "name": "Adam"}, "d": [3, 4], "e": 5}


def tolerated(new, tolerances=None, keys=None, **options):
    sides = [Artifact(name="side", format="memory", tree=tree) for tree in (OLD, new)]
    found = compare(Comparison(*sides, (), keys or KeyFilter(), tolerances or Tolerances()), options)
    return [finding.values["n_values"] for finding in found if finding.kind == "values_within_tolerance"]


def test_nothing_is_said_where_nothing_but_equality_will_do():
    assert tolerated({**OLD, "a": 1.1}) == []


@pytest.mark.parametrize(("atol", "expected"), [(0.05, []), (0.1000001, [1]), (2, [2]), (5, [3])])
def test_exactly_the_values_within_the_tolerance_are_counted(atol, expected):
    new = {**OLD, "a": 1.1, "d": [3, 6], "e": 10}
    assert tolerated(new, Tolerances(Tolerance(atol=atol))) == expected


def test_the_selection_and_the_patterns_hold_for_the_count():
    new = {"a": 1.1, "b": {"c": 2.1, "name": "Adam"}, "d": [3, 4.1], "e": 5}
    by_pattern = Tolerances(by_pattern=((re.compile("^(a|d)"), Tolerance(atol=1)),))
    assert tolerated(new, by_pattern) == [2]
    assert tolerated(new, Tolerances(Tolerance(atol=1)), KeyFilter(path="b")) == [1]


def test_texts_that_differ_in_case_or_white_space_only_are_counted():
    new = {**OLD, "b": {"c": 2.0, "name": "ad am"}}
    assert tolerated(new, ignore_case=True, ignore_whitespace=True) == [1]
    assert tolerated(new, ignore_case=True) == []


def test_equal_values_written_otherwise_are_not_counted():
    assert tolerated({**OLD, "a": 1, "e": 5.0}, Tolerances(Tolerance(atol=1))) == []
