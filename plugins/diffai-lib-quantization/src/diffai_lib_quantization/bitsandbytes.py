"""bitsandbytes: 4-bit codes of a table with a scale for each run of elements, and 8-bit codes with one for each row."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from diffai_lib_quantization.tensor import MAX_COLUMNS, PIECE_ELEMENTS, Found, Parts, Scheme, logical

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from diffai_core.plugin import FileTensor, TensorRef

_MAX_STATE = 1 << 16
_MAX_ELEMENTS = 1 << 40
_MAX_DIMENSIONS = 8
_N_CODES = 16
_ROW_FORMAT = 0


@dataclass(frozen=True)
class Table4:
    """``quant_map[code] * absmax[run]``; ``absmax`` may itself be coded (bitsandbytes 0.50, ``dequantize_4bit``).

    Args:
        weight: uint8, two codes in a byte, the high one first.
        absmax: float32, or uint8 where it is coded, one for each run.
        quant_map: float32 [16].
        numel: Number of elements.
        run: Elements of a run.
        nested: Table, scales and length of runs of ``absmax``, and what is added to it, where it is coded.
    """

    weight: FileTensor
    absmax: FileTensor
    quant_map: FileTensor
    numel: int
    run: int
    nested: tuple[FileTensor, FileTensor, int, float] | None

    def pieces(self) -> Iterator[NDArray[Any]]:
        """Yield the values."""
        import numpy as np

        from diffai_lib_quantization.reading import read_flat

        table = read_flat(self.quant_map, 0, 16)
        step = max(PIECE_ELEMENTS // self.run, 1) * self.run
        for start in range(0, self.numel, step):
            count = min(step, self.numel - start)
            raw = read_flat(self.weight, start // 2, -(-count // 2))
            codes = np.stack([raw >> 4, raw & np.uint8(15)], axis=1).reshape(-1)[:count]
            scale = self._scales(start // self.run, -(-count // self.run))
            with np.errstate(all="ignore"):
                yield table[codes] * np.repeat(scale, self.run)[:count]

    def _scales(self, first: int, count: int) -> NDArray[Any]:
        import numpy as np

        from diffai_lib_quantization.reading import read_flat

        raw = read_flat(self.absmax, first, count)
        if self.nested is None:
            return raw
        table, absmax, run, offset = self.nested
        begin = first // run
        scale = read_flat(absmax, begin, (first + count - 1) // run + 1 - begin)
        which = np.arange(first, first + count) // run - begin
        with np.errstate(all="ignore"):
            found: NDArray[Any] = read_flat(table, 0, 256)[raw] * scale[which] + np.float32(offset)
        return found


def find_4bit(tensors: Mapping[str, TensorRef], name: str) -> Found | None:
    """Return the weight to which the description ``name`` (``X.quant_state.bitsandbytes__nf4``) belongs."""
    prefix, _, kind = name.rpartition(".quant_state.bitsandbytes__")
    parts = Parts(tensors, f"{prefix}.")
    described = parts.get(f"quant_state.bitsandbytes__{kind}", "uint8", ndim=1)
    weight = Parts(tensors, prefix).get("", "uint8")
    absmax, quant_map = parts.get("absmax", "float32", "uint8", ndim=1), parts.get("quant_map", "float32", ndim=1)
    if described is None or weight is None or absmax is None or quant_map is None or quant_map.numel != _N_CODES:
        return None
    state = _state(described)
    shape, run = _shape(state.get("shape")), state.get("blocksize")
    if shape is None or type(run) is not int or not 0 < run <= PIECE_ELEMENTS or run % 2:
        return None
    numel = math.prod(shape)
    if weight.numel != -(-numel // 2) or absmax.numel != -(-numel // run):
        return None
    stored: tuple[FileTensor, ...] = (weight, absmax, quant_map, described)
    nested = None
    if absmax.dtype.name == "uint8":
        nested = _nested(parts, state, absmax.numel)
        if nested is None:
            return None
        stored += nested[:2]
    decoder = Table4(weight, absmax, quant_map, numel, run, nested)
    return logical(prefix, shape, decoder, Scheme(f"bnb_{kind}", 4, run), stored)


def _nested(parts: Parts, state: Mapping[str, Any], n_scales: int) -> tuple[FileTensor, FileTensor, int, float] | None:
    table = parts.get("nested_quant_map", "float32", ndim=1)
    absmax = parts.get("nested_absmax", "float32", ndim=1)
    run, offset = state.get("nested_blocksize"), state.get("nested_offset")
    if table is None or absmax is None or type(run) is not int or type(offset) is not float:
        return None
    if table.numel != 256 or run < 1 or absmax.numel != -(-n_scales // run):  # noqa: PLR2004 - one for each byte
        return None
    return table, absmax, run, offset


def _state(described: FileTensor) -> Mapping[str, Any]:
    """Return what is said of a weight beside its parts; nothing if it cannot be read."""
    if described.numel > _MAX_STATE:
        return {}
    try:
        state = json.loads(described.file.read(described.offset, described.numel))
    except (ValueError, RecursionError):
        return {}
    return state if isinstance(state, dict) else {}


def _shape(value: Any) -> tuple[int, ...] | None:
    """Return a shape as JSON holds it, if it is one that a weight can have."""
    if not isinstance(value, list) or not all(type(length) is int and length > 0 for length in value):
        return None
    return tuple(value) if len(value) <= _MAX_DIMENSIONS and math.prod(value) <= _MAX_ELEMENTS else None


def find_8bit(tensors: Mapping[str, TensorRef], name: str) -> Found | None:
    """Return the weight to which the scales ``name`` (``X.SCB``) belong."""
    from diffai_lib_quantization.rows import Rows

    parts = Parts(tensors, name.removesuffix("SCB"))
    weight, scale = parts.get("weight", "int8", ndim=2), parts.get("SCB", "float32", ndim=1)
    layout = parts.get("weight_format", "uint8", "int32", "int64")
    if weight is None or scale is None or scale.shape[0] != weight.shape[0] or weight.shape[1] > MAX_COLUMNS:
        return None
    if "weight_format" in parts and (layout is None or not _is_row_format(layout)):
        return None
    decoder = Rows(
        codes=weight,
        shape=(weight.shape[0], weight.shape[1]),
        code="number",
        bits=8,
        scale=scale,
        tile=(1, weight.shape[1] or 1),
        constant=7.874015718698502e-3,  # the constant of bitsandbytes, 1 / 127
    )
    stored = (weight, scale, *([layout] if layout else []))
    return logical(weight.name, weight.shape, decoder, Scheme("bnb_int8", 8, None, 0), stored)


def _is_row_format(layout: FileTensor) -> bool:
    """Whether an 8-bit weight is stored row by row, and not turned for one kind of tensor core."""
    return layout.numel == 1 and int.from_bytes(layout.file.read(layout.offset, layout.nbytes), "little") == _ROW_FORMAT
