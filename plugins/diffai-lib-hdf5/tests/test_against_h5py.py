"""Everything that h5py writes, in every version of the format, read bit for bit as h5py reads it."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from diffai_lib_hdf5 import check_extents, fields_of, raw_extents, tensor_of

VERSIONS = ["earliest", "v108", "v110", "v112", "latest"]
TYPES = ["i1", "u1", "<i2", ">i2", "<u4", ">u8", "f2", ">f4", "f8", "?", "c8", ">c16", "S5", "V3"]
CHUNKS = {
    "tree": {"chunks": (5, 4)},
    "gzip": {"chunks": (5, 4), "compression": "gzip"},
    "all filters": {"chunks": (5, 4), "compression": "gzip", "shuffle": True, "fletcher32": True},
    "single": {"chunks": (37, 23)},
    "single, gzip": {"chunks": (37, 23), "compression": "gzip"},
    "extensible": {"chunks": (5, 4), "maxshape": (None, 23)},
    "extensible in the second, gzip": {"chunks": (5, 4), "maxshape": (37, None), "compression": "gzip"},
    "without limits": {"chunks": (5, 4), "maxshape": (None, None)},
    "lzf": {"chunks": (5, 4), "maxshape": (None, None), "compression": "lzf", "shuffle": True},
    "pages": {"chunks": (1, 1), "maxshape": (None, 40)},
    "many": {"chunks": (1, 1)},
    "many, without limits, gzip": {"chunks": (1, 1), "maxshape": (None, None), "compression": "gzip"},
    "limits": {"chunks": (5, 4), "maxshape": (50, 60)},
}
MATRIX = np.random.default_rng(0).standard_normal((37, 23)).astype("f4")


@pytest.fixture(params=VERSIONS)
def version(request):
    return request.param


def little(array):
    return np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"))).tobytes()


def written(path, version, fill, **options):
    bounds = version if version in {"earliest", "latest"} else (version, version)
    with h5py.File(path, "w", libver=bounds, **options) as file:
        fill(file)
    return path


def datasets(opened):
    found = {one.path: opened.dataset(one) for one in opened.objects.found}
    return {path.lstrip("/"): dataset for path, dataset in found.items() if dataset is not None}


def tensors(dataset, *, turned=False):
    fields, others = fields_of(dataset.type)
    assert not others
    return {field.path: tensor_of(dataset, field, "w", turned=turned) for field in fields}


@pytest.mark.parametrize("user_block", [0, 512, 4096])
def test_arrays_of_every_type_have_the_same_bits(opened, tmp_path, version, user_block):
    rng = np.random.default_rng(1)
    arrays = {}
    for name in TYPES:
        raw = rng.integers(0, 2 if name == "?" else 256, 35 * np.dtype(name).itemsize, np.uint8)
        arrays[f"t/{np.dtype(name).name}{name[0] == '>'}"] = raw.view(name).reshape(5, 7)

    def fill(file):
        for name, array in arrays.items():
            file[name] = array

    path = written(tmp_path / "a.h5", version, fill, userblock_size=user_block)
    found = datasets(opened(path))
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        (ref,) = tensors(found[name]).values()
        assert (ref.shape, ref.dtype.numpy.itemsize) == (array.shape, array.itemsize)
        assert ref.read().tobytes() == little(array), name


@pytest.mark.parametrize("how", CHUNKS)
def test_chunks_give_the_same_bits_in_both_orders_of_dimensions(opened, tmp_path, version, how):
    path = written(tmp_path / "a.h5", version, lambda file: file.create_dataset("w", data=MATRIX, **CHUNKS[how]))
    file = opened(path)
    dataset = datasets(file)["w"]
    (straight,), (turned,) = tensors(dataset).values(), tensors(dataset, turned=True).values()
    assert np.array_equal(straight.read(), MATRIX)
    assert turned.shape == (23, 37)
    assert b"".join(block.tobytes() for block in turned.blocks(200)) == MATRIX.T.tobytes()
    extents = raw_extents(dataset)
    check_extents(file, [(*extent, "w") for extent in extents])
    with h5py.File(path) as reference:
        assert sum(stop - start for start, stop in extents) == reference["w"].id.get_storage_size()


def test_boxes_of_an_array_that_is_cut_many_times_give_the_same_bits(opened, tmp_path, monkeypatch):
    cube = np.arange(6 * 7 * 8, dtype=">i4").reshape(6, 7, 8)

    def fill(file):
        file["plain"] = cube
        file.create_dataset("chunked", data=cube, chunks=(4, 3, 5))

    monkeypatch.setattr("diffai_lib_hdf5.boxes.MAX_BOX_BYTES", 64)
    found = datasets(opened(written(tmp_path / "a.h5", "earliest", fill)))
    for dataset in found.values():
        (straight,), (turned,) = tensors(dataset).values(), tensors(dataset, turned=True).values()
        assert straight.read().tobytes() == little(cube)
        assert turned.read().tobytes() == little(cube.T)


def test_fields_of_records_have_the_same_bits(opened, tmp_path, version):
    kind = [("a", "i2"), ("b", ">f8"), ("c", "u1", (2,)), ("d", "S3"), ("e", [("x", "c8"), ("y", "?")])]
    records = np.frombuffer(bytes(range(200)) * np.dtype(kind).itemsize, kind)[:40].copy()
    records["e"]["y"] = records["a"] % 2 == 0

    def fill(file):
        file["plain"] = records
        file.create_dataset("chunked", data=records, chunks=(7,), compression="gzip")

    for dataset in datasets(opened(written(tmp_path / "a.h5", version, fill))).values():
        refs = tensors(dataset)
        assert list(refs) == [".a", ".b", ".c", ".d", ".e.x", ".e.y"]
        assert refs[".b"].read().tobytes() == little(records["b"])
        assert refs[".c"].read().tobytes() == little(records["c"])
        assert refs[".e.x"].read().tobytes() == little(records["e"]["x"])
        assert refs[".e.y"].read().tobytes() == little(records["e"]["y"])


def test_attributes_have_the_same_values(opened, tmp_path, version):
    written_values = {
        "text": "größe",
        "number": np.float32(0.5),
        "array": np.arange(6).reshape(2, 3),
        "texts": np.array(["a", "bc"], h5py.string_dtype()),
        "fixed": np.array([b"a", b"bc"]),
        "truth": np.bool_(True),
        "empty": h5py.Empty("f4"),
    }

    wanted = {
        "text": "größe",
        "number": 0.5,
        "array": [[0, 1, 2], [3, 4, 5]],
        "texts": ["a", "bc"],
        "fixed": ["a", "bc"],
        "truth": True,
        "empty": None,
    }

    def fill(file):
        file.attrs.update(written_values)
        many = file.create_group("many")
        for number in range(200):
            many.attrs[f"a{number}"] = number

    file = opened(written(tmp_path / "a.h5", version, fill))
    root, many = file.objects.found
    assert file.attributes(root) == wanted
    assert file.attributes(many) == {f"a{number}": number for number in range(200)}


def test_a_large_attribute_of_the_newest_format_is_read(opened, tmp_path):
    def fill(file):
        for number in range(20):
            file.attrs[f"a{number}"] = number
        file.attrs["large"] = "x" * 100_000

    file = opened(written(tmp_path / "a.h5", "latest", fill))
    assert file.attributes(file.objects.found[0])["large"] == "x" * 100_000


def test_texts_sequences_references_and_named_types_have_the_same_values(opened, tmp_path, version):
    def fill(file):
        file["scalar"], file["nothing"], file["text"] = np.float32(3), h5py.Empty("f4"), "hello"
        file["references"] = np.array([file["scalar"].ref, file["/"].ref], h5py.ref_dtype)
        ragged = file.create_dataset("ragged", (2,), h5py.vlen_dtype("i4"))
        ragged[0], ragged[1] = [1, 2], [3]
        file["named"] = np.dtype("f4")
        file.create_dataset("of named type", data=MATRIX, dtype=file["named"])
        file.create_dataset("colour", data=np.array([0, 1], "i1"), dtype=h5py.enum_dtype({"R": 0, "G": 1}, "i1"))

    file = opened(written(tmp_path / "a.h5", version, fill))
    found = datasets(file)
    assert file.plain(found["nothing"]) is None
    assert file.plain(found["text"]) == "hello"
    assert file.plain(found["references"]) == ["/scalar", "/"]
    assert file.plain(found["ragged"]) == [[1, 2], [3]]
    assert file.plain(found["colour"]) == ["R", "G"]
    (ref,) = tensors(found["of named type"]).values()
    assert np.array_equal(ref.read(), MATRIX)
    assert "named" not in found


def test_groups_of_many_members_are_complete(opened, tmp_path, version):
    def fill(file):
        for number in range(400):
            file.create_group(f"group with a longer name {number:04}")
        ordered = file.create_group("ordered", track_order=True)
        for number in range(50):
            ordered.create_group(f"z{99 - number}")

    file = opened(written(tmp_path / "a.h5", version, fill))
    wanted = {"/", "/ordered", *(f"/group with a longer name {number:04}" for number in range(400))}
    assert {one.path for one in file.objects.found} == wanted | {f"/ordered/z{n}" for n in range(50, 100)}
