"""Opens models: the fixtures made by TensorFlow, and others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from diffai_load_tflite.loader import open_tflite

from diffai_core.plugin import Source

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture
def opened():
    """Return a function that opens a file or a fixture by name; all are closed at the end."""
    artifacts = []

    def get(path):
        artifacts.append(open_tflite(Source(FIXTURES / path), {}))  # an absolute path stays what it is
        return artifacts[-1]

    yield get
    for artifact in artifacts:
        artifact.close()


@pytest.fixture(scope="session")
def expected():
    """Return what TensorFlow Lite reads from the fixtures."""
    with np.load(FIXTURES / "expected.npz") as stored:
        return dict(stored)


@pytest.fixture
def fixture_bytes():
    """Return a function that gives the bytes of a fixture, to be changed."""
    return lambda name: bytearray((FIXTURES / name).read_bytes())
