"""Write the files that the benchmarks compare: real safetensors files of random weights.

Run as a program (``python pairs.py FOLDER SCALE NAME``), so that the memory of the generator never shows up in what the
benchmark measures: a child process inherits the peak of its parent.
"""

from __future__ import annotations

import json
import shutil
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SEED = 20240229
STEP = 1e-3
"""Standard deviation of a change; the weights themselves have 0.02."""


class Pair(NamedTuple):
    """Two files to compare, and a copy of OLD that gives ``cmp`` all of the bytes to read.

    Args:
        title: What the pair is.
        old: File name of OLD.
        new: File name of NEW.
        copy: File name of a copy of OLD.
        changed: Number of tensors that differ.
        bar: The most CPU seconds and MiB of resident memory a default run may take; ``None`` where none is set.
    """

    title: str
    old: str
    new: str
    copy: str
    changed: int
    bar: tuple[float | None, float | None] = (None, None)


N_LARGE = 150
N_SMALL = 10_000
N_CHANGED = 8
N_SMALL_CHANGED = 100
GROWTH = {"G1": 150, "G2": 500, "G3": 1500}

PAIRS = {
    "S": Pair("150 tensors, 629 MB float32, 8 changed", "f32", "f32-few", "f32-copy", N_CHANGED, (0.6, 100)),
    "I": Pair("150 tensors, 629 MB float32, identical copies", "f32", "f32-copy", "f32-copy", 0, (0.45, None)),
    "F": Pair("150 tensors, 629 MB float32, all changed", "f32", "f32-all", "f32-copy", N_LARGE, (0.9, 120)),
    "B": Pair("150 tensors, 315 MB bfloat16, 8 changed", "bf16", "bf16-few", "bf16-copy", N_CHANGED),
    "T": Pair(
        "10,000 tensors of 256 to 4,096 float32, 100 changed",
        "tiny",
        "tiny-few",
        "tiny-copy",
        N_SMALL_CHANGED,
        (1.2, None),
    ),
    "U": Pair("start-up: one tensor, 100 kB float32", "100kb", "100kb-few", "100kb-copy", 1, (0.35, None)),
    **{
        name: Pair(
            f"growth: {count} tensors, {count * 4.194304 / 1000:.1f} GB float32, 8 changed",
            name,
            f"{name}-few",
            f"{name}-few",
            N_CHANGED,
            (None, 150),
        )
        for name, count in GROWTH.items()
    },
}


def write(path: Path, shapes: list[tuple[int, ...]], dtype: str, payload: Iterator[bytes]) -> None:
    """Write a safetensors file whose tensors lie in the order of ``shapes``."""
    itemsize = {"F32": 4, "BF16": 2}[dtype]
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for index, shape in enumerate(shapes):
        size = itemsize
        for length in shape:
            size *= length
        header[f"model.layers.{index}.weight"] = {
            "dtype": dtype,
            "shape": shape,
            "data_offsets": [offset, offset + size],
        }
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for data in payload:
            file.write(data)
    partial.replace(path)


def weights(shapes: list[tuple[int, ...]], changed: frozenset[int], to_bytes: Callable[..., bytes]) -> Iterator[bytes]:
    """Yield the bytes of each tensor: random weights, plus a random step where the index is in ``changed``."""
    import numpy as np

    for index, shape in enumerate(shapes):
        values = np.random.default_rng([SEED, index]).standard_normal(shape, np.float32) * np.float32(0.02)
        if index in changed:
            step = np.random.default_rng([SEED, index, 1]).standard_normal(shape, np.float32)
            values += step * np.float32(STEP)
        yield to_bytes(values)


def tiled(count: int, changed: frozenset[int]) -> Iterator[bytes]:
    """Yield ``count`` tensors of 1024 x 1024 float32 quickly: all from one random tile, each begun elsewhere."""
    import numpy as np

    tile = np.random.default_rng(SEED).standard_normal(1 << 21, np.float32)
    for index in range(count):
        begin = index * 997 % (1 << 20)
        values = tile[begin : begin + (1 << 20)]
        yield (values + np.float32(STEP) if index in changed else values).tobytes()


def as_float32(values: object) -> bytes:
    """Return the bytes of a float32 array."""
    return values.tobytes()  # type: ignore[attr-defined]


def as_bfloat16(values: object) -> bytes:
    """Round a float32 array to bfloat16 and return its bytes."""
    import ml_dtypes

    return values.astype(ml_dtypes.bfloat16).tobytes()  # type: ignore[attr-defined]


def spread(n_tensors: int, n_changed: int) -> frozenset[int]:
    """Return ``n_changed`` indices spread evenly."""
    return frozenset(n_tensors * (2 * i + 1) // (2 * n_changed) for i in range(min(n_changed, n_tensors)))


def make(folder: Path, name: str, scale: float) -> None:
    """Write the file called ``name``, all lengths multiplied by ``scale`` (for the test of this program)."""
    path = folder / f"{name}.safetensors"
    base, _, variant = name.partition("-")
    if variant == "copy":
        make(folder, base, scale)
        if not path.exists():
            shutil.copyfile(folder / f"{base}.safetensors", path)
        return
    if path.exists():
        return
    side = max(int(1024 * scale), 4)
    if base in GROWTH:
        count = GROWTH[base]
        changed = spread(count, N_CHANGED if variant else 0)
        write(path, [(1024, 1024)] * count, "F32", tiled(count, changed))
        return
    shapes: list[tuple[int, ...]] = {
        "f32": [(side, 1024)] * N_LARGE,
        "bf16": [(side, 1024)] * N_LARGE,
        "tiny": [((256,), (32, 32), (64, 64))[index % 3] for index in range(N_SMALL)],
        "100kb": [(160, 160)],
    }[base]
    n_changed = {"": 0, "all": len(shapes), "few": {"tiny": N_SMALL_CHANGED, "100kb": 1}.get(base, N_CHANGED)}[variant]
    changed = spread(len(shapes), n_changed) if n_changed else frozenset[int]()
    dtype, to_bytes = ("BF16", as_bfloat16) if base == "bf16" else ("F32", as_float32)
    write(path, shapes, dtype, weights(shapes, changed, to_bytes))


if __name__ == "__main__":
    make(Path(sys.argv[1]), sys.argv[3], float(sys.argv[2]))
