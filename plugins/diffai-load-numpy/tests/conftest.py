"""What the tests of this plugin share: opening files, and checking what becomes of bad ones."""

from __future__ import annotations

import io
from contextlib import ExitStack

import numpy as np
import pytest
from diffai_load_numpy.loader import open_npy, open_npz

from diffai_core.plugin import LoadError, Source


def _open(path):
    target = open_npz if path.suffix == ".npz" else open_npy
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
        error = caught.value
        assert str(path) == error.path
        assert "\n" not in str(error)
        return error

    return refused


@pytest.fixture
def read_blocks():
    """Return all bytes of a tensor, read in blocks."""

    def read_blocks(ref, max_bytes=1 << 20):
        return b"".join(block.tobytes() for block in ref.blocks(max_bytes))

    return read_blocks


@pytest.fixture
def little():
    """Return the bytes of an array in C order and little-endian."""

    def little(array):
        swapped = array.byteswap() if array.dtype.byteorder == ">" else array
        return np.ascontiguousarray(swapped).tobytes()

    return little


@pytest.fixture
def npy():
    """Return the bytes of a ``.npy`` file with the given text as header."""

    def npy(header, data=b"", version=1):
        text = header.encode("utf-8" if version == 3 else "latin-1") if isinstance(header, str) else header
        length = len(text).to_bytes(2 if version == 1 else 4, "little")
        return b"\x93NUMPY" + bytes([version, 0]) + length + text + data

    return npy


@pytest.fixture
def saved():
    """Return the bytes that ``numpy.save`` writes."""

    def saved(array, **options):
        file = io.BytesIO()
        np.save(file, array, **options)
        return file.getvalue()

    return saved
