"""``--performance-impact-estimate``: by which factors memory and time can change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffai_compare_resources.devices import chosen_devices
from diffai_compare_resources.estimates import Span, Step, real_ratio, step_of, time_ratio
from diffai_compare_resources.memory import kv_bytes_per_token
from diffai_compare_resources.sides import Side, ratio, sides_of
from diffai_compare_resources.speed import NO_WEIGHTS, unresolved_rows, what_is_missing
from diffai_core.plugin import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from diffai_core.plugin import Comparison


def compare(comparison: Comparison, options: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield the one summary.

    Args:
        comparison: The artefacts after the pass.
        options: Batch, context and device.
    """
    sides = sides_of(comparison)
    if not all(side.weights for side in sides):
        yield Finding("performance_impact_estimate", status="not_measurable", level="info", message=NO_WEIGHTS)
        return
    old, new = (step_of(side, options) for side in sides)
    devices = chosen_devices(options)
    pure = time_ratio(old, new, devices[0] if len(devices) == 1 else None)
    latency = None if pure is None or old.work.unit != new.work.unit else real_ratio(old, new, pure)
    memory = ratio(*(_inference_bytes(side, options) for side in sides))
    yield Finding(
        "performance_impact_estimate",
        status="not_measurable" if memory is None else "estimated",
        level="info",
        values={
            "latency": None if latency is None else list(latency),
            "throughput": None if latency is None else list(latency.inverse()),
            "memory": None if memory is None else [memory, memory],
            "latency_least_ratio": None if pure is None else list(pure),
            "flops_ratio": ratio(old.flops, new.flops) if old.is_known and new.is_known else None,
            "step_bytes_ratio": ratio(old.n_bytes, new.n_bytes),
            "weight_bytes_ratio": ratio(*(float(side.stored_bytes()["weight_bytes"]) for side in sides)),
            "kv_bytes_ratio": ratio(*map(kv_bytes_per_token, sides)),
            "device": devices[0].name if len(devices) == 1 else None,
            "batch_size": options["batch_size"],
            "sequence_length": options["sequence_length"],
            "unresolved_nodes": unresolved_rows(old, new),
        },
        null={"latency": [1.0, 1.0], "throughput": [1.0, 1.0], "memory": [1.0, 1.0]},
        coverage=min(one.work.coverage or 0.0 for one in (old, new)),
        message=_message(old, new, latency),
    )


def _inference_bytes(side: Side, options: Mapping[str, Any]) -> float:
    stored = side.stored_bytes()
    per_token = kv_bytes_per_token(side) or 0
    cache = per_token * options["batch_size"] * options["sequence_length"]
    return float(stored["weight_bytes"] + stored["buffer_bytes"] + cache)


def _message(old: Step, new: Step, latency: Span | None) -> str:
    missing = what_is_missing(old, new)
    if missing:
        return missing
    if latency == Span(1.0, 1.0):
        return "neither work nor bytes of a step changed"
    return (
        "NEW over OLD: one end is the work and bytes of a step, the other no change, where fixed costs of a step"
        " outweigh them"
    )
