"""Division into arrays and a tree, against what was pickled."""

from __future__ import annotations

import argparse
import collections
import datetime as dt
import decimal
import fractions
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


@PROTOCOLS
@pytest.mark.parametrize(
    ("one", "other"),
    [
        (frozenset([1, 2]), frozenset([1, 3])),
        ((1, frozenset(["a"])), (1, frozenset(["b"]))),
        ((1, uuid.UUID(int=1)), (1, uuid.UUID(int=2))),
        (dt.date(2020, 1, 1), dt.date(2020, 1, 2)),
        (b"a" * 5000, b"b" * 5000),
    ],
    ids=["set", "set in a tuple", "object in a tuple", "date", "many bytes"],
)
def test_keys_that_differ_have_different_names_in_the_tree(protocol, one, other):
    names = [list(divided(pickle.dumps({key: 1}, protocol)).tree) for key in (one, other)]
    assert names[0] != names[1]


def test_a_set_that_is_a_key_has_one_name_however_its_members_are_ordered():
    one, other = (frozenset(f"{i}" for i in order) for order in (range(20), reversed(range(20))))
    assert divided(pickle.dumps({one: 1})).tree == divided(pickle.dumps({other: 1})).tree


@PROTOCOLS
def test_many_bytes_that_are_a_key_are_told_by_what_they_are_and_not_by_where(protocol):
    key = b"k" * 5000
    first, second = (divided(pickle.dumps({"before": text, key: 1}, protocol)).tree for text in ("a", "abc"))
    assert first.keys() == second.keys()


@PROTOCOLS
def test_an_array_that_is_a_key_is_an_array_beside_its_entry(protocol):
    class Hashed(np.ndarray):
        __hash__ = object.__hash__

        def __eq__(self, other):
            return self is other

        def __reduce__(self):
            return np.asarray(self).__reduce__()

    key = np.arange(3).view(Hashed)
    found = divided(pickle.dumps({"d": {key: {"v": np.ones(2)}}}, protocol))
    assert set(found.arrays) == {"d.0.__key__", "d.0.v"}
    assert bytes(found.arrays["d.0.__key__"].data) == np.arange(3).tobytes()


@PROTOCOLS
@pytest.mark.parametrize("size", [3, 5000])
def test_a_bytearray_of_any_length_is_bytes(protocol, size):
    assert divided(pickle.dumps({"b": bytearray(b"x" * size)}, protocol)).tree == {"b": b"x" * size}


@PROTOCOLS
def test_a_fraction_is_written_as_python_writes_it(protocol):
    value = fractions.Fraction(-3, 4)
    assert divided(pickle.dumps({"f": value, "whole": fractions.Fraction(2)}, protocol)).tree == {
        "f": str(value),
        "whole": "2",
    }


@PROTOCOLS
def test_the_longest_that_a_deque_may_become_is_kept(protocol):
    found = divided(pickle.dumps({"d": collections.deque([1, 2], maxlen=5)}, protocol))
    assert found.tree == {"d": {"__maxlen__": 5, "__items__": [1, 2]}}


def test_long_texts_in_many_tuples_that_are_keys_are_refused_before_they_fill_time_and_memory():
    text = b"x" * 4000
    one = b"h\x00h\x00h\x00\x87K\x01s"  # a tuple of three times the text, as a key
    data = b"\x80\x04}X" + len(text).to_bytes(4, "little") + text + b"\x94" + b"0" + one * 200_000 + b"."
    start = time.process_time()
    with pytest.raises(LoadError, match="bytes of text"):
        divided(data)
    assert time.process_time() - start < 5


def test_a_long_key_in_each_of_many_levels_is_refused_before_the_paths_fill_memory():
    key = b"X" + (1 << 20).to_bytes(4, "little") + b"k" * (1 << 20)
    data = b"\x80\x04}" + key + b"\x94" + b"}h\x00" * 150 + b"K\x01" + b"s" * 151 + b"."
    with pytest.raises(LoadError, match="name of more than"):
        divided(data)
    assert list(divided(pickle.dumps({"k" * 100_000: 1})).tree) == ["k" * 100_000]


def test_objects_of_much_text_that_are_keys_are_refused_before_they_fill_time_and_memory():
    word = b"X\0\x10\0\0" + b"k" * 4096 + b"q\x010"
    one = b"(" + b"h\x01" * 60 + b"\x91K\x01s"  # a frozenset of sixty times the text, as a key
    start = time.process_time()
    with pytest.raises(LoadError, match="names of more than"):
        divided(b"\x80\x04" + word + b"}" + one * 20_000 + b".")
    assert time.process_time() - start < 5
