"""What the tests of the accumulators share: elements of every dtype, exact values, and a pass over a pair."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from diffai_core.accumulators import ACCUMULATORS, Block, PairLayout, Workspace, leaves
from diffai_core.dtypes import dtype
from diffai_core.keys import Tolerance


def elements(name, n, rng):
    """Return ``n`` elements of any bits that the dtype allows: NaN, Inf, zeros and subnormals come along."""
    kind = dtype(name)
    raw = rng.integers(0, 256, n * kind.numpy.itemsize, dtype=np.uint8)
    if kind.kind == "bool":
        raw %= 2
    elif kind.bits < 8:
        raw %= 1 << kind.bits
        if kind.kind == "int":
            raw = (raw ^ (1 << kind.bits - 1)) - np.uint8(1 << kind.bits - 1)
    return raw.view(kind.numpy)


def moderate(name, n, rng):
    """Return ``n`` elements of ordinary size: integers from 0 to 100, floats around 0."""
    kind = dtype(name)
    if kind.kind in ("int", "uint", "bool"):
        return rng.integers(0, min(100, 1 << (kind.bits - 1)), n).astype(kind.numpy)
    values = rng.standard_normal(n)
    if kind.kind == "complex":
        values = values + 1j * rng.standard_normal(n)
    return (np.abs(values) if name == "float8_e8m0fnu" else values).astype(kind.numpy)


_TORCH = {
    "bfloat16": torch.bfloat16,
    "float8_e4m3fn": torch.float8_e4m3fn,
    "float8_e4m3fnuz": torch.float8_e4m3fnuz,
    "float8_e5m2": torch.float8_e5m2,
    "float8_e5m2fnuz": torch.float8_e5m2fnuz,
    "float8_e8m0fnu": torch.float8_e8m0fnu,
}


def exact_values(array, name):
    """Return Python numbers, decoded by torch where it knows the dtype, by ml_dtypes elsewhere; complex in parts."""
    if name in _TORCH:
        raw = torch.from_numpy(array.view(np.uint8 if array.itemsize == 1 else np.int16).copy())
        return raw.view(_TORCH[name]).to(torch.float64).tolist()
    if dtype(name).kind == "complex":
        array = array.view(np.float32 if name == "complex64" else np.float64)
    if array.dtype.kind in "iubf":
        return [int(x) if x is True or x is False else x for x in array.tolist()]
    if dtype(name).kind in ("int", "uint"):
        return [int(x) for x in array]
    with np.errstate(all="ignore"):
        return array.astype(np.float64).tolist()


def equal_value(a, b):
    """Say whether two Python numbers are equal, NaN equal to NaN; ``==`` on int and float is exact."""
    return a == b or (math.isnan(a) and math.isnan(b))


def within(a, b, tolerance):
    """Say whether ``|b - a| <= atol + rtol * |a|`` by exact arithmetic."""
    if equal_value(a, b):
        return True
    if not (math.isfinite(a) and math.isfinite(b)):
        return False
    limit = Fraction(tolerance.atol) + Fraction(tolerance.rtol) * abs(Fraction(a))
    return abs(Fraction(b) - Fraction(a)) <= limit


def layout_of(old, new, old_name, new_name=None, shape=None, tolerance=None):
    kinds = [name if not isinstance(name, str) else dtype(name) for name in (old_name, new_name or old_name)]
    return PairLayout.of(old.shape if shape is None else shape, *kinds, tolerance or Tolerance())


def states(name, layout, old, new, cuts=None, same_bytes=False):
    """Return one state for each leaf, or for each piece between ``cuts``."""
    fold, workspace = ACCUMULATORS[name], Workspace()
    pieces = leaves(layout) if cuts is None else [(a, b - a) for a, b in itertools.pairwise(cuts)]
    old, new = old.reshape(-1), new.reshape(-1)
    return [
        fold.update(
            fold.start(layout),
            Block(layout, workspace, start, old[start : start + n], new[start : start + n], same_bytes),
        )
        for start, n in pieces
    ]


def measure_layout(name, layout, old, new, cuts=None, same_bytes=False):
    """Return the finished result of an accumulator, its states merged from the left."""
    fold = ACCUMULATORS[name]
    total = fold.start(layout)
    for state in states(name, layout, old, new, cuts, same_bytes):
        total = fold.merge(total, state)
    return fold.finish(total)


def measure(name, old, new, old_name, new_name=None, shape=None, tolerance=None, **options):
    """Return the finished result of an accumulator for a pair of arrays."""
    return measure_layout(name, layout_of(old, new, old_name, new_name, shape, tolerance), old, new, **options)


class Tools:
    """The functions above, as one fixture."""

    elements = staticmethod(elements)
    moderate = staticmethod(moderate)
    exact_values = staticmethod(exact_values)
    equal_value = staticmethod(equal_value)
    within = staticmethod(within)
    layout_of = staticmethod(layout_of)
    states = staticmethod(states)
    measure_layout = staticmethod(measure_layout)
    measure = staticmethod(measure)


@pytest.fixture(scope="session")
def tools():
    return Tools


@pytest.fixture(scope="session")
def measured():
    return measure
