"""Differences of two trees, held against a brute-force recursive comparison."""

from __future__ import annotations

import copy
import math
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffai_core.plugin import ABSENT

KEYS = st.text("abcxyz_-", min_size=1, max_size=3)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**65), 2**65)
    | st.integers(-2, 2)
    | st.floats()
    | st.sampled_from([0.0, 1.0, 2.0, -0.0])
    | st.text(max_size=3)
    | st.binary(max_size=2)
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=20
)
TREES = st.dictionaries(KEYS, VALUES, max_size=4)
KINDS = {bool: "b", int: "n", float: "n", str: "s", bytes: "y", type(None): "0", dict: "o", list: "a"}
MIRROR = {"added": "removed", "removed": "added"}


def brute_force(old, new, path=""):  # noqa: C901 - all cases in one view
    """Yield (kind, path) the obvious way."""
    if KINDS[type(old)] != KINDS[type(new)]:
        yield "type_changed", path
    elif isinstance(old, dict):
        for key in sorted({*old, *new}):
            below = f"{path}.{key}" if path else key
            if key not in new:
                yield "removed", below
            elif key not in old:
                yield "added", below
            else:
                yield from brute_force(old[key], new[key], below)
    elif isinstance(old, list):
        for i in range(max(len(old), len(new))):
            below = f"{path}[{i}]"
            if i >= len(new):
                yield "removed", below
            elif i >= len(old):
                yield "added", below
            else:
                yield from brute_force(old[i], new[i], below)
    elif old != new and not (isinstance(old, float) and isinstance(new, float) and math.isnan(old) and math.isnan(new)):
        yield "modified", path


def places(value, path=()):
    """Yield the steps to every value of a tree except the root."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in items:
        yield (*path, key)
        yield from places(child, (*path, key))


def written(steps):
    """Return steps as a path."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)[1:]


@settings(deadline=None, derandomize=True, max_examples=200)
@given(TREES, TREES)
def test_any_two_trees_differ_as_a_brute_force_comparison_says(find, old, new):
    assert [(f.kind, f.where) for f in find(old, new)] == list(brute_force(old, new))


@settings(deadline=None, derandomize=True, max_examples=200)
@given(TREES, st.data())
def test_one_planted_edit_is_found_at_its_path_and_nowhere_else(find, old, data):
    every = list(places(old))
    if not every:
        return
    steps = data.draw(st.sampled_from(every))
    new = copy.deepcopy(old)
    parent = new
    for step in steps[:-1]:
        parent = parent[step]
    before = parent[steps[-1]]
    parent[steps[-1]] = "planted, and nothing else is like it"
    [finding] = find(old, new)
    assert finding.where == written(steps)
    assert finding.kind == ("modified" if isinstance(before, str) else "type_changed")
    assert finding.new == "planted, and nothing else is like it"
    assert repr(finding.old) == repr(before)


@settings(deadline=None, derandomize=True, max_examples=100)
@given(TREES, TREES)
def test_swapping_old_and_new_mirrors_every_finding(find, old, new):
    there = [(MIRROR.get(f.kind, f.kind), f.where, repr(f.new), repr(f.old)) for f in find(old, new)]
    assert there == [(f.kind, f.where, repr(f.old), repr(f.new)) for f in find(new, old)]


@settings(deadline=None, derandomize=True, max_examples=200)
@given(TREES)
def test_a_tree_does_not_differ_from_itself_or_from_a_copy(find, tree):
    assert find(tree, tree) == []
    assert find(tree, copy.deepcopy(tree)) == []


@settings(deadline=None, derandomize=True, max_examples=100)
@given(TREES, TREES)
def test_findings_do_not_depend_on_the_order_of_keys(find, old, new):
    def backwards(value):
        if isinstance(value, dict):
            return {key: backwards(item) for key, item in reversed(value.items())}
        return [backwards(item) for item in value] if isinstance(value, list) else value

    assert [(f.kind, f.where) for f in find(old, new)] == [
        (f.kind, f.where) for f in find(backwards(old), backwards(new))
    ]


def test_an_added_subtree_is_one_finding_with_the_whole_value(find):
    [finding] = find({}, {"optimizer": {"name": "adam", "betas": [0.9, 0.95]}})
    assert (finding.kind, finding.where, finding.level) == ("added", "optimizer", "change")
    assert finding.old is ABSENT
    assert finding.new == {"name": "adam", "betas": [0.9, 0.95]}


def test_a_removed_value_has_no_new_value_and_none_is_a_value(find):
    [finding] = find({"note": None}, {})
    assert (finding.kind, finding.old, finding.new) == ("removed", None, ABSENT)


def test_a_changed_type_shows_both_values(find):
    [finding] = find({"a": {"seed": 1}}, {"a": {"seed": "1"}})
    assert (finding.kind, finding.where, finding.old, finding.new) == ("type_changed", "a.seed", 1, "1")
    assert finding.values == {}


def test_a_changed_type_names_the_types_that_the_shown_values_do_not_tell(find):
    [finding] = find({"day": date(2024, 5, 1)}, {"day": "2024-05-01"})
    assert (finding.old, finding.new) == ("2024-05-01", "2024-05-01")
    assert finding.values == {"old_type": "Date", "new_type": "String"}
    [finding] = find({"big": list(range(20_000))}, {"big": None})
    assert finding.values == {"old_type": "Array", "new_type": "Null", "shortened": ["old"]}


@pytest.mark.parametrize(("old", "new"), [({}, []), ([], None), ({}, None), ("", None), (False, 0), (b"", "")])
def test_empty_values_of_two_types_are_a_changed_type(find, old, new):
    assert [f.kind for f in find({"k": old}, {"k": new})] == ["type_changed"]


def test_a_list_and_a_tuple_of_equal_elements_are_equal(find):
    assert find({"shape": [1, (2, 3)]}, {"shape": (1, [2, 3])}) == []


def test_lists_are_compared_by_position(find):
    found = [(f.kind, f.where) for f in find({"l": ["a", "b", "c"]}, {"l": ["a", "x", "b", "c"]})]
    assert found == [("modified", "l[1]"), ("modified", "l[2]"), ("added", "l[3]")]


def test_entries_that_one_of_two_model_formats_has_no_place_for_are_no_change(find_formats):
    found = find_formats(("pytorch", {"epoch": 3, "config": {"a": 1}}), ("onnx", {"producer": "x", "config": {"a": 2}}))
    assert [(f.kind, f.where, f.level) for f in found] == [
        ("modified", "config.a", "change"),
        ("removed", "epoch", "info"),
        ("added", "producer", "info"),
        ("entries_of_one_format", "", "info"),
    ]
    assert found[-1].values == {"only_old": ["epoch"], "only_new": ["producer"]}


def test_between_configurations_of_two_formats_and_within_one_format_they_are_changes(find_formats):
    sides = {"a": 1}, {"a": 1, "b": 2}
    for formats, tensors in ((("json", "yaml"), False), (("onnx", "onnx"), True)):
        found = find_formats(*zip(formats, sides, strict=True), tensors=tensors)
        assert [(f.kind, f.where, f.level) for f in found] == [("added", "b", "change")]
