"""Opens files: the fixtures made by TensorFlow, and others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from diffai_load_tensorflow.loader import open_tensorflow

from diffai_core.plugin import Source, dtype

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture
def opened():
    """Return a function that opens a path or a fixture by name; all are closed at the end."""
    artifacts = []

    def get(path):
        artifacts.append(open_tensorflow(Source(FIXTURES / path), {}))  # an absolute path stays what it is
        return artifacts[-1]

    yield get
    for artifact in artifacts:
        artifact.close()


@pytest.fixture(scope="session")
def expected():
    """Return a function that gives what TensorFlow reads from a fixture: arrays by name."""
    with np.load(FIXTURES / "expected.npz") as stored:
        everything = {tuple(key.split("|")): array for key, array in stored.items()}

    def get(file):
        found = {}
        for (owner, name, *kind), array in everything.items():
            if owner == file and kind:
                shape = tuple(map(int, kind[1].split("x"))) if kind[1] else ()
                found[name] = array.view(dtype(kind[0]).numpy).reshape(shape)
            elif owner == file:
                found[name] = array
        return found

    return get


@pytest.fixture
def fixtures():
    """Return the folder of the fixtures."""
    return FIXTURES
