"""Devices and what they can do at most."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from diffai_core.plugin import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Device:
    """What a device can do at most.

    Args:
        name: As the user gives it.
        title: What it is called.
        flops: Peak FLOP/s with dense matrices of 16-bit floats.
        bandwidth: Bytes/s of its memory.
        memory: Bytes of its memory; ``None`` if not told.
        source: Where the numbers come from.
        date: When they were looked up.
    """

    name: str
    title: str
    flops: float
    bandwidth: float
    memory: float | None
    source: str
    date: str

    def seconds(self, flops: float, n_bytes: float) -> float:
        """Return the least time for so much work (the roofline)."""
        return max(flops / self.flops, n_bytes / self.bandwidth)

    def bound(self, flops: float, n_bytes: float) -> str:
        """Return what that time goes to: ``memory`` or ``compute``."""
        return "compute" if flops / self.flops > n_bytes / self.bandwidth else "memory"

    def row(self) -> dict[str, Any]:
        """Return plain values for the report."""
        return {
            "device": self.name,
            "device_flops_per_s": self.flops,
            "device_bytes_per_s": self.bandwidth,
            "device_source": f"{self.source}, {self.date}" if self.date else self.source,
        }


@cache
def device_table() -> tuple[Device, ...]:
    """Return the devices that come with the plugin."""
    text = resources.files("diffai_compare_resources").joinpath("devices.json").read_text(encoding="utf-8")
    return tuple(Device(**row) for row in json.loads(text)["devices"])


def device(name: str) -> Device:
    """Return the device of a name.

    Raises:
        UsageError: If there is none.
    """
    for known in device_table():
        if known.name == name.lower():
            return known
    names = ", ".join(known.name for known in device_table())
    raise UsageError(f"{name!r} is not in the table (there are: {names}); give --device-flops and --device-bandwidth")


def chosen_devices(options: Mapping[str, Any]) -> tuple[Device, ...]:
    """Return the device that the user chose or described, or else all of the table.

    Args:
        options: ``device``, ``device_flops`` and ``device_bandwidth``; either number overrides that of the table.
    """
    flops, bandwidth = options.get("device_flops"), options.get("device_bandwidth")
    if options["device"] is None and flops is not None and bandwidth is not None:
        return (Device("given", "as given", flops, bandwidth, None, "user", ""),)
    bases = device_table() if options["device"] is None else (device(options["device"]),)
    if flops is None and bandwidth is None:
        return bases
    return tuple(
        replace(
            base,
            flops=base.flops if flops is None else flops,
            bandwidth=base.bandwidth if bandwidth is None else bandwidth,
            source=f"user, the rest {base.source}",
        )
        for base in bases
    )
