"""What the JSON of a zarr array says, versions 2 and 3."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from diffai_core.plugin import DTYPE_NAMES, DType, dtype, opaque_dtype
from diffai_load_jax.codecs import READABLE

if TYPE_CHECKING:
    from diffai_load_jax.values import Stored

MAX_CHUNKS = 500_000
"""Most chunks of one array."""
MAX_RANK = 32

_SIMPLE = re.compile(r"([<>|])([biufcSV])(\d{1,5})")
_RAW = re.compile(r"r(\d{1,6})")
_KINDS = {"i": "int", "u": "uint", "f": "float", "c": "complex"}
_TEXTS = {"S": "bytes", "V": "void"}
_INDEX_CODECS = (["bytes"], ["bytes", "crc32c"])


class NotReadableError(ValueError):
    """An array that is sound as far as can be seen, and uses something that is not read."""


@dataclass(frozen=True)
class ArraySpec:
    """An array.

    Args:
        shape: Its shape.
        chunk: Shape of the smallest chunks.
        dtype: Type of the elements.
        swap: Whether they are big-endian.
        axes: Dimensions of a chunk in the order in which its elements are stored, the slowest first.
        codec: How chunks are compressed; empty if they are not.
        n_checksum: Bytes that follow a compressed chunk as its checksum.
        fill: What stands where nothing was written, as JSON has it.
        separator: Between the numbers of a chunk's key.
        lead: What the keys of chunks begin with.
        shard: Shape of what is stored under one key, if that holds several chunks.
        index_at_end: Whether the index of a shard follows its chunks.
        index_checked: Whether a checksum follows the index.
    """

    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    dtype: DType
    swap: bool
    axes: tuple[int, ...]
    codec: str
    fill: Any
    separator: str
    lead: str = ""
    n_checksum: int = 0
    shard: tuple[int, ...] | None = None
    index_at_end: bool = True
    index_checked: bool = True

    @property
    def item(self) -> int:
        """Bytes of an element; each takes one at least."""
        return max(self.dtype.bits, 8) // 8

    @property
    def chunk_bytes(self) -> int:
        """Bytes of a chunk before compression."""
        return math.prod(self.chunk) * self.item

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return math.prod(self.shape) * self.item


def document_of(value: Stored, what: str) -> dict[str, Any]:
    """Return a JSON object.

    Raises:
        LoadError: If it is none.
    """
    try:
        found = json.loads(value.document().decode())
    except (ValueError, RecursionError) as error:
        raise value.error(f"{what} is not JSON ({error})"[:200]) from error
    if not isinstance(found, dict):
        raise value.error(f"{what} is not a JSON object")
    return found


def spec_of(value: Stored, document: dict[str, Any]) -> ArraySpec:
    """Return what a ``.zarray`` or ``zarr.json`` says.

    Raises:
        LoadError: If it contradicts itself.
        NotReadableError: If it uses something that is not read.
    """
    try:
        spec = _version_2(document) if document.get("zarr_format") == 2 else _version_3(document)  # noqa: PLR2004 - the version
    except NotReadableError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        reason = f"the description of a zarr array is damaged ({type(error).__name__}: {error})"
        raise value.error(reason[:200]) from error
    sizes = (*spec.chunk, *(spec.shard or ()))
    if len(spec.chunk) != len(spec.shape) or len(spec.shape) > MAX_RANK or not all(sizes):
        raise value.error(f"chunks of shape {spec.chunk} do not fit an array of shape {spec.shape}"[:200])
    if spec.shard and any(whole % part for whole, part in zip(spec.shard, spec.chunk, strict=True)):
        raise value.error(f"chunks of shape {spec.chunk} do not fill a shard of shape {spec.shard}"[:200])
    n_chunks = math.prod(-(-length // step) for length, step in zip(spec.shape, spec.chunk, strict=True))
    if n_chunks > MAX_CHUNKS:
        raise NotReadableError(f"has {n_chunks:,} chunks; at most {MAX_CHUNKS:,} are read")
    return spec


def _version_2(document: dict[str, Any]) -> ArraySpec:
    shape, chunk = _lengths(document["shape"]), _lengths(document["chunks"])
    if document.get("filters"):
        raise NotReadableError("is stored with filters, which are not read")
    found, swap = _dtype_2(document["dtype"])
    axes = tuple(range(len(shape)))
    return ArraySpec(
        shape,
        chunk,
        found,
        swap,
        axes[::-1] if document.get("order") == "F" else axes,
        _known((document.get("compressor") or {}).get("id", "")),
        document.get("fill_value"),
        _separator(document.get("dimension_separator", ".")),
    )


def _version_3(document: dict[str, Any]) -> ArraySpec:
    if document["zarr_format"] != 3:  # noqa: PLR2004 - the version
        raise ValueError(f"zarr_format {document['zarr_format']!r}")
    shape = _lengths(document["shape"])
    grid, keys = document["chunk_grid"], document.get("chunk_key_encoding", {"name": "default"})
    if grid["name"] != "regular" or keys["name"] not in {"default", "v2"} or document.get("storage_transformers"):
        raise NotReadableError("is cut or named in a way that is not read")
    usual = "/" if keys["name"] == "default" else "."
    chunk, codecs = _lengths(grid["configuration"]["chunk_shape"]), document["codecs"]
    shard, at_end, checked = None, True, True
    if codecs[0]["name"] == "sharding_indexed":
        sharding = codecs[0]["configuration"]
        if len(codecs) > 1 or [one["name"] for one in sharding["index_codecs"]] not in _INDEX_CODECS:
            raise NotReadableError("has shards that are compressed as a whole, which are not read")
        shard, chunk, codecs = chunk, _lengths(sharding["chunk_shape"]), sharding["codecs"]
        at_end = sharding.get("index_location", "end") == "end"
        checked = len(sharding["index_codecs"]) > 1
    axes, swap, codec, n_checksum = _codecs_3(codecs, len(shape))
    found = _dtype_3(document["data_type"])
    return ArraySpec(
        shape,
        chunk,
        found,
        swap and found.bits > 8,  # noqa: PLR2004 - a byte has no order
        axes,
        codec,
        document.get("fill_value"),
        _separator(keys.get("configuration", {}).get("separator", usual)),
        "c" if keys["name"] == "default" else "",
        n_checksum,
        shard,
        at_end,
        checked,
    )


def _codecs_3(codecs: list[dict[str, Any]], rank: int) -> tuple[tuple[int, ...], bool, str, int]:
    """Return order of dimensions, byte order, compression and bytes of a checksum."""
    axes, swap, codec, n_checksum = tuple(range(rank)), False, "", 0
    for step in codecs:
        name, settings = step["name"], step.get("configuration", {})
        if name == "transpose":
            order = tuple(settings["order"])
            if sorted(order) != list(range(rank)):
                raise ValueError(f"the order {order} of dimensions")
            axes = tuple(axes[axis] for axis in order)
        elif name == "bytes":
            swap = settings.get("endian", "little") == "big"
        elif name == "crc32c":
            n_checksum += 4
        elif codec or n_checksum:
            raise NotReadableError("is compressed several times, which is not read")
        else:
            codec = _known(name)
    return axes, swap, codec, n_checksum


def _known(codec: str) -> str:
    if codec and codec not in READABLE:
        raise NotReadableError(f"is compressed with {codec[:50]!r}, which is not read; save it with zstd or gzip")
    return codec


def _separator(text: str) -> str:
    if text not in {".", "/"}:
        raise ValueError(f"the separator {text!r}")
    return text


def _lengths(values: Any) -> tuple[int, ...]:
    if not isinstance(values, list) or not all(type(value) is int and 0 <= value < 1 << 63 for value in values):
        raise ValueError(f"the shape {str(values)[:50]}")
    return tuple(values)


def _dtype_2(name: Any) -> tuple[DType, bool]:
    match = _SIMPLE.fullmatch(name) if isinstance(name, str) else None
    if match is None:
        return _dtype_3(name), False
    order, kind, size = match[1], match[2], int(match[3])
    if kind == "b" and size == 1:
        return dtype("bool"), False
    if kind in _TEXTS and size:
        return opaque_dtype(f"{_TEXTS[kind]}[{size}]", size), False
    return _named(f"{_KINDS.get(kind)}{8 * size}"), order == ">" and size > 1


def _dtype_3(name: Any) -> DType:
    raw = _RAW.fullmatch(name) if isinstance(name, str) else None
    if raw and int(raw[1]) and not int(raw[1]) % 8:
        return opaque_dtype(f"void[{int(raw[1]) // 8}]", int(raw[1]) // 8)
    return _named(name)


def _named(name: Any) -> DType:
    if name not in DTYPE_NAMES:
        raise NotReadableError(f"has elements of type {str(name)[:50]}, which is not read")
    return dtype(name)
