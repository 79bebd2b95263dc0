"""The elements of small constants as plain numbers; graphs have thousands of them, so NumPy is not needed for it."""

from __future__ import annotations

import struct
from itertools import islice
from typing import TYPE_CHECKING, Any

from diffai_load_tensorflow.tensor_proto import Constant, constant_tensor, digest_of, texts_of
from diffai_load_tensorflow.types import STRING, field_of, item_bytes, type_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from diffai_lib_protobuf import Field

    from diffai_core.plugin import DType

_FORMATS = {
    "float32": "f",
    "float64": "d",
    "float16": "e",
    "bool": "?",
    **{
        f"{sign}int{8 << power}": (code.upper() if sign else code)
        for sign in ("", "u")
        for power, code in enumerate("bhiq")
    },
}
_READERS: dict[str, Callable[[Field], Iterator[Any]]] = {
    "float32": lambda field: field.all_float32(),
    "float64": lambda field: field.all_float64(),
    "bool": lambda field: (value != 0 for value in field.all_unsigned()),
    **dict.fromkeys(("int8", "int16", "int32", "int64"), lambda field: field.all_signed()),
    **dict.fromkeys(("uint8", "uint16", "uint32", "uint64"), lambda field: field.all_unsigned()),
}


def few_elements(constant: Constant, kind: DType) -> list[Any] | None:
    """Return the elements of a constant; ``None`` for types that only NumPy reads.

    Raises:
        LoadError: If it is damaged.
    """
    content, count = constant.content, constant.numel
    if content is not None and kind.name in _FORMATS:
        constant_tensor(constant, "")  # the right number of bytes
        return list(struct.unpack(f"<{count}{_FORMATS[kind.name]}", content.data()))
    if content is not None or kind.name not in _READERS:
        return None
    fields = (field for field in constant.message.fields() if field.number == field_of(kind))
    values = list(islice((value for field in fields for value in _READERS[kind.name](field)), count + 1))
    if len(values) > count:
        raise constant.message.error(f"a tensor has more elements than its shape {list(constant.shape)} needs")
    return values + (values[-1:] or [0]) * (count - len(values))


def plain_constant(constant: Constant, max_bytes: int) -> dict[str, Any]:
    """Return type and shape of a constant, and its elements if they are few: what an attribute of a node shows.

    The last element written out is repeated, as TensorFlow does; what is not written at all is 0.

    Raises:
        LoadError: If it is damaged.
    """
    found: dict[str, Any] = {"dtype": type_name(constant.type), "shape": list(constant.shape)}
    kind = constant.dtype
    if constant.type == STRING:
        return found | {"values": texts_of(constant)}
    is_small = kind is not None and constant.numel * item_bytes(kind) <= max_bytes
    values = few_elements(constant, kind) if kind is not None and is_small else None
    return found | ({"values": values} if values is not None else digest_of(constant.message))
