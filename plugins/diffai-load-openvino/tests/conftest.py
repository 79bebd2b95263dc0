"""Fixtures: models written by OpenVINO, copies of them with other text, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from diffai_load_openvino.loader import open_openvino

from diffai_core.plugin import LoadError, Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from diffai_core.plugin import Artifact

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture
def opened() -> Iterator[Callable[[Path | str], Artifact]]:
    """Open a path, or a fixture by name; closed at the end of the test."""
    artifacts: list[Artifact] = []

    def open_path(path: Path | str) -> Artifact:
        where = path if isinstance(path, Path) else FIXTURES / f"{path}.xml"
        artifacts.append(open_openvino(Source(where), {}))
        return artifacts[-1]

    yield open_path
    for artifact in artifacts:
        artifact.close()


@pytest.fixture
def edited(tmp_path: Path) -> Callable[..., Path]:
    """Copy a fixture, replacing texts of its XML, each of which must be there."""

    def copy(name: str, *changes: tuple[str, str]) -> Path:
        text = (FIXTURES / f"{name}.xml").read_text(encoding="utf-8")
        for old, new in changes:
            assert old in text
            text = text.replace(old, new, 1)
        path = tmp_path / f"{name}.xml"
        path.write_text(text, encoding="utf-8")
        shutil.copy(FIXTURES / f"{name}.bin", path.with_suffix(".bin"))
        return path

    return copy


@pytest.fixture
def refused() -> Callable[[Path], LoadError]:
    """Open a path that must be refused, and return the error."""

    def refusal(path: Path) -> LoadError:
        with pytest.raises(LoadError) as caught:
            open_openvino(Source(path), {}).close()
        return caught.value

    return refusal
