"""Division into arrays and a tree, against what was pickled."""

from __future__ import annotations

import argparse
import collections
import datetime as dt
import decimal
import pathlib
import pickle
import time
import uuid

import ml_dtypes
import numpy as np
import pytest
from diffai_lib_pickle import BytesSource, Rules, load
from diffai_lib_pickle.arrays import NUMPY_NAMES, ArrayValue, numpy_builders
from diffai_lib_pickle.standard import STANDARD_NAMES
from diffai_lib_pickle.tree import divide

from diffai_core.plugin import LoadError

PROTOCOLS = pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
RECORD = np.dtype([("a", "<i4"), ("b", ">f8"), ("c", "<i2", (2,)), ("d", "S3")], align=True)


class Thing:
    def __init__(self, **fields):
        self.__dict__.update(fields)


def is_array(value):
    return isinstance(value, ArrayValue) and not value.dtype.has_objects


def divided(data, **options):
    source = BytesSource(data, "f.pkl")
    return divide(load(source, rules=Rules(builders=numpy_builders())).value, source, is_array, **options)


def elements(found, data):
    """Return the array that a record stands for."""
    raw = found.data if isinstance(found.data, bytes) else data[found.data.position :][: found.data.length]
    descr = found.dtype.descr
    dtype = (
        np.dtype([part if part[0] else (f"_{i}", *part[1:]) for i, part in enumerate(descr)])
        if isinstance(descr, list)
        else np.dtype(descr)
    )
    return np.frombuffer(raw, dtype).reshape(found.shape, order="F" if found.fortran_order else "C")


ARRAYS = {
    "float": np.arange(6, dtype="<f4").reshape(2, 3),
    "big-endian": np.arange(3, dtype=">i2"),
    "Fortran": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "scalar": np.array(5, "u1"),
    "empty": np.zeros((0, 3)),
    "bool": np.array([True, False]),
    "complex": np.array([1 + 2j]),
    "text": np.array(["abc", "d"]),
    "bytes": np.array([b"abc", b"d"]),
    "time": np.array(["2020-01-01", "NaT"], "M8[5us]"),
    "large": np.arange(5000.0),
    "half": np.ones(4, "f2"),
}


@PROTOCOLS
@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_has_the_elements_that_numpy_pickled(name, protocol):
    array = ARRAYS[name]
    data = pickle.dumps({"x": [array]}, protocol)
    found = divided(data)
    assert found.tree == {}
    (path,) = found.arrays
    made = elements(found.arrays[path], data)
    assert (path, made.shape, made.dtype) == ("x.0", array.shape, array.dtype)
    assert made.tobytes() == array.tobytes()


@PROTOCOLS
def test_records_keep_offsets_and_padding(protocol):
    array = np.zeros(3, RECORD)
    array["a"], array["b"], array["c"], array["d"] = 1, 2.5, [3, 4], b"xyz"
    data = pickle.dumps(array, protocol)
    found = divided(data, prefix="r").arrays["r"]
    assert found.dtype.size == RECORD.itemsize
    made = elements(found, data)
    for name in RECORD.names:
        assert (made[name] == array[name]).all()


@PROTOCOLS
def test_types_of_ml_dtypes_are_known_by_name(protocol):
    found = divided(pickle.dumps(np.ones(3, ml_dtypes.bfloat16), protocol), prefix="b").arrays["b"]
    assert (found.dtype.descr, found.dtype.size) == ("bfloat16", 2)
    assert bytes(found.data) == np.ones(3, ml_dtypes.bfloat16).tobytes()


@PROTOCOLS
def test_objects_of_the_standard_library_are_plain_values(protocol):
    loop = {"a": 1}
    loop["me"] = loop
    value = {
        "list": [1, 2.5, None, True, "text", b"bytes", (1, 2)],
        "set": {3, 1, 2},
        "frozen": frozenset(["b", "a"]),
        "ordered": collections.OrderedDict(b=1, a=2),
        "default": collections.defaultdict(list, k=[1]),
        "deque": collections.deque([1, 2]),
        "datetime": dt.datetime(2020, 1, 2, 3, 4, 5, 6),  # noqa: DTZ001 - without a zone
        "date": dt.date(2021, 2, 3),
        "delta": dt.timedelta(3, 4),
        "decimal": decimal.Decimal("1.5"),
        "path": pathlib.PurePosixPath("/a/b"),
        "uuid": uuid.UUID(int=5),
        "complex": 1 + 2j,
        "namespace": argparse.Namespace(lr=0.1),
        "number": np.float32(1.5),
        "loop": loop,
        "objects": np.array(["a", None, 3], object),
        1: {(1, "x"): 2},
    }
    found = divided(pickle.dumps(value, protocol))
    assert found.arrays == {}
    assert found.tree == {
        "list": [1, 2.5, None, True, "text", found.tree["list"][5], [1, 2]],
        "set": [1, 2, 3],
        "frozen": ["a", "b"],
        "ordered": {"b": 1, "a": 2},
        "default": {"k": [1]},
        "deque": [1, 2],
        "datetime": "2020-01-02T03:04:05.000006",
        "date": "2021-02-03",
        "delta": "3 days, 0:00:04",
        "decimal": "1.5",
        "path": "/a/b",
        "uuid": f"{5:032x}",
        "complex": "(1+2j)",
        "namespace": {"__class__": "argparse.Namespace", "lr": 0.1},
        "number": 1.5,
        "loop": {"a": 1, "me": {"__cycle__": 1}},
        "objects": {"dtype": "|O8", "shape": [3], "elements": ["a", None, 3]},
        "1": {"(1, 'x')": 2},
    }
    assert found.tree["list"][5] == b"bytes"


def test_arrays_in_objects_have_their_dotted_path_and_the_rest_stays():
    value = {"model": Thing(w=np.ones(2), name="m", layers=[np.zeros(1), "relu", np.zeros(3)])}
    found = divided(pickle.dumps(value))
    assert list(found.arrays) == ["model.w", "model.layers.0", "model.layers.2"]
    assert found.tree["model"].pop("__class__").endswith(".Thing")
    assert found.tree == {"model": {"name": "m", "layers": {"1": "relu"}}}


def test_keys_and_paths_that_coincide_are_kept_apart():
    assert divided(pickle.dumps({1: "a", "1": "b", None: 1, "None": 2})).tree == {
        "1": "a",
        "1 (str)": "b",
        "None": 1,
        "None (str)": 2,
    }
    found = divided(pickle.dumps({"a": {"b": np.ones(1)}, "a.b": np.ones(2)}))
    assert list(found.arrays) == ["a.b", "a.b (2)"]


def test_many_keys_of_one_text_cost_no_more_than_others():
    body = b"(I0\nicollections\nX\nK\x01" * 20_000
    data = b"}(" + body + b"u."
    started = time.process_time()
    assert len(divided(data).tree) == 20_000
    assert time.process_time() - started < 3


def test_what_is_shared_is_one_object_of_the_tree_and_costs_its_size_once():
    value = [1]
    for _ in range(100):
        value = [value, value]
    started = time.process_time()
    tree = divided(pickle.dumps(value)).tree
    assert tree[0] is tree[1]
    assert time.process_time() - started < 1


def test_an_array_shared_too_often_is_an_error():
    value = [np.ones(1)]
    for _ in range(40):
        value = [value, value]
    with pytest.raises(LoadError, match="counted as often as they are shared"):
        divided(pickle.dumps(value))


def test_nesting_deeper_than_the_limit_is_an_error():
    with pytest.raises(LoadError, match="nested deeper than 200 levels"):
        divided(b"]" * 300 + b"a" * 299 + b".")
    assert divided(b"]" * 150 + b"a" * 149 + b".").tree


@pytest.mark.parametrize(
    "change", [(b"K\x03\x85", b"K\x04\x85"), (b"K\x03\x85", b"J\xff\xff\xff\xff\x85"), (b"\x8c\x02f8", b"\x8c\x02f9")]
)
def test_an_array_whose_size_does_not_fit_is_an_error(change):
    data = pickle.dumps(np.arange(3.0), 4)
    assert change[0] in data
    with pytest.raises(LoadError):
        divided(data.replace(*change).replace(b"\x95" + data[3:11], b""))


def test_plain_pickles_hold_nothing_foreign():
    source = BytesSource(pickle.dumps([RECORD, np.ones(2), np.float64(1), {1}, dt.date(2020, 1, 1)]), "f")
    assert load(source).foreign(STANDARD_NAMES | NUMPY_NAMES, source, "f") == ()


def test_objects_as_keys_have_the_text_of_their_fields():
    assert list(divided(pickle.dumps({dt.timedelta(1): 2})).tree) == ["datetime.timedelta(1, 0, 0)"]


def test_types_as_keys_have_the_same_text_each_time():
    assert list(divided(pickle.dumps({np.dtype("float32"): 1, np.int64(3): 2})).tree) == ["<f4", "3"]


def test_a_damaged_type_that_stands_by_itself_is_an_error_with_its_place():
    state = b"K\x03X\x01\0\0\0|NK\x01}K\x04K\x01K\x00t"  # names that are no tuple
    data = b"\x80\x02]cnumpy\ndtype\n(X\x02\0\0\0V4K\x00K\x01tR(" + state + b"ba."
    with pytest.raises(LoadError, match="the fields of a NumPy dtype are damaged"):
        divided(data)


def test_records_with_objects_are_lists_of_their_fields():
    array = np.array([(1, "a"), (2, None)], [("n", "<i4"), ("o", object)])
    found = divided(pickle.dumps({"x": array, "y": np.ones(2)}))
    assert found.tree["x"]["elements"] == [[1, "a"], [2, None]]
    assert list(found.arrays) == ["y"]


def test_keys_that_hold_records_have_the_same_text_each_time_and_none_is_lost():
    data = pickle.dumps({(dt.timedelta(1), 2): "a", (decimal.Decimal(1), 3): "b", np.dtype("f4"): "c"})
    trees = [divided(data).tree for _ in range(2)]
    assert (
        trees[0] == trees[1] == {"(datetime.timedelta(1, 0, 0), 2)": "a", "(decimal.Decimal('1'), 3)": "b", "<f4": "c"}
    )
    twins = pickle.dumps({(uuid.UUID(int=1),): "a", (uuid.UUID(int=2),): "b"})
    assert sorted(divided(twins).tree.values()) == ["a", "b"]
