"""``--inference-speed-estimate``: FLOPs and bytes of a step, and the time that a device needs for it at least."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffai_compare_resources.devices import chosen_devices
from diffai_compare_resources.estimates import Step, bytes_ratio, real_ratio, step_of, time_ratio
from diffai_compare_resources.sides import ratio, sides_of
from diffai_compare_resources.table import row, seconds
from diffai_core.plugin import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from diffai_compare_resources.devices import Device
    from diffai_core.plugin import Comparison

NO_WEIGHTS = "one side has no weights; give two models"
_MOST_UNRESOLVED = 1000


def compare(comparison: Comparison, options: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield the one summary.

    Args:
        comparison: The artefacts after the pass.
        options: Batch, context, device and calibration.
    """
    sides = sides_of(comparison)
    if not all(side.weights for side in sides):
        yield Finding("inference_speed_analysis", status="not_measurable", level="info", message=NO_WEIGHTS)
        return
    old, new = (step_of(side, options) for side in sides)
    devices = chosen_devices(options)
    rows = [_on(device, old, new) for device in devices]
    calibrated = _calibrated(old, new, devices, options)
    yield Finding(
        "inference_speed_analysis",
        status="estimated" if calibrated or not all(map(_is_told, (old, new))) else "bounded",
        level="info",
        values={
            **(_of_one(rows[0]) if len(rows) == 1 else {}),
            **(calibrated or {}),
            **work_values(old, new),
            "batch_size": options["batch_size"],
            "sequence_length": options["sequence_length"],
            "devices": rows,
            "unresolved_nodes": unresolved_rows(old, new),
        },
        null={"flops_ratio": 1.0, "step_bytes_ratio": 1.0},
        coverage=min(one.work.coverage or 0.0 for one in (old, new)),
        message=message(old, new, calibrated),
        detail=tuple(_table(rows)) if old.is_known and new.is_known else (),
    )


def work_values(old: Step, new: Step) -> dict[str, Any]:
    """Return the work of both sides, the ratios first; FLOPs are ``None`` where some could not be counted."""
    before, after = (_terms(step) for step in (old, new))
    unit = old.work.unit if old.work.unit == new.work.unit else "unit"
    found: dict[str, Any] = {
        "flops_ratio": ratio(before["flops_per_unit"], after["flops_per_unit"]),
        "step_bytes_ratio": ratio(before["step_bytes"], after["step_bytes"]),
    }
    for name, value in before.items():
        shown = name.replace("per_unit", f"per_{unit}")
        found |= {f"{shown}_old": value, f"{shown}_new": after[name]}
    return found


def _terms(step: Step) -> dict[str, Any]:
    counted = round(step.flops / step.units)
    return {
        "flops_per_unit": counted if step.is_known else None,
        "step_bytes": round(step.n_bytes),
        "flops_per_byte": ratio(step.n_bytes, step.flops) if step.is_known else None,
        "weight_bytes_read": round(step.work.weight_bytes + step.work.expert_bytes),
        "kv_bytes_per_token": round(step.work.kv_bytes),
        "counted_flops_per_unit": counted,
        "n_unresolved": len(step.work.unresolved),
    }


def unresolved_rows(old: Step, new: Step) -> list[dict[str, Any]]:
    """Return what could not be counted, by side."""
    return [
        {"side": side, "where": one.where, "reason": one.reason, "parameters": one.numel}
        for side, step in (("old", old), ("new", new))
        for one in step.work.unresolved[:_MOST_UNRESOLVED]
    ]


def _on(device: Device, old: Step, new: Step) -> dict[str, Any]:
    """Return the least times on a device; where FLOPs could not be counted, the time of the bytes."""
    return {
        **device.row(),
        "latency_lower_s_old": old.seconds(device),
        "latency_lower_s_new": new.seconds(device),
        "throughput_upper_per_s_old": ratio(old.seconds(device), old.units),
        "throughput_upper_per_s_new": ratio(new.seconds(device), new.units),
        "bound_old": device.bound(old.flops, old.n_bytes) if old.is_known else None,
        "bound_new": device.bound(new.flops, new.n_bytes) if new.is_known else None,
    }


def _of_one(device_row: Mapping[str, Any]) -> dict[str, Any]:
    names = ("device", "latency_lower_s_old", "latency_lower_s_new", "bound_old", "bound_new")
    return {name: device_row[name] for name in names}


def _calibrated(old: Step, new: Step, devices: tuple[Device, ...], options: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what NEW needs if OLD makes the tokens/s that the user measured; ``None`` if that cannot be told."""
    if options["calibrate"] is None:
        return None
    pure = time_ratio(old, new, devices[0] if len(devices) == 1 else None)
    if pure is None:
        return None
    measured = old.units / options["calibrate"]
    low, high = real_ratio(old, new, pure)
    free = bytes_ratio(old, new, pure)
    return {
        "latency_measured_s_old": measured,
        "latency_estimate_s_new": [measured * low, measured * high],
        "throughput_estimate_per_s_new": [new.units / (measured * high), new.units / (measured * low)],
        "latency_without_fixed_costs_s_new": [measured * free.low, measured * free.high],
        "latency_measured_over_least_old": [measured / old.seconds(device) for device in devices],
    }


def _is_told(step: Step) -> bool:
    """Whether it is told how often each matrix is applied: by a graph, or because the model works token by token."""
    return step.work.source == "graph" or step.work.unit == "token"


def message(old: Step, new: Step, calibrated: Mapping[str, Any] | None = None) -> str:
    """Return what the numbers rest on, or what is missing."""
    missing = what_is_missing(old, new)
    if missing:
        return missing
    if calibrated and max(calibrated["latency_measured_over_least_old"]) < 1:
        return "OLD was measured faster than the device can be; check --device, --batch-size and --sequence-length"
    if calibrated:
        return "NEW lies between the measured time of OLD and that time scaled by the work and bytes of a step"
    return "a device is never faster than that; how far a program stays behind is known with --calibrate TOKENS/S only"


def what_is_missing(old: Step, new: Step) -> str:
    """Return what keeps FLOPs from being known, or from being comparable; empty if nothing does."""
    for side, step in (("OLD", old), ("NEW", new)):
        if step.work.unresolved:
            first = step.work.unresolved[0]
            return (
                f"FLOPs are not measurable for {len(step.work.unresolved)} parts of {side} ({first.where}:"
                f" {first.reason}); times are those of the bytes and of what was counted"
            )
        if not step.flops:
            return f"{side} has no matrices, so that nothing was counted"
    if old.work.unit != new.work.unit:
        return "one side is counted by token and the other by input: their FLOPs are of different things"
    if not (_is_told(old) and _is_told(new)):
        return "counted as if every matrix worked once on an input, which weights do not tell; a graph (ONNX) does"
    return ""


def _table(rows: list[dict[str, Any]]) -> Iterator[str]:
    yield row("least time of a step on", "old", "new", "bound by")
    for one in rows:
        bounds = dict.fromkeys((one["bound_old"], one["bound_new"]))
        times = (seconds(one["latency_lower_s_old"]), seconds(one["latency_lower_s_new"]))
        yield row(one["device"], *times, "->".join(map(str, bounds)))
