"""Declares the analyses of memory and speed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_core.plugin import ComparatorSpec, Option, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

_CHECKS = "diffai_compare_resources.checks"
BATCH = Option(
    "batch-size",
    "Sequences (or inputs) that are processed together.",
    kind="integer",
    default=1,
    check=f"{_CHECKS}:at_least_one",
)
LENGTH = Option(
    "sequence-length",
    "Tokens of context of each sequence.",
    kind="integer",
    default=1024,
    check=f"{_CHECKS}:at_least_one",
)
DEVICE = Option(
    "device",
    "Device of the table to hold the model against, such as h100-sxm or l4; all of them by default.",
    kind="text",
    default=None,
    metavar="NAME",
    check=f"{_CHECKS}:known_device",
)
FLOPS = Option(
    "device-flops",
    "Peak FLOP/s of your device for 16-bit matrices, instead of the table's.",
    kind="number",
    default=None,
    metavar="FLOP/S",
    check=f"{_CHECKS}:positive",
)
BANDWIDTH = Option(
    "device-bandwidth",
    "Bytes/s of your device's memory, instead of the table's.",
    kind="number",
    default=None,
    metavar="BYTES/S",
    check=f"{_CHECKS}:positive",
)
CALIBRATE = Option(
    "calibrate",
    "Tokens/s that you measured with OLD, all sequences together; NEW is then estimated from it.",
    kind="number",
    default=None,
    metavar="TOKENS/S",
    check=f"{_CHECKS}:positive",
)
INPUT_SIZE = Option(
    "input-size",
    "Shape of one input of a graph with open dimensions, without the batch: 3x224x224.",
    kind="text",
    default=None,
    metavar="SHAPE",
    check=f"{_CHECKS}:parse_size",
)
_WORK = (BATCH, LENGTH, INPUT_SIZE)
_MACHINE = (DEVICE, FLOPS, BANDWIDTH)


@hookimpl
def diffai_comparators() -> Iterable[ComparatorSpec]:
    """Yield the three analyses; none needs a statistic of the pass, or reads a tensor."""
    yield ComparatorSpec(
        name="memory-analysis",
        title="Say how many bytes weights, optimizer state and KV cache take, and what a run would need.",
        target="diffai_compare_resources.memory:compare",
        options=(BATCH, LENGTH, DEVICE),
    )
    yield ComparatorSpec(
        name="inference-speed-estimate",
        title="Count FLOPs and bytes of a step of inference, and bound its time on a device.",
        target="diffai_compare_resources.speed:compare",
        options=(*_WORK, *_MACHINE, CALIBRATE),
    )
    yield ComparatorSpec(
        name="performance-impact-estimate",
        title="Say by which factors memory and time of inference can change, as intervals.",
        target="diffai_compare_resources.impact:compare",
        options=(*_WORK, *_MACHINE),
    )
