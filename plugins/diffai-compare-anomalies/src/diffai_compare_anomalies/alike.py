"""Which tensors of one side are copies of others, repeat themselves, or are as they were drawn."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from diffai_compare_anomalies.flags import Flag
from diffai_compare_anomalies.inits import Draw, candidate, distance, untrained_flag
from diffai_compare_anomalies.lines import repeated_tail
from diffai_compare_anomalies.looks import digest, tail_repeats

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from diffai_compare_anomalies.sides import SideTensor
    from diffai_core.plugin import Comparison

_LEAST = 16


def second_look_flags(comparison: Comparison, tensors: Sequence[SideTensor]) -> Iterator[Flag]:
    """Yield what a second look at the tensors that the statistics single out confirms."""
    yield from _copies(comparison, tensors)
    yield from _repeated(comparison, tensors)
    yield from _untrained(comparison, tensors)


def _copies(comparison: Comparison, tensors: Sequence[SideTensor]) -> Iterator[Flag]:
    groups: dict[Hashable, list[SideTensor]] = defaultdict(list)
    for tensor in tensors:
        if tensor.can_vary and tensor.counts.n >= _LEAST:
            look = (tensor.ref.shape, tensor.ref.dtype.name, tensor.centred, tensor.least, tensor.greatest)
            groups[look].append(tensor)
    alike = [tensor for group in groups.values() if len(group) > 1 for tensor in group]
    refs = [tensor.ref for tensor in alike]
    first: dict[tuple[Hashable, bytes], SideTensor] = {}
    for tensor, found in zip(alike, comparison.map(digest, refs, nbytes=lambda ref: ref.nbytes), strict=True):
        original = first.setdefault((tensor.ref.shape, found), tensor)
        if original is not tensor:
            message = f"the same {tensor.counts.n:,} values as {original.ref.name}, stored a second time"
            more = {"same_as": original.ref.name}
            yield Flag(tensor.key, "duplicate", tensor.counts.n, message, 0, more=more)


def _repeated(comparison: Comparison, tensors: Sequence[SideTensor]) -> Iterator[Flag]:
    suspects = [
        (tensor, *found) for tensor in tensors if tensor.can_vary and (found := repeated_tail(tensor.rows)) is not None
    ]
    looks = comparison.map(_repeats, suspects, nbytes=lambda suspect: suspect[0].ref.nbytes)
    for (tensor, n, period), confirmed in zip(suspects, looks, strict=True):
        if confirmed:
            message = f"its last {n:,} rows repeat the {period:,} rows before them"
            more = {"period": period, "n_rows": tensor.ref.shape[0]}
            yield Flag(tensor.key, "repeated_tail", n, message, 0, 2, "convention", more=more)


def _repeats(suspect: tuple[SideTensor, int, int]) -> bool:
    tensor, n, period = suspect
    return tail_repeats(tensor.ref, n, period)


def _untrained(comparison: Comparison, tensors: Sequence[SideTensor]) -> Iterator[Flag]:
    suspects = [(tensor, draw) for tensor in tensors if (draw := candidate(tensor)) is not None]
    looks = comparison.map(_distance, suspects, nbytes=lambda suspect: suspect[0].ref.nbytes)
    for (tensor, draw), (found, n) in zip(suspects, looks, strict=True):
        flag = untrained_flag(tensor, draw, found, n)
        if flag is not None:
            yield flag


def _distance(suspect: tuple[SideTensor, Draw]) -> tuple[float, int]:
    tensor, draw = suspect
    return distance(tensor.ref, draw)
