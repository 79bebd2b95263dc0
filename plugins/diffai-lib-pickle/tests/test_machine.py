"""The inert unpickler gives what pickle gives, runs nothing, and stays within its limits."""

from __future__ import annotations

import collections
import os
import pickle
import pickletools
import random
import struct
import subprocess
import sys
import time

import pytest
from diffai_lib_pickle import BytesSource, Global, Inert, Key, Limits, Rules, Span, load
from diffai_lib_pickle.standard import STANDARD_NAMES
from hypothesis import given, settings
from hypothesis import strategies as st

from diffai_core.plugin import LoadError

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(max_size=300)
KEYS = st.text(max_size=5) | st.integers(-1000, 1000) | st.none()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner) | st.tuples(inner, inner), max_leaves=30
)


class Evil:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call[0], self.call[1:]


class Thing:
    pass


def source(data):
    return BytesSource(data, "f.pkl")


def value_of(data, **options):
    return load(source(data), **options).value


def refused(data, **options):
    with pytest.raises(LoadError) as caught:
        load(source(data), **options)
    assert "\n" not in str(caught.value)
    return caught.value


def without_encode(value):
    """Undo how protocols 0 to 2 write bytes."""
    if isinstance(value, Inert):
        assert value.path in {"_codecs.encode", "builtins.bytes"}
        return value.args[0].encode(value.args[1]) if value.args else b""
    if isinstance(value, list | tuple):
        return type(value)(map(without_encode, value))
    if isinstance(value, dict):
        return {key: without_encode(item) for key, item in value.items()}
    return value


@pytest.mark.parametrize("protocol", PROTOCOLS)
@given(value=VALUES)
@settings(deadline=None, derandomize=True, max_examples=60)
def test_plain_values_are_those_that_pickle_gives(protocol, value):
    data = pickle.dumps(value, protocol)
    found = load(source(data + b"more"))
    assert repr(without_encode(found.value)) == repr(pickle.loads(data))
    assert found.end == len(data)


@pytest.mark.parametrize("call", [(os.system, "touch evil"), (eval, "1/0"), (Evil, 1), (exec, "raise SystemExit")])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_nothing_that_a_pickle_names_is_called_and_its_names_are_listed(tmp_path, monkeypatch, call, protocol):
    monkeypatch.chdir(tmp_path)
    data = pickle.dumps({"a": Evil(*call), "b": 2}, protocol)
    found = load(source(data))
    assert found.value["b"] == 2
    assert found.value["a"].args[-1:] == call[-1:]
    assert list(tmp_path.iterdir()) == []
    name = call[0].__name__
    (foreign,) = found.foreign(STANDARD_NAMES, source(data), "f.pkl")
    assert (foreign.name.rpartition(".")[2], foreign.path) == (name, "f.pkl")
    place = data.index(name.encode())
    assert place - 100 < foreign.offset < place + 100


def test_a_module_that_is_named_is_not_imported():
    assert "antigravity" not in sys.modules
    found = load(source(b"cantigravity\nfly\n)R."))
    assert found.value.cls == Global("antigravity", "fly")
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_objects_are_records_of_class_arguments_state_and_contents(protocol):
    thing = Thing()
    thing.x, thing.me = 1, thing
    ordered = collections.OrderedDict(a=1)
    ordered.extra = 5
    value = value_of(pickle.dumps([thing, ordered, collections.deque([1, 2]), {3}], protocol))
    assert value[0].path.endswith(".Thing")
    assert value[0].attributes()["x"] == 1
    assert value[0].attributes()["me"] is value[0]
    assert (value[1].path, value[1].attributes()) == ("collections.OrderedDict", {"extra": 5})
    assert value[1].items == {"a": 1}
    assert value[2].appends == [1, 2]
    assert value[3].appends == [3] or value[3].args == ([3],)


def test_python_2_wrote_strings_that_may_be_text_or_bytes():
    assert value_of(b"U\x02ab.") == "ab"
    assert value_of(b"U\x02\xff\x00.") == b"\xff\x00"
    assert value_of(b"S'a\\n\\xe4'\n.") == b"a\n\xe4"
    assert value_of(b"c__builtin__\nset\n.") == Global("builtins", "set")


def test_long_byte_strings_stay_where_they_are():
    data = pickle.dumps([b"x" * 100_000, b"y"], 4)
    assert value_of(data) == [Span(data.index(b"xx"), 100_000), b"y"]


def test_a_nine_byte_memo_bomb_costs_nothing():
    started = time.process_time()
    assert value_of(b"\x80\x02Nr\x00\xe1\xf5\x05.") is None
    assert time.process_time() - started < 0.5


def test_builders_answer_for_the_names_they_are_given_for():
    rules = Rules(builders={"builtins.complex": lambda call: ("number", call.args)})
    assert value_of(pickle.dumps([1j, 2j]), rules=rules) == [("number", (0.0, 1.0)), ("number", (0.0, 2.0))]


def test_a_builder_that_refuses_its_arguments_gives_an_error_with_a_place():
    def refuse(call):
        raise ValueError("no such thing")

    error = refused(pickle.dumps([1j]), rules=Rules(builders={"builtins.complex": refuse}))
    assert (error.path, error.reason) == ("f.pkl", "no such thing")
    assert error.offset > 10


def test_persistent_ids_are_handed_over():
    assert value_of(b"K\x05Q.", rules=Rules(persistent=lambda pid, at: (pid, at))) == (5, 2)
    assert value_of(b"Pname\n.").args == ("name",)


def test_data_behind_an_object_can_be_passed_over():
    def after_build(value, position):
        return ("data", position + 4)

    data = b"(cm\nC\n)R}bXXXXK\x01l."
    assert value_of(data, rules=Rules(after_build=after_build)) == ["data", 1]


HOSTILE = {
    "empty": b"",
    "no end": b"N",
    "no value": b".",
    "two values": b"NN.",
    "text past the end": b"X\xff\xff\xff\x7fab.",
    "bytes past the end": b"\x8e\xff\xff\xff\xff\xff\xff\xff\xffab.",
    "frame past the end": b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\xff.",
    "huge number": b"\x8b\x00\x00\x10\x00" + bytes(1 << 20) + b".",
    "negative length": b"\x8b\xff\xff\xff\xff.",
    "decimal digits": b"I" + b"9" * 50_000 + b"\n.",
    "no digits": b"Iabc\n.",
    "endless line": b"I" + b"9" * 200_000,
    "unknown operation": b"\xff.",
    "protocol": b"\x80\x09N.",
    "empty stack": b"a.",
    "unopened": b"e.",
    "unmemoised": b"h\x05.",
    "negative memo": b"Np-1\n.",
    "odd items": b"}(K\x01u.",
    "list as key": b"}]K\x01s.",
    "state of a list": b"]}b.",
    "call without a tuple": b"cm\nn\nNR.",
    "append to a dict": b"}K\x01a.",
    "item of a list": b"]K\x01K\x02s.",
    "import without a name": b"K\x01K\x02\x93.",
    "out of band": b"\x80\x05\x97.",
    "bad text": b"X\x01\x00\x00\x00\xff.",
    "many parts": b"}(" + b"(K\x01t" * 1 + b"K\x01" * 100 + b"tK\x01s.",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_pickle_that_is_none_is_an_error_with_file_and_byte(name):
    error = refused(HOSTILE[name])
    assert error.path == "f.pkl"
    assert 0 <= error.offset <= len(HOSTILE[name])


@pytest.mark.parametrize("data", [b")\x85" + b"\x85" * 1_000_000 + b".", b"]" * 500_000 + b"a" * 499_999 + b"."])
def test_deep_nesting_neither_crashes_while_reading_nor_when_it_is_dropped(data):
    load(source(data))


def test_a_deep_or_shared_tuple_as_a_key_is_refused_before_it_is_hashed():
    doubled = b")" + b"2\x86" * 60
    for key in (b")" + b"\x85" * 200_000, doubled):
        assert "as the key of a dict" in refused(b"}" + key + b"K\x01s.").reason


def test_keys_that_would_collide_do_not_make_a_dict_slow():
    keys = [(2**61 - 1) * i << 64 for i in range(20_000)]
    body = b"".join(b"\x8a" + bytes([24]) + key.to_bytes(24, "little") + b"K\x00" for key in keys)
    data = b"}(" + body + b"u."
    started = time.process_time()
    value = value_of(data)
    assert len(value) == 20_000
    assert all(type(key) in {int, Key} for key in value)
    assert time.process_time() - started < 2


def test_operations_and_text_have_a_limit():
    assert "more than 1,000 operations" in refused(b"N0" * 1000 + b"N.", limits=Limits(operations=1000)).reason
    data = pickle.dumps(["a" * 600, "b" * 600])
    assert "bytes of text" in refused(data, limits=Limits(text_bytes=1000)).reason


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak of memory from /proc")
def test_a_bomb_of_the_largest_values_stays_within_bounded_memory():
    code = (
        "from diffai_lib_pickle import *\n"
        "from diffai_core.plugin import LoadError\n"
        "try: load(BytesSource(b'\\x8f' * 20_000_000, 'x'), limits=Limits(operations=1_000_000))\n"
        "except LoadError: print(*open('/proc/self/status'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    peak = next(line for line in done.stdout.splitlines() if "VmHWM" in line)
    assert int(peak.split()[1]) < 300_000


def test_every_truncation_is_an_error():
    data = pickle.dumps({"a": [1, 2.5, "text", b"bytes"], "t": Thing()}, 4)
    for length in range(len(data)):
        assert refused(data[:length]).offset <= length


def test_random_damage_is_an_error_or_readable():
    rng = random.Random(1)
    thing = Thing()
    thing.x = collections.OrderedDict(a=[1, (2, 3)], b={4})
    for protocol in PROTOCOLS:
        data = pickle.dumps([thing, 1.5, 1 << 100, b"bytes" * 3], protocol)
        for _ in range(1500):
            damaged = bytearray(data)
            for _ in range(rng.randint(1, 4)):
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
            try:
                load(source(bytes(damaged)))
            except LoadError as error:
                assert error.offset is not None  # noqa: PT017 - either outcome is right


def test_every_operation_of_the_format_is_known():
    for operation in pickletools.opcodes:
        data = operation.code.encode("latin-1") + struct.pack("<Q", 0) * 4
        try:
            load(source(data))
        except LoadError as error:
            assert "operation that pickles do not have" not in error.reason or error.offset > 0  # noqa: PT017 - ditto
