"""When two scalars are equal: numbers exactly or within tolerance, texts, dates, foreign objects."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, timezone
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffai_core.plugin import Tolerance, Tolerances

INF = float("inf")
NAN = float("nan")
FINITE = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**70), 2**70)


def kinds(find, old, new, **how):
    return [finding.kind for finding in find({"k": old}, {"k": new}, **how)]


@pytest.mark.parametrize(
    ("old", "new"),
    [(1, 1.0), (0.0, -0.0), (NAN, -NAN), (INF, INF), (2**60, float(2**60)), (True, True), (np.float32(0.5), 0.5)],
)
def test_equal_values_of_another_python_type_are_no_difference(find, old, new):
    assert kinds(find, old, new) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (2**53, 2**53 + 1),
        (2**53 + 1, float(2**53)),
        (1.0, 1.0 + 2**-52),
        (0.0, 5e-324),
        (INF, -INF),
        (NAN, INF),
        (NAN, 0),
        (10**400, INF),
        (10**400, 10**400 + 1),
        (np.float32(0.1), 0.1),
    ],
)
def test_numbers_that_differ_in_the_last_digit_are_modified(find, old, new):
    assert kinds(find, old, new) == ["modified"]


@pytest.mark.parametrize(("old", "new"), [(True, 1), (False, 0), (1, "1"), (None, 0), (b"1", "1"), (1.0, True)])
def test_a_boolean_a_text_and_null_are_no_numbers(find, old, new):
    assert kinds(find, old, new) == ["type_changed"]


@settings(deadline=None, derandomize=True, max_examples=400)
@given(FINITE, FINITE, st.floats(0, 1e300), st.sampled_from([0.0, 1e-9, 0.5, 1.0, 3.0]))
def test_tolerance_is_the_formula_in_exact_arithmetic(find, old, new, atol, rtol):
    tolerances = Tolerances(Tolerance(rtol, atol))
    limit = Fraction(atol) + Fraction(rtol) * abs(Fraction(old))
    wanted = [] if abs(Fraction(new) - Fraction(old)) <= limit else ["modified"]
    assert kinds(find, old, new, tolerances=tolerances) == wanted


@pytest.mark.parametrize("steps", [-1, 0, 1])
@pytest.mark.parametrize("old", [1.0, 1e-300, 1e300, 5e-324, 0.1])
def test_a_difference_of_exactly_the_tolerance_is_within_and_one_ulp_more_is_not(find, old, steps):
    new = float(np.nextafter(old, INF))
    atol = new - old
    for _ in range(abs(steps)):
        atol = float(np.nextafter(atol, INF * steps))
    wanted = ["modified"] if steps < 0 else []
    assert kinds(find, old, new, tolerances=Tolerances(Tolerance(atol=atol))) == wanted


@pytest.mark.parametrize(("old", "new"), [(INF, 1.0), (1.0, INF), (NAN, 1.0), (1.0, NAN), (INF, -INF), (10**400, INF)])
def test_infinities_and_nan_are_within_no_tolerance(find, old, new):
    assert kinds(find, old, new, tolerances=Tolerances(Tolerance(1e9, 1e300))) == ["modified"]
    assert kinds(find, old, new, tolerances=Tolerances(Tolerance(INF, INF))) == ["modified"]


def test_an_infinite_tolerance_takes_all_finite_numbers_for_equal(find):
    assert kinds(find, -1e308, 10**400, tolerances=Tolerances(Tolerance(atol=INF))) == []


def test_tolerance_is_not_for_booleans_texts_or_types(find):
    tolerances = Tolerances(Tolerance(10, 10))
    assert kinds(find, False, True, tolerances=tolerances) == ["modified"]
    assert kinds(find, "1", "2", tolerances=tolerances) == ["modified"]
    assert kinds(find, 1, "1", tolerances=tolerances) == ["type_changed"]


def test_the_first_matching_pattern_sets_the_tolerance_of_a_path(find):
    tolerances = Tolerances(
        Tolerance(atol=0.001), ((re.compile(r"^loss"), Tolerance(atol=1)), (re.compile("loss"), Tolerance(atol=100)))
    )
    old = {"loss": [1.0, 2.0], "val": {"loss": 5.0}, "lr": 0.1}
    new = {"loss": [1.5, 4.0], "val": {"loss": 50.0}, "lr": 0.2}
    assert [f.where for f in find(old, new, tolerances=tolerances)] == ["loss[1]", "lr"]


@pytest.mark.parametrize(
    ("old", "new", "options"),
    [
        ("Adam", "adam", {"ignore_case": True}),
        ("STRASSE", "straße", {"ignore_case": True}),
        ("a b", "a  b\n", {"ignore_whitespace": True}),
        ("ab", "a b", {"ignore_whitespace": True}),
        ("A b", "ab ", {"ignore_case": True, "ignore_whitespace": True}),
    ],
)
def test_ignored_case_and_white_space_are_no_difference(find, old, new, options):
    assert kinds(find, old, new) == ["modified"]
    assert kinds(find, [old] * 20, [new] * 20, **options) == []
    assert kinds(find, old, f"{new}x", **options) == ["modified"]


def test_case_and_white_space_of_keys_and_bytes_are_never_ignored(find):
    found = find({"Key": 1, "b": b"A"}, {"key": 1, "b": b"a"}, ignore_case=True, ignore_whitespace=True)
    assert [(f.kind, f.where) for f in found] == [("removed", "Key"), ("modified", "b"), ("added", "key")]


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        (date(2024, 5, 1), date(2024, 5, 1), []),
        (date(2024, 5, 1), date(2024, 5, 2), ["modified"]),
        (date(2024, 5, 1), datetime(2024, 5, 1), ["type_changed"]),  # noqa: DTZ001 - configs hold naive times
        (datetime(2024, 5, 1, 12, tzinfo=UTC), datetime(2024, 5, 1, 14, tzinfo=timezone(timedelta(hours=2))), []),
        (datetime(2024, 5, 1), datetime(2024, 5, 1, tzinfo=UTC), ["modified"]),  # noqa: DTZ001 - the same
        (time(1), time(2), ["modified"]),
        (date(2024, 5, 1), "2024-05-01", ["type_changed"]),
        ({1, 2}, frozenset({2, 1}), []),
        ({1, 2}, {1, 3}, ["modified"]),
        (complex(1, NAN), complex(1, NAN), []),
        (1j, 2j, ["modified"]),
        (bytearray(b"a"), b"a", []),
    ],
)
def test_dates_sets_and_other_plain_values_are_compared_by_value(find, old, new, wanted):
    assert kinds(find, old, new) == wanted


class Opaque:
    """Compares by address."""


class Refuses:
    """Cannot be compared."""

    def __eq__(self, other):
        raise ValueError

    __hash__ = None


@pytest.mark.parametrize("make", [Opaque, Refuses, lambda: np.zeros(3)])
def test_values_that_cannot_tell_whether_they_are_equal_are_not_compared_and_never_a_pass(find, make):
    [finding] = find({"k": make()}, {"k": make()})
    assert (finding.kind, finding.where, finding.status, finding.level) == (
        "not_compared",
        "k",
        "not_measurable",
        "warning",
    )
    assert type(make()).__name__ in finding.message
