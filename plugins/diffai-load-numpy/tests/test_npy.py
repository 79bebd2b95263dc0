"""``.npy`` files against NumPy's own reader."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from diffai_core.plugin import FileTensor

SHAPES = st.one_of(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=6), st.just((70, 50)))
DTYPES = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(endianness="?"),
    hnp.unsigned_integer_dtypes(endianness="?"),
    hnp.floating_dtypes(endianness="?", sizes=(16, 32, 64, 128)),
    hnp.complex_number_dtypes(endianness="?", sizes=(64, 128, 256)),
    hnp.datetime64_dtypes(endianness="?"),
    hnp.timedelta64_dtypes(endianness="?"),
    hnp.byte_string_dtypes(min_len=1, max_len=7),
    hnp.unicode_string_dtypes(endianness="?", min_len=1, max_len=5),
    st.integers(1, 9).map(lambda size: np.dtype(f"V{size}")),
)
LAWS = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def random_array(dtype, shape, order="C", seed=0):
    """Return an array of any dtype with random bits (and valid code points, booleans and no objects)."""
    rng = np.random.default_rng(seed)
    count = int(np.prod(shape, dtype=np.int64))
    if dtype.kind == "b":
        flat = rng.integers(0, 2, count).astype(bool)
    elif dtype.kind == "U":
        points = rng.integers(0, 0x1000, count * dtype.itemsize // 4).astype(np.uint32)
        flat = (points.byteswap() if dtype.byteorder == ">" else points).view(dtype)
    else:
        flat = np.frombuffer(rng.bytes(count * dtype.itemsize), dtype, count)
    return np.array(flat.reshape(shape), order=order)


@LAWS
@given(dtype=DTYPES, shape=SHAPES, order=st.sampled_from("CF"), max_bytes=st.integers(1, 5000))
def test_any_dtype_shape_and_order_reads_as_numpy_loads_it(
    tmp_path, opened, read_blocks, little, dtype, shape, order, max_bytes
):
    path = tmp_path / "a.npy"
    np.save(path, random_array(dtype, shape, order))
    loaded = np.load(path)
    ref = opened(path).tensors["array"]
    assert ref.shape == loaded.shape
    assert ref.dtype.bits == 8 * loaded.dtype.itemsize
    assert read_blocks(ref, max_bytes) == little(loaded)
    assert ref.read().tobytes() == little(loaded)


@pytest.fixture
def bfloat16_array():
    import ml_dtypes

    return np.arange(6).astype(ml_dtypes.bfloat16)


@pytest.mark.parametrize(
    ("descr", "name", "kind"),
    [
        ("|b1", "bool", "bool"),
        (">i2", "int16", "int"),
        ("|u1", "uint8", "uint"),
        ("<f2", "float16", "float"),
        (">c8", "complex64", "complex"),
        ("<f16", "float128", "opaque"),
        ("<c32", "complex256", "opaque"),
        ("|S8", "bytes[8]", "opaque"),
        (">U12", "str[12]", "opaque"),
        ("|V5", "void[5]", "opaque"),
        ("<M8[ns]", "datetime64[ns]", "opaque"),
        ("<M8[25s]", "datetime64[25s]", "opaque"),
        ("<m8", "timedelta64", "opaque"),
    ],
)
def test_element_types_have_their_names_in_the_vocabulary(tmp_path, opened, descr, name, kind):
    path = tmp_path / "a.npy"
    np.save(path, np.zeros(2, descr))
    dtype = opened(path).tensors["array"].dtype
    assert (dtype.name, dtype.kind) == (name, kind)


def test_bfloat16_saved_by_ml_dtypes_is_void_because_the_file_does_not_say_more(
    tmp_path, opened, read_blocks, bfloat16_array
):
    np.save(tmp_path / "a.npy", bfloat16_array)
    ref = opened(tmp_path / "a.npy").tensors["array"]
    assert ref.dtype.name == "void[2]"
    assert read_blocks(ref) == bfloat16_array.tobytes()


def test_a_header_that_names_bfloat16_gives_bfloat16(tmp_path, opened, npy, bfloat16_array):
    path = tmp_path / "a.npy"
    path.write_bytes(npy("{'descr': 'bfloat16', 'fortran_order': False, 'shape': (6,), }\n", bfloat16_array.tobytes()))
    ref = opened(path).tensors["array"]
    assert ref.dtype.name == "bfloat16"
    assert np.array_equal(ref.read(), bfloat16_array)


def test_plain_arrays_lie_in_the_file_as_they_are(tmp_path, opened):
    array = random_array(np.dtype("<f4"), (5, 3))
    np.save(tmp_path / "c.npy", array)
    np.save(tmp_path / "column.npy", np.array(array[:, :1], order="F"))
    np.save(tmp_path / "f.npy", np.array(array, order="F"))
    np.save(tmp_path / "big.npy", array.astype(">f4"))
    kinds = {name: type(opened(tmp_path / f"{name}.npy").tensors["array"]) for name in ("c", "column", "f", "big")}
    assert {name for name, kind in kinds.items() if kind is FileTensor} == {"c", "column"}


def test_the_key_does_not_depend_on_the_name_of_the_file(tmp_path, opened):
    for name in ("old.npy", "new.npy"):
        np.save(tmp_path / name, np.zeros(3))
        assert list(opened(tmp_path / name).tensors) == ["array"]


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version_of_the_format_is_read(tmp_path, opened, read_blocks, version):
    array = random_array(np.dtype("<i4"), (3, 4))
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array(file, array, version=version)
    assert read_blocks(opened(tmp_path / "a.npy").tensors["array"]) == array.tobytes()


@pytest.mark.filterwarnings("ignore:Stored array in format 3.0")
def test_field_names_outside_latin_1_are_read(tmp_path, opened):
    array = np.zeros(2, [("größe", "<f4"), ("λ", "<f4")])
    np.save(tmp_path / "a.npy", array)
    assert np.load(tmp_path / "a.npy").dtype == array.dtype
    assert list(opened(tmp_path / "a.npy").tensors) == ["array.größe", "array.λ"]


def test_long_numbers_of_python_2_are_read(tmp_path, opened, npy):
    path = tmp_path / "a.npy"
    data = np.arange(6, dtype="<f4")
    path.write_bytes(npy("{'descr': [('3L', '<f4')], 'fortran_order': False, 'shape': (2L, 3L), }\n", data.tobytes()))
    with pytest.warns(UserWarning, match="Python 2"):
        loaded = np.load(path)
    ref = opened(path).tensors["array.3L"]
    assert np.array_equal(ref.read(), loaded["3L"])


def test_arrays_saved_one_after_the_other_are_all_read(tmp_path, opened):
    arrays = [np.arange(3), np.zeros((2, 0)), np.ones((2, 2), order="F")]
    with (tmp_path / "a.npy").open("wb") as file:
        for array in arrays:
            np.save(file, array)
    tensors = opened(tmp_path / "a.npy").tensors
    assert list(tensors) == ["array", "array[1]", "array[2]"]
    for ref, array in zip(tensors.values(), arrays, strict=True):
        assert np.array_equal(ref.read(), array)


def test_names_and_shapes_are_known_without_numpy(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((3, 4), [("x", ">f4"), ("y", "<M8[s]")]))
    np.savez_compressed(tmp_path / "a.npz", w=np.zeros((2, 5)), o=np.array([None]))
    code = (
        "import sys; from diffai_core.plugin import Source; from diffai_load_numpy.loader import open_npy, open_npz\n"
        "a, z = open_npy(Source('a.npy'), {}), open_npz(Source('a.npz'), {})\n"
        "print([(t.name, t.shape, t.dtype.name) for x in (a, z) for t in x.tensors.values()], 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    wanted = [("array.x", (3, 4), "float32"), ("array.y", (3, 4), "datetime64[s]"), ("w", (2, 5), "float64")]
    assert done.stdout.strip() == f"{wanted} False"
