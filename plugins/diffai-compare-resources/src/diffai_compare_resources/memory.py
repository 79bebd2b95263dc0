"""``--memory-analysis``: bytes of weights, optimizer state and cache, and what a run would need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffai_compare_resources.devices import chosen_devices
from diffai_compare_resources.layers import attentions, is_cross
from diffai_compare_resources.sides import Side, ratio, sides_of
from diffai_compare_resources.table import bytes_table
from diffai_core.plugin import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from diffai_core.plugin import Comparison

_MIXED_ADAMW = 18
_FULL_ADAM = 16
_SHOWN = (
    "weight_bytes",
    "optimizer_bytes",
    "kv_bytes",
    "inference_bytes",
    "training_bytes_mixed_adamw",
    "activation_bytes",
)
_NO_TENSORS = "neither side has tensors; give checkpoints or models"


def compare(comparison: Comparison, options: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield the one summary.

    Args:
        comparison: The artefacts after the pass.
        options: ``batch_size``, ``sequence_length`` and ``device``.
    """
    old, new = sides_of(comparison)
    if not old.weights and not new.weights:
        yield Finding("memory_analysis", status="not_measurable", level="info", message=_NO_TENSORS)
        return
    before, after = (terms(side, options["batch_size"], options["sequence_length"]) for side in (old, new))
    yield Finding(
        "memory_analysis",
        status="measured",
        level="info",
        values={
            **_shown(before, after),
            "batch_size": options["batch_size"],
            "sequence_length": options["sequence_length"],
            "old": before,
            "new": after,
            "devices": list(_fits(before, after, options)),
        },
        null={"weight_bytes_ratio": 1.0, "inference_bytes_ratio": 1.0},
        coverage=1.0,
        message=_message(old, new, before, after),
        detail=bytes_table(before, after, _SHOWN),
    )


def _shown(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in ("weight_bytes", "inference_bytes", "optimizer_bytes", "kv_bytes_per_token"):
        found |= {
            f"{name}_old": before[name],
            f"{name}_new": after[name],
            f"{name}_ratio": ratio(before[name], after[name]),
        }
    return found


def terms(side: Side, batch: int, length: int) -> dict[str, Any]:
    """Return the terms of one side in bytes, ``None`` where something is not told.

    Args:
        side: The model.
        batch: Sequences.
        length: Tokens of each.
    """
    stored = side.stored_bytes()
    per_token = kv_bytes_per_token(side)
    kv_bytes = None if per_token is None else per_token * batch * length
    file_bytes = sum(file.size for file in side.artifact.files) or None
    return {
        **stored,
        "parameters": side.n_parameters,
        "bits_per_weight": side.bits_per_weight,
        "optimizer_bytes_per_parameter": ratio(side.n_parameters, stored["optimizer_bytes"]),
        "file_bytes": file_bytes,
        "file_overhead_bytes": None if file_bytes is None else file_bytes - sum(stored.values()),
        "kv_bytes_per_token": per_token,
        "kv_bytes": kv_bytes,
        "inference_bytes": stored["weight_bytes"] + stored["buffer_bytes"] + (kv_bytes or 0),
        "training_bytes_mixed_adamw": _MIXED_ADAMW * side.n_parameters,
        "training_bytes_adam": _FULL_ADAM * side.n_parameters,
        **_activations(side, batch, length),
    }


def kv_bytes_per_token(side: Side) -> int | None:
    """Return the bytes of keys and values that a token leaves in all blocks; ``None`` where a block does not tell.

    From the shapes of the projections; where they are fused without an output projection, from the configuration.
    """
    found = {key: one for key, one in attentions(side).items() if not is_cross(str(key[2]))}
    if not found:
        return None
    widths = [(one.cache_width, one.cache_bytes) for one in found.values()]
    if all(width is not None for width, _ in widths):
        return sum((width or 0) * n_bytes for width, n_bytes in widths)
    facts = side.facts
    heads = facts.n_kv_heads or facts.n_heads
    if heads is None or facts.head_dim is None or facts.n_layers is None:
        return None
    return int(2 * facts.n_layers.value * heads.value * facts.head_dim.value * widths[0][1])


def _activations(side: Side, batch: int, length: int) -> dict[str, float | None]:
    """Return the activations that training keeps, by what is recomputed (16 bits)."""
    names = ("activation_bytes", "activation_bytes_flash", "activation_bytes_recomputed")
    facts = side.facts
    if facts.n_layers is None or facts.hidden_size is None:
        return dict.fromkeys(names)
    block = length * batch * facts.hidden_size.value
    full = None
    if facts.n_heads is not None:
        full = facts.n_layers.value * block * (34 + 5 * facts.n_heads.value * length / facts.hidden_size.value)
    return dict(
        zip(names, (full, 34.0 * facts.n_layers.value * block, 2.0 * facts.n_layers.value * block), strict=True)
    )


def _fits(before: Mapping[str, Any], after: Mapping[str, Any], options: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for device in chosen_devices(options):
        if device.memory is not None:
            yield {
                "device": device.name,
                "device_bytes": device.memory,
                "fits_old": before["inference_bytes"] <= device.memory,
                "fits_new": after["inference_bytes"] <= device.memory,
                "device_source": f"{device.source}, {device.date}",
            }


def _message(old: Side, new: Side, before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    missing = []
    if before["kv_bytes"] is None or after["kv_bytes"] is None:
        missing.append("no cache counted: no attention whose keys and values have a width of their own")
    if before["activation_bytes_flash"] is None or after["activation_bytes_flash"] is None:
        missing.append("no activations: give the folder with config.json (hidden_size, num_hidden_layers)")
    growth = ratio(before["weight_bytes"], after["weight_bytes"])
    change = "OLD has no weights" if growth is None else f"weights take {growth:.3g} times the bytes"
    stored = f"{_formats(old)} -> {_formats(new)}" if old.formats != new.formats else _formats(new)
    return "; ".join([f"{change} ({stored})", *missing])


def _formats(side: Side) -> str:
    names = sorted(side.formats)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") or "no matrices"  # noqa: PLR2004 - a line
