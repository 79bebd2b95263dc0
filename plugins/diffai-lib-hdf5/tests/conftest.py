"""What the tests of this library share: an open file beside the one that h5py opened."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from diffai_lib_hdf5 import FileRegion, open_hdf5

from diffai_core.plugin import DataFile


@pytest.fixture
def opened():
    """Open a file; it is closed after the test."""
    with ExitStack() as stack:

        def opened(path):
            file = stack.enter_context(DataFile(path))
            return open_hdf5(FileRegion(file, 0, file.size))

        yield opened
