"""Second looks: what is read again because the statistics alone do not decide."""

from __future__ import annotations

import hashlib
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from diffai_core.plugin import FileTensor, decode, regroup

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from diffai_core.plugin import TensorPair, TensorRef

_BLOCK = 1 << 20
_SMALL = 1 << 12
"""Bytes for which a read of their own does not pay."""
LISTED = 16


class BitChanges(NamedTuple):
    """Elements of a pair whose bits differ.

    Args:
        n: How many differ.
        n_single: How many of them in one bit only.
        n_single_above: How many of those in another bit than the lowest, in which rounding differs too.
        first: The first few: index, bit, byte offset in the file of NEW, values.
    """

    n: int
    n_single: int
    n_single_above: int
    first: tuple[dict[str, Any], ...]


def bit_changes(pair: TensorPair) -> BitChanges:
    """Return which bits of two tensors of one dtype differ."""
    old, new = pair.old, pair.new
    assert old is not None
    assert new is not None
    n = n_single = n_above = start = 0
    first: list[dict[str, Any]] = []
    for left, right in zip(_pieces(old), _pieces(new), strict=True):
        bits = _bits(left) ^ _bits(right)
        changed = np.flatnonzero(bits)
        single = np.bitwise_count(bits[changed]) == 1
        n += len(changed)
        n_single += int(single.sum())
        n_above += int((single & (bits[changed] > 1)).sum())
        first += [
            _described(new, start + index, int(bits[index]), left[index], right[index])
            for index in changed[: LISTED - len(first)].tolist()
        ]
        start += len(left)
    return BitChanges(n, n_single, n_above, tuple(first))


def _pieces(ref: TensorRef, length: int = 0) -> Iterator[NDArray[Any]]:
    """Yield the elements in runs of ``length`` or a megabyte; files are read and not mapped, so that no page stays."""
    length = length or max(_BLOCK // ref.dtype.numpy.itemsize, 1)
    packed = ref.dtype.packed_group > 1
    if not isinstance(ref, FileTensor) or packed or length * ref.dtype.numpy.itemsize < _SMALL:
        yield from regroup(ref.blocks(_BLOCK), length, ref.dtype)
        return
    for start in range(0, ref.numel, length):
        count = min(length, ref.numel - start)
        data = ref.file.read(ref.offset + ref.dtype.nbytes(start), ref.dtype.nbytes(count))
        yield decode(memoryview(data), ref.dtype, count)


def _bits(values: NDArray[Any]) -> NDArray[np.unsignedinteger[Any]]:
    return np.ascontiguousarray(values).view(f"u{values.dtype.itemsize}")


def _described(ref: TensorRef, index: int, bits: int, old: Any, new: Any) -> dict[str, Any]:
    flipped = [bit for bit in range(bits.bit_length()) if bits >> bit & 1]
    position = [int(i) for i in np.unravel_index(index, ref.shape)] if ref.shape else []
    found: dict[str, Any] = {"index": position, "bits": flipped, "old": float(old), "new": float(new)}
    if isinstance(ref, FileTensor):
        found["byte_offset"] = ref.offset + index * ref.dtype.bits // 8 + flipped[0] // 8
    return found


def can_compare_bits(pair: TensorPair) -> bool:
    """Whether both tensors hold real numbers of whole bytes in one dtype, as they are stored."""
    old, new = pair.old, pair.new
    return (
        old is not None
        and new is not None
        and pair.same_shape
        and old.dtype == new.dtype
        and old.dtype.kind in {"float", "int", "uint"}
        and old.dtype.bits in {8, 16, 32, 64}
        and old.quantization is None
        and new.quantization is None
    )


def digest(ref: TensorRef) -> bytes:
    """Return a hash of the elements of a tensor."""
    found = hashlib.sha256()
    for block in _pieces(ref):
        found.update(np.ascontiguousarray(block).view(np.uint8).data)
    return found.digest()


def tail_repeats(ref: TensorRef, n_rows: int, period: int) -> bool:
    """Whether each of the last ``n_rows`` rows equals the one ``period`` rows before it, bit for bit."""
    width = ref.numel // ref.shape[0]
    hashes: deque[bytes] = deque(maxlen=n_rows + period)
    for row in _pieces(ref, width):
        hashes.append(hashlib.blake2b(np.ascontiguousarray(row).view(np.uint8).data, digest_size=16).digest())
    rows = list(hashes)
    return rows[period:] == rows[:-period]
