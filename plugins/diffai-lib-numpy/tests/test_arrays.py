"""Elements whose shape and type are known by other means than a header are those that NumPy has."""

from __future__ import annotations

import numpy as np
import pytest
from diffai_lib_numpy.arrays import Contents, add_array, add_elements
from diffai_lib_numpy.header import Header
from diffai_lib_numpy.layout import layout_of
from diffai_lib_zip import Region

from diffai_core.plugin import DataFile, FileTensor

ARRAYS = [
    np.arange(6, dtype="<f4").reshape(2, 3),
    np.arange(6, dtype=">i2").reshape(2, 3),
    np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    np.array(["abc", "d"]),
    np.array(5, "u1"),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}{list(array.shape)}")
def test_elements_without_a_header_are_read(tmp_path, array):
    fortran = not array.flags.c_contiguous
    (tmp_path / "f").write_bytes(b"before" + array.tobytes("F" if fortran else "C") + b"after")
    layout = layout_of(array.dtype.descr[0][1])
    contents = Contents()
    with DataFile(tmp_path / "f") as file:
        header = Header(layout, fortran, array.shape, 0)
        add_elements(contents, "x", Region(file, 6, header.nbytes), header)
        found = contents.tensors["x"]
        assert isinstance(found, FileTensor) == (array.dtype.str[0] != ">" and not fortran)
        assert found.read().tobytes() == array.astype(array.dtype.newbyteorder("<")).tobytes()


def test_fields_of_records_are_tensors(tmp_path):
    dtype = np.dtype([("a", "<i4"), ("b", ">f8", (2,))])
    array = np.zeros(3, dtype)
    array["a"], array["b"] = [1, 2, 3], [[1, 2], [3, 4], [5, 6]]
    np.save(tmp_path / "f.npy", array)
    contents = Contents()
    with DataFile(tmp_path / "f.npy") as file:
        add_array(contents, "x", Region(file, 0, file.size), exact=True)
        assert {key: ref.read().tolist() for key, ref in contents.tensors.items()} == {
            "x.a": [1, 2, 3],
            "x.b": [[1, 2], [3, 4], [5, 6]],
        }
