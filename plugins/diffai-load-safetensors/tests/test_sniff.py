"""The loader is chosen by content."""

from __future__ import annotations

import json

import numpy as np
import pytest
from diffai_load_safetensors.sniff import looks_like_safetensors
from safetensors.numpy import save

_INDEX = {"metadata": {"total_size": 8}, "weight_map": {"a": "model-00001-of-00002.safetensors"}}


@pytest.mark.parametrize("tensors", [{}, {"a": np.ones(1)}, {f"layer.{i}": np.ones(2) for i in range(999)}])
@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_what_the_library_writes_is_recognised(tensors, metadata):
    data = save(tensors, metadata)
    assert looks_like_safetensors(data[:4096], len(data))


@pytest.mark.parametrize("indent", [None, 2])
def test_an_index_is_recognised(indent):
    data = json.dumps(_INDEX, indent=indent).encode()
    assert looks_like_safetensors(data, len(data))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(4096),
        b'{"a": 1}',
        b'{"weight_map": {"a": "pytorch_model-00001-of-00002.bin"}}',
        b'["weight_map", "x.safetensors"]',
        (2).to_bytes(8, "little") + b"[]",
        (2).to_bytes(8, "little") + b"{x",
        (3).to_bytes(8, "little") + b"{}",
        (100_000_001).to_bytes(8, "little") + b'{"',
        b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.",
        b"PK\x03\x04{",
        b"GGUF\x03\x00\x00\x00{",
        b"\x93NUMPY\x01\x00{'descr': '<f4'}",
    ],
)
def test_other_formats_are_declined(data):
    assert not looks_like_safetensors(data, len(data))
