"""Fixtures: open models that coremltools wrote, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from diffai_load_coreml.loader import open_coreml

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
        artifacts.append(open_coreml(Source(path if isinstance(path, Path) else FIXTURES / path), {}))
        return artifacts[-1]

    yield open_path
    for artifact in artifacts:
        artifact.close()


@pytest.fixture
def refused() -> Callable[[Path], LoadError]:
    """Open a path that must be refused, and return the error."""

    def refusal(path: Path) -> LoadError:
        with pytest.raises(LoadError) as caught:
            open_coreml(Source(path), {}).close()
        return caught.value

    return refusal
