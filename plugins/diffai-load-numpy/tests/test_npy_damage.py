"""``.npy`` files that are not what they claim to be."""

from __future__ import annotations

import tracemalloc
import warnings
from contextlib import suppress

import numpy as np
import pytest
from diffai_lib_numpy import header
from diffai_load_numpy.loader import open_npy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from diffai_core.plugin import DataFile, LoadError, Source

GOOD = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n"
LAWS = settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def header_of(**entries):
    """Return the text of a header with some entries replaced, each as Python text."""
    items = {"descr": "'<f4'", "fortran_order": "False", "shape": "(2, 3)"} | entries
    return "{" + "".join(f"'{key}': {value}, " for key, value in items.items()) + "}\n"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "not a Python dictionary"),
        ("\n", "not a Python dictionary"),
        ("[]\n", "does not hold exactly descr, fortran_order and shape"),
        ("{}\n", "does not hold exactly descr, fortran_order and shape"),
        (header_of(extra="1"), "does not hold exactly descr, fortran_order and shape"),
        ("{'descr': '<f4', 'fortran_order': False}\n", "does not hold exactly descr, fortran_order and shape"),
        ("{'descr': '<f4', 'descr': '<f4', 'shape': ()}\n", "does not hold exactly descr, fortran_order and shape"),
        (
            "{'descr': '<f4', 'fortran_order': False, 'shape': (), 'shape': ()}\n",
            "does not hold exactly descr, fortran_order and shape",
        ),
        ("{'descr': '<f4', 'fortran_order': False, 1: ()}\n", "does not hold exactly descr, fortran_order and shape"),
        ("{'descr': '<f4', 'fortran_order': False, (1,): ()}\n", "does not hold exactly"),
        (header_of(shape="(-1, 3)"), "the shape (-1, 3) is not one of a NumPy array"),
        (header_of(shape="(True, 3)"), "the shape (True, 3) is not one of a NumPy array"),
        (header_of(shape="[2, 3]"), "the shape [2, 3] is not one of a NumPy array"),
        (header_of(shape="6"), "the shape 6 is not one of a NumPy array"),
        (header_of(shape="(2.0, 3)"), "not a Python dictionary"),
        (header_of(shape="(2, (3,))"), "is not one of a NumPy array"),
        (header_of(shape=f"({'1, ' * 65})"), "is not one of a NumPy array"),
        (header_of(shape=f"({1 << 63},)"), "is not one of a NumPy array"),
        (header_of(shape=f"({'9' * 5000},)"), "not a Python dictionary"),
        (header_of(shape=f"({(1 << 63) - 1}, 2)"), "is larger than NumPy allows"),
        (header_of(shape=f"({1 << 62}, 0)"), "is larger than NumPy allows"),
        (header_of(fortran_order="0"), "fortran_order is 0 instead of True or False"),
        (header_of(fortran_order="'False'"), "fortran_order is 'False' instead of True or False"),
        (header_of(descr="'<f3'"), "NumPy has no element type '<f3'"),
        (header_of(descr="'<f4[ns]'"), "NumPy has no element type '<f4[ns]'"),
        (header_of(descr="'<M8[year]'"), "NumPy has no element type '<M8[year]'"),
        (header_of(descr="'|S9999999999'"), "NumPy has no element type '|S9999999999'"),
        (header_of(descr="'int4'"), "NumPy has no element type 'int4'"),
        (header_of(descr="''"), "NumPy has no element type ''"),
        (header_of(descr="5"), "the element type 5 is neither a string nor a list of fields"),
        (header_of(descr="__import__('os').getcwd()"), "not a Python dictionary"),
        (header_of(descr="'<f' + '4'"), "not a Python dictionary"),
        (header_of(shape="(1or 2,)"), "not a Python dictionary"),
        (header_of(descr=r"'\d'"), "not a Python dictionary"),
        (header_of(shape="(1)(2)"), "not a Python dictionary"),
        (header_of(shape="(" * 20_000), "not a Python dictionary"),
        (header_of(shape="(" * 500 + ")" * 500), "not a Python dictionary"),
        (header_of(shape="-" * 30_000 + "1"), "not a Python dictionary"),
        (header_of(shape="1" + "+1" * 30_000), "not a Python dictionary"),
        (header_of(descr="[" * 150 + "]" * 150), "is not a name, a type and perhaps a shape"),
        (GOOD.replace("'<f4'", "'<f4"), "not a Python dictionary"),
        (GOOD + "\0", "not a Python dictionary"),
        (GOOD + "x", "not a Python dictionary"),
        ("\xff" * 60, "not a Python dictionary"),
    ],
)
def test_a_header_that_numpy_does_not_write_is_an_error_at_its_place(tmp_path, refused, npy, text, complaint):
    path = tmp_path / "a.npy"
    path.write_bytes(npy(text, b"\0" * 24))
    error = refused(path)
    assert complaint in error.reason
    assert error.offset == 10
    assert len(error.reason) < 300


def test_the_good_header_of_these_tests_is_good(tmp_path, opened, npy):
    path = tmp_path / "a.npy"
    path.write_bytes(npy(GOOD, b"\0" * 24))
    assert opened(path).tensors["array"].shape == np.load(path).shape == (2, 3)
    assert header_of() == GOOD


def test_a_header_that_is_not_utf_8_is_an_error_where_it_stops_being(tmp_path, refused, npy):
    path = tmp_path / "a.npy"
    path.write_bytes(
        npy(b"{'descr': [('\xff', '<f4')], 'fortran_order': False, 'shape': (), }\n", b"\0" * 4, version=3)
    )
    assert refused(path).offset == 12 + 13


@pytest.mark.parametrize("version", [(0, 0), (1, 1), (4, 0), (255, 255)])
def test_an_unknown_version_is_an_error_that_names_it(tmp_path, refused, npy, version):
    data = bytearray(npy(GOOD, b"\0" * 24))
    data[6:8] = version
    path = tmp_path / "a.npy"
    path.write_bytes(data)
    assert f"version {version[0]}.{version[1]}" in refused(path).reason


def test_a_header_of_gigabytes_is_refused_without_reading_it(tmp_path, refused, npy):
    path = tmp_path / "a.npy"
    data = npy(GOOD, version=2)
    path.write_bytes(data[:8] + b"\xff\xff\xff\xff" + data[12:])
    assert "a header of 4,294,967,295 bytes is refused; at most 65,536 are read" in refused(path).reason


def test_every_truncation_names_the_file_and_where_it_ends(tmp_path, refused, saved):
    data = saved(np.arange(6, dtype="<f4").reshape(2, 3))
    path = tmp_path / "a.npy"
    for length in range(len(data)):
        path.write_bytes(data[:length])
        error = refused(path)
        assert error.offset in {length, 0} if length < 8 else error.offset == length


def test_bytes_after_the_array_are_an_error_at_their_place(tmp_path, refused, saved):
    data = saved(np.arange(6, dtype="<f4"))
    path = tmp_path / "a.npy"
    path.write_bytes(data + b"more")
    error = refused(path)
    assert (error.offset, error.reason) == (len(data), "4 bytes follow the array, and they are no array")


def test_a_shape_larger_than_the_file_is_an_error_without_allocating_it(tmp_path, refused, npy):
    path = tmp_path / "a.npy"
    for order in ("False", "True"):
        path.write_bytes(npy(header_of(shape="(1000000, 1000000)", fortran_order=order), b"\0" * 24))
        tracemalloc.start()
        error = refused(path)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert "takes 4,000,000,000,000 bytes, and 24 follow" in error.reason
        assert peak < 1 << 20


def test_a_file_that_shrinks_while_it_is_read_is_an_error(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((300, 200), ">f4"))
    with open_npy(Source(path), {}) as artifact:
        blocks = artifact.tensors["array"].blocks(4000)
        next(blocks)
        path.write_bytes(path.read_bytes()[:5000])
        with pytest.raises(LoadError, match="shrank"):
            list(blocks)


@LAWS
@given(
    position=st.integers(0, 127),
    insert=st.text(st.sampled_from("{}()[]'\"\\,: -0123456789TrueFalseLu\n\x00é"), max_size=6),
    drop=st.integers(0, 12),
)
def test_edited_headers_give_a_load_error_or_what_numpy_loads(tmp_path, saved, position, insert, drop):
    data = bytearray(saved(np.arange(12, dtype="<f4").reshape(3, 4)))
    data[position : position + drop] = insert.encode("latin-1")
    path = tmp_path / "a.npy"
    path.write_bytes(data)
    with suppress(LoadError), open_npy(Source(path), {}) as artifact, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy warns of headers of Python 2
        loaded = np.load(path)
        assert artifact.tensors["array"].read().tobytes() == np.ascontiguousarray(loaded).tobytes()


@LAWS
@given(
    descr=st.sampled_from(["<f4", "|b1", ">U3", "<M8[25s]", "|O", "<V2", "bfloat16", "'"]),
    order=st.booleans(),
    shape=st.lists(st.integers(0, (1 << 63) - 1), max_size=5).map(tuple),
)
def test_the_short_way_to_read_a_usual_header_gives_what_the_long_one_gives(descr, order, shape):
    text = f"{{'descr': {descr!r}, 'fortran_order': {order}, 'shape': {shape!r}, }}   \n"
    wanted = (descr, order, shape)
    assert header._entries(text) == wanted
    assert header._python_entries(text) == wanted


def test_an_error_closes_the_file(tmp_path, monkeypatch):
    closed = []
    monkeypatch.setattr(DataFile, "close", lambda self, close=DataFile.close: (closed.append(self.name), close(self)))
    path = tmp_path / "a.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00")
    with pytest.raises(LoadError):
        open_npy(Source(path), {})
    assert closed == [str(path)]
