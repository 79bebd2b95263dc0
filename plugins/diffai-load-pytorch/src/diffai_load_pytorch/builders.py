"""What becomes of the functions that PyTorch's pickles call: descriptions of tensors, never the tensors themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffai_lib_pickle import Call, Global, Inert
from diffai_lib_pickle.arrays import ArrayValue, checked_shape, numpy_builders

from diffai_load_pytorch.dtypes import QUANTIZED, TYPES, TorchType
from diffai_load_pytorch.values import Parts, Quantizer, StorageValue, TensorValue, contiguous_stride

if TYPE_CHECKING:
    from collections.abc import Callable

_OWN_CLASSES = {"torch.Tensor", "torch._tensor.Tensor", "torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer"}
_COMPRESSED = {
    "torch.sparse_csr": ("crow_indices", "col_indices"),
    "torch.sparse_csc": ("ccol_indices", "row_indices"),
    "torch.sparse_bsr": ("crow_indices", "col_indices"),
    "torch.sparse_bsc": ("ccol_indices", "row_indices"),
}


def _record(call: Call) -> Inert:
    return Inert(call.target, call.args, dict(call.kwargs), call.position)


def _first(call: Call) -> Any:
    if not call.args:
        raise ValueError(f"{call.target.path} is called without arguments")
    return call.args[0]


def _size(call: Call) -> tuple[Any, ...]:
    return tuple(call.args[0]) if call.args else ()


def _device(call: Call) -> str:
    return ":".join(str(part) for part in call.args)


def _tensor(call: Call) -> Any:
    storage, offset, size, stride, *rest = call.args
    if not isinstance(storage, StorageValue):
        return _record(call)
    made = view(storage, storage.type, offset, size, stride)
    made.requires_grad = bool(rest and rest[0])
    _take_metadata(made, rest[2] if len(rest) > 2 else None)  # noqa: PLR2004 - gradient, hooks, metadata
    return made


def _tensor_v3(call: Call) -> Any:
    storage, offset, size, stride, requires_grad, _, kind, *rest = call.args
    if not isinstance(storage, StorageValue):
        return _record(call)
    made = view(storage, type_of(kind), offset, size, stride)
    made.requires_grad = bool(requires_grad)
    _take_metadata(made, rest[0] if rest else None)
    return made


def _take_metadata(made: TensorValue, metadata: Any) -> None:
    fields = metadata.items or {} if isinstance(metadata, Inert) else metadata
    if isinstance(fields, dict):
        made.is_negative = fields.get("neg") is True
        made.is_conjugate = fields.get("conj") is True


def type_of(value: Any) -> TorchType:
    """Return the type that ``torch.float32`` and its like stand for.

    Raises:
        ValueError: If it is none that is known.
    """
    name = value.name if isinstance(value, Global) and value.module == "torch" else ""
    if name not in TYPES:
        raise ValueError(f"a tensor has the unknown dtype {name[:80] or 'that is none'!r}; upgrade diffai-load-pytorch")
    return TYPES[name]


def view(storage: StorageValue, kind: TorchType, offset: Any, size: Any, stride: Any) -> TensorValue:
    """Return a tensor after making sure that it lies within its storage.

    Raises:
        ValueError: If it does not.
    """
    size, stride = checked_shape(tuple(size)), tuple(stride)
    if len(size) != len(stride) or not all(type(step) is int and 0 <= step < 1 << 63 for step in (*stride, offset)):
        raise ValueError("a tensor has strides or an offset that none can have")
    made = TensorValue(storage, kind, offset, size, stride)
    items = made.last + 1 if 0 not in size else 0
    held = storage.numel * storage.type.itemsize
    needed = -(-items // kind.per_item) if kind.name in QUANTIZED else items
    if needed * kind.itemsize > held:
        raise ValueError(
            f"a tensor reaches to byte {needed * kind.itemsize:,} of storage {storage.key[:80]!r}, which has {held:,}"
        )
    return made


def _parameter(call: Call) -> Any:
    data = _first(call)
    if isinstance(data, TensorValue):
        data.is_parameter = True
        data.requires_grad = len(call.args) > 1 and bool(call.args[1])
        if len(call.args) > 3 and call.args[3]:  # noqa: PLR2004 - data, gradient, hooks, state
            data.state = call.args[3]
    return data


def _quantized(call: Call) -> Any:
    storage, offset, size, stride, how, *rest = call.args
    if not isinstance(storage, StorageValue):
        return _record(call)
    made = view(storage, storage.type, offset, size, stride)
    made.quantizer = _quantizer(how, made)
    made.requires_grad = bool(rest and rest[0])
    return made


def _quantizer(how: Any, made: TensorValue) -> Quantizer:
    scheme = how[0].name if type(how) is tuple and how and isinstance(how[0], Global) else ""
    if scheme == "per_tensor_affine" and len(how) == 3 and type(how[1]) is float and type(how[2]) is int:  # noqa: PLR2004 - scheme, scale, zero point
        return Quantizer(scheme, how[1], how[2])
    if scheme.startswith("per_channel_affine") and len(how) == 4:  # noqa: PLR2004 - scheme, scales, zero points, axis
        _, scale, zero_point, axis = how
        n_channels = made.size[axis] if type(axis) is int and 0 <= axis < len(made.size) else -1
        if all(isinstance(part, TensorValue) and part.size == (n_channels,) for part in (scale, zero_point)):
            return Quantizer(scheme, scale, zero_point, axis)
    raise ValueError(f"a tensor is quantised in a way that is not known ({scheme[:80]!r})")


def _sparse(call: Call) -> Any:
    layout, data = call.args[:2]
    fields: dict[str, Any] = {"layout": layout}
    if layout == "torch.sparse_coo":
        names = ("indices", "values", "shape", "is_coalesced")
    elif layout in _COMPRESSED:
        names = (*_COMPRESSED[layout], "values", "shape")
    else:
        return _record(call)
    fields.update(zip(names, data, strict=False))
    return Parts(fields)


def _nested(call: Call) -> Parts:
    names = ("values", "sizes", "strides", "offsets")
    return Parts({"layout": "nested", **dict(zip(names, call.args, strict=False))})


def _meta(call: Call) -> Parts:
    kind, size, *_ = call.args
    return Parts({"layout": "meta", "dtype": type_of(kind).name, "shape": checked_shape(tuple(size))})


def _from_type(call: Call) -> Any:
    """Undo how subclasses are wrapped: a function, the class, its arguments, and what the object keeps besides."""
    function, cls, args, *rest = call.args
    builder = _BUILDERS.get(function.path) if isinstance(function, Global) else None
    if builder is None or builder is _from_type or type(args) is not tuple:
        return _record(call)
    made = builder(Call(args, {}, call.position, function))
    state = rest[0] if rest else None
    if not hasattr(made, "set_state"):
        return made
    if isinstance(made, TensorValue):
        made.is_parameter = made.is_parameter or (isinstance(cls, Global) and cls.name == "Parameter")
        made.subclass = cls.path if isinstance(cls, Global) and cls.path not in _OWN_CLASSES else ""
    elif isinstance(made, Inert):  # a wrapper around tensors of its own
        made.cls = cls
    if state not in (None, {}, (None, None)) and not isinstance(made, ArrayValue):
        made.set_state(state)
    return made


def whole(storage: StorageValue) -> TensorValue:
    """Return all of a storage as a tensor."""
    return TensorValue(storage, storage.type, 0, (storage.numel,), contiguous_stride((storage.numel,)))


_BUILDERS: dict[str, Callable[[Call], Any]] = {
    **numpy_builders(),
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._utils._rebuild_qtensor": _quantized,
    "torch._utils._rebuild_sparse_tensor": _sparse,
    "torch._utils._rebuild_nested_tensor": _nested,
    "torch._utils._rebuild_meta_tensor_no_storage": _meta,
    "torch._utils._rebuild_device_tensor_from_numpy": _first,
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": _first,
    "torch._tensor._rebuild_from_type": _from_type,
    "torch._tensor._rebuild_from_type_v2": _from_type,
    "torch.Size": _size,
    "torch.device": _device,
    "torch.serialization._get_layout": _first,
    "torch.jit._pickle.restore_type_tag": _first,
    **{f"torch.jit._pickle.build_{kind}list": _first for kind in ("int", "tensor", "double", "bool")},
}


def torch_builders() -> dict[str, Callable[[Call], Any]]:
    """Return the builders for checkpoints, NumPy's included."""
    return dict(_BUILDERS)
