"""Loaders with faults that a fuzzer has to find behind a few checks of the input."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from diffai_core.errors import LoadError
from diffai_core.plugin import Artifact, LoaderSpec
from diffai_core.testing import LoaderTests

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from diffai_core.files import Source


def _second_byte(source: Source) -> tuple[Artifact, int]:
    file = source.open()
    artifact = Artifact(name=source.name, format="planted", files=(file,))
    if file.size < 2 or file.read(0, 1) != b"P":
        artifact.close()
        raise LoadError(source.name, "does not begin with P", 0)
    return artifact, file.read(1, 1)[0]


def open_raising(source: Source, _options: Mapping[str, Any]) -> Artifact:
    """Fail with an error of its own where the second byte is large."""
    artifact, byte = _second_byte(source)
    artifact.close()
    if byte > 100:
        raise IndexError(byte)
    return artifact


def open_hanging(source: Source, _options: Mapping[str, Any]) -> Artifact:
    """Never end where the second byte is large."""
    artifact, byte = _second_byte(source)
    while byte > 100:
        time.sleep(0.1)
    artifact.close()
    return artifact


class _Planted(LoaderTests):
    def write_sample(self, path: Path) -> None:
        path.write_bytes(b"P\0")


class TestRaising(_Planted):
    """Raises ``IndexError``."""

    spec = LoaderSpec("planted", "planted", "planted:open_raising", suffixes=(".p",))


class TestHanging(_Planted):
    """Hangs."""

    spec = LoaderSpec("planted", "planted", "planted:open_hanging", suffixes=(".p",))
