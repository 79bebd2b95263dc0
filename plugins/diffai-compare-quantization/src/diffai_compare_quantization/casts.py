"""Whether NEW is OLD rounded to another floating-point format, element by element."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from diffai_compare_quantization.sample import in_step
from diffai_core.plugin import dtype

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from diffai_core.plugin import TensorRef

_FEW = 64
_SAMPLE = 2048
_TRUNCATED = "bfloat16 towards zero"
HYPOTHESES: dict[str, tuple[str, ...]] = {
    "bfloat16": ("bfloat16",),
    "float16": ("float16",),
    "float32": ("float32",),
    _TRUNCATED: (_TRUNCATED,),
    "float16, then bfloat16": ("float16", "bfloat16"),
    "bfloat16, then float16": ("bfloat16", "float16"),
    "float8_e4m3fn": ("float8_e4m3fn",),
    "float8_e5m2": ("float8_e5m2",),
}
"""Roundings that are tried, in this order; to nearest with ties to even but where the name says otherwise."""

MANTISSA = {"float64": 52, "float32": 23, "float16": 10, "bfloat16": 7, "float8_e4m3fn": 3, "float8_e5m2": 2}
"""Stored bits of the mantissa."""


class Cast(NamedTuple):
    """What the hypotheses say of a pair.

    Args:
        best: The one that explains the largest share of the elements.
        share: That share.
        proved: Whether it explains every element of the tensor.
    """

    best: str
    share: float
    proved: bool


def find_cast(old: TensorRef, new: TensorRef, sample: tuple[NDArray[Any], NDArray[Any]]) -> Cast | None:
    """Return the rounding that makes NEW of OLD; ``None`` if no format can have done it.

    Args:
        old: The tensor of OLD.
        new: The tensor of NEW, of the same shape.
        sample: The same elements of both, float64. Only what explains these is tried on all elements.

    Raises:
        LoadError: If the bytes cannot be read as declared.
    """
    names = _possible(old, new)
    if not names or not sample[0].size:
        return None
    few, some = ([side.reshape(-1)[:n] for side in sample] for n in (_FEW, _SAMPLE))
    if old.dtype == new.dtype and not any(_agrees(few[0], few[1], name).all() for name in names):
        return None  # decides nearly always
    shares = {name: float(np.mean(_agrees(some[0], some[1], name))) for name in names}
    complete = [name for name in names if shares[name] == 1.0]
    proved = _proved(old, new, complete)
    best = proved or max(names, key=shares.__getitem__)
    return Cast(best, shares[best], bool(proved))


def _possible(old: TensorRef, new: TensorRef) -> list[str]:
    """Return the hypotheses that lose something of OLD and whose results NEW can hold."""
    sides = [MANTISSA.get(ref.dtype.name) if ref.quantization is None else None for ref in (old, new)]
    if sides[0] is None or sides[1] is None:
        return []
    found = []
    for name, steps in HYPOTHESES.items():
        formats = {step.split()[0] for step in steps}
        fits = MANTISSA[steps[-1].split()[0]] <= sides[1]
        loses = not formats >= {old.dtype.name} and (len(steps) == 1 or old.dtype.name in {"float32", "float64"})
        if fits and loses and (new.dtype.name not in ("float16", "bfloat16") or steps[-1].startswith(new.dtype.name)):
            found.append(name)
    return found


def _proved(old: TensorRef, new: TensorRef, names: list[str]) -> str:
    """Return the first hypothesis that explains every element; empty if none does."""
    if not names:
        return ""
    for a, b in in_step(old, new):
        names = [name for name in names if _agrees(a, b, name).all()]
        if not names:
            return ""
    return names[0]


def _agrees(old: NDArray[Any], new: NDArray[Any], name: str) -> NDArray[np.bool_]:
    """Return where NEW is OLD rounded; NaN agrees with NaN."""
    with np.errstate(all="ignore"):
        wanted = cast(old, HYPOTHESES[name]).astype(np.float64)
        found = new.astype(np.float64)
    same: NDArray[np.bool_] = (wanted == found) | (np.isnan(wanted) & np.isnan(found))
    return same


def cast(values: NDArray[Any], steps: Iterable[str]) -> NDArray[Any]:
    """Return ``values`` rounded to one format after the other; float64 goes through float32, as PyTorch does it."""
    found = values
    for step in steps:
        if step == _TRUNCATED:
            words = found.astype(np.float32).view(np.uint32) & np.uint32(0xFFFF0000)
            found = words.view(np.float32)
        else:
            found = found.astype(np.float32).astype(dtype(step).numpy)
    return found


class Origin(NamedTuple):
    """What the values of a tensor could have been stored in without loss.

    Args:
        name: The narrowest format.
        bits: Stored bits of the mantissa that are in use.
    """

    name: str
    bits: int


_LEAST_TELLING = 16
_WIDEST = {
    "float64": ("float32",),
    "float32": ("bfloat16", "float16"),
    "float16": ("float8_e4m3fn", "float8_e5m2"),
    "bfloat16": ("float8_e4m3fn", "float8_e5m2"),
}
"""The formats of which one holds what any narrower format holds."""


def origin_of(ref: TensorRef, values: NDArray[np.float64]) -> Origin | None:
    """Return the narrower format that holds all of ``values``; ``None`` if there is none or too few values tell.

    A value that fits by chance does so with a probability of 2**-13 (float32 in float16) at most, so that 16 values
    are proof enough.
    """
    stored = MANTISSA.get(ref.dtype.name)
    some = np.abs(values.reshape(-1)[:_SAMPLE])
    if not any(_holds(name, some[:_FEW]) for name in _WIDEST.get(ref.dtype.name, ())):
        return None
    telling = np.unique(some[np.isfinite(some) & (some != 0)])
    if stored is None or ref.quantization is not None or telling.size < _LEAST_TELLING:
        return None
    for name in ("float8_e5m2", "float8_e4m3fn", "bfloat16", "float16", "float32"):
        if MANTISSA[name] >= stored or (ref.dtype.name in ("float16", "bfloat16") and not name.startswith("float8")):
            continue
        if _holds(name, telling) and _holds(name, np.abs(values[np.isfinite(values)])):
            return Origin(name, MANTISSA[name])
    return None


def _holds(name: str, values: NDArray[np.float64]) -> bool:
    with np.errstate(all="ignore"):
        found = cast(values, (name,)).astype(np.float64)
        return bool(((found == values) | ~np.isfinite(values)).all())
