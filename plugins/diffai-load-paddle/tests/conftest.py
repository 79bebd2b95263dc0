"""Fixtures: open files of PaddlePaddle, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from diffai_load_paddle.loader import open_paddle
from diffai_load_paddle.state import open_state

from diffai_core.plugin import LoadError, Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from diffai_core.plugin import Artifact

FIXTURES = Path(__file__).parent / "fixtures"
STATES = (".pdparams", ".pdopt", ".pdtensor")


def open_any(path: Path) -> Artifact:
    """Open a model or a checkpoint."""
    return (open_state if path.suffix in STATES else open_paddle)(Source(path), {})


@pytest.fixture
def opened() -> Iterator[Callable[[Path | str], Artifact]]:
    """Open a path, or a fixture by name; closed at the end of the test."""
    artifacts: list[Artifact] = []

    def open_path(path: Path | str) -> Artifact:
        artifacts.append(open_any(path if isinstance(path, Path) else FIXTURES / path))
        return artifacts[-1]

    yield open_path
    for artifact in artifacts:
        artifact.close()


@pytest.fixture
def refused() -> Callable[[Path], LoadError]:
    """Open a path that must be refused, and return the error."""

    def refusal(path: Path) -> LoadError:
        with pytest.raises(LoadError) as caught:
            open_any(path).close()
        return caught.value

    return refusal
