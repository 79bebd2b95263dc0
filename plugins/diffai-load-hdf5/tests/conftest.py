"""What the tests of this plugin share: opening files, and checking what becomes of bad ones."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from diffai_load_hdf5.loader import open_file, open_keras

from diffai_core.plugin import LoadError, Source


def _open(path):
    target = open_keras if path.suffix == ".keras" else open_file
    return target(Source(path), {})


@pytest.fixture
def opened():
    """Open a file; it is closed after the test."""
    with ExitStack() as stack:
        yield lambda path: stack.enter_context(_open(path))


@pytest.fixture
def refused():
    """Open a file and read all of it; return the error there must be."""

    def refused(path):
        with pytest.raises(LoadError) as caught, _open(path) as artifact:  # noqa: PT012 - either may raise
            for ref in artifact.tensors.values():
                for _ in ref.blocks(1 << 20):
                    pass
        assert caught.value.path == str(path)
        assert caught.value.offset is not None
        assert "\n" not in str(caught.value)
        return caught.value

    return refused
