"""Files that MATLAB itself wrote, versions 4 to 7 on several machines, as SciPy ships and reads them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import scipy.io.matlab
import scipy.sparse
from diffai_load_matlab.loader import open_mat

from diffai_core.plugin import LoadError, Source

FOLDER = Path(scipy.io.matlab.__file__).parent / "tests/data"
FILES = sorted(FOLDER.glob("*.mat"))
DAMAGED = ("corrupted", "malformed", "nasty_duplicate", "bad_miuint")
"""Parts of names of files that SciPy ships because they are broken."""


def expected(path):
    options = {"struct_as_record": True, "mat_dtype": True}
    found = scipy.io.loadmat(path, **options)
    return {name: value for name, value in found.items() if not name.startswith("__")}


def readable():
    return [path for path in FILES if not any(part in path.name for part in DAMAGED)]


def test_the_corpus_is_there():
    assert len(readable()) > 90


@pytest.mark.parametrize("path", readable(), ids=lambda path: path.stem)
def test_a_file_has_the_variables_that_scipy_finds_with_the_same_values(path):
    try:
        wanted = expected(path)
    except Exception as error:  # noqa: BLE001 - SciPy cannot read them; then it can be no witness
        pytest.skip(f"SciPy: {error}")
    with open_mat(Source(path), {}) as artifact:
        named = {name.split(".")[0].split("{")[0].split("(")[0] for name in (*artifact.tensors, *artifact.tree)}
        unread = {entry.where.split(".")[0].split("{")[0].split("(")[0] for entry in artifact.not_readable}
        assert named | unread == set(wanted)
        for name, value in wanted.items():
            if name not in unread:
                check(artifact, name, value)


def check(artifact, name, value):
    if scipy.sparse.issparse(value):
        check_sparse(artifact, name, value)
    elif value.dtype.kind in "biufc":
        found = artifact.tensors[name].read()
        assert found.shape == value.shape
        assert np.array_equal(found.astype(value.dtype), value, equal_nan=True)
    elif value.dtype.kind == "U":
        texts = artifact.tree[name]
        assert [texts] if isinstance(texts, str) else texts == [*np.atleast_1d(value)] or value.size != len(texts)
    elif value.dtype.names and value.size == 1:
        check_struct(artifact, name, value.reshape(-1)[0])


def check_sparse(artifact, name, value):
    wanted = value.tocsc()
    if f"{name}.jc" not in artifact.tensors:  # version 4 writes row, column and value
        wanted = value.tocoo()
        assert np.array_equal(artifact.tensors[f"{name}.data"].read().reshape(-1), wanted.data.real)
        return
    assert np.array_equal(artifact.tensors[f"{name}.jc"].read(), wanted.indptr)
    assert np.array_equal(artifact.tensors[f"{name}.ir"].read(), wanted.indices)
    assert np.array_equal(artifact.tensors[f"{name}.data"].read(), wanted.data)


def check_struct(artifact, name, value):
    for field in value.dtype.names:
        inner = value[field]
        if isinstance(inner, np.ndarray) and inner.dtype.kind in "biufc" and inner.size > 1:
            assert np.array_equal(artifact.tensors[f"{name}.{field}"].read(), inner)
        elif isinstance(inner, np.ndarray) and inner.dtype.kind in "biuf" and inner.size == 1:
            assert artifact.tree[name][field] == inner.item()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_of_the_corpus_opens_or_is_a_load_error(path):
    with suppress(LoadError), open_mat(Source(path), {}) as artifact:
        for ref in artifact.tensors.values():
            assert ref.read().shape == ref.shape
