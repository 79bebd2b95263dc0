"""Fixtures: open a path with the loader, write a file from a handmade header."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from diffai_load_safetensors.loader import open_safetensors

from diffai_core.plugin import Artifact, LoadError, Source

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _open(path: Path) -> Artifact:
    return open_safetensors(Source(path), {})


def _raw(header: bytes | str | dict[str, Any], data: bytes = b"") -> bytes:
    if isinstance(header, dict):
        header = json.dumps(header)
    text = header.encode() if isinstance(header, str) else header
    return len(text).to_bytes(8, "little") + text + data


def _refusal(path: Path) -> LoadError:
    with pytest.raises(LoadError) as caught:
        _open(path).close()
    return caught.value


@pytest.fixture(scope="session")
def open_path() -> Callable[[Path], Artifact]:
    """Open a path with the loader; the caller closes."""
    return _open


@pytest.fixture(scope="session")
def raw() -> Callable[..., bytes]:
    """Return the bytes of a file with this header and data."""
    return _raw


@pytest.fixture(scope="session")
def refusal() -> Callable[[Path], LoadError]:
    """Open a path that must be refused, and return the error."""
    return _refusal
