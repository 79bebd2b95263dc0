"""Counts of changed elements, against a loop over exact Python numbers."""

from __future__ import annotations

import math

import ml_dtypes
import numpy as np
import pytest

from diffai_core.dtypes import DTYPE_NAMES, dtype, opaque_dtype
from diffai_core.keys import Tolerance


def brute_force(tools, old, new, old_name, new_name, tolerance):
    parts = 2 if dtype(old_name).kind == "complex" else 1
    a, b = tools.exact_values(old, old_name), tools.exact_values(new, new_name)
    pairs = [list(zip(a[i : i + parts], b[i : i + parts], strict=True)) for i in range(0, len(a), parts)]
    changed = [not all(tools.equal_value(x, y) for x, y in pair) for pair in pairs]
    nan = [any(math.isnan(x) != math.isnan(y) for x, y in pair) for pair in pairs]
    same_bits = [x.tobytes() == y.tobytes() and old_name == new_name for x, y in zip(old, new, strict=True)]
    above = [
        not all(tools.within(x, y, tolerance) for x, y in pair) if parts == 1 else change
        for pair, change in zip(pairs, changed, strict=True)
    ]
    return len(pairs), sum(same_bits), sum(changed), sum(above), sum(nan)


def near(old, rng):
    """Return a copy with some elements equal, some one unit away, some with other bits."""
    new = old.copy()
    raw = new.view(np.uint8).reshape(len(new), -1)
    flip = rng.random(len(new))
    raw[flip < 0.3, 0] ^= 1
    return new


@pytest.mark.parametrize("name", DTYPE_NAMES)
def test_counts_agree_with_exact_python_numbers_for_every_dtype(tools, name):
    rng = np.random.default_rng(7)
    old = tools.elements(name, 3000, rng)
    new = near(old, rng)
    new[1000:1500] = tools.elements(name, 500, rng)
    result = tools.measure("changes", old, new, name)
    assert result == brute_force(tools, old, new, name, name, Tolerance())


@pytest.mark.parametrize(
    "name", ["float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "int32", "uint8", "int4"]
)
@pytest.mark.parametrize("tolerance", [Tolerance(0.0, 1.5), Tolerance(0.25, 0.0), Tolerance(0.1, 1.0)])
def test_tolerance_agrees_with_exact_arithmetic(tools, name, tolerance):
    rng = np.random.default_rng(8)
    old = tools.moderate(name, 2000, rng)
    new = near(old, rng)
    new[500:1500] = tools.moderate(name, 1000, rng)
    expected = brute_force(tools, old, new, name, name, tolerance)
    assert tools.measure("changes", old, new, name, tolerance=tolerance) == expected
    assert 0 < expected[3] < expected[2]


def test_complex_tolerance_is_on_the_modulus_as_in_numpy(tools):
    rng = np.random.default_rng(9)
    old = tools.moderate("complex64", 2000, rng)
    new = old + (0.1 * tools.moderate("complex64", 2000, rng)).astype(np.complex64)
    new[5], old[6] = complex(math.nan, 1), complex(math.inf, 1)
    old[7] = new[7] = complex(math.nan, 2)
    result = tools.measure("changes", old, new, "complex64", tolerance=Tolerance(0.05, 0.05))
    wide_old, wide_new = old.astype(np.complex128), new.astype(np.complex128)
    expected = ~np.isclose(wide_new, wide_old, rtol=0.05, atol=0.05, equal_nan=True)
    assert result.n_above_tol == np.count_nonzero(expected)
    assert result.n_nan_one_side == 1


MIXED = [
    ("float32", "bfloat16"), ("float32", "float16"), ("float16", "bfloat16"), ("float32", "float64"),
    ("int64", "float64"), ("int64", "uint64"), ("uint64", "float64"), ("int64", "float32"), ("int32", "float32"),
    ("int8", "uint8"), ("bool", "uint8"), ("float8_e4m3fn", "float8_e5m2"), ("int4", "int8"), ("uint64", "int32"),
]  # fmt: skip


@pytest.mark.parametrize(("first", "second"), MIXED)
@pytest.mark.parametrize("swapped", [False, True])
def test_unequal_dtypes_are_compared_by_exact_value(tools, first, second, swapped):
    rng = np.random.default_rng(10)
    old = tools.elements(first, 1500, rng)
    with np.errstate(all="ignore"):
        new = old.astype(np.float64).astype(dtype(second).numpy)
    if dtype(first).kind in ("int", "uint") and dtype(second).kind in ("int", "uint"):
        new = old.astype(dtype(second).numpy)
    new[1000:] = tools.elements(second, 500, rng)
    names = (second, first) if swapped else (first, second)
    pair = (new, old) if swapped else (old, new)
    result = tools.measure("changes", *pair, *names)
    assert result == brute_force(tools, *pair, *names, Tolerance())


@pytest.mark.parametrize("kind", ["int64", "uint64"])
def test_integers_beyond_2_to_53_that_float64_cannot_tell_apart_are_different(tools, kind):
    old = np.array([2**53, 2**60, 2**62 + 1, 2**63 - 1], kind)
    new = np.array([2**53 + 1, 2**60 + 1, 2**62, 2**63 - 1], kind)
    result = tools.measure("changes", old, new, kind)
    assert (result.n_changed, result.n_bit_equal) == (3, 1)


@pytest.mark.parametrize(
    ("integer", "number", "equal"),
    [
        (2**53 + 1, 2.0**53, False),
        (2**53, 2.0**53, True),
        (2**63 - 1, 2.0**63, False),
        (-(2**63), -(2.0**63), True),
        (2**62 + 2**9, 2.0**62, False),
        (-1, -1 + 1e-12, False),
        (0, 5e-324, False),
        (0, -0.0, True),
        (2**60, math.inf, False),
        (2**60, math.nan, False),
    ],
)
def test_an_integer_and_a_float_are_equal_only_if_exactly_equal(tools, integer, number, equal):
    old = np.array([integer, 2**60], "i8")  # the second makes the leaf too long for float64
    new = np.array([number, 2.0**60])
    assert tools.measure("changes", old, new, "int64", "float64").n_changed == (not equal)
    assert tools.measure("changes", new, old, "float64", "int64").n_changed == (not equal)


def test_zeros_of_either_sign_are_equal_values_of_other_bits(tools):
    old, new = np.array([0.0, -0.0, 1.0], "f4"), np.array([-0.0, -0.0, 1.0], "f4")
    result = tools.measure("changes", old, new, "float32")
    assert (result.n_changed, result.n_bit_equal, result.n_other_bits) == (0, 2, 1)
    assert result.equal
    assert not result.identical


def test_nan_of_any_payload_equals_nan_and_nothing_else(tools):
    old = np.array([0x7FC00000, 0x7FC00000, 0x7FC00000, 0x3F800000], "u4").view("f4")
    new = np.array([0x7FC00000, 0xFFC12345, 0x3F800000, 0x7F800001], "u4").view("f4")
    result = tools.measure("changes", old, new, "float32", tolerance=Tolerance(1e30, 1e30))
    assert (result.n_changed, result.n_bit_equal, result.n_nan_one_side, result.n_above_tol) == (2, 1, 2, 2)


def test_infinity_equals_infinity_of_the_same_sign_and_is_above_any_tolerance_else(tools):
    old = np.array([math.inf, math.inf, -math.inf, math.inf, 1.0])
    new = np.array([math.inf, -math.inf, -math.inf, 1.0, math.inf])
    result = tools.measure("changes", old, new, "float64", tolerance=Tolerance(1.0, 1e308))
    assert (result.n_changed, result.n_above_tol, result.n_nan_one_side) == (3, 3, 0)


def test_one_ulp_of_bfloat16_a_doubled_denormal_and_1e_minus_12_of_float64_are_changes(tools):
    old = np.ones(70_000, ml_dtypes.bfloat16)
    new = old.copy()
    new.view(np.uint16)[69_999] += 1
    assert tools.measure("changes", old, new, "bfloat16").n_changed == 1
    tiny = np.array([5e-324, 1.0])
    assert tools.measure("changes", tiny, tiny * np.array([2, 1 + 1e-12]), "float64").n_changed == 2


def test_a_tolerance_holds_where_the_difference_overflows_float64(tools):
    old, new = np.array([-1.5e308, -1.5e308]), np.array([1.5e308, -1.4e308])
    assert tools.measure("changes", old, new, "float64", tolerance=Tolerance(1.0, 0.0)).n_above_tol == 1
    assert tools.measure("changes", old, new, "float64", tolerance=Tolerance(0.0, 1.7e308)).n_above_tol == 1


def test_opaque_elements_are_equal_if_their_bytes_are(tools):
    old = np.array([b"one", b"two", b"six"], "S5").view("V5")
    new = np.array([b"one", b"too", b"six"], "S5").view("V5")
    kind = opaque_dtype("string5", 5)
    assert tools.measure("changes", old, new, kind)[:4] == (3, 2, 1, 1)
    assert tools.measure("moments", old, new, kind) is None


def test_any_byte_but_zero_is_true(tools):
    old, new = np.array([0, 1, 2, 1], np.uint8).view(bool), np.array([0, 2, 2, 0], np.uint8).view(bool)
    result = tools.measure("changes", old, new, "bool")
    assert (result.n_changed, result.n_bit_equal) == (1, 2)


@pytest.mark.parametrize("name", ["float32", "int64", "complex64"])
def test_no_elements_are_no_changes(tools, name):
    nothing = np.empty((0, 3), dtype(name).numpy)
    result = tools.measure("changes", nothing, nothing, name)
    assert tuple(result) == (0, 0, 0, 0, 0)
    assert result.changed_share is None
    assert result.identical
