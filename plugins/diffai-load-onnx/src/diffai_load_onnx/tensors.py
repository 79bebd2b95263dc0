"""Tensors as a model holds them: raw, one by one in typed fields, or in another file."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_lib_protobuf import FIXED32, FIXED64, LENGTH, VARINT

from diffai_core.plugin import BlockTensor, FileTensor, TensorRef
from diffai_load_onnx import schema
from diffai_load_onnx.external import external_data

if TYPE_CHECKING:
    from collections.abc import Iterator

    from diffai_lib_protobuf import Field, Message
    from numpy.typing import NDArray

    from diffai_core.plugin import DataFile, LoadError
    from diffai_load_onnx.external import ExternalFiles

MAX_DIMENSIONS = 64
"""NumPy's limit."""
MAX_ARRAY_BITS = 1 << 66
"""2⁶³ bytes, what an index can count."""
MAX_NOTES = 1 << 12
"""Most entries of documentation and metadata of one tensor."""
MAX_STRINGS = 1 << 20
"""Most elements of a tensor of texts."""

_WIRE = {schema.FLOAT_DATA: FIXED32, schema.DOUBLE_DATA: FIXED64}
_DATA_FIELDS = frozenset(
    {
        *(schema.RAW_DATA, schema.FLOAT_DATA, schema.INT32_DATA, schema.STRING_DATA),
        *(schema.INT64_DATA, schema.DOUBLE_DATA, schema.UINT64_DATA),
    }
)
_DIMS, _TYPE, _SEGMENT, _NAME, _DOC, _EXTERNAL, _LOCATION, _METADATA = 1, 2, 3, 8, 12, 13, 14, 16


@dataclass
class Stored:
    """A TensorProto, taken apart and not yet checked.

    Args:
        message: All of it.
        name: Its name, if it has one.
        dims: Length of each dimension.
        code: Number of its element type.
        data: How many fields hold its elements, by number, and the first of them.
        external: Entries that say where its data lie.
        is_external: Whether they count.
        is_segment: Whether it is a part of a larger tensor.
        notes: Fields with documentation and metadata.
        unknown: A field that this version does not know.
    """

    message: Message
    name: Field | None = None
    dims: list[int] = field(default_factory=list)
    code: int = 0
    data: dict[int, tuple[Field, int]] = field(default_factory=dict)
    external: list[Field] = field(default_factory=list)
    is_external: bool = False
    is_segment: bool = False
    notes: list[Field] = field(default_factory=list)
    unknown: Field | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each dimension."""
        return tuple(self.dims)


def taken_apart(message: Message) -> Stored:  # noqa: C901 - one case for each field of the format
    """Return the parts of a TensorProto.

    Raises:
        LoadError: If it is no such message, or its shape is larger than any array can be.
    """
    stored = Stored(message)
    for found in message.fields():
        number = found.number
        if number == _DIMS:
            _add_dims(stored, found)
        elif number in _DATA_FIELDS:
            first, count = stored.data.get(number, (found, 0))
            stored.data[number] = first, count + 1
        elif number == _NAME:
            stored.name = found.expect(LENGTH)
        elif number == _TYPE:
            stored.code = found.unsigned()
        elif number == _EXTERNAL:
            stored.external.append(found)
            if len(stored.external) > MAX_DIMENSIONS:
                raise found.error("too many entries of external data")
        elif number == _LOCATION:
            stored.is_external = found.boolean()
        elif number == _SEGMENT:
            stored.is_segment = True
        elif number in {_DOC, _METADATA}:
            stored.notes.append(found)
            if len(stored.notes) > MAX_NOTES:
                raise found.error(f"a tensor has more than {MAX_NOTES:,} entries of documentation and metadata")
        else:
            stored.unknown = found
    return stored


def _add_dims(stored: Stored, found: Field) -> None:
    for length in found.all_signed():
        stored.dims.append(length)
        if length < 0:
            raise found.error(f"a dimension of the tensor is {length}")
        if len(stored.dims) > MAX_DIMENSIONS:
            raise found.error(f"the tensor has more than {MAX_DIMENSIONS} dimensions")


def tensor_of(stored: Stored, key: str, files: ExternalFiles, inside: DataFile) -> TensorRef:
    """Return the tensor, unread.

    Args:
        stored: Its parts; of an element type that is known and no text.
        key: What to call it.
        files: Where external data are found.
        inside: The file of the model.

    Raises:
        LoadError: If it has no data, or more or less than its shape needs, or data in two ways.
    """
    element = schema.ELEMENT_TYPES[stored.code]
    numel = _checked_numel(stored, element.dtype.bits)
    if stored.is_external:
        return _external_tensor(stored, key, numel, files)
    present = [number for number, (first, _) in stored.data.items() if first.value or first.wire != LENGTH]
    if not present and not numel:
        return FileTensor(name=key, shape=stored.shape, dtype=element.dtype, file=inside, offset=stored.message.start)
    if len(present) != 1:
        raise _wrong_data(stored, "no data" if not present else "data in several fields")
    if present[0] == schema.RAW_DATA:
        raw, count = stored.data[schema.RAW_DATA]
        if count > 1:
            raise _wrong_data(stored, "its raw data twice")
        _check_size(stored, numel, raw.expect(LENGTH).value, raw)
        return _raw_tensor(stored, key, numel, inside, raw.start)
    if present[0] != element.typed_field:
        raise _wrong_data(stored, f"elements of {element.dtype} in field {present[0]}, where they cannot be")
    return _typed_tensor(stored, key, numel, inside)


def _checked_numel(stored: Stored, bits: int) -> int:
    n_bits = max(bits, 8)
    for length in stored.dims:
        n_bits *= length or 1
        if n_bits >= MAX_ARRAY_BITS:
            raise stored.message.error("the shape of the tensor is larger than any array can be")
    return 0 if 0 in stored.dims else n_bits // max(bits, 8)


def _check_size(stored: Stored, numel: int, n_bytes: int, found: Field) -> None:
    wanted = _packed_bytes(stored, numel)
    if n_bytes != wanted:
        dtype = schema.type_name(stored.code)
        raise found.error(f"{dtype} of shape {stored.dims[:8]} takes {wanted:,} bytes, and {n_bytes:,} are there")


def _packed_bytes(stored: Stored, numel: int) -> int:
    return -(-numel * schema.ELEMENT_TYPES[stored.code].dtype.bits // 8)


def _wrong_data(stored: Stored, what: str) -> LoadError:
    return stored.message.error(f"the tensor of shape {stored.dims[:8]} has {what}")


def _external_tensor(stored: Stored, key: str, numel: int, files: ExternalFiles) -> TensorRef:
    if stored.data:
        raise _wrong_data(stored, "data inside the model and outside")
    location, offset, length = external_data(stored.external, stored.message)
    wanted = _packed_bytes(stored, numel)
    if length is not None and length != wanted:
        raise stored.message.error(f"the tensor takes {wanted:,} bytes, and its external data have {length:,}")
    file = files.open(location, stored.message)
    if offset + wanted > file.size:
        missing = offset + wanted - file.size
        reason = f"the tensor ends {missing:,} bytes behind the end of its external data in {location!r}"
        raise stored.message.error(reason)
    return _raw_tensor(stored, key, numel, file, offset)


def _raw_tensor(stored: Stored, key: str, numel: int, file: DataFile, offset: int) -> TensorRef:
    dtype = schema.ELEMENT_TYPES[stored.code].dtype
    if not numel * dtype.bits % 8 and not numel % dtype.packed_group:
        return FileTensor(name=key, shape=stored.shape, dtype=dtype, file=file, offset=offset)
    return BlockTensor(
        name=key,
        shape=stored.shape,
        dtype=dtype,
        open_blocks=partial(_open_uneven, file, offset, dtype.name, stored.shape),
        shared_storage=(file.path, offset, _packed_bytes(stored, numel)),
    )


def _open_uneven(
    file: DataFile, offset: int, dtype_name: str, shape: tuple[int, ...], max_bytes: int
) -> Iterator[NDArray[Any]]:
    from diffai_load_onnx.blocks import uneven_blocks

    return uneven_blocks(file, offset, dtype_name, shape, max_bytes)


def _typed_tensor(stored: Stored, key: str, numel: int, inside: DataFile) -> TensorRef:
    element = schema.ELEMENT_TYPES[stored.code]
    number = element.typed_field
    first, count = stored.data[number]
    dtype = element.dtype
    if number in _WIRE and count == 1 and first.wire == LENGTH:
        _check_size(stored, numel, first.value, first)  # packed numbers are what raw data would be
        return FileTensor(name=key, shape=stored.shape, dtype=dtype, file=inside, offset=first.start)
    _check_count(stored, numel)
    return BlockTensor(
        name=key,
        shape=stored.shape,
        dtype=dtype,
        open_blocks=partial(
            open_typed, TypedField(stored.message, number, _WIRE.get(number, VARINT)), dtype.name, stored.shape
        ),
        shared_storage=(inside.path, stored.message.start, first.start),
    )


def _check_count(stored: Stored, numel: int) -> None:
    """Make sure that there can be as many elements as the shape needs; reading tells exactly."""
    element = schema.ELEMENT_TYPES[stored.code]
    bits = element.dtype.bits
    n_numbers = -(-numel * bits // 8) if bits in {2, 4} else numel * (2 if element.dtype.kind == "complex" else 1)
    least = most = 0
    for found in stored.message.fields():
        if found.number != element.typed_field:
            continue
        if element.typed_field in _WIRE:
            least += (count := found.packed_count(_WIRE[element.typed_field]))
            most += count
        elif found.wire == VARINT:
            least, most = least + 1, most + 1
        else:
            length = found.expect(LENGTH).value
            least, most = least - (-length // 10), most + length
    if not least <= n_numbers <= most:
        held = f"{most:,}" if least == most else f"{least:,} to {most:,}"
        raise _wrong_data(stored, f"{held} numbers instead of {n_numbers:,}")


class TypedField(NamedTuple):
    """Numbers in the fields ``number`` of a message, packed or not.

    Args:
        message: The message.
        number: Number of the fields.
        wire: Wire type of one number.
    """

    message: Message
    number: int
    wire: int


def open_typed(place: TypedField, dtype_name: str, shape: tuple[int, ...], max_bytes: int) -> Iterator[NDArray[Any]]:
    """Yield the elements that lie one by one in the fields of a message, as 1-D blocks.

    Raises:
        LoadError: If there are more or fewer than ``shape`` needs, or one does not fit the type.
    """
    from diffai_load_onnx.blocks import typed_blocks

    return typed_blocks(place, dtype_name, shape, max_bytes)
