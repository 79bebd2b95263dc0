"""Cutting a dataset into boxes that follow each other in the order in which its elements are wanted."""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_BOX_BYTES = 64 << 20
"""Most bytes of a box: what is in memory while a dataset is read that is not simply laid out."""

Box = tuple[tuple[int, int], ...]
"""First and last-but-one index of each dimension."""


class Cut(NamedTuple):
    """How to cut: dimensions before ``axis`` are fixed, ``step`` indices of that one are taken, all of the others.

    Args:
        axis: Position of the dimension in the order.
        step: Indices of it that are taken at once.
        n_readings: How often a chunk is decoded because of it, at most.
    """

    axis: int
    step: int
    n_readings: int


def cut_for(shape: tuple[int, ...], order: tuple[int, ...], item: int, chunk: tuple[int, ...]) -> Cut:
    """Return the cut that takes the largest boxes.

    Args:
        shape: Shape of the dataset.
        order: Its dimensions in the order of the wanted elements, the slowest first.
        item: Bytes of an element.
        chunk: Shape of a chunk; a box ends where chunks do, if that is possible.
    """
    axis = next(
        (k for k in range(len(order)) if math.prod(shape[a] for a in order[k + 1 :]) * item <= MAX_BOX_BYTES), 0
    )
    if not order:
        return Cut(0, 1, 1)
    rest = math.prod(shape[a] for a in order[axis + 1 :]) * item
    step = min(max(1, MAX_BOX_BYTES // max(rest, 1)), max(shape[order[axis]], 1))
    length = min(chunk[order[axis]], max(shape[order[axis]], 1))
    if step > length:
        step -= step % length
    n_readings = math.prod(min(chunk[a], max(shape[a], 1)) for a in order[:axis]) * -(-length // step)
    return Cut(axis, step, n_readings)


def boxes(shape: tuple[int, ...], order: tuple[int, ...], cut: Cut) -> Iterator[Box]:
    """Yield the boxes, in order of the wanted elements; none if there are no elements."""
    if math.prod(shape) == 0:
        return
    if not order:
        yield ()
        return
    axis = order[cut.axis]
    for fixed in product(*(range(shape[a]) for a in order[: cut.axis])):
        for first in range(0, shape[axis], cut.step):
            box = [(0, length) for length in shape]
            for a, index in zip(order, fixed, strict=False):
                box[a] = (index, index + 1)
            box[axis] = (first, min(first + cut.step, shape[axis]))
            yield tuple(box)
