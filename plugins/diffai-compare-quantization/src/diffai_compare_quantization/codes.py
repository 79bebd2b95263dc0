"""Integer codes whose scales no loader has put to them: by a tensor beside them, or by the best scale there can be."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from diffai_compare_quantization.sample import in_step, numbers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from diffai_core.plugin import TensorRef

_MOST_ROWS = 1 << 20
_PIECE = 1 << 16
_PACKED = re.compile(r"(.*?)\._packed_params\._packed_params\.0")


class Errors(NamedTuple):
    """How far NEW is from OLD, over all pairs of finite elements.

    Args:
        signal: Sum of squares of OLD.
        noise: Sum of squares of NEW - OLD.
        max_abs: Largest ``|NEW - OLD|``.
        n: Pairs.
    """

    signal: float
    noise: float
    max_abs: float | None
    n: int


def scale_beside(codes: TensorRef, tensors: Mapping[str, TensorRef]) -> TensorRef | None:
    """Return the tensor that holds the scales of ``codes``, by its name, dtype and size; ``None`` if none does.

    For codes ``fc.weight`` that is ``fc.weight_scale``, ``fc.weight.scale``, ``fc.weight_scales`` or ``fc.scale``.
    """
    rows = codes.shape[0] if len(codes.shape) > 1 else 1
    stem = codes.name.rpartition(".")[0]
    bases = (codes.name, stem, codes.name.removesuffix("_quantized"))
    for base in bases:
        for ending in (".scale", "_scale", ".scales", "_scales"):
            found = tensors.get(f"{base}{ending}") if base else None
            if found is not None and found.dtype.kind == "float" and found.numel in {1, rows}:
                return found
    return None


def float_name(packed: str, names: Mapping[str, TensorRef]) -> str:
    """Return the name in OLD of the weight that PyTorch's quantised modules pack; empty if there is none.

    ``fc._packed_params._packed_params.0`` is ``fc.weight``; wrappers put names before it (``module.fc…``).
    """
    found = _PACKED.fullmatch(packed)
    parts = found.group(1).split(".") if found else []
    for start in range(len(parts)):
        name = ".".join([*parts[start:], "weight"])
        if name in names:
            return name
    return ""


def plain_errors(old: TensorRef, new: TensorRef) -> Errors:
    """Return the errors of a pair that the pass has not measured.

    Raises:
        LoadError: If the bytes cannot be read as declared.
    """
    total = Errors(0.0, 0.0, None, 0)
    for a, b in in_step(old, new):
        total = _with(total, numbers(a), numbers(b))
    return total


def scaled_errors(old: TensorRef, codes: TensorRef, scale: TensorRef | None) -> Errors | None:
    """Return the errors of ``codes`` times their scales; without any, of the scale for each row that fits OLD best.

    The latter are the least that any scale for each row gives. ``None`` for a tensor of very many rows.

    Raises:
        LoadError: If the bytes cannot be read as declared.
    """
    n_rows = codes.shape[0] if len(codes.shape) > 1 else 1
    columns = codes.numel // n_rows if n_rows else 0
    if not columns or n_rows > _MOST_ROWS:
        return None
    stored = None if scale is None else np.broadcast_to(numbers(scale.read()).reshape(-1), (n_rows,))
    total, row = Errors(0.0, 0.0, None, 0), 0
    step = max(_PIECE // columns, 1)
    for a, b in in_step(old, codes, step * columns):
        reals, whole = numbers(a).reshape(-1, columns), numbers(b).reshape(-1, columns)
        factors = best_factors(reals, whole) if stored is None else stored[row : row + len(reals)]
        total, row = _with(total, reals, whole * factors[:, None]), row + len(reals)
    return total


def best_factors(reals: NDArray[np.float64], codes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the factor for each row with which ``codes`` come nearest to ``reals``."""
    finite = np.where(np.isfinite(reals), reals, 0.0)
    squares = np.sum(codes * codes, axis=1)
    found: NDArray[np.float64] = np.sum(finite * codes, axis=1) / np.where(squares > 0, squares, 1.0)
    return found


def rounding_factors(reals: NDArray[np.float64], codes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a factor for each row with which rounding ``reals`` gives ``codes``, if there is one.

    A code ``c`` other than 0 needs a factor from ``|w| / (|c| + 1/2)`` to ``|w| / (|c| - 1/2)``, and 0 one of at least
    ``2 |w|``. Where these do not meet, the factor is the one that fits best.
    """
    sizes, whole = np.abs(np.where(np.isfinite(reals), reals, 0.0)), np.abs(codes)
    least = np.max(sizes / (whole + 0.5), axis=1)
    with np.errstate(divide="ignore"):
        most = np.min(np.where(whole > 0, sizes / np.maximum(whole - 0.5, 0.5), np.inf), axis=1)
    best = best_factors(reals, codes)
    return np.where(least <= most, np.clip(best, least, most), best)


def factors_beside(scale: TensorRef, rows: Sequence[int]) -> NDArray[np.float64]:
    """Return the stored scales of some rows.

    Raises:
        LoadError: If the bytes cannot be read as declared.
    """
    found = numbers(scale.read()).reshape(-1)
    return found[list(rows)] if found.size > 1 else np.broadcast_to(found, (len(rows),))


def _with(total: Errors, old: NDArray[np.float64], new: NDArray[np.float64]) -> Errors:
    finite = np.isfinite(old) & np.isfinite(new)
    signal, noise = (old[finite], (new - old)[finite]) if not finite.all() else (old, new - old)
    if not signal.size:
        return total
    return Errors(
        math.fsum([total.signal, float(np.sum(signal * signal))]),
        math.fsum([total.noise, float(np.sum(noise * noise))]),
        max(total.max_abs or 0.0, float(np.abs(noise).max())),
        total.n + signal.size,
    )
