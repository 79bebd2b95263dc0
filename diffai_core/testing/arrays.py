"""Arrays of every dtype, with the values that break things."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st

from diffai_core.dtypes import canonical
from diffai_core.dtypes import dtype as find_dtype

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SHAPES: tuple[tuple[int, ...], ...] = ((), (0,), (1,), (7,), (8, 4), (2, 0, 3), (1, 1, 1), (3, 5, 4), (64, 8))
"""Shapes that a format should hold: 0-d, empty, one element, odd, and rows of several lengths."""


def sample_array(dtype: str, shape: tuple[int, ...] = (8, 4), seed: int = 0) -> NDArray[Any]:
    """Return an array of any dtype of the vocabulary, the same for the same arguments.

    Floats are random bit patterns with NaN, both infinities and -0.0 planted among them, so there are denormals and
    huge values; every NaN is the one canonical NaN, which every writer can keep.

    Args:
        dtype: Name in the vocabulary: ``float32``, ``bfloat16``, ``int4`` …
        shape: Shape of the array.
        seed: Seed of the values.

    Returns:
        Array of that shape with the NumPy dtype ``diffai_core.plugin.dtype(dtype).numpy``.
    """
    kind = find_dtype(dtype)
    rng = np.random.default_rng(seed)
    count = int(np.prod(shape, dtype=np.int64))
    if kind.kind == "bool":
        return rng.integers(0, 2, shape).astype(np.bool_)
    if kind.kind in {"int", "uint"} and kind.bits < 8:
        low = -(1 << (kind.bits - 1)) if kind.kind == "int" else 0
        return canonical(rng.integers(low, low + (1 << kind.bits), count).astype(kind.numpy), kind).reshape(shape)
    raw = rng.integers(0, 256, count * kind.numpy.itemsize, dtype=np.uint8)
    if kind.bits < 8:
        raw &= np.uint8((1 << kind.bits) - 1)
    flat = raw.view(kind.numpy)
    if kind.kind == "complex":
        _plant(flat.view(np.float32 if kind.bits == 64 else np.float64), rng)
    elif kind.kind == "float":
        _plant(flat, rng)
    return flat.reshape(shape)


def _plant(flat: NDArray[Any], rng: np.random.Generator) -> None:
    """Put the special values among the elements and make every NaN the canonical one."""
    with np.errstate(all="ignore"):  # signalling NaN, and types that lack some of the values
        special = np.array([np.nan, np.inf, -np.inf, -0.0]).astype(flat.dtype)
        if flat.size >= 2 * special.size:
            flat[rng.choice(flat.size, special.size, replace=False)] = special
        is_nan = np.isnan(flat)
        if is_nan.any():
            flat[is_nan] = np.nan


def array_dicts(
    dtypes: Sequence[str],
    names: Sequence[str] = ("weight", "layer.0.bias", "layer.1.bias"),
    shapes: Sequence[tuple[int, ...]] = SHAPES,
    *,
    min_size: int = 1,
    max_size: int = 3,
) -> st.SearchStrategy[dict[str, NDArray[Any]]]:
    """Return a Hypothesis strategy for named arrays.

    Args:
        dtypes: Names in the vocabulary.
        names: Names of the arrays.
        shapes: Shapes of the arrays.
        min_size: Fewest arrays.
        max_size: Most arrays.
    """
    arrays = st.builds(
        sample_array,
        dtype=st.sampled_from(list(dtypes)),
        shape=st.sampled_from(list(shapes)),
        seed=st.integers(0, 1 << 16),
    )
    return st.dictionaries(st.sampled_from(list(names)), arrays, min_size=min_size, max_size=max_size)


def differences(wanted: NDArray[Any], found: NDArray[Any]) -> str:
    """Say how two arrays differ in shape, dtype or bits; empty if they do not."""
    if wanted.shape != found.shape:
        return f"shape {found.shape} instead of {wanted.shape}"
    if wanted.dtype != found.dtype:
        return f"dtype {found.dtype} instead of {wanted.dtype}"
    left = np.ascontiguousarray(wanted).reshape(-1).view(np.uint8)
    right = np.ascontiguousarray(found).reshape(-1).view(np.uint8)
    if wanted.size and not np.array_equal(left, right):
        at = int(np.flatnonzero(left != right)[0]) // wanted.dtype.itemsize
        return f"element {at} is {found.reshape(-1)[at]!r} instead of {wanted.reshape(-1)[at]!r}"
    return ""
