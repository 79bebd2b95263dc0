"""Which names a PyTorch file needs, so that only the others are listed as foreign."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_lib_pickle.arrays import NUMPY_NAMES
from diffai_lib_pickle.standard import STANDARD_NAMES

from diffai_load_pytorch.builders import torch_builders
from diffai_load_pytorch.dtypes import STORAGES, TYPES

if TYPE_CHECKING:
    from diffai_lib_pickle import Global

_LAYOUTS = ("strided", "sparse_coo", "sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc", "jagged")
_FORMATS = ("contiguous_format", "channels_last", "channels_last_3d", "preserve_format")
_SCHEMES = ("per_tensor_affine", "per_channel_affine", "per_channel_affine_float_qparams", "per_tensor_symmetric")
_SCHEMES_TOO = ("per_channel_symmetric",)
_PLAIN = ("Tensor", "Size", "device", "Generator", "memory_format")
_CLASS_MODULES = ("torch.nn.modules.", "torch.nn.parameter", "torch.optim.", "torch.ao.nn.", "torch.nn.quantized.")
_CLASS_MODULES_TOO = (
    "torch.distributed.checkpoint.",
    "torch.ao.quantization.",
    "torch.torch_version",
    "torch.nn.utils.",
)
_ACTIVATIONS = ("relu", "gelu", "silu", "elu", "selu", "tanh", "sigmoid", "leaky_relu", "softmax", "mish", "hardswish")
_NAMES = frozenset(
    {
        *STANDARD_NAMES,
        *NUMPY_NAMES,
        *torch_builders(),
        *(f"torch.{name}" for name in (*TYPES, *_LAYOUTS, *_FORMATS, *_SCHEMES, *_SCHEMES_TOO, *_PLAIN, *STORAGES)),
        *(f"torch.cuda.{name}" for name in STORAGES),
        *(f"torch.{where}{name.removesuffix('Storage')}Tensor" for name in STORAGES for where in ("", "cuda.")),
        *(f"torch.storage.{name}" for name in (*STORAGES, "TypedStorage")),
        *(
            "torch._C.Generator",
            "torch._utils._rebuild_wrapper_subclass",
            "torch.serialization._get_layout",
            "torch._tensor.Tensor",
        ),
        *("torch.nested._internal.nested_tensor._rebuild_njt", "torch.nested._internal.nested_tensor.NestedTensor"),
        *(f"torch.nn.functional.{name}" for name in _ACTIVATIONS),
        *("torch.distributed.checkpoint.metadata._MEM_FORMAT_ENCODING",),
        *("torch.nn.backends.thnn._get_thnn_function_backend", "torch._dynamo.decorators._DimRange"),
    }
)


def is_known(found: Global) -> bool:
    """Whether PyTorch itself needs a name: a data type, a function that rebuilds tensors, or one of its own layers.

    Args:
        found: What a pickle names. A dotted name is never known, since it may lead through a module to another.
    """
    if "." in found.name:
        return False
    if found.path in _NAMES or found.module.partition(".")[0] == "__torch__":
        return True
    is_class = found.name.lstrip("_")[:1].isupper()
    return is_class and found.module.startswith((*_CLASS_MODULES, *_CLASS_MODULES_TOO))
