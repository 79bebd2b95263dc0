"""Pickles and joblib files, held against what the libraries themselves read from them."""

from __future__ import annotations

import bz2
import collections
import datetime as dt
import gzip
import io
import lzma
import pathlib
import pickle
import re
import zlib
from contextlib import ExitStack

import joblib
import numpy as np
import pytest
from diffai_load_pickle import loader, packed
from diffai_load_pickle.loader import open_pickle
from diffai_load_pickle.sniff import looks_like_pickle

from diffai_core.plugin import LoadError, Source

COMPRESSIONS = ("zlib", "gzip", "bz2", "lzma", "xz", "lz4")
FIXTURES = pathlib.Path(__file__).parent / "fixtures"
RNG = np.random.default_rng(0)
VALUE = {
    "weights": RNG.normal(size=(50, 40)),
    "turned": np.asfortranarray(RNG.normal(size=(30, 20)).astype("float32")),
    "small": np.arange(3, dtype=">i2"),
    "empty": np.zeros((0, 3)),
    "scalar": np.array(7),
    "flags": np.array([True, False]),
    "texts": np.array(["a", "bcd"]),
    "dates": np.array(["2024-01-01"], "datetime64[ns]"),
    "records": np.array([(1, 2.5), (3, 4.5)], [("n", "i4"), ("x", "f8")]),
    "objects": np.array([["a", 1], [None, 2.5]], dtype=object),
    "number": np.float32(0.1),
    "nested": {"list": [1, "two", None, b"3", (4, 5)], 6: {"seven", "eight"}},
}


@pytest.fixture
def opened():
    with ExitStack() as stack:
        yield lambda path: stack.enter_context(open_pickle(Source(path), {}))


@pytest.fixture
def pickled(tmp_path, opened):
    def write(data, name="x.pkl"):
        path = tmp_path / name
        path.write_bytes(data)
        return opened(path)

    return write


@pytest.fixture
def refused(tmp_path):
    def check(data):
        path = tmp_path / "x.pkl"
        path.write_bytes(data)
        with pytest.raises(LoadError) as caught:
            read_all(path)
        assert caught.value.path == str(path)
        return caught.value

    return check


def read_all(path):
    with open_pickle(Source(path), {}) as artifact:
        for ref in artifact.tensors.values():
            ref.read()


def check(artifact, value=VALUE):
    """Hold what was opened against the objects themselves."""
    arrays = {key: array for key, array in value.items() if isinstance(array, np.ndarray) and array.dtype != object}
    records = arrays.pop("records")
    arrays |= {f"records.{name}": records[name] for name in records.dtype.names}
    assert set(artifact.tensors) == set(arrays)
    for key, array in arrays.items():
        read = artifact.tensors[key].read()
        assert read.shape == array.shape, key
        wanted = array.astype(array.dtype.newbyteorder("<"))
        assert read.tobytes() == np.ascontiguousarray(wanted).tobytes(), key
    tree = artifact.tree
    assert tree["objects"]["shape"] == [2, 2]
    assert tree["objects"]["elements"] == ["a", 1, None, 2.5]
    assert tree["number"] == float(value["number"])
    assert tree["nested"] == {"list": [1, "two", None, b"3", [4, 5]], "6": ["eight", "seven"]}
    assert artifact.foreign == ()


@pytest.mark.parametrize("protocol", range(6))
def test_pickles_of_every_protocol_hold_what_pickle_wrote(pickled, protocol):
    check(pickled(pickle.dumps(VALUE, protocol=protocol)))


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_joblib_files_hold_what_joblib_wrote(tmp_path, opened, protocol):
    joblib.dump(VALUE, tmp_path / "x", protocol=protocol)
    check(opened(tmp_path / "x"))


@pytest.mark.parametrize("method", COMPRESSIONS)
@pytest.mark.parametrize("held", [True, False], ids=["in-memory", "streamed"])
def test_compressed_joblib_files_hold_what_joblib_wrote(tmp_path, opened, monkeypatch, method, held):
    if not held:
        monkeypatch.setattr(loader, "MAX_HELD", 0)
    joblib.dump(VALUE, tmp_path / "x", compress=(method, 3))
    check(opened(tmp_path / "x"))


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress, zlib.compress])
def test_compressed_pickles_are_read_also_as_several_streams(pickled, compress):
    data = pickle.dumps(VALUE)
    check(pickled(compress(data)))
    check(pickled(compress(data[:777]) + compress(data[777:])))


def test_arrays_of_an_uncompressed_file_stay_in_it(tmp_path, opened):
    joblib.dump({"w": VALUE["weights"]}, tmp_path / "x")
    ref = opened(tmp_path / "x").tensors["w"]
    assert (tmp_path / "x").read_bytes()[ref.offset :].startswith(VALUE["weights"].tobytes())


def test_a_compressed_file_is_streamed_forward_and_not_begun_again_for_each_array(tmp_path, opened, monkeypatch):
    monkeypatch.setattr(loader, "MAX_HELD", 0)
    joblib.dump([RNG.normal(size=1000) for _ in range(30)], tmp_path / "x", compress=3)
    artifact = opened(tmp_path / "x")
    begun = []
    monkeypatch.setattr(packed, "Stream", lambda *args, real=packed.Stream: begun.append(args) or real(*args))
    for ref in artifact.tensors.values():
        ref.read()
    assert len(begun) <= 1


def test_values_that_are_no_mapping_have_names_too(pickled):
    assert pickled(pickle.dumps([1, 2])).tree == {"$": [1, 2]}
    array = pickled(pickle.dumps(np.arange(4)))
    assert (list(array.tensors), array.tree) == (["array"], {})
    several = pickled(pickle.dumps({"a": 1}) + pickle.dumps({"b": np.arange(2)}) + pickle.dumps(3))
    assert several.tree == {"a": 1, "[1]": {}, "[2]": 3}
    assert list(several.tensors) == ["[1].b"]


def test_plain_objects_of_the_standard_library_are_plain_values(pickled):
    value = {
        "ordered": collections.OrderedDict(a=1),
        "default": collections.defaultdict(list, b=[2]),
        "when": dt.datetime(2024, 5, 1, 12, 30),  # noqa: DTZ001 - without a time zone, on purpose
        "path": pathlib.PurePosixPath("a/b"),
        "complex": 1 + 2j,
        "bytes": bytearray(b"x"),
    }
    artifact = pickled(pickle.dumps(value))
    assert artifact.tree["ordered"] == {"a": 1}
    assert artifact.tree["default"] == {"b": [2]}
    assert artifact.tree["when"] == "2024-05-01T12:30:00"
    assert artifact.tree["path"] == "a/b"
    assert artifact.tree["bytes"] == b"x"
    assert {name.name for name in artifact.foreign} <= {"builtins.list"}


def test_bytes_behind_the_last_pickle_are_said_to_be_not_compared(pickled):
    artifact = pickled(pickle.dumps({"a": 1}) + b"trailing")
    assert [part.reason for part in artifact.not_readable] == ["8 bytes follow the last pickle, and they are no pickle"]


def test_files_of_all_versions_of_joblib_hold_the_same(opened):
    """joblib brings files that its versions since 0.8 wrote; those of Python 2 it no longer reads itself."""
    paths = [
        path
        for path in (pathlib.Path(joblib.__file__).parent / "test/data").iterdir()
        if path.suffix in {".pkl", ".gz", ".gzip", ".bz2", ".lzma", ".xz"} and "cache_size" not in path.name
    ]
    assert len(paths) > 30
    for path in paths:
        artifact = opened(path)
        if re.search(r"0\.[89]\.\d_pickle", path.name):
            assert [part.where for part in artifact.not_readable] == ["0", "1", "2", "4"], path.name
            continue
        arrays = {name: ref.read().tolist() for name, ref in artifact.tensors.items()}
        assert arrays == {"0": [0, 1, 2, 3, 4], "1": [0.0, 1.0, 2.0, 3.0, 4.0], "4": [[0, 1, 2]]}, path.name
        assert artifact.tree["2"]["elements"] == [1, "abc", {"a": 1, "b": 2}], path.name
        assert artifact.not_readable == artifact.foreign == (), path.name


def test_frames_of_pandas_are_shown_by_their_columns(opened):
    artifact = opened(FIXTURES / "frames.pkl")
    read = {name: ref.read().tolist() for name, ref in artifact.tensors.items() if ref.dtype.kind != "opaque"}
    tree = artifact.tree
    assert (read["frame.columns.a"], read["frame.columns.f"]) == ([1, 2, 3], [4, 5, 6])
    assert read["frame.columns.b"] == [0.5, 1.5, 2.5]
    assert read["frame.columns.e.values"] == [0, 1, 0]
    assert tree["frame"]["columns"]["c"]["values"]["elements"] == ["x", "y", "z"]
    assert tree["frame"]["columns"]["e"]["dtype"]["categories"]["data"]["values"]["elements"] == ["u", "v"]
    assert tree["frame"]["index"]["data"]["values"]["elements"] == ["r1", "r2", "r3"]
    days = artifact.tensors["frame.columns.d.values"].read().tobytes()
    assert days == np.array(["2024-01-01", "2024-01-02", "2024-01-03"], "datetime64[us]").tobytes()
    assert (read["series.values"], tree["series"]["_name"]) == ([1.0, 2.0], "q")
    assert tree["series"]["index"] | {"stop": 2, "step": 1} == tree["series"]["index"]
    assert read["levels.columns.b"] == [0.5, 1.5, 2.5]
    assert read["levels.index.levels.0.data"] == [1, 2, 3]
    assert read["turned.blocks.0.0"] == [[0.0, 2.0, 4.0], [1.0, 3.0, 5.0]]
    assert tree["turned"]["columns"]["data"]["values"]["elements"] == ["x", "y"]
    assert read["numbers.blocks.0.0"] == [[1, 2], [3, 4]]
    assert artifact.foreign == ()


# -- safety ----------------------------------------------------------------------------------------------------------


class Evil:
    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


def marker_writer(path):
    return Evil(exec, f"open({str(path)!r}, 'w').close()")


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("pack", [bytes, zlib.compress, gzip.compress, lzma.compress])
def test_nothing_that_a_pickle_names_is_run_and_it_is_listed(tmp_path, pickled, protocol, pack):
    marker = tmp_path / "ran"
    artifact = pickled(pack(pickle.dumps({"w": np.arange(2000.0), "x": marker_writer(marker)}, protocol)))
    assert artifact.tensors["w"].read().tolist() == list(range(2000))
    assert not marker.exists()
    assert [name.name for name in artifact.foreign] == ["builtins.exec"]


def test_joblib_arrays_of_objects_run_nothing_either(tmp_path, opened):
    marker = tmp_path / "ran"
    joblib.dump({"x": np.array([marker_writer(marker), 1], dtype=object)}, tmp_path / "x.joblib")
    artifact = opened(tmp_path / "x.joblib")
    assert not marker.exists()
    assert [name.name for name in artifact.foreign] == ["builtins.exec"]


@pytest.mark.parametrize(
    "name",
    [
        "numpy.testing._private.utils.runstring",
        "numpy.load",
        "pandas.read_pickle",
        "pandas.io.pytables.HDFStore",
        "joblib.load",
        "sklearn.datasets.load_files",
        "sklearn.utils.Popen",
        "sklearn.callback._transport.Client",
        "lightgbm.basic.NamedTemporaryFile",
        "sklearn.utils.parallel.Parallel",
        "pandas.core.computation.expr.Expr",
        "sklearn.utils._testing.assert_run_python_script",
        "scipy.io.loadmat",
        "builtins.eval",
        "posix.system",
        "functools.partial",
        "numpy.log1p",
        "__main__.Model",
    ],
)
def test_functions_of_the_known_libraries_are_listed_as_well(pickled, name):
    module, _, attribute = name.rpartition(".")
    before, names = b"\x80\x02}q\x00X\x01\0\0\0ac", f"{module}\n{attribute}\n".encode()
    (found,) = pickled(before + names + b")Rs.").foreign
    assert found.name == name
    assert len(before) - 1 <= found.offset < len(before + names)


def test_a_dotted_name_is_listed_whatever_module_it_begins_in(pickled):
    dotted = b"\x8c\x05numpy\x8c\x0edtypes.os.Pipe\x93"
    (found,) = pickled(b"\x80\x04}\x8c\x01a" + dotted + b")Rs.").foreign
    assert found.name == "numpy.dtypes.os.Pipe"


def test_code_of_cloudpickle_is_listed_and_not_run(pickled):
    cloudpickle = pytest.importorskip("cloudpickle")
    artifact = pickled(cloudpickle.dumps({"f": lambda x: x + 1, "a": 1}))
    assert artifact.tree["a"] == 1
    assert any(name.name.startswith("cloudpickle.") for name in artifact.foreign)


# -- damage ----------------------------------------------------------------------------------------------------------


def test_what_becomes_far_too_large_is_refused_in_bounded_memory(refused, monkeypatch):
    monkeypatch.setattr(packed, "MIN_UNPACKED", 1 << 20)
    for compress in (bz2.compress, lzma.compress):
        error = refused(compress(pickle.dumps(bytes(40 << 20))))
        assert "which no model does" in error.reason


def wrapper(shape, dtype="float64", **state):
    """Return a pickle with the record of an array of joblib, without the array."""
    from joblib.numpy_pickle import NumpyArrayWrapper

    made = NumpyArrayWrapper(np.ndarray, shape, "C", np.dtype(dtype))
    made.__dict__.update(state)
    data = pickle.dumps({"a": made}, protocol=2)
    return data[: data.rindex(b"b") + 1]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (wrapper((10,)) + b"\x00" + bytes(79), "1 bytes too early for an array"),
        (wrapper((1 << 40,)) + b"\x00" + bytes(80), "too early for an array"),
        (wrapper((10,)) + b"\xff" + bytes(80), "too early for an array"),
        (wrapper((10,)), "too early for an array"),
        (wrapper((-1,)) + bytes(99), "the shape of an array is none that it can have"),
        (wrapper((1 << 62, 1 << 62)) + bytes(99), "the shape of an array is none that it can have"),
        (wrapper("x") + bytes(99), "the shape of an array is none that it can have"),
        (wrapper((2,), order="Z") + bytes(99), "the record of an array of joblib is damaged"),
        (wrapper((2,), dtype=np.dtype(object)) + pickle.dumps([1]), "an array of objects of joblib is none"),
        (wrapper((2,), dtype=np.dtype(object)) * 40, "nested more than 16 deep"),
        (b"\x80\x02}X\x01\0\0\0acjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81s.", "is not complete"),
        (b"\x80\x02]", "ends here"),
        (b"\x80\x02" + b"]q\x00h\x00a" * 0 + b"(" * 100_000 + b".", "in the middle of an object"),
        (b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f]", "ends here"),
        (b"\x80\x02r\xff\xff\xff\xff.", "damaged"),
    ],
)
def test_damage_is_an_error_with_its_byte(refused, data, reason):
    error = refused(data)
    assert reason in error.reason
    assert error.offset is not None


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress, zlib.compress])
def test_compressed_data_that_are_cut_or_damaged_are_an_error(refused, compress):
    whole = compress(pickle.dumps({"w": RNG.normal(size=1000)}))
    assert "end too early" in refused(whole[:-5]).reason
    assert "damaged" in refused(whole[:100] + bytes(60) + whole[160:]).reason
    assert refused(whole + b"more").reason


def test_lz4_without_its_package_is_refused_with_what_to_install(tmp_path, refused, monkeypatch):
    written = io.BytesIO()
    joblib.dump({"a": 1}, written, compress=("lz4", 1))
    monkeypatch.setitem(__import__("sys").modules, "lz4.frame", None)
    assert refused(written.getvalue()).reason.endswith("; pip install lz4")


# -- recognition -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [{"a": 1}, [1], (1, 2), "text", 7, 1.5, np.arange(9), collections.OrderedDict(a=1)])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, zlib.compress, lzma.compress, bz2.compress])
def test_pickles_are_recognised_by_their_first_bytes(value, protocol, pack):
    data = pack(pickle.dumps(value, protocol))
    assert looks_like_pickle(data[:4096], len(data))


@pytest.mark.parametrize("method", ["lz4", "zlib", "gzip", "lzma", "xz"])
def test_large_compressed_joblib_files_are_recognised(method):
    written = io.BytesIO()
    joblib.dump({"a": RNG.normal(size=100_000)}, written, compress=(method, 3))
    data = written.getvalue()
    assert looks_like_pickle(data[:4096], len(data))


@pytest.mark.parametrize(
    "data",
    [
        gzip.compress(b'{"a": 1}'),
        zlib.compress(b"text" * 99),
        b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.",
        b"PK\x03\x04",
        b"config:\n  a: 1\n",
        b"class Model:\n    pass\n",
        b"(a)\n",
        b"x\x9c",
        b"BZh9",
    ],
    ids=range(9),
)
def test_other_content_is_declined(data):
    assert not looks_like_pickle(data, len(data))
    assert not looks_like_pickle(data, 10**6)
