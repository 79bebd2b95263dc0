"""Checkpoints that were really trained, for tests of what the analyses say about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(name="checkpoints", scope="session")
def trained_checkpoints() -> Path:
    """The folder that docs/examples/checkpoints/make.py writes."""
    pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    from tests.helpers.checkpoints import made_checkpoints

    return made_checkpoints()
