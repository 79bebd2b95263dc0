"""Each law of a comparator or fold catches the one that breaks it."""

from __future__ import annotations

import pytest
from hypothesis import Phase

from diffai_core.plugin import ComparatorSpec, Option
from diffai_core.testing import ComparatorTests, laws
from diffai_core.testing.builders import artifact
from diffai_core.testing.folds import check_fold
from diffai_core.testing.pairs import standard_pairs

ITSELF = "test_an_artifact_does_not_differ_from_itself"
MIRROR = "test_swapping_old_and_new_mirrors_the_findings"
ANY = "test_any_tensors_give_valid_findings"
STANDARD = "test_standard_pairs_give_valid_findings"
STEADY = "test_findings_do_not_depend_on_blocks_workers_or_repetition"
DEFAULTS = "test_defaults_of_all_options_work"
FOLDS = "test_folds_are_mergeable"


@pytest.fixture(autouse=True)
def subjects(monkeypatch, request):
    monkeypatch.syspath_prepend(str(request.path.parent / "subjects"))
    monkeypatch.setattr(laws, "PHASES", (Phase.generate,))  # finding the smallest example takes seconds


def kit(target, **fields):
    tests = ComparatorTests()
    tests.spec = ComparatorSpec("subject", "A subject.", f"broken_comparators:{target}", scope="all", **fields)
    return tests


@pytest.mark.parametrize(
    ("law", "target", "complaint"),
    [
        (ITSELF, "always_changed", "compared with itself"),
        (MIRROR, "only_growth", "only in one direction"),
        (STANDARD, "fails_on_nan", "AssertionError"),
        (ANY, "fails_on_nan", "AssertionError"),
        (ANY, "fails_on_empty", "ValueError: zero-size array"),
        (STANDARD, "warns", "RuntimeWarning: divide by zero"),
        (STANDARD, "numpy_values", "not a plain Python value"),
        (STANDARD, "unknown_place", "'nowhere' is no key"),
        (STANDARD, "unknown_level", "level 'loud'"),
        (STANDARD, "two_lines", "not one line"),
        (STANDARD, "silent_refusal", "does not name the input"),
        (STANDARD, "threshold_of_no_source", "threshold of no source"),
        (STANDARD, "share_above_one", "coverage is no share"),
        (STANDARD, "camel_case", "not snake_case"),
        (STEADY, "another_each_time", "a second run differs"),
    ],
)
def test_a_comparator_that_breaks_a_law_is_caught(law, target, complaint):
    with pytest.raises((AssertionError, pytest.fail.Exception), match=complaint):
        getattr(kit(target), law)()


@pytest.mark.parametrize("law", [ITSELF, MIRROR, ANY, STANDARD, STEADY, DEFAULTS])
def test_a_comparator_that_keeps_the_laws_passes(law):
    getattr(kit("quiet"), law)()


def test_a_default_that_the_comparator_does_not_bear_is_caught():
    option = Option("threshold", "A limit.", kind="text", default="")
    with pytest.raises(pytest.fail.Exception, match="TypeError"):
        getattr(kit("needs_an_option", options=(option,)), DEFAULTS)()


@pytest.mark.parametrize(
    ("fold", "complaint"),
    [
        ("CountsBlocks", "cut at"),
        ("StartsAtOne", "cut at"),
        ("KeepsTheLeft", "cut at"),
        ("Subtracts", "cut at"),
        ("HoldsAFunction", "pickle|get local object"),  # as Python words it before and from 3.13
        ("IsRandom", "cut at"),
    ],
)
def test_a_fold_that_breaks_a_law_is_caught(fold, complaint):
    with pytest.raises(Exception, match=complaint):
        getattr(kit("quiet", needs=(f"broken_comparators:{fold}",)), FOLDS)()


def test_a_fold_that_keeps_the_laws_passes():
    check_fold("broken_comparators:CountsElements")


@pytest.mark.parametrize("name", ["changes", "extrema"])
def test_the_folds_of_the_core_keep_the_laws(name):
    check_fold(f"diffai_core.accumulators:{name.title()}Fold")


def test_a_result_that_can_be_written_in_several_ways_is_compared_by_what_it_means():
    moments = "diffai_core.accumulators:MomentsFold"
    check_fold(moments, lambda result: [(side.n, side.mean, side.variance) for side in result])
    with pytest.raises(AssertionError, match="cut at"):
        check_fold(moments)


def test_a_law_that_does_not_apply_is_skipped_with_its_reason():
    tests = kit("only_growth")
    tests.asymmetric = "growth has a direction"
    with pytest.raises(pytest.skip.Exception, match="growth has a direction"):
        getattr(tests, MIRROR)()


def test_the_fold_sees_every_element_of_the_standard_pairs():
    tests = kit("shows_the_fold", needs=("broken_comparators:CountsElements",))
    for old, new in standard_pairs().values():
        counts = {finding.where: finding.values["n"] for finding in tests.compare(old, new)}
        same_shape = {
            key: ref.numel
            for key, ref in new.tensors.items()
            if key not in old.tensors or old.tensors[key].shape == ref.shape
        }
        assert {key: counts[key] for key in same_shape} == same_shape


def test_pairs_of_the_author_are_held_to_the_laws_too():
    tests = kit("unknown_place")
    tests.pairs = lambda: {"mine": (artifact(tree={"nowhere": 1}), artifact())}
    assert "mine" in dict(tests.all_pairs())
