"""Shared values, values that contain themselves, deep and wide trees: bounded time, nothing lost."""

from __future__ import annotations

import copy
import re
import time

import pytest
from diffai_compare_tree.walk import MAX_VISITS

from diffai_core.plugin import KeyFilter, Tolerance, Tolerances


def bomb(levels, leaf, width=2):
    value = leaf
    for _ in range(levels):
        value = [value] * width
    return {"bomb": value}


def nested(levels, leaf):
    value = leaf
    for level in range(levels):
        value = [value] if level % 2 else {"k": value}
    return {"deep": value}


def least_seconds(function):
    spent = []
    for _ in range(3):
        start = time.process_time()
        function()
        spent.append(time.process_time() - start)
    return min(spent)


@pytest.mark.parametrize(("levels", "width"), [(30, 2), (9, 9), (300, 3)])
def test_equal_alias_bombs_compare_at_once(find, levels, width):
    old, new = bomb(levels, 1, width), bomb(levels, 1, width)
    assert find(old, new) == []
    assert least_seconds(lambda: find(old, new)) < 0.1


def test_equal_alias_bombs_are_equal_whatever_the_selection(find):
    for how in (
        {"keys": KeyFilter(pattern=re.compile("zzz"))},
        {"tolerances": Tolerances(by_pattern=((re.compile("x"), Tolerance(1)),))},
        {"array_id_key": "id"},
    ):
        assert find(bomb(30, {"id": 1}), bomb(30, {"id": 1}), **how) == []


def test_alias_bombs_that_differ_list_paths_up_to_a_bound_and_count_the_rest(find):
    found = find(bomb(30, 1), bomb(30, 2))
    *listed, last = found
    assert {(f.kind, f.old, f.new) for f in listed} == {("modified", 1, 2)}
    assert len({f.where for f in listed}) == len(listed) == 2 * MAX_VISITS
    assert (last.kind, last.level) == ("repeated_difference", "info")
    assert last.values["n_skipped"] > 0


def test_a_value_shared_a_few_times_is_reported_at_every_path_as_if_it_were_not_shared(find):
    old_shared, new_shared = {"opt": {"lr": 1}}, {"opt": {"lr": 2}}
    old = {"dev": old_shared, "prod": old_shared, "runs": [old_shared, 0]}
    new = {"dev": new_shared, "prod": new_shared, "runs": [new_shared, 0]}
    wanted = ["dev.opt.lr", "prod.opt.lr", "runs[0].opt.lr"]
    assert [f.where for f in find(old, new)] == wanted
    assert [f.where for f in find(copy.deepcopy(old), {k: copy.deepcopy(v) for k, v in new.items()})] == wanted


def test_a_shared_difference_that_is_ignored_at_one_path_is_found_at_another(find):
    old_shared, new_shared = {"lr": 1}, {"lr": 2}
    old, new = {"a": old_shared, "b": old_shared}, {"a": new_shared, "b": new_shared}
    assert [f.where for f in find(old, new, keys=KeyFilter(ignore=re.compile("^a")))] == ["b.lr"]
    tolerances = Tolerances(by_pattern=((re.compile("^a"), Tolerance(atol=5)),))
    assert [f.where for f in find(old, new, tolerances=tolerances)] == ["b.lr"]


def test_one_value_shared_by_very_many_paths_equals_that_many_copies(find):
    shared = {"opt": {"lr": 1, "betas": [0.9, 0.99], "more": list(range(20))}}
    old = {"runs": [shared] * 2000}
    new = {"runs": [copy.deepcopy(shared) for _ in range(2000)]}
    assert find(old, new) == []
    new["runs"][1500]["opt"]["betas"][1] = 0.95
    assert [f.where for f in find(old, new)] == ["runs[1500].opt.betas[1]"]


def test_a_bomb_under_a_selection_that_never_matches_is_not_a_pass(find):
    found = find(bomb(40, 1), bomb(40, 2), keys=KeyFilter(pattern=re.compile("zzz")))
    assert [(f.kind, f.level, f.status) for f in found] == [("not_compared", "warning", "not_measurable")]


def test_a_bomb_against_a_scalar_is_one_finding_that_shows_no_bomb(find):
    found = find(bomb(60, 1), {"bomb": 1})
    assert [(f.kind, f.old) for f in found] == [("type_changed", "<Array of 2 elements, too large to show>")]
    assert found[0].values["shortened"] == ["old"]


def test_shared_values_that_meet_many_partners_take_bounded_time(find):
    def web(levels, *, crossed):
        a, b = [0], [1 if crossed else 0]
        for _ in range(levels):
            a, b = ([a, b] if crossed else [b, a]), a
        return {"web": a}

    found = find(web(60, crossed=False), web(60, crossed=True))
    assert any(f.level == "change" for f in found)


def test_a_difference_a_hundred_thousand_levels_deep_is_found_at_its_path(find):
    [finding] = find(nested(100_000, 1), nested(100_000, 2))
    assert (finding.kind, finding.old, finding.new) == ("modified", 1, 2)
    assert finding.where == "deep" + "[0].k" * 50_000
    assert find(nested(20_000, 1), nested(20_000, 1)) == []


def test_a_deep_subtree_that_was_removed_is_described(find):
    [finding] = find(nested(100_000, 1), {})
    assert (finding.kind, finding.where) == ("removed", "deep")
    assert finding.old == "<Array of 1 elements, too large to show>"


def test_trees_that_contain_themselves_are_compared(find):
    def loop(value):
        node = {"value": value}
        node["next"] = {"value": 0, "next": node}
        return {"loop": node}

    assert find(loop(1), loop(1)) == []
    assert [(f.kind, f.where) for f in find(loop(1), loop(2))] == [("modified", "loop.value")]
    [finding] = find(loop(1), {"loop": None})
    assert finding.old == "<Object of 2 entries, too large to show>"


def test_long_texts_that_meet_at_many_paths_are_compared_once(find):
    old_text, new_text = "a" * 3_000_000, "a" * 2_999_999 + "b"
    old, new = {"l": [old_text] * 20_000}, {"l": [new_text] * 20_000}
    found = find(old, new)
    assert len(found) == 20_000
    assert found[-1].values["first_difference"] == 2_999_999
    assert find(old, {"l": ["".join(["a" * 3_000_000])] * 20_000}) == []


def test_many_numbers_and_a_large_vocabulary_are_compared(find):
    old = {"loss": [i / 7 for i in range(100_000)], "vocab": {f"token {i}": i for i in range(100_000)}}
    new = {"loss": [i / 7 for i in range(100_000)], "vocab": {f"token {i}": i for i in range(100_000)}}
    new["loss"][99_999] += 1
    new["vocab"]["token 7"] = -1
    found = find(old, new)
    assert [f.where for f in found] == ["loss[99999]", "vocab.token 7"]
