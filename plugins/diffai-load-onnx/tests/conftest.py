"""Fixtures: write models with the ``onnx`` library, open them with the loader."""

from __future__ import annotations

import pytest
from diffai_load_onnx.loader import open_onnx
from onnx import TensorProto, helper

from diffai_core.plugin import LoadError, Source


def read_all(path):
    """Open a model and read all tensors."""
    with open_onnx(Source(path), {}) as artifact:
        return {name: ref.read() for name, ref in artifact.tensors.items()}


@pytest.fixture
def save(tmp_path):
    """Return a function that writes a model of these nodes and tensors, and returns its path."""

    def write(nodes=(), initializers=(), *, name="model.onnx", inputs=(), outputs=(), model=None, graph=None, **more):
        if model is None:
            built = helper.make_graph(
                list(nodes), "g", list(inputs), list(outputs), list(initializers), **(graph or {})
            )
            model = helper.make_model(built, **more)
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(model.SerializeToString())
        return path

    return write


@pytest.fixture
def opened():
    """Return a function that opens a model; it is closed after the test."""
    artifacts = []

    def open_path(path):
        artifacts.append(open_onnx(Source(path), {}))
        return artifacts[-1]

    yield open_path
    for artifact in artifacts:
        artifact.close()


@pytest.fixture
def refusal():
    """Return a function that opens a model and reads all of it, which must fail; it returns the error."""

    def error(path):
        with pytest.raises(LoadError) as caught:
            read_all(path)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return error


@pytest.fixture
def tensor():
    """Return a function that makes a TensorProto from its fields alone."""

    def proto(name="t", code=TensorProto.FLOAT, dims=(), **fields):
        made = TensorProto(name=name, data_type=code, dims=dims)
        for field, value in fields.items():
            if isinstance(value, list):
                getattr(made, field).extend(value)
            else:
                setattr(made, field, value)
        return made

    return proto
