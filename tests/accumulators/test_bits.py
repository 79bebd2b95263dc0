"""Mantissa bits, exponents, ULP distances and bit flips, against loops over bits."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from diffai_core.dtypes import DTYPE_NAMES, dtype

FLOATS = [name for name in DTYPE_NAMES if dtype(name).kind in ("float", "complex")]
ORDERED = [name for name in DTYPE_NAMES if dtype(name).kind != "bool"]


@pytest.mark.parametrize("name", FLOATS)
def test_exponents_and_mantissa_agree_with_a_loop(tools, name):
    rng = np.random.default_rng(31)
    old = tools.elements(name, 300, rng)
    result = tools.measure("mantissa", old, old[::-1].copy(), name)
    finite = [x for x in tools.exact_values(old, name) if math.isfinite(x)]
    exponents = [math.frexp(x)[1] - 1 for x in finite if x]
    assert (result.old.min_exponent, result.old.max_exponent) == (min(exponents), max(exponents))
    assert result.old == result.new
    assert 0 <= result.old.bits_used <= result.old.n_bits


@pytest.mark.parametrize(
    ("origin", "bits"), [(torch.bfloat16, 7), (torch.float16, 10), (torch.float8_e4m3fn, 3), (torch.float8_e5m2, 2)]
)
@pytest.mark.parametrize("stored", ["float32", "float64"])
def test_a_cast_leaves_the_mantissa_of_the_narrow_dtype(tools, origin, bits, stored):
    values = torch.randn(50_000, generator=torch.Generator().manual_seed(0)).to(origin).to(torch.float32).numpy()
    result = tools.measure("mantissa", values.astype(stored), values.astype(stored), stored)
    assert result.old.bits_used == bits


def test_nan_and_infinity_use_no_bits(tools):
    old = np.array([math.nan, math.inf, 1.0, 1.5], "f4")
    old.view("u4")[0] |= 1
    result = tools.measure("mantissa", old, old, "float32")
    assert (result.old.bits_used, result.old.min_exponent, result.old.max_exponent) == (1, 0, 0)


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "float64"])
def test_a_signalling_nan_hides_no_small_value_wherever_it_stands(tools, name):
    kind = dtype(name).numpy
    word = f"u{kind.itemsize}"
    signalling = np.array(math.inf, kind).view(word) | np.array(1, word)
    for place in range(1, 128):
        old = np.ones(128, kind)
        old[0] = 2.0**-9
        old.view(word)[place] = signalling
        result = tools.measure("mantissa", old, old, name)
        assert (result.old.min_exponent, result.old.max_exponent) == (-9, 0)


def test_all_zeros_have_no_exponent_and_integers_no_mantissa(tools):
    result = tools.measure("mantissa", np.zeros(3, "f4"), np.zeros(3, "i4"), "float32", "int32")
    assert result.old.bits_used == 0
    assert result.old.min_exponent is None
    assert result.new is None


def ordinal(value, name, bits, width):
    """Return the rank of a bit pattern among the representable values, both zeros at 0."""
    if dtype(name).kind in ("int", "uint"):
        return int(value)
    if name == "float8_e8m0fnu":
        return bits
    sign = 1 << (width - 1)
    return -(bits - sign) if bits & sign else bits


@pytest.mark.parametrize("name", ORDERED)
def test_distances_and_flips_agree_with_a_loop_for_every_dtype(tools, name):
    rng = np.random.default_rng(32)
    old = tools.elements(name, 400, rng)
    new = old.copy()
    raw = new.view(np.uint8).reshape(400, -1)
    raw[:100, 0] ^= 1
    new[200:] = tools.elements(name, 200, rng)
    result = tools.measure("ulp", old, new, name)
    parts = 2 if dtype(name).kind == "complex" else 1
    width = dtype(name).bits // parts
    container = f"u{old.itemsize // parts}"
    mask = (1 << width) - 1
    rows = [
        (x, y, int(a) & mask, int(b) & mask)
        for x, y, a, b in zip(
            tools.exact_values(old, name), tools.exact_values(new, name), old.view(container), new.view(container),
            strict=True,
        )
        if not (math.isnan(x) or math.isnan(y))
    ]  # fmt: skip
    distances = [ordinal(y, name, b, width) - ordinal(x, name, a, width) for x, y, a, b in rows]
    assert result.n == len(rows)
    assert result.ulp_max == max(map(abs, distances))
    lengths = [abs(d).bit_length() for d in distances]
    for row, below in ((0, True), (1, False)):
        expected = np.bincount([n for n, d in zip(lengths, distances, strict=True) if (d < 0) == below])
        assert np.array_equal(np.trim_zeros(result.log2_distance[row], "b"), np.trim_zeros(expected, "b"))
    popcounts = np.bincount([(a ^ b).bit_count() for *_, a, b in rows])
    assert np.array_equal(np.trim_zeros(result.popcount, "b"), np.trim_zeros(popcounts, "b"))
    assert result.sign_flips == sum((x > 0 and y < 0) or (x < 0 and y > 0) for x, y, *_ in rows)
    for q in (0, 0.5, 0.99, 1):
        low, high = result.ulp_bounds(q)
        assert low <= np.quantile(np.array(list(map(abs, distances)), object), q, method="lower") <= high


@pytest.mark.parametrize("name", ["float32", "bfloat16", "float64", "int16"])
def test_byte_planes_are_those_of_the_zigzag_distance(tools, name):
    rng = np.random.default_rng(33)
    old = np.abs(tools.moderate(name, 2000, rng).astype("f8")).astype(dtype(name).numpy)
    width = old.itemsize
    step = rng.integers(-3, 4, 2000)
    new = (old.view(f"i{width}") + step.astype(f"i{width}")).view(old.dtype)
    keep = (old.view(f"i{width}") > 3) & (new.view(f"i{width}") > 0)
    old, new, step = old[keep], new[keep], step[keep]
    result = tools.measure("byte_planes", old, new, name)
    codes = np.where(step < 0, -2 * step - 1, 2 * step)
    assert np.array_equal(result.counts[0], np.bincount(codes, minlength=256))
    assert all(plane[0] == len(step) for plane in result.counts[1:])
    shares = np.bincount(codes) / len(codes)
    shares = shares[shares > 0]
    assert result.delta_bits_per_element == pytest.approx(-(shares * np.log2(shares)).sum())


def test_flipped_bits_show_as_popcount_one(tools):
    rng = np.random.default_rng(34)
    old = tools.moderate("float32", 100_000, rng)
    new = old.copy()
    new.view("u4")[[5, 60_000]] ^= np.uint32(1 << 30)
    result = tools.measure("ulp", old, new, "float32")
    assert result.popcount1_share == 1
    assert result.popcount[1] == 2


def test_a_step_across_zero_is_one_ulp_from_either_zero(tools):
    old, new = np.array([0.0, -0.0, -0.0], "f4"), np.array([1e-45, 1e-45, 0.0], "f4")
    result = tools.measure("ulp", old, new, "float32")
    assert result.ulp_max == 1
    assert result.log2_distance.sum(axis=0)[:2].tolist() == [1, 2]


def test_bits_of_unequal_dtypes_are_not_compared(tools):
    old = np.ones(3, "f4")
    assert tools.measure("ulp", old, old.astype("f2"), "float32", "float16") is None
    assert tools.measure("ulp", old > 0, old > 0, "bool") is None


def test_nothing_without_nan_has_no_distance(tools):
    old = np.array([math.nan], "f4")
    result = tools.measure("ulp", old, old, "float32")
    assert (result.n, result.popcount1_share, result.ulp_bounds(0.5)) == (0, None, None)
    assert tools.measure("byte_planes", old, old, "float32").delta_bits_per_element is None
