"""Fixtures: open a path with the loader, or demand that it is refused."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from diffai_load_pytorch.loader import open_pytorch

from diffai_core.plugin import LoadError, Source


@pytest.fixture
def opened():
    """Open a file or folder; it is closed after the test."""
    with ExitStack() as stack:
        yield lambda path: stack.enter_context(open_pytorch(Source(path), {}))


@pytest.fixture
def refused():
    """Open a file and read all of it; return the error there must be."""

    def refused(path):
        with pytest.raises(LoadError) as caught, open_pytorch(Source(path), {}) as artifact:  # noqa: PT012 - either may raise
            for ref in artifact.tensors.values():
                ref.read()
        assert caught.value.path.startswith(str(path))
        assert "\n" not in str(caught.value)
        return caught.value

    return refused
