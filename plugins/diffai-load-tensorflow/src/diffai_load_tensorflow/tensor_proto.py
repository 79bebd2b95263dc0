"""Tensors inside of graphs: where their elements are, or how they are written out in typed fields."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_lib_protobuf import FIXED32, FIXED64, LENGTH

from diffai_core.plugin import BlockTensor
from diffai_load_tensorflow.stored import Stored, stored_tensor
from diffai_load_tensorflow.types import element_type, field_of, full_shape, item_bytes, read_shape, type_name
from diffai_load_tensorflow.wording import MAX_SHOWN_BYTES, text_or_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from diffai_lib_protobuf import Field, Message
    from numpy.typing import NDArray

    from diffai_core.plugin import DataFile, DType, TensorRef

_DTYPE, _SHAPE, _CONTENT, _STRINGS = 1, 2, 4, 8
_PACKED = {"float32": FIXED32, "complex64": FIXED32, "float64": FIXED64, "complex128": FIXED64}
_MAX_TEXTS = 1 << 16


class Constant(NamedTuple):
    """A tensor of a graph.

    Args:
        message: What it was read from.
        file: Where that lies.
        type: Number of its element type.
        shape: Length of each dimension.
        content: Field that holds all elements as they are in memory.
        first: The first of the typed fields in which elements are written out; the last element is repeated.
        n_fields: How many of them there are.
    """

    message: Message
    file: DataFile
    type: int
    shape: tuple[int, ...]
    content: Field | None
    first: Field | None
    n_fields: int

    @property
    def dtype(self) -> DType | None:
        """Its element type, if its elements are numbers."""
        return element_type(self.type)

    @property
    def numel(self) -> int:
        """Number of elements."""
        count = 1
        for length in self.shape:
            count *= length
        return count


def read_constant(message: Message, file: DataFile) -> Constant:
    """Read what a tensor says of itself, not its elements.

    Raises:
        LoadError: If it is damaged.
    """
    number, shape, content, first = 0, None, None, None
    n_fields = 0
    for field in message.fields():
        if field.number == _DTYPE:
            number = field.unsigned()
        elif field.number == _SHAPE:
            shape = field.message()
        elif field.number == _CONTENT and field.expect(LENGTH).value:
            content = field
        elif field.number > _CONTENT:
            first = first or field
            n_fields += 1
    return Constant(message, file, number, full_shape(message, read_shape(shape)), content, first, n_fields)


def expanded_bytes(constant: Constant) -> int:
    """Return how many bytes of a constant are repetition, at least."""
    kind = constant.dtype
    if kind is None or constant.content is not None:
        return 0
    size = constant.message.end - constant.message.start
    return max(constant.numel * item_bytes(kind) - 8 * size, 0)  # a number takes a byte at least


def constant_tensor(constant: Constant, name: str) -> TensorRef:
    """Return the elements as a lazy tensor.

    Raises:
        LoadError: If there are more or fewer than the shape needs.
    """
    kind = constant.dtype
    assert kind is not None
    stored = _place(constant, kind)
    if stored is not None:
        return stored_tensor(stored, name)
    return BlockTensor(
        name=name,
        shape=constant.shape,
        dtype=kind,
        open_blocks=partial(_written_blocks, constant.message, constant.shape, constant.type),
        shared_storage=(constant.file.path, constant.message.start, constant.message.end),
    )


def _place(constant: Constant, kind: DType) -> Stored | None:
    """Return where the elements lie if all of them are in the file as they are in memory."""
    n_bytes = constant.numel * item_bytes(kind)
    content = constant.content
    if content is not None:
        if content.value != n_bytes:
            reason = (
                f"a tensor needs {n_bytes:,} bytes ({kind}, shape {list(constant.shape)}), and has {content.value:,}"
            )
            raise content.error(reason)
        return Stored(constant.file, content.start, constant.shape, kind)
    first = constant.first
    is_whole = first is not None and constant.n_fields == 1 and first.number == field_of(kind)
    if first is not None and is_whole and first.wire == LENGTH and first.value == n_bytes and kind.name in _PACKED:
        return Stored(constant.file, first.start, constant.shape, kind)
    return None


def repeated(constant: Constant) -> dict[str, Any]:
    """Return what stands for a constant that is too large to be written out: its shape and what is written of it."""
    return {"dtype": type_name(constant.type), "shape": list(constant.shape), **digest_of(constant.message)}


def digest_of(message: Message) -> dict[str, Any]:
    """Return the length of a message and the BLAKE2b digest of its bytes."""
    import hashlib

    found = hashlib.blake2b(digest_size=32)
    for start in range(message.start, message.end, 1 << 20):
        found.update(message.source.read(start, min(1 << 20, message.end - start)))
    return {"bytes": message.end - message.start, "blake2b": found.hexdigest()}


def text_of(field: Field) -> Any:
    """Return the bytes of a field as text if they are some; of more than ``MAX_SHOWN_BYTES`` length and digest."""
    if field.expect(LENGTH).value > MAX_SHOWN_BYTES:
        return digest_of(field.message())
    return text_or_bytes(field.data())


def texts_of(constant: Constant) -> list[Any]:
    """Return the texts of a constant as they are written out; the last one stands for all that follow."""
    texts: list[Any] = []
    for field in constant.message.fields():
        if field.number == _STRINGS:
            if len(texts) >= _MAX_TEXTS:
                return [digest_of(constant.message)]
            texts.append(text_of(field))
    return texts


def _written_blocks(message: Message, shape: tuple[int, ...], number: int, max_bytes: int) -> Iterator[NDArray[Any]]:
    from diffai_load_tensorflow.written import written_blocks

    kind = element_type(number)
    assert kind is not None
    return written_blocks(message, shape, kind, max_bytes)
