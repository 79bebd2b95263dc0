"""Pair tensors whose names say nothing by what they hold: the same bytes, else the same values stored otherwise."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from itertools import islice, permutations, product
from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_core.artifact import FileTensor
from diffai_core.layout import LEAF
from diffai_core.pairing import TensorPair
from diffai_core.permuted import long_axes, permuted
from diffai_core.reading import checked_blocks, leaf_reader

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from diffai_core.artifact import TensorRef
    from diffai_core.dtypes import DType

_SAMPLE_BYTES = 4096
_HASH_BYTES = 1 << 17
_MOST_AXES = 6
_MOST_ORDERS = 10_000
"""Orders of axes that are tried in all; after them, two for each pair: as the axes are, and reversed."""
_MOST_IN_MEMORY = 256 << 20
"""Bytes of a tensor that no map gives and that has to be held in memory to be read in another order."""

Refs = list["TensorRef"]


def pairs_by_bytes(old: Mapping[str, TensorRef], new: Mapping[str, TensorRef]) -> Iterator[TensorPair]:
    """Yield pairs of tensors of one shape and dtype whose bytes are equal; hash only what a sample leaves open.

    Bytes that are there several times are paired in the order of the files if they are there equally often on both
    sides, and not at all if they are not.
    """
    candidates = [(_telling(old), _telling(new))]
    for fingerprint in (_declared, _sampled, _hashed):
        candidates = [group for olds, news in candidates for group in _groups(olds, news, fingerprint)]
    for olds, news in candidates:
        if len(olds) == len(news):
            yield from (TensorPair(a, b, paired_by="content") for a, b in zip(olds, news, strict=True))


def pairs_by_values(old: Mapping[str, TensorRef], new: Mapping[str, TensorRef]) -> Iterator[TensorPair]:
    """Yield pairs that hold the same values with their axes in another order, or rounded to another dtype, or both.

    As PyTorch keeps ``(out, in, height, width)`` and TensorFlow ``(height, width, in, out)``. The axes of the new
    tensor are then read in the order of the old one. Every pair was compared as a whole, element by element.
    """
    n_left = _MOST_ORDERS
    for olds, news in _groups(_readable(old), _readable(new), _axis_lengths):
        paired_old: set[str] = set()
        paired_new: set[str] = set()
        for form in _forms(olds, news):
            left_old = [ref for ref in olds if ref.dtype == form.old and ref.name not in paired_old]
            left_new = [ref for ref in news if ref.dtype == form.new and ref.name not in paired_new]
            for old_ref, new_ref in _alike(left_old, left_new, form.common):
                pair, n_tried = _matched(old_ref, new_ref, form.common, max(n_left, 2))
                n_left -= n_tried
                if pair is not None:
                    paired_old.add(old_ref.name)
                    paired_new.add(new_ref.name)
                    yield pair


def _telling(refs: Mapping[str, TensorRef]) -> Refs:
    """Leave out tensors of one element: too many counters and flags are 0."""
    return [ref for ref in refs.values() if ref.numel > 1]


def _groups(olds: Refs, news: Refs, fingerprint: Callable[[TensorRef], Hashable]) -> Iterable[tuple[Refs, Refs]]:
    groups: defaultdict[Hashable, tuple[Refs, Refs]] = defaultdict(lambda: ([], []))
    for side, refs in enumerate((olds, news)):
        for ref in refs:
            groups[fingerprint(ref)][side].append(ref)
    return [group for group in groups.values() if group[0] and group[1]]


def _declared(ref: TensorRef) -> Hashable:
    return ref.shape, ref.dtype, ref.stored_as


def _sampled(ref: TensorRef) -> Hashable:
    """Bytes at the start, the middle and the end; nothing for tensors that must be decoded to be read."""
    if not isinstance(ref, FileTensor):
        return None
    last = max(ref.nbytes - _SAMPLE_BYTES, 0)
    size = min(_SAMPLE_BYTES, ref.nbytes)
    return tuple(ref.file.read(ref.offset + place, size) for place in sorted({0, last // 2, last}))


def _hashed(ref: TensorRef) -> bytes:
    digest = hashlib.sha256()
    for part in (ref,) if ref.quantization is None else ref.quantization.stored:
        if isinstance(part, FileTensor):
            for start in range(0, part.nbytes, _HASH_BYTES):
                digest.update(part.file.read(part.offset + start, min(_HASH_BYTES, part.nbytes - start)))
        else:
            for block in checked_blocks(part):
                digest.update(block.tobytes())
    return digest.digest()


class _Form(NamedTuple):
    """The dtypes of both sides, and the one in which values are held against each other."""

    old: DType
    new: DType
    common: DType


def _readable(refs: Mapping[str, TensorRef]) -> Refs:
    return [
        ref
        for ref in _telling(refs)
        if ref.quantization is None
        and ref.dtype.kind not in {"opaque", "complex"}
        and len(long_axes(ref.shape)) <= _MOST_AXES
        and (isinstance(ref, FileTensor) or ref.nbytes <= _MOST_IN_MEMORY)
    ]


def _axis_lengths(ref: TensorRef) -> Hashable:
    return tuple(sorted(long_axes(ref.shape)))


def _forms(olds: Refs, news: Refs) -> list[_Form]:
    """Return how the tensors of one group may be held against each other, equal dtypes first."""
    dtypes = product({ref.dtype for ref in olds}, {ref.dtype for ref in news})
    forms = [_Form(old, new, common) for old, new in dtypes if (common := _common(old, new)) is not None]
    return sorted(forms, key=lambda form: (form.old != form.new, form.old.name, form.new.name))


def _common(old: DType, new: DType) -> DType | None:
    """Return the dtype of a comparison: of two floats the one that the other was rounded to, of integers the wider."""
    if old == new:
        return old
    narrow, wide = sorted((old, new), key=lambda dtype: dtype.bits)
    if narrow.bits == wide.bits:
        return None
    if narrow.kind == wide.kind == "float":
        return narrow
    return wide if {narrow.kind, wide.kind} <= {"int", "uint"} and wide.kind == "int" else None


def _alike(olds: Refs, news: Refs, common: DType) -> Iterator[tuple[TensorRef, TensorRef]]:
    """Yield candidates: the same multiset of values, equally often on both sides."""
    if olds and news:
        for old_refs, new_refs in _groups(olds, news, lambda ref: _multiset_hash(ref, common)):
            if len(old_refs) == len(new_refs):
                yield from zip(old_refs, new_refs, strict=True)


def _multiset_hash(ref: TensorRef, common: DType) -> int:
    """Return a hash of the values as ``common`` that does not depend on their order: a sum of mixed bit patterns."""
    import numpy as np

    total = 0
    for block in checked_blocks(ref):
        x = _cast(block, common).view(f"u{common.numpy.itemsize}").astype(np.uint64)
        x += np.uint64(0x9E3779B97F4A7C15)
        for factor in (0xBF58476D1CE4E5B9, 0x94D049BB133111EB):  # the finaliser of SplitMix64
            x ^= x >> np.uint64(30)
            x *= np.uint64(factor)
        total += int(x.sum(dtype=np.uint64))
    return total % (1 << 64)


def _cast(block: NDArray[Any], common: DType) -> NDArray[Any]:
    import numpy as np

    if block.dtype == common.numpy:
        return block
    with np.errstate(all="ignore"):  # what is beyond the narrow dtype becomes infinite, as in any cast
        return block.astype(common.numpy)


def _matched(old: TensorRef, new: TensorRef, common: DType, most: int) -> tuple[TensorPair | None, int]:
    """Return the pair with the new tensor in the order of axes that makes all values equal, and how many were tried.

    The pair is ``None`` if none of the first ``most`` orders does.
    """
    n_tried = 0
    for axes in islice(_orders(long_axes(new.shape), long_axes(old.shape)), most):
        n_tried += 1
        in_place = axes == tuple(range(len(axes))) and old.shape == new.shape
        view = new if in_place else permuted(new, old.shape, axes)
        if _equal(old, view, common):
            return TensorPair(old, view, paired_by="content"), n_tried
    return None, n_tried


def _orders(stored: tuple[int, ...], wanted: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Yield the orders of axes that give the wanted lengths: as they are first, then reversed, then any other."""
    straight = tuple(range(len(stored)))
    for axes in dict.fromkeys((straight, straight[::-1], *permutations(straight))):
        if tuple(stored[axis] for axis in axes) == wanted:
            yield axes


def _equal(old: TensorRef, new: TensorRef, common: DType) -> bool:
    """Whether all values are equal bit for bit once both are cast."""
    sides = leaf_reader(old), leaf_reader(new)
    for start in range(0, old.numel, LEAF):
        count = min(LEAF, old.numel - start)
        a, b = (_cast(side.leaf(start, count), common).tobytes() for side in sides)
        if a != b:
            return False
    return True
