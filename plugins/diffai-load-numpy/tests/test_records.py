"""Records and their fields, Python objects, and elements that cannot be tensors."""

from __future__ import annotations

import hashlib
import os

import numpy as np
import pytest
from diffai_lib_numpy import arrays
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from diffai_core.plugin import LoadError

RECORDS = hnp.nested_dtypes(
    subtype_strategy=st.one_of(
        hnp.integer_dtypes(endianness="?"),
        hnp.floating_dtypes(endianness="?", sizes=(16, 32, 64)),
        hnp.complex_number_dtypes(endianness="?", sizes=(64, 128)),
        hnp.datetime64_dtypes(endianness="?"),
        hnp.byte_string_dtypes(min_len=1, max_len=5),
    ),
    max_leaves=8,
    max_itemsize=200,
).filter(lambda dtype: dtype.names is not None)


def leaves(array, path=""):
    """Yield the path and the values of every field, as NumPy gives them."""
    if array.dtype.names is None:
        yield path, array
        return
    for name in array.dtype.names:
        yield from leaves(array[name], f"{path}.{name}")


@pytest.mark.filterwarnings("ignore:Stored array in format")
@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    dtype=RECORDS,
    shape=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5),
    order=st.sampled_from("CF"),
    max_bytes=st.integers(1, 500),
)
def test_every_field_of_records_is_a_tensor_as_numpy_gives_it(
    tmp_path, opened, read_blocks, little, dtype, shape, order, max_bytes
):
    count = int(np.prod(shape)) * dtype.itemsize
    raw = np.random.default_rng(1).bytes(count)
    array = np.array(np.frombuffer(raw, dtype, int(np.prod(shape))).reshape(shape), order=order)
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "s.npz", array=array)
    np.savez_compressed(tmp_path / "d.npz", array=array)
    wanted = {f"array{path}": values for path, values in leaves(np.load(tmp_path / "a.npy"))}
    for name in ("a.npy", "s.npz", "d.npz"):
        tensors = opened(tmp_path / name).tensors
        assert list(tensors) == list(wanted)
        for key, values in wanted.items():
            assert tensors[key].shape == values.shape
            assert read_blocks(tensors[key], max_bytes) == little(values)


def test_wide_records_are_read_field_by_field(tmp_path, opened, read_blocks):
    dtype = np.dtype([("head", "<i4"), ("image", "u1", (90, 90)), ("label", ">i8")])
    array = np.frombuffer(np.random.default_rng(0).bytes(dtype.itemsize * 300), dtype)
    np.save(tmp_path / "a.npy", array)
    tensors = opened(tmp_path / "a.npy").tensors
    assert read_blocks(tensors["array.image"], 10_000) == array["image"].tobytes()
    assert read_blocks(tensors["array.label"]) == array["label"].byteswap().tobytes()


def test_padding_between_fields_is_not_compared(tmp_path, opened, read_blocks):
    dtype = np.dtype([("flag", "u1"), ("value", "<f8")], align=True)
    contents = []
    for name, fill in (("a.npy", b"\0"), ("b.npy", b"\xff")):
        array = np.frombuffer(bytearray(fill * dtype.itemsize * 3), dtype)
        array["flag"], array["value"] = 1, 2.5
        np.save(tmp_path / name, array)
        tensors = opened(tmp_path / name).tensors
        contents.append({key: read_blocks(ref) for key, ref in tensors.items()})
    assert (tmp_path / "a.npy").read_bytes() != (tmp_path / "b.npy").read_bytes()
    assert contents[0] == contents[1]
    assert list(contents[0]) == ["array.flag", "array.value"]


class Bomb:
    """An object whose pickle makes a folder when it is loaded."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_objects_are_never_unpickled(tmp_path, opened, save):
    folder = tmp_path / "made"
    array = np.array([Bomb(str(folder))], object)
    np.save(tmp_path / "a.npy", array)
    save(tmp_path / "a.npz", x=array)
    for path, key in (("a.npy", "array"), ("a.npz", "x")):
        artifact = opened(tmp_path / path)
        assert not artifact.tensors
        assert artifact.tree[key]["dtype"] == "object"
        assert artifact.tree[key]["elements"] == [{"__class__": f"{os.name}.mkdir", "__args__": [str(folder)]}]
        assert [foreign.name for foreign in artifact.foreign] == [f"{os.name}.mkdir"]
    assert not folder.exists()
    np.load(tmp_path / "a.npy", allow_pickle=True)
    assert folder.exists()  # it would have


def test_objects_are_in_the_tree_and_arrays_among_them_are_tensors(tmp_path, opened):
    weights = {"conv": {"w": np.arange(6.0).reshape(2, 3), "b": np.ones(2, ">f4")}, "name": "net"}
    value = np.array([1, "x", None, np.arange(5000), {"a": (1, 2)}], object)
    np.save(tmp_path / "a.npy", weights)
    np.savez(tmp_path / "a.npz", value=value, weights=weights)
    np.savez_compressed(tmp_path / "b.npz", value=value)
    artifact = opened(tmp_path / "a.npy")
    assert artifact.tree == {"array": {"dtype": "object", "shape": [], "elements": {"name": "net"}}}
    assert artifact.tensors["array.conv.w"].read().tolist() == weights["conv"]["w"].tolist()
    assert artifact.tensors["array.conv.b"].read().tolist() == [1, 1]
    for name in ("a.npz", "b.npz"):
        artifact = opened(tmp_path / name)
        assert artifact.tree["value"]["elements"] == {"0": 1, "1": "x", "2": None, "4": {"a": [1, 2]}}
        assert artifact.tensors["value.3"].read().tolist() == list(range(5000))
        assert artifact.foreign == ()
    assert opened(tmp_path / "a.npz").tensors["weights.conv.w"].shape == (2, 3)


def test_object_arrays_may_follow_each_other_in_one_file(tmp_path, opened):
    with (tmp_path / "a.npy").open("wb") as file:
        np.save(file, np.array([1, None], object))
        np.save(file, np.array(["x"], object))
        np.save(file, np.ones(3))
    artifact = opened(tmp_path / "a.npy")
    assert [artifact.tree[key]["elements"] for key in ("array", "array[1]")] == [[1, None], ["x"]]
    assert list(artifact.tensors) == ["array[2]"]


@pytest.mark.parametrize(
    "change", [(b"K\x02\x85", b"K\x03\x85"), (b"_reconstruct", b"_reconstrucT"), (b"t\x94b.", b"t\x94b")]
)
def test_a_pickle_that_is_not_the_array_of_the_header_is_an_error(tmp_path, opened, change):
    np.save(tmp_path / "a.npy", np.array([1, None], object))
    data = (tmp_path / "a.npy").read_bytes()
    assert change[0] in data
    (tmp_path / "a.npy").write_bytes(data.replace(*change))
    with pytest.raises(LoadError):
        opened(tmp_path / "a.npy")


def test_records_that_hold_objects_are_lists_of_their_fields(tmp_path, opened):
    np.save(tmp_path / "a.npy", np.array([(1, None)], [("n", "<i4"), ("o", "O")]))
    artifact = opened(tmp_path / "a.npy")
    assert not artifact.tensors
    assert artifact.tree["array"]["dtype"] == "struct{n: int32, o: object}"
    assert artifact.tree["array"]["elements"] == [[1, None]]


def test_elements_too_large_for_a_block_are_compared_by_digest(tmp_path, opened, monkeypatch):
    monkeypatch.setattr(arrays, "MAX_ELEMENT_BYTES", 8)
    texts = np.array(["abc", "de"], "<U3")
    np.save(tmp_path / "little.npy", texts)
    np.save(tmp_path / "big.npy", texts.astype(">U3"))
    np.save(tmp_path / "turned.npy", np.array([["abc", "de"]] * 2, "<U3", order="F"))
    little, big, turned = (opened(tmp_path / f"{name}.npy") for name in ("little", "big", "turned"))
    assert not little.tensors
    digest = hashlib.blake2b(texts.tobytes(), digest_size=32).hexdigest()
    assert little.tree == {"array": {"dtype": "str[3]", "shape": [2], "bytes": 24, "blake2b": digest}}
    assert big.tree["array"]["byte_order"] == "big"
    assert turned.tree["array"]["order"] == "Fortran"


def test_elements_without_bytes_are_in_the_tree(tmp_path, opened):
    np.save(tmp_path / "a.npy", np.zeros((2, 3), []))
    np.save(tmp_path / "b.npy", np.zeros(4, [("empty", "S0"), ("n", "<i2")]))
    a, b = opened(tmp_path / "a.npy"), opened(tmp_path / "b.npy")
    assert not a.tensors
    assert a.tree["array"] | {"blake2b": ""} == {"dtype": "struct{}", "shape": [2, 3], "bytes": 0, "blake2b": ""}
    assert b.tree == {"array.empty": {"dtype": "bytes[0]", "shape": [4], "bytes": 0}}
    assert list(b.tensors) == ["array.n"]


@pytest.mark.parametrize(
    ("descr", "complaint"),
    [
        ("[('a', '<f4'), ('a', '<f4')]", "two fields have the name 'a'"),
        ("[('', '<f4')]", "a field has no name"),
        ("[('a', '<f4', (-1,))]", "no proper name or shape"),
        ("[('a', '<f4', (2147483647, 2147483647))]", "larger than NumPy allows"),
        ("[('a', '<f4', (0, 2147483647, 2147483647))]", "larger than NumPy allows"),
        ("[('a',)]", "is not a name, a type and perhaps a shape"),
        ("[['a', '<f4']]", "is not a name, a type and perhaps a shape"),
        (r"[('\ud800', '<f4')]", "is not valid Unicode"),
        ("[('a', [('b', '<f3')])]", "NumPy has no element type '<f3'"),
        ("[('a', 3)]", "is neither a string nor a list of fields"),
        ("[('a.b', '<f4'), ('a', [('b', '<f4')])]", "two fields have the name 'a'"),
    ],
)
def test_records_that_numpy_does_not_write_are_refused(tmp_path, refused, npy, descr, complaint):
    path = tmp_path / "a.npy"
    path.write_bytes(npy(f"{{'descr': {descr}, 'fortran_order': False, 'shape': (1,), }}\n", b"\0" * 64))
    error = refused(path)
    assert complaint in error.reason
    assert error.offset == 10
