"""Opens what JAX programs write lazily: Flax msgpack, Orbax checkpoints, zarr, OCDBT."""

from __future__ import annotations
