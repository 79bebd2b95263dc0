"""Pairs of tensors for the laws of a kernel: every dtype, with the numbers, sizes and places that break sums."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np
from hypothesis import strategies as st

from diffai_core.dtypes import DTYPE_NAMES
from diffai_core.dtypes import dtype as find_dtype
from diffai_core.keys import EXACT, Tolerance
from diffai_core.layout import LEAF, PairLayout

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from diffai_core.dtypes import DType

Style = Literal["bits", "moderate", "few values", "constant", "special", "zeros", "extreme", "mixed"]
"""What the numbers of OLD are like; ``extreme`` ones are beyond what float64 can square, or hold if integers."""

Relation = Literal["independent", "equal", "one changed", "few changed", "near", "itself"]
"""How NEW follows from OLD; ``itself`` is one tensor measured against itself."""

STYLES: tuple[Style, ...] = get_args(Style)
RELATIONS: tuple[Relation, ...] = get_args(Relation)
REAL_DTYPES = tuple(name for name in DTYPE_NAMES if not name.startswith("complex"))
EDGES = (0, 1, 7, 8, 9, 63, 64, 65, 127, 128, 129, 511, 512, 513, 4095, 4096, 4097)
"""Sizes at which loops over vectors and pieces of the tensor end."""

_SPECIAL = (
    *(math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, -1.0, 0.1, 65504.0, 65519.9, 65520.0, -65520.0),
    *(3.4028234663852886e38, 1e-45, -1e-45, 1.1754943508222875e-38, 6e-8, 6.103515625e-05, 448.0, -57344.0),
    *(5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, -1.7976931348623157e308, 2.0**200, 2.0**-200),
)


class Recipe(NamedTuple):
    """What a pair is made from; small enough to be printed when a law fails.

    Args:
        old_dtype: Name of the dtype of OLD.
        new_dtype: Of NEW.
        shape: Shape of both.
        style: What the numbers are like.
        relation: How NEW follows from OLD.
        tolerance: How far values may differ.
        shifts: Bytes by which the elements of each side are moved in memory, or in the file.
        seed: Seed of the numbers.
    """

    old_dtype: str
    new_dtype: str
    shape: tuple[int, ...]
    style: Style = "moderate"
    relation: Relation = "few changed"
    tolerance: Tolerance = EXACT
    shifts: tuple[int, int] = (0, 0)
    seed: int = 0


@dataclass(frozen=True)
class Case:
    """A pair of tensors.

    Args:
        recipe: What it was made from.
        old: Elements of OLD, 1-D.
        new: Elements of NEW; the same object as ``old`` if a tensor is measured against itself.
    """

    recipe: Recipe
    old: NDArray[Any]
    new: NDArray[Any]

    @property
    def layout(self) -> PairLayout:
        """The layout of both."""
        recipe = self.recipe
        return PairLayout.of(recipe.shape, find_dtype(recipe.old_dtype), find_dtype(recipe.new_dtype), recipe.tolerance)

    @property
    def fits_files(self) -> bool:
        """Whether the elements fill whole bytes."""
        return self.old.size % self.layout.packed_group == 0


def case(recipe: Recipe) -> Case:
    """Return the pair of a recipe, always the same."""
    rng = np.random.default_rng(recipe.seed)
    kinds = find_dtype(recipe.old_dtype), find_dtype(recipe.new_dtype)
    old = contents(kinds[0], math.prod(recipe.shape), recipe.style, rng)
    if recipe.relation == "itself" and kinds[0] == kinds[1]:
        return Case(recipe, old, old)
    if recipe.relation == "independent":
        return Case(recipe, old, contents(kinds[1], old.size, recipe.style, rng))
    return Case(recipe, old, _changed(old, *kinds, recipe.relation, rng))


def contents(kind: DType, n: int, style: Style, rng: np.random.Generator) -> NDArray[Any]:
    """Return ``n`` elements of a style."""
    if style == "mixed":
        return _mixed(kind, n, rng)
    if style == "bits":
        return any_bits(kind, n, rng)
    if style == "extreme" and kind.bits >= 64:
        return _extreme(kind, n, rng)
    if style == "few values":
        return rng.choice(any_bits(kind, 3, rng).view(f"u{kind.numpy.itemsize}"), n).view(kind.numpy)
    return _converted(_values(style, n, rng), kind)


def any_bits(kind: DType, n: int, rng: np.random.Generator) -> NDArray[Any]:
    """Return elements of any bits: NaN of every kind, Inf, zeros and subnormal numbers come along."""
    raw = rng.integers(0, 256, n * kind.numpy.itemsize, dtype=np.uint8)
    if kind.bits < 8:
        raw &= np.uint8((1 << kind.bits) - 1)
        if kind.kind == "int":
            sign = np.uint8(1 << (kind.bits - 1))
            raw = (raw ^ sign) - sign
    return raw.view(kind.numpy)


def _values(style: Style, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    if style == "constant":
        return np.full(n, rng.standard_normal() * 3)
    if style in {"special", "extreme"}:
        return rng.choice(np.array(_SPECIAL), n)
    if style == "zeros":
        return rng.choice(np.array([0.0, -0.0]), n)
    return np.asarray(rng.standard_normal(n) * rng.choice([1e-3, 1.0, 30.0]) + rng.choice([0.0, 0.0, 5.0]))


def _extreme(kind: DType, n: int, rng: np.random.Generator) -> NDArray[Any]:
    """Return floats of any size, or integers beyond and around what float64 holds exactly."""
    if kind.kind == "float":
        sizes = 10.0 ** (rng.uniform(-308, 308, n) if rng.integers(2) else rng.choice([-300, 300]))
        return np.asarray(sizes * rng.choice([-1.0, 1.0], n) * rng.uniform(0.5, 1, n))
    near = rng.choice(np.array([1 << 53, (1 << 63) - 40, 1 << 62]), n) + rng.integers(-30, 30, n)
    if kind.kind == "uint":
        return np.asarray(near.astype(np.uint64) + rng.choice(np.array([0, 1 << 63], np.uint64)))
    return np.asarray(near * rng.choice(np.array([-1, 1]), n))


def _mixed(kind: DType, n: int, rng: np.random.Generator) -> NDArray[Any]:
    """Return runs of different styles: some leaves of a large tensor are ordinary and some are not."""
    parts = [np.empty(0, kind.numpy)]
    left = n
    styles: tuple[Style, ...] = ("moderate", "extreme", "moderate", "zeros", "constant", "moderate")
    while left:
        length = min(left, int(rng.integers(1, 2 * LEAF if n > LEAF else 64)))
        style = styles[int(rng.integers(len(styles)))]
        parts.append(contents(kind, length, style, rng))
        if style == "extreme" and kind.name == "float64":
            parts[-1] = 1e70 * rng.standard_normal(length)  # enough to be left alone, and few digits for the oracle
        left -= length
    return np.concatenate(parts)


def _converted(values: NDArray[np.float64], kind: DType) -> NDArray[Any]:
    with np.errstate(all="ignore"):
        if kind.kind == "bool":
            return np.greater(values, 0)
        if kind.kind == "float":
            sizes = np.abs(values) if kind.name == "float8_e8m0fnu" else values
            return np.asarray(sizes.astype(kind.numpy))
        bits = min(kind.bits, 53)
        low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if kind.kind == "int" else (0, (1 << bits) - 1)
        return np.asarray(np.clip(np.nan_to_num(np.rint(values)), low, high).astype(np.int64).astype(kind.numpy))


def _changed(
    old: NDArray[Any], old_kind: DType, new_kind: DType, relation: Relation, rng: np.random.Generator
) -> NDArray[Any]:
    """Return NEW: OLD in the other dtype, with changes."""
    with np.errstate(all="ignore"):
        if relation == "near" and old_kind.kind == "float":
            values = old.astype(np.float64)
            return _converted(values * (1 + 1e-3 * rng.standard_normal(old.size)), new_kind)
        new = old.copy() if old_kind == new_kind else _converted(old.astype(np.float64), new_kind)
    if not new.size or relation in {"equal", "itself"}:
        return new
    ends = [0, new.size - 1]
    places = rng.choice(new.size, max(new.size // 20, 1)) if relation == "few changed" else rng.choice(ends, 1)
    new[places] = (
        any_bits(new_kind, places.size, rng) if new_kind.kind != "bool" else ~(new[places].view(np.uint8) != 0)
    )
    return new


def recipes(sizes: st.SearchStrategy[int]) -> st.SearchStrategy[Recipe]:
    """Return a Hypothesis strategy for recipes of tensors of about so many elements."""
    names = st.sampled_from(REAL_DTYPES)
    tolerances = st.sampled_from([EXACT, EXACT, Tolerance(0.0, 0.5), Tolerance(1e-3, 0.0), Tolerance(0.01, 1e-8)])

    def of(old: str, other: str, same: bool, shape: tuple[int, ...], rest: tuple[Any, ...]) -> Recipe:
        return Recipe(old, old if same else other, shape, *rest)

    shifts = st.tuples(st.integers(0, 63), st.integers(0, 63))
    rest = st.tuples(st.sampled_from(STYLES), st.sampled_from(RELATIONS), tolerances, shifts, st.integers(0, 1 << 32))
    return st.builds(of, names, names, st.sampled_from([True, True, False]), sizes.flatmap(shapes), rest)


def shapes(size: int) -> st.SearchStrategy[tuple[int, ...]]:
    """Return a strategy for shapes of about ``size`` elements: 0-d, 1-d, narrow, wide, in groups, 3-d."""

    def narrow(columns: int) -> tuple[int, ...]:
        return size // columns, columns

    def wide(rows: int) -> tuple[int, ...]:
        return rows, size // rows

    def thick(rows: int) -> tuple[int, ...]:
        return rows, size // (4 * rows), 4

    flat = [st.just((size,))] + ([st.just(())] if size == 1 else [])
    return st.one_of(
        *flat,
        st.sampled_from([1, 2, 3, 4, 8, 15, 16, 17, 32, 64, 128, 256]).map(narrow),
        st.integers(1, 5).map(wide),
        st.integers(1, 3).map(thick),
    )
