"""Elements of small tensors as plain values, mostly without NumPy."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from diffai_load_onnx import schema
from diffai_load_onnx.tensors import tensor_of

if TYPE_CHECKING:
    from diffai_core.plugin import DataFile, TensorRef
    from diffai_load_onnx.external import ExternalFiles
    from diffai_load_onnx.tensors import Stored

_CODES = {
    "float16": "e",
    "float32": "f",
    "float64": "d",
    "bool": "?",
    "int8": "b",
    "int16": "h",
    "int32": "i",
    "int64": "q",
    "uint8": "B",
    "uint16": "H",
    "uint32": "I",
    "uint64": "Q",
}


def is_plain(stored: Stored) -> bool:
    """Whether a tensor is nothing but its elements, which are numbers."""
    extras = stored.is_external or stored.is_segment or stored.notes or stored.unknown is not None
    return not extras and stored.code in schema.ELEMENT_TYPES


def elements_of(stored: Stored, files: ExternalFiles, inside: DataFile) -> list[Any]:
    """Return the elements in row-major order.

    Raises:
        LoadError: If the tensor is damaged.
    """
    ref = tensor_of(stored, "", files, inside)  # which checks it
    code = _CODES.get(ref.dtype.name)
    if code and schema.RAW_DATA in stored.data:
        raw, _ = stored.data[schema.RAW_DATA]
        return list(struct.unpack(f"<{ref.numel}{code}", raw.data()))
    return _listed(ref)


def _listed(ref: TensorRef) -> list[Any]:
    values = ref.read().reshape(-1)
    if ref.dtype.kind == "complex":
        return [[value.real, value.imag] for value in values.tolist()]
    if ref.dtype.kind == "float":
        values = values.astype("float64")
    elif ref.dtype.bits < 8:  # noqa: PLR2004 - ml_dtypes lists them as objects of its own
        values = values.astype("int8")
    listed: list[Any] = values.tolist()
    return listed
