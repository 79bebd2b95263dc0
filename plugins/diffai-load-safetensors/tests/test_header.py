"""The header checks: what the safetensors library refuses is refused, what it accepts is read alike."""

from __future__ import annotations

import json
import random

import pytest
import safetensors
from diffai_load_safetensors.dtypes import DTYPES
from hypothesis import given, settings
from hypothesis import strategies as st

from diffai_core.plugin import LoadError

_A = '"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}'
_FOUR = b"\x00\x01\x02\x03"
_STRICTER = ("is there twice", "once each, and has", "not described by a JSON object", "does not begin with '{'")
"""Words of the refusals in which we are stricter than the library on purpose (README)."""


def _entry(dtype="U8", shape=(4,), offsets=(0, 4)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def _by_library(data):
    """Return {name: (dtype, shape, bytes)}, or ``None`` where the library refuses."""
    try:
        tensors = safetensors.deserialize(data)
    except (safetensors.SafetensorError, ValueError):
        return None
    return {name: (t["dtype"], tuple(t["shape"]), bytes(t["data"])) for name, t in tensors}


def _by_us(artifact):
    codes = {dtype: code for code, dtype in DTYPES.items()}
    return {
        name: (codes[ref.dtype], ref.shape, ref.file.read(ref.offset, ref.nbytes))
        for name, ref in artifact.tensors.items()
    }


def _attempt(open_path, path):
    try:
        return None, open_path(path)
    except LoadError as error:
        return error, None


@pytest.fixture(scope="module")
def check_verdict(tmp_path_factory, open_path):
    """Compare our verdict on the bytes of a file with the library's; return our error, if any."""
    path = tmp_path_factory.mktemp("verdict") / "x.safetensors"

    def check(data):
        path.write_bytes(data)
        expected = _by_library(data)
        error, artifact = _attempt(open_path, path)
        if artifact is None:
            assert error.path == str(path)
            assert 0 <= error.offset <= len(data)
            assert expected is None or any(words in error.reason for words in _STRICTER), f"{error} {data!r}"
            return error
        with artifact:
            assert expected is not None, f"the library refuses {data!r}"
            assert _by_us(artifact) == expected
            for ref in artifact.tensors.values():
                ref.read()
        return None

    return check


_KEY = b'"a"'
_END = b""
# Words of the error; the bytes of the header where it points (_END: the end of the file); header; data.
_BAD = {
    "unknown dtype": ("unknown dtype 'F7'; upgrade diffai-load-safetensors", _KEY, {"a": _entry("F7")}, _FOUR),
    "lower case dtype": ("unknown dtype 'u8'", _KEY, {"a": _entry("u8")}, _FOUR),
    "dtype a number": ("dtype of tensor 'a' is not a string", _KEY, {"a": _entry(8)}, _FOUR),
    "no closing brace": ("a comma or a closing brace", b" ", "{" + _A + " ", _FOUR),
    "trailing comma": ("a key in double quotes", b"}", b'{"__metadata__":null,}', b""),
    "key without quotes": ("a key in double quotes", b"a:1", b"{a:1}", b""),
    "NUL as padding": ("not spaces after", b"\0", "{" + _A + "}\0", _FOUR),
    "text after the brace": ("not spaces after", b"x", "{" + _A + "} x", _FOUR),
    "second object": ("not spaces after", b"{}", "{" + _A + "}{}", _FOUR),
    "entry a string": ("not described by a JSON object", _KEY, b'{"a":"U8"}', b""),
    "field missing": ("has 'dtype', 'data_offsets'", _KEY, {"a": {"dtype": "U8", "data_offsets": [0, 0]}}, b""),
    "no fields": ("once each, and has nothing", _KEY, {"a": {}}, b""),
    "field twice": (
        "has 'dtype', 'dtype', 'shape'",
        _KEY,
        "{" + _A.replace('"dtype"', '"dtype":"U8","dtype"') + "}",
        _FOUR,
    ),
    "field null": ("shape of tensor 'a' is not a list", _KEY, {"a": _entry() | {"shape": None}}, _FOUR),
    "shape with true": ("not a list of whole numbers", _KEY, {"a": _entry(shape=(True, 4))}, _FOUR),
    "shape with a float": ("not a list of whole numbers", _KEY, {"a": _entry(shape=(4.0,))}, _FOUR),
    "shape with an exponent": ("not a list of whole numbers", _KEY, "{" + _A.replace("[4]", "[4e0]") + "}", _FOUR),
    "shape negative": ("not a list of whole numbers", _KEY, {"a": _entry(shape=(-4, -1))}, _FOUR),
    "offset -0": ("not two whole numbers", _KEY, "{" + _A.replace("[0,", "[-0,") + "}", _FOUR),
    "shape with text": ("not a list of whole numbers", _KEY, {"a": _entry(shape=("4",))}, _FOUR),
    "shape with a leading zero": ("not JSON", b"4]", "{" + _A.replace("[4]", "[04]") + "}", _FOUR),
    "shape of 5000 digits": (
        "number that is too long",
        b'{"d',
        "{" + _A.replace("[4]", f"[{'9' * 5000}]") + "}",
        _FOUR,
    ),
    "shape of 2^64": ("larger than any array", _KEY, {"a": _entry(shape=(2**64,))}, _FOUR),
    "shape product overflows": ("larger than any array", _KEY, {"a": _entry(shape=(2**63, 2), offsets=(0, 0))}, b""),
    "shape product is 0 mod 2^64": ("larger than any", _KEY, {"a": _entry(shape=(2**32, 2**32), offsets=(0, 0))}, b""),
    "overflow before a 0": ("larger than any array", _KEY, {"a": _entry(shape=(2**63, 2, 0), offsets=(0, 0))}, b""),
    "byte count overflows": ("larger than any array", _KEY, {"a": _entry("F64", (2**61,), (0, 0))}, b""),
    "three offsets": ("data_offsets of tensor 'a'", _KEY, {"a": _entry(offsets=(0, 4, 4))}, _FOUR),
    "one offset": ("data_offsets of tensor 'a'", _KEY, {"a": _entry(offsets=(0,))}, _FOUR),
    "offsets negative": ("data_offsets of tensor 'a'", _KEY, {"a": _entry(offsets=(-4, 0))}, _FOUR),
    "offsets reversed": ("needs 0 bytes (uint8, shape [0])", _KEY, {"a": _entry(shape=(0,), offsets=(4, 0))}, _FOUR),
    "offsets huge": ("more than 2^64", _KEY, {"a": _entry(offsets=(0, 10**4000))}, _FOUR),
    "size is not shape x dtype": ("needs 3 bytes (uint8, shape [3])", _KEY, {"a": _entry(shape=(3,))}, _FOUR),
    "wrong dtype": ("tensor 'a' needs 8 bytes (float16, shape [4])", _KEY, {"a": _entry("F16")}, _FOUR),
    "odd number of 4-bit elements": ("do not fill whole bytes", _KEY, {"a": _entry("F4", (7,))}, _FOUR),
    "6-bit elements across bytes": ("do not fill whole bytes", _KEY, {"a": _entry("F6_E2M3", (5,))}, _FOUR),
    "behind the end": ("1 bytes too early for tensor 'a'", _END, {"a": _entry(shape=(5,), offsets=(0, 5))}, _FOUR),
    "metadata not an object": ("not a JSON object", b"[]", {"__metadata__": [], "a": _entry()}, _FOUR),
    "metadata a tensor": ("not a JSON string", b"[4]", {"__metadata__": {"shape": [4]}}, b""),
    "metadata as a tensor": ("not a JSON string", b"[4]", "{" + _A.replace('"a"', '"__metadata__"') + "}", _FOUR),
    "metadata with a number": ("not a JSON string", b"1}", {"__metadata__": {"x": 1}, "a": _entry()}, _FOUR),
    "not UTF-8": ("not valid UTF-8", b'"\xff', b'{"\xff":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}', _FOUR),
    "surrogate as UTF-8": ("not valid UTF-8", b'"\xed', b'{"\xed\xa0\x80":{}}', b""),
    "half a surrogate pair": ("wrong escape", b'"\\', b'{"\\ud800":{}}', b""),
    "unknown escape": ("wrong escape", b'"\\', b'{"\\x":{}}', b""),
    "control character": ("a key in double quotes", b'"\x01', b'{"\x01":{}}', b""),
    "NaN": ("too long", b"NaN", b'{"a":NaN}', b""),
    "deeply nested": ("nested too deeply", b"[", b'{"a":' + b"[" * 100_000, b""),
}


@pytest.mark.parametrize("case", _BAD)
def test_a_bad_header_is_refused_as_by_the_library_and_the_error_points_to_it(check_verdict, raw, case):
    words, place, header, data = _BAD[case]
    file = raw(header, data)
    assert _by_library(file) is None
    error = check_verdict(file)
    assert words in error.reason
    assert error.offset == (file.index(place, 8) if place else len(file))


# Words of the error; the byte of the data where it points; places of two tensors in 8 bytes.
_UNCOVERED = {
    "hole before the first": ("1 bytes before tensor 'a' belong to no tensor", 0, (1, 4), (4, 8)),
    "hole between": ("1 bytes before tensor 'b' belong to no tensor", 3, (0, 3), (4, 8)),
    "overlap": ("tensor 'b' begins here, inside tensor 'a'", 4, (0, 5), (4, 8)),
    "same place": ("tensor 'b' begins here, inside tensor 'a'", 0, (0, 8), (0, 8)),
    "empty tensor inside another": ("tensor 'b' begins here, inside tensor 'a'", 2, (0, 8), (2, 2)),
    "empty tensor in a hole": ("2 bytes before tensor 'b' belong to no tensor", 4, (0, 4), (6, 6)),
    "bytes at the end": ("1 bytes at the end of the file belong to no tensor", 7, (0, 4), (4, 7)),
    "nothing covered": ("8 bytes at the end of the file belong to no tensor", 0, (0, 0), (0, 0)),
}


@pytest.mark.parametrize("case", _UNCOVERED)
def test_data_that_is_not_covered_exactly_is_refused_at_its_byte(check_verdict, raw, case):
    words, place, *places = _UNCOVERED[case]
    header = {
        name: _entry(shape=(end - begin,), offsets=(begin, end))
        for name, (begin, end) in zip("ab", places, strict=True)
    }
    file = raw(header, bytes(8))
    assert _by_library(file) is None
    error = check_verdict(file)
    assert words in error.reason
    assert error.offset == len(file) - 8 + place


@pytest.mark.parametrize(
    ("data", "words", "offset"),
    [
        (b"", "more than 8 bytes, and this one has 0", 0),
        (bytes(8), "more than 8 bytes, and this one has 8", 8),
        (bytes(9), "does not begin with '{'", 8),
        ((100_000_001).to_bytes(8, "little") + b"{}", "more than the 100,000,000 allowed", 0),
        (b"\xff" * 8 + b"{}", "more than the 100,000,000 allowed", 0),
        ((100_000_000).to_bytes(8, "little") + b"{}", "inside its header, 99,999,998 bytes too early", 10),
        ((3).to_bytes(8, "little") + b"{}", "inside its header, 1 bytes too early", 10),
        ((1).to_bytes(8, "little") + b"{}", "a key in double quotes", 9),
        ((0).to_bytes(8, "little") + b"{}", "not a JSON object", 8),
        ((3).to_bytes(8, "little") + b"[1]", "does not begin with '{'", 8),
        ((5).to_bytes(8, "little") + b"\xef\xbb\xbf{}", "does not begin with '{'", 8),
    ],
)
def test_a_header_length_that_does_not_fit_is_refused(check_verdict, data, words, offset):
    assert _by_library(data) is None
    error = check_verdict(data)
    assert words in error.reason
    assert error.offset == offset


_TWICE = _A.replace("[0,4]", "[4,4]").replace("[4]", "[0]")
_LENIENT = {
    "key twice": ("'a' is there twice", "{" + _A + "," + _A + "}", _FOUR),
    "key twice, once escaped": ("'a' is there twice", "{" + _A + "," + _A.replace('"a"', '"\\u0061"') + "}", _FOUR),
    "metadata key twice": ("'x' is there twice", '{"__metadata__":{"x":"1","x":"2"}}', b""),
    "metadata key twice, once escaped": ("'x' is there twice", '{"__metadata__":{"x":"1","\\u0078":"2"}}', b""),
    "field that nobody knows": (
        "once each, and has 'dtype', 'shape', 'data_offsets', 'x'",
        {"a": _entry() | {"x": 1}},
        _FOUR,
    ),
    "entry as a list": ("not described by a JSON object", '{"a":["U8",[4],[0,4]]}', _FOUR),
    "dtype as an object": ("dtype of tensor 'a' is not a string", "{" + _A.replace('"U8"', '{"U8":null}') + "}", _FOUR),
    "space before the header": ("does not begin with '{'", " {" + _A + "}", _FOUR),
    "65 dimensions": ("65 dimensions, more than 64", {"a": _entry(shape=[1] * 64 + [4])}, _FOUR),
    "100,000 dimensions": ("more than 65,536 bytes", {"a": _entry(shape=[1] * 100_000 + [4])}, _FOUR),
    "empty and too large for NumPy": ("larger than any array", {"a": _entry(shape=(0, 2**62, 4), offsets=(0, 0))}, b""),
}


@pytest.mark.parametrize("case", _LENIENT)
def test_where_the_library_is_lenient_the_file_is_refused_all_the_same(tmp_path, refusal, raw, case):
    words, header, data = _LENIENT[case]
    file = raw(header, data)
    assert _by_library(file) is not None
    (tmp_path / "x").write_bytes(file)
    assert words in refusal(tmp_path / "x").reason


_UNUSUAL = {
    "nothing": "{}",
    "padding": "{" + _A + "}" + " " * 1000,
    "white space as padding": "{" + _A + "}\n\t\r ",
    "white space everywhere": json.dumps({"a": _entry(), "__metadata__": {"x": "y"}}, indent="\t").replace(
        ":", "\r\n :"
    ),
    "other order of fields": '{"a":{"data_offsets":[0,4],"shape":[4],"dtype":"U8"}}',
    "escaped key": "{" + _A.replace('"a"', '"\\u0061\\"\\\\\\n\\ud83d\\ude00"') + "}",
    "escaped field": "{" + _A.replace("dtype", "d\\u0074ype") + "}",
    "escaped dtype": "{" + _A.replace("U8", "\\u00558") + "}",
    "no metadata, said": '{"__metadata__":null,' + _A + "}",
    "metadata at the end": "{" + _A + ',"__metadata__":{}}',
    "metadata escaped": "{" + _A + ',"__met\\u0061data__":{"a\\n":"\\u0000"}}',
    "empty key": "{" + _A.replace('"a"', '""') + "}",
    "keys of control characters": "{" + _A.replace('"a"', '"\\u0000\\u001b[31m\x7f"') + "}",
    "64 dimensions": json.dumps({"a": _entry(shape=[1] * 63 + [4])}),
    "long entry": "{" + _A.replace("d\\u0074ype", "dtype").replace(":[4]", ":" + " " * 60_000 + "[4]") + "}",
}


@pytest.mark.parametrize("case", _UNUSUAL)
def test_an_unusual_and_legal_header_is_read_as_by_the_library(check_verdict, raw, case):
    header = _UNUSUAL[case]
    assert check_verdict(raw(header, _FOUR if "U8" in header or "00558" in header else b"")) is None


def test_an_entry_in_the_middle_of_long_foreign_text_is_read(check_verdict, raw):
    # The window that is read for an unusual entry ends inside a character of the next key.
    for length in range(500, 516):
        odd, long = _A.replace("dtype", "d\\u0074ype"), _A.replace('"a"', f'"{"я" * length}"').replace("[0,4]", "[4,8]")
        assert check_verdict(raw("{" + odd + "," + long + "}", _FOUR * 2)) is None


def test_a_key_in_a_message_is_short_and_has_no_control_characters(tmp_path, refusal, raw):
    (tmp_path / "x").write_bytes(raw({"\x1b[31m\n" + "k" * 10_000: _entry("F7")}, _FOUR))
    message = str(refusal(tmp_path / "x"))
    assert r"\x1b[31m\n" in message
    assert message.isprintable()
    assert len(message) < 400


def test_a_header_cut_at_any_byte_is_refused(check_verdict, raw):
    file = raw({"__metadata__": {"k": "v"}, "a": _entry(), "b": _entry("F16", (2,), (4, 8))}, bytes(8))
    assert check_verdict(file) is None
    for length in range(len(file)):
        error = check_verdict(file[:length])
        assert error is not None
        assert error.offset in {length, 8}


def test_any_flipped_bit_is_judged_as_by_the_library(check_verdict, raw):
    file = raw({"__metadata__": {"k": "v"}, "a": _entry(), "é": _entry("F16", (2,), (4, 8))}, bytes(8))
    for bit in range(len(file) * 8):
        damaged = bytearray(file)
        damaged[bit // 8] ^= 1 << bit % 8
        check_verdict(bytes(damaged))


def test_random_edits_are_judged_as_by_the_library(check_verdict, raw):
    rng = random.Random(0)
    text = json.dumps({"__metadata__": {"k": "v"}, "a": _entry(), "b": _entry("F4", (2, 4), (4, 8))}).encode()
    pieces = [b"0", b"-", b"1e1", b".0", b",", b"}", b"{", b"[", b"]", b'"', b"\\", b"\\u0061", b"null", b"true", b"  "]
    n_accepted = 0
    for _ in range(1000):
        edited = bytearray(text)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(edited))
            edited[at : at + rng.randint(0, 2)] = rng.choice([*pieces, bytes([rng.randrange(256)])])
        n_accepted += check_verdict(raw(bytes(edited), bytes(8))) is None
    assert 10 < n_accepted < 990  # both verdicts were tried


_BITS = {code: dtype.bits for code, dtype in DTYPES.items()}
_NAMES = st.lists(st.text(max_size=5).filter(lambda name: name != "__metadata__"), unique=True, max_size=5)


@st.composite
def _files(draw):
    """Return header and data of a file that is right, or wrong in one number."""
    header, place = {}, 0
    for name in draw(_NAMES):
        code = draw(st.sampled_from(sorted(_BITS)))
        shape = draw(st.lists(st.integers(0, 4), max_size=3))
        n_bits = _BITS[code]
        for length in shape:
            n_bits *= length
        header[name] = _entry(code, shape, (place, place + n_bits // 8))
        place += n_bits // 8
    if header and draw(st.booleans()):
        entry = header[draw(st.sampled_from(sorted(header)))]
        numbers = entry[draw(st.sampled_from(["shape", "data_offsets"]))]
        if numbers:
            numbers[draw(st.integers(0, len(numbers) - 1))] += draw(st.integers(-2, 2))
    if draw(st.booleans()):
        header["__metadata__"] = draw(st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=3))
    keys = draw(st.permutations(sorted(header)))
    fields = draw(st.permutations(["dtype", "shape", "data_offsets"]))
    ordered = {
        key: header[key] if key == "__metadata__" else {field: header[key][field] for field in fields} for key in keys
    }
    text = json.dumps(ordered, indent=draw(st.sampled_from([None, 0, 2])), ensure_ascii=draw(st.booleans()))
    extra = draw(st.sampled_from([0, 0, 0, -1, 1]))
    return text + " " * draw(st.integers(0, 9)), bytes(range(256))[: max(place + extra, 0)]


@settings(max_examples=400, deadline=None, derandomize=True, database=None)
@given(file=_files())
def test_any_header_is_judged_as_by_the_library(check_verdict, raw, file):
    check_verdict(raw(*file))
