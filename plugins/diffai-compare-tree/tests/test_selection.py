"""--filter, --path and --ignore-keys-regex: every reported path is kept, and no kept difference is lost."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from diffai_core.plugin import KeyFilter

KEYS = st.sampled_from(["a", "b", "ab"])
VALUES = st.recursive(
    st.integers(0, 2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=9,
)
TREES = st.dictionaries(KEYS, VALUES, max_size=3)
FILTERS = st.sampled_from(
    [
        KeyFilter(pattern=re.compile("b")),
        KeyFilter(pattern=re.compile(r"\[1\]$")),
        KeyFilter(path="a"),
        KeyFilter(path="a.b"),
        KeyFilter(path="ab[0]"),
        KeyFilter(ignore=re.compile("ab")),
        KeyFilter(ignore=re.compile("^a$")),
        KeyFilter(pattern=re.compile("a"), path="ab", ignore=re.compile(r"\[0\]")),
    ]
)


def leaves(value, path=""):
    """Yield path and value of every scalar and every empty container."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from leaves(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and value:
        for i, item in enumerate(value):
            yield from leaves(item, f"{path}[{i}]")
    else:
        yield path, value


def differences(found):
    """Return the paths of the findings, less the one that says that nothing was selected."""
    return [f.where for f in found if f.kind != "not_compared"]


def paths(value, path=""):
    """Yield the path of everything in a tree."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        below = f"{path}[{key}]" if isinstance(value, list) else f"{path}.{key}" if path else key
        yield below
        yield from paths(item, below)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(TREES, TREES, FILTERS)
def test_a_selection_that_keeps_no_path_of_either_side_is_said_and_only_then(find, old, new, keys):
    said = [f for f in find(old, new, keys=keys) if f.kind == "not_compared"]
    kept = any(keys.keeps(path) for tree in (old, new) for path in paths(tree))
    assert [f.where for f in said] == ([] if kept else ["selection"])


@settings(deadline=None, derandomize=True, max_examples=200)
@given(TREES, TREES, FILTERS)
def test_every_reported_path_is_kept_and_every_kept_leaf_that_differs_is_at_or_below_one(find, old, new, keys):
    found = differences(find(old, new, keys=keys))
    assert all(keys.keeps(path) for path in found)
    ours, theirs = dict(leaves(old)), dict(leaves(new))
    gone = object()
    for path in {*ours, *theirs} - {""}:
        if keys.keeps(path) and ours.get(path, gone) != theirs.get(path, gone):
            assert any(path == at or path.startswith((f"{at}.", f"{at}[")) or at.startswith(path) for at in found), path


@settings(deadline=None, derandomize=True, max_examples=200)
@given(TREES, TREES, FILTERS)
def test_what_is_reported_under_a_selection_is_at_or_below_something_that_is_reported_without(find, old, new, keys):
    everything = [f.where for f in find(old, new)]
    for path in differences(find(old, new, keys=keys)):
        assert any(path == at or path.startswith((f"{at}.", f"{at}[")) for at in everything)


def test_an_added_subtree_is_searched_for_kept_paths(find):
    new = {"model": {"hidden": 8, "layers": [{"lr": 0.1}, {"lr": 0.2}]}}
    assert [f.where for f in find({}, new, keys=KeyFilter(path="model.layers[1]"))] == ["model.layers[1]"]
    assert [f.where for f in find({}, new, keys=KeyFilter(pattern=re.compile("lr")))] == [
        "model.layers[0].lr",
        "model.layers[1].lr",
    ]
    assert [(f.kind, f.where) for f in find(new, {"model": 3}, keys=KeyFilter(path="model.hidden"))] == [
        ("removed", "model.hidden")
    ]


def test_a_kept_subtree_is_one_finding(find):
    assert [f.where for f in find({}, {"a": {"b": 1, "c": 2}}, keys=KeyFilter(ignore=re.compile("zzz")))] == ["a"]


def test_ignored_paths_are_not_reported(find):
    old, new = {"time": 1, "a": {"time": 2, "lr": 1}}, {"time": 5, "a": {"time": 6, "lr": 2}}
    assert [f.where for f in find(old, new, keys=KeyFilter(ignore=re.compile(r"\btime$")))] == ["a.lr"]
