"""What the pickle of a checkpoint describes: storages, tensors that are views of them, and tensors in parts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from diffai_lib_zip import Payload

    from diffai_load_pytorch.dtypes import TorchType


class StorageValue:
    """A stretch of elements that tensors are views of.

    Attributes:
        key: Its name in the file.
        type: Type of its elements.
        numel: Number of elements.
        first: Elements of the stored bytes that come before it, in a view of another storage.
        payload: Its bytes; ``None`` until it is known where they are.
    """

    __slots__ = ("first", "key", "numel", "payload", "type")

    def __init__(self, key: str, type_: TorchType, numel: int, payload: Payload | None = None) -> None:
        self.key = key
        self.type = type_
        self.numel = numel
        self.first = 0
        self.payload = payload


class Quantizer(NamedTuple):
    """How codes become numbers.

    Args:
        scheme: ``per_tensor_affine``, ``per_channel_affine`` or ``per_channel_affine_float_qparams``.
        scale: A number, or a tensor with one for each channel.
        zero_point: The same.
        axis: Dimension of the channels; ``None`` if there are none.
    """

    scheme: str
    scale: float | TensorValue
    zero_point: int | TensorValue
    axis: int | None = None


class TensorValue:
    """A view of a storage.

    Attributes:
        storage: The storage.
        type: Type of the elements, which may differ from that of the storage.
        offset: First element.
        size: Length of each dimension.
        stride: Elements from one index to the next, by dimension.
        is_buffer: Whether a module keeps it as a buffer.
        is_parameter: Whether it is a ``Parameter``.
        requires_grad: Whether a gradient is taken for it.
        is_negative: Whether the stored elements are those of its negative.
        is_conjugate: Whether the stored elements are those of its conjugate.
        quantizer: How its codes become numbers, if it is quantised.
        subclass: Class, where it is not PyTorch's own.
        state: What a subclass keeps besides.
    """

    __slots__ = (
        *(
            "is_buffer",
            "is_conjugate",
            "is_negative",
            "is_parameter",
            "offset",
            "quantizer",
            "requires_grad",
            "size",
            "state",
        ),
        *("storage", "stride", "subclass", "type"),
    )

    def __init__(
        self, storage: StorageValue, type_: TorchType, offset: int, size: tuple[int, ...], stride: tuple[int, ...]
    ) -> None:
        self.storage = storage
        self.type = type_
        self.offset = offset
        self.size = size
        self.stride = stride
        self.is_buffer = False
        self.is_parameter = False
        self.requires_grad = False
        self.is_negative = False
        self.is_conjugate = False
        self.quantizer: Quantizer | None = None
        self.subclass = ""
        self.state: Any = None

    @property
    def numel(self) -> int:
        """Number of elements of the storage's kind (a packed one counts once)."""
        return math.prod(self.size)

    @property
    def is_contiguous(self) -> bool:
        """Whether the elements lie in row-major order without gaps."""
        wanted = 1
        for length, stride in zip(reversed(self.size), reversed(self.stride), strict=True):
            if length != 1 and stride != wanted:
                return 0 in self.size
            wanted *= length
        return True

    @property
    def last(self) -> int:
        """Element of the storage that comes last."""
        place = self.offset
        for length, step in zip(self.size, self.stride, strict=True):
            place += (length - 1) * step
        return place

    def set_state(self, state: Any) -> None:
        """Keep what a subclass is given."""
        self.state = state


class Parts(NamedTuple):
    """A tensor that is several tensors: sparse, nested.

    Args:
        fields: The parts by name, and what else describes it.
    """

    fields: dict[str, Any]

    def set_state(self, state: Any) -> None:
        """Keep what a subclass is given."""
        self.fields["__state__"] = state


def contiguous_stride(size: tuple[int, ...]) -> tuple[int, ...]:
    """Return the strides of row-major elements without gaps.

    Example:
        >>> contiguous_stride((2, 3, 4))
        (12, 4, 1)
    """
    return tuple(math.prod(max(n, 1) for n in size[i + 1 :]) for i in range(len(size)))
