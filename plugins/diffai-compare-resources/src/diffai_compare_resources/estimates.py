"""From work to time: what a device allows at best, and how far real programs stay behind that."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_compare_resources.checks import parse_size
from diffai_compare_resources.graphs import work_of_graph
from diffai_compare_resources.layers import work_of_tensors
from diffai_compare_resources.sides import ratio

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diffai_compare_resources.devices import Device
    from diffai_compare_resources.sides import Side
    from diffai_compare_resources.work import Work

FEW_BITS = 4.5
FULL_BITS = 16
SLACK = 1.5
SLACK_OF_FEW_BITS = 3.0


def slack(bits: float | None) -> float:
    """Return how many times longer a step can take than its bytes let expect from a step in 16 bits.

    Unpacking costs time. Calibrated on the table that llama.cpp publishes for Llama-3.1-8B (``tools/quantize``): from
    4.5 bits a weight up all 24 types stay below 1.5, below that below 3.

    Args:
        bits: Stored bits of a weight on average.
    """
    if bits is None or bits >= FULL_BITS:
        return 1.0
    return SLACK if bits >= FEW_BITS else SLACK_OF_FEW_BITS


class Span(NamedTuple):
    """A number that lies between two others."""

    low: float
    high: float

    def times(self, low: float, high: float) -> Span:
        """Return the span with its ends stretched by factors."""
        return Span(self.low * low, self.high * high)

    def with_one(self) -> Span:
        """Return the least span that also holds 1."""
        return Span(min(self.low, 1.0), max(self.high, 1.0))

    def inverse(self) -> Span:
        """Return the span of 1 / x."""
        return Span(1 / self.high if self.high else math.inf, 1 / self.low if self.low else math.inf)


class Step(NamedTuple):
    """A step of inference on one side.

    Args:
        side: The model.
        work: Its work.
        flops: FLOPs of the step.
        n_bytes: Bytes that the step reads at least.
        units: Tokens or inputs that come out of it.
    """

    side: Side
    work: Work
    flops: float
    n_bytes: float
    units: int

    @property
    def is_known(self) -> bool:
        """Whether all of its work is known; its bytes always are."""
        return self.work.is_known

    def seconds(self, device: Device) -> float:
        """Return the least time of the step; where work could not be counted, of what could."""
        return device.seconds(self.flops, self.n_bytes)


def step_of(side: Side, options: Mapping[str, Any]) -> Step:
    """Return a step of inference with the batch and the context that the user gave."""
    batch, context = options["batch_size"], options["sequence_length"]
    graph = side.artifact.graph
    if graph is not None and graph.nodes:
        size = parse_size(options["input_size"]) if options["input_size"] else None
        work = work_of_graph(side, graph, batch, size)
    else:
        work = work_of_tensors(side)
    return Step(side, work, work.step_flops(batch, context), work.step_bytes(batch, context), batch)


def time_ratio(old: Step, new: Step, device: Device | None) -> Span | None:
    """Return between which factors the least time of a step changed; ``None`` where that is not known.

    On one device it is a single factor. On any device it lies between the factors of FLOPs and of bytes, because the
    time is the larger of what both need.
    """
    by_bytes, by_flops = ratio(old.n_bytes, new.n_bytes), ratio(old.flops, new.flops)
    if device is not None and old.is_known and new.is_known:
        seconds = ratio(old.seconds(device), new.seconds(device))
        return None if seconds is None else Span(seconds, seconds)
    if by_bytes is None or by_flops is None or not (old.is_known and new.is_known):
        return None
    return Span(min(by_bytes, by_flops), max(by_bytes, by_flops))


def real_ratio(old: Step, new: Step, pure: Span) -> Span:
    """Return between which factors the real time can be expected to change.

    Fixed costs of a step keep it nearer to 1 than work and bytes are, by how much no file tells.

    Args:
        old: The step of OLD.
        new: The step of NEW.
        pure: Between which factors the least time changed.
    """
    if pure == Span(1.0, 1.0) and old.side.formats == new.side.formats:
        return pure
    return bytes_ratio(old, new, pure).with_one()


def bytes_ratio(old: Step, new: Step, pure: Span) -> Span:
    """Return the same where a step has no fixed costs: only unpacking few bits makes a difference then."""
    if old.side.formats == new.side.formats:
        return pure
    return pure.times(1 / slack(old.side.bits_per_weight), slack(new.side.bits_per_weight))
