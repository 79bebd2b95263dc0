"""Fixtures: save with torch, open with the loader."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from diffai_core.plugin import Source


@pytest.fixture
def saved(tmp_path):
    """Save an object with ``torch.save`` and return the artefact that the loader makes of it."""
    torch = pytest.importorskip("torch")
    loader = pytest.importorskip("diffai_load_pytorch.loader")
    with ExitStack() as stack:

        def save(what, name="checkpoint.pt"):
            torch.save(what, tmp_path / name)
            return stack.enter_context(loader.open_pytorch(Source(tmp_path / name), {}))

        yield save
