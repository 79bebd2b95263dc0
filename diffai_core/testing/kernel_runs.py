"""Measure pairs of tensors with a kernel in every way the core does, and compare what comes out."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import fields, is_dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from diffai_core.accumulators import ACCUMULATORS, Histogram
from diffai_core.artifact import BlockTensor, FileTensor
from diffai_core.files import DataFile
from diffai_core.kernels import ReferenceKernel
from diffai_core.measuring import TensorJob, measure
from diffai_core.segments import Worker

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from diffai_core.artifact import TensorRef
    from diffai_core.dtypes import DType
    from diffai_core.kernels import Kernel
    from diffai_core.measuring import OrderedMap
    from diffai_core.testing.kernel_cases import Case

Way = Literal["array", "blocks", "auto", "mmap", "read"]
"""How elements are handed over: leaf by leaf from one array or from small blocks, or from files."""

WAYS: tuple[Way, ...] = get_args(Way)
_FILLER = 0xA5

ALLOWED = 1e-12
"""Difference of two sums, relative to the sum of the magnitudes of their terms."""


def packed(elements: NDArray[Any], kind: DType) -> bytes:
    """Return elements as they lie in a file: those of less than a byte without gaps, the low bits of a byte first."""
    if kind.bits >= 8:
        return elements.tobytes()
    codes = elements.view(np.uint8) & np.uint8((1 << kind.bits) - 1)
    bits = np.unpackbits(codes[:, None], axis=1, count=kind.bits, bitorder="little")
    return np.packbits(bits.reshape(-1), bitorder="little").tobytes()


def placed(elements: NDArray[Any], shift: int) -> NDArray[Any]:
    """Return a copy that begins ``shift`` bytes into its memory and ends with it: sanitizers see any overrun."""
    memory = np.full(shift + elements.nbytes, _FILLER, np.uint8)
    memory[shift:] = elements.view(np.uint8)
    return memory[shift:].view(elements.dtype)


def _whole(elements: NDArray[Any], _max_bytes: int) -> Iterator[NDArray[Any]]:
    if elements.size:
        yield elements


def _pieces(elements: NDArray[Any], _max_bytes: int) -> Iterator[NDArray[Any]]:
    step = max(elements.size // 7, 1)
    for start in range(0, elements.size, step):
        yield elements[start : start + step].copy()


@contextmanager
def opened(case: Case, way: Way, folder: Path) -> Iterator[tuple[TensorRef, TensorRef]]:
    """Hand out both tensors of a pair, one object if it is one tensor, from files or from memory.

    Raises:
        AssertionError: At the end, if an element was written to.
    """
    layout = case.layout
    kinds, sides = (layout.old_dtype, layout.new_dtype), (case.old, case.new)[: 1 if case.new is case.old else 2]
    with ExitStack() as files:
        refs: list[TensorRef] = []
        arrays: list[NDArray[Any]] = []
        for label, elements, kind, shift in zip(("old", "new"), sides, kinds, case.recipe.shifts, strict=False):
            if way in {"array", "blocks"}:
                arrays.append(placed(elements, shift))
                blocks = partial(_whole if way == "array" else _pieces, arrays[-1])
                refs.append(BlockTensor(name=label, shape=layout.shape, dtype=kind, open_blocks=blocks))
                continue
            path = folder / f"{label}.bin"
            path.write_bytes(bytes([_FILLER]) * shift + packed(elements, kind))
            file = files.enter_context(DataFile(path))
            refs.append(FileTensor(name=label, shape=layout.shape, dtype=kind, file=file, offset=shift))
        yield refs[0], refs[-1]
        for array, elements in zip(arrays, sides, strict=False):
            assert array.tobytes() == elements.tobytes(), "the kernel has written to the elements"


def names_taken(kernel: Kernel, case: Case) -> tuple[str, ...]:
    """Return the statistics that the kernel takes of a pair, all of them for the reference, in the core's order."""
    taken = ACCUMULATORS.keys() if isinstance(kernel, ReferenceKernel) else kernel.statistics(case.layout)
    return tuple(name for name in ACCUMULATORS if name in taken)


def run(
    worker: Worker, case: Case, way: Way, folder: Path, names: Iterable[str], ordered_map: OrderedMap = map
) -> dict[str, Any]:
    """Return finished statistics by name, as the core measures them."""
    folds = {name: ACCUMULATORS[name] for name in names}
    with opened(case, way, folder) as (old, new):
        return measure(TensorJob(old, new, case.layout), folds, lambda: worker, ordered_map)


def reference(case: Case, names: Iterable[str], folder: Path) -> dict[str, Any]:
    """Return what the folds say."""
    return run(Worker(ReferenceKernel(), "read"), case, "array", folder, names)


def bits_of(result: Any) -> Any:
    """Return nested plain values that are equal only where every bit of a result is."""
    if isinstance(result, Histogram):
        return result.keys.tobytes(), result.counts.tobytes(), result.key_format, result.exact
    if isinstance(result, np.ndarray):
        return result.dtype.str, result.shape, result.tobytes()
    if isinstance(result, dict):
        return {key: bits_of(value) for key, value in result.items()}
    if isinstance(result, tuple):
        return type(result).__name__, *map(bits_of, result)
    if is_dataclass(result) and not isinstance(result, type):
        return type(result).__name__, *(bits_of(getattr(result, field.name)) for field in fields(result))
    return type(result).__name__, result.hex() if isinstance(result, float) else result


def differing(wanted: dict[str, Any], found: dict[str, Any]) -> str:
    """Say which statistics are not the same to the last bit; empty if all are."""
    if wanted.keys() != found.keys():
        return f"{sorted(found)} instead of {sorted(wanted)}"
    unequal = [name for name in wanted if bits_of(wanted[name]) != bits_of(found[name])]
    return "; ".join(f"{name} is {found[name]} instead of {wanted[name]}" for name in unequal)


def distance_from_reference(wanted: dict[str, Any], found: dict[str, Any]) -> str:
    """Say where statistics differ from those of the folds: counts, places and extremes at all, sums by rounding."""
    if wanted.keys() != found.keys():
        return f"{sorted(found)} instead of {sorted(wanted)}"
    complaints = (_difference(name, wanted[name], found[name], 0.0) for name in wanted)
    return next(filter(None, complaints), "")


def _difference(label: str, wanted: Any, found: Any, size: Any) -> str:
    """Compare two results; floats may differ by rounding relative to themselves or to ``size``."""
    if type(wanted) is not type(found):
        return f"{label} is {found!r} instead of {wanted!r}"
    if isinstance(wanted, Histogram):
        return "" if bits_of(wanted) == bits_of(found) else f"{label}: {_histograms(wanted, found)}"
    if isinstance(wanted, dict):
        if wanted.keys() != found.keys():
            return f"{label} has the keys {list(found)} instead of {list(wanted)}"
        return _first(_difference(f"{label}[{key}]", wanted[key], found[key], 0.0) for key in wanted)
    names = getattr(wanted, "_fields", None) or ([f.name for f in fields(wanted)] if is_dataclass(wanted) else None)
    if names:
        return _first(
            _difference(f"{label}.{name}", getattr(wanted, name), getattr(found, name), _size(wanted, name))
            for name in names
        )
    is_float = isinstance(wanted, float) or (isinstance(wanted, np.ndarray) and wanted.dtype.kind == "f")
    near = _near(wanted, found, size) if is_float and size is not None else bits_of(wanted) == bits_of(found)
    return "" if near else f"{label} is {found!r} instead of {wanted!r}"


def _near(wanted: Any, found: Any, size: Any) -> bool:
    with np.errstate(invalid="ignore", over="ignore"):
        near = np.abs(np.subtract(found, wanted)) <= ALLOWED * np.maximum(np.abs(wanted), size)
    return bool(np.all(near | np.equal(found, wanted) | (np.isnan(wanted) & np.isnan(found))))


def _size(record: Any, name: str) -> Any:
    """Return the sum of the magnitudes of the terms of a sum, 0 if none can cancel; ``None`` of what is exact."""
    kind = type(record).__name__
    if kind == "Extrema" or name.endswith("max_abs"):
        return None
    sizes = {
        ("Lines", "dot"): lambda: np.sqrt(record.old_sq) * np.sqrt(record.new_sq),
        ("GroupSums", "sum_residual"): lambda: record.n_residual,
        ("Norms", "dot"): lambda: 10 * record.l1_old * record.l1_new / record.n,
        ("Norms", "delta_dot_old"): lambda: 10 * record.l1_old * record.l1_new / record.n,
    }
    if (kind, name) in sizes:
        return sizes[kind, name]()
    if kind == "Centred" and record.n:
        spread, mean = (record.m2_scaled / record.n) ** 0.5, abs(record.pivot + record.offset)
        return mean + spread if name == "offset" else record.n * (mean + spread) * spread
    if kind == "Higher" and record.centred.n:
        spread, mean = (record.m4_scaled / record.centred.n) ** 0.25, abs(record.centred.offset)
        return record.centred.n * (spread + mean) * spread ** (2 if name == "m3_scaled" else 3)
    return 0.0


def _histograms(wanted: Histogram, found: Histogram) -> str:
    left, right = (dict(zip(h.keys.tolist(), h.counts.tolist(), strict=True)) for h in (wanted, found))
    unequal = {key: (right.get(key, 0), left.get(key, 0)) for key in sorted(left.keys() | right.keys())}
    return f"counts by key (found, wanted): { {key: pair for key, pair in unequal.items() if pair[0] != pair[1]} }"


def _first(complaints: Iterable[str]) -> str:
    return next(filter(None, complaints), "")
