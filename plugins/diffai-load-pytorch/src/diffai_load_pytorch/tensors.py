"""Lazy tensors from the descriptions in a pickle."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

from diffai_lib_zip import Region

from diffai_core.plugin import BlockTensor, FileTensor, Quantization, dtype
from diffai_load_pytorch.values import TensorValue
from diffai_load_pytorch.views import Codes, StridedBytes, code_blocks, number, view_blocks

if TYPE_CHECKING:
    from diffai_core.plugin import Role, TensorRef
    from diffai_load_pytorch.values import Quantizer


_WITH_SIGN = frozenset(
    {
        *("float64", "float32", "float16", "bfloat16", "complex128", "complex64", "complex32"),
        *("int64", "int32", "int16", "int8", "uint8"),
    }
)

MAX_UNPACKED_BYTES = 256 << 20
"""Largest view with strides of a compressed storage: all of it is decompressed at once."""


def unreadable(value: TensorValue) -> str:
    """Say why a tensor cannot be read; empty if it can."""
    payload = value.storage.payload
    if (value.is_negative or value.is_conjugate) and value.type.name not in _WITH_SIGN:
        return f"is said to be the negative or conjugate of elements of {value.type.name}, which have none"
    if _counts_codes(value) and (not value.is_contiguous or value.numel % value.type.per_item):
        return f"{value.type.name} with strides, or with a number of elements that does not fill whole bytes"
    if payload is None or not payload.compressed or value.is_contiguous:
        return ""
    if payload.size > MAX_UNPACKED_BYTES:
        return f"a view with strides of a compressed storage of {payload.size:,} bytes; save the file uncompressed"
    return ""


def tensor_ref(name: str, value: TensorValue, role: Role, *, big_endian: bool) -> TensorRef:
    """Return the tensor that ``value`` describes.

    Args:
        name: Its name.
        value: The description; its storage has a payload.
        role: What it is for.
        big_endian: Whether the bytes of an element are in the other order.
    """
    if value.quantizer is not None:
        return _quantized(name, value, value.quantizer, role, big_endian=big_endian)
    return _stored(name, value, role, big_endian=big_endian)


def _stored(name: str, value: TensorValue, role: Role, *, big_endian: bool) -> TensorRef:
    payload = value.storage.payload
    assert payload is not None  # every storage has been located before
    kind, storage = value.type, value.storage
    swap = _unit(value) if big_endian else 0
    first = value.offset * kind.itemsize // (kind.per_item if _counts_codes(value) else 1)
    view = StridedBytes(
        payload=payload,
        dtype=kind.dtype,
        itemsize=kind.itemsize,
        start=storage.first * storage.type.itemsize + first,
        size=value.size,
        stride=value.stride,
        shape=_shape(value),
        swap=swap,
        is_negative=value.is_negative,
        is_conjugate=value.is_conjugate,
    )
    contiguous = value.is_contiguous
    place = payload.offset + view.start
    if contiguous and isinstance(payload, Region) and not (swap or view.is_negative or view.is_conjugate):
        return FileTensor(name=name, shape=view.shape, dtype=kind.dtype, role=role, file=payload.file, offset=place)
    return BlockTensor(
        name=name,
        shape=view.shape,
        dtype=kind.dtype,
        role=role,
        open_blocks=partial(view_blocks, view, contiguous=contiguous),
        shared_storage=(
            payload.file.path,
            place,
            view.size,
            view.stride,
            kind.name,
            view.is_negative,
            view.is_conjugate,
        ),
    )


def cost_of(value: TensorValue) -> int:
    """Return how many bytes reading a tensor takes: those of its elements, and what has to be decompressed before."""
    n_bytes = math.prod(value.size) * value.type.itemsize // (value.type.per_item if _counts_codes(value) else 1)
    payload = value.storage.payload
    if payload is None or not payload.compressed:
        return n_bytes
    return n_bytes + value.storage.first * value.storage.type.itemsize + value.offset * value.type.itemsize


def _counts_codes(value: TensorValue) -> bool:
    """Whether sizes count codes, of which a byte holds several, and not bytes."""
    return value.type.name in {"quint4x2", "quint2x4"}


def _shape(value: TensorValue) -> tuple[int, ...]:
    if value.type.per_item == 1 or _counts_codes(value):
        return value.size
    return (*value.size[:-1], value.size[-1] * value.type.per_item) if value.size else (value.type.per_item,)


def _unit(value: TensorValue) -> int:
    """Return the bytes that change places with each other in big-endian files; 0 if an element has but one."""
    width = value.type.itemsize // (2 if value.type.name.startswith("complex") else 1)
    return width if width > 1 else 0


def _quantized(name: str, value: TensorValue, how: Quantizer, role: Role, *, big_endian: bool) -> TensorRef:
    codes = _stored(f"{name}.codes", value, role, big_endian=big_endian)
    scale = _factor(f"{name}.scale", how.scale, "float64", big_endian=big_endian)
    zero_point = _factor(f"{name}.zero_point", how.zero_point, "int64", big_endian=big_endian)
    spec = Codes(codes, scale, zero_point, how.axis, is_float=zero_point.dtype.kind == "float")
    return BlockTensor(
        name=name,
        shape=value.size,
        dtype=dtype("float32"),
        role=role,
        open_blocks=partial(code_blocks, spec),
        shared_storage=(codes.storage, how) if how.axis is None else None,
        quantization=Quantization(
            scheme=f"{value.type.name}_{how.scheme}",
            bits=value.type.dtype.bits,
            stored=(codes, scale, zero_point),
            axis=how.axis,
        ),
    )


def _factor(name: str, value: Any, kind: str, *, big_endian: bool) -> TensorRef:
    if isinstance(value, TensorValue):
        return tensor_ref(name, value, "weights", big_endian=big_endian)
    return number(name, value, kind)
