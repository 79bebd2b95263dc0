"""The YAML loader, held against PyYAML's safe_load and against what was written."""

from __future__ import annotations

import codecs
import datetime as dt
import json
import math
import time

import pytest
import yaml
from diffai_load_yaml import build, loader
from diffai_load_yaml.loader import open_yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from diffai_core.plugin import LoadError, Source

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=6)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | TEXT
    | st.sampled_from(["no", "012", "1:30", "1e-3", "<<", "=", "~", "0x1f", "2024-05-01", "a: b", "- a", "#", "'", ""])
    | st.binary(max_size=4)
    | st.dates()
    | st.datetimes().map(lambda moment: moment.replace(fold=0))
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(SCALARS, inner, max_size=4),
    max_leaves=20,
)
FRAGMENTS = st.lists(
    st.sampled_from(
        [
            *"ab:-[]{},&*!<>|'\"#?\n\n 01.~%",
            "  ",
            "a: ",
            "b: ",
            "- ",
            "\n- ",
            "\na: ",
            "\n  b: ",
            "&x ",
            "*x",
            "<<: ",
            "<<: *x",
            "!!set ",
            "!!str ",
            "!!int ",
            "!!python/none ",
            "---\n",
            "...\n",
            "1.5",
            "no",
            "12:30",
            "2024-01-02",
            "0o7",
            "0x1",
            "é",
            "{a: 1}",
            "[1, 2]",
        ]
    ),
    max_size=14,
).map("".join)


def read(path):
    with open_yaml(Source(path), {}) as artifact:
        assert not artifact.tensors
        return artifact.tree


@pytest.fixture(scope="session")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("yaml") / "file.yaml"

    def written(text, encoding="utf-8", bom=b""):
        path.write_bytes(text if isinstance(text, bytes) else bom + text.encode(encoding))
        return path

    return written


def refused(path):
    with pytest.raises(LoadError) as caught:
        open_yaml(Source(path), {})
    assert caught.value.path == str(path)
    return caught.value


def as_tree(documents):
    if len(documents) > 1:
        return {"$documents": documents}
    [value] = documents or [None]
    return value if isinstance(value, dict) and not {"$", "$documents"} & value.keys() else {"$": value}


class Oracle(yaml.CSafeLoader):
    """PyYAML, with ``<<`` and ``=`` as the texts they are where they are no keys."""


for name in ("merge", "value"):
    Oracle.add_constructor(f"tag:yaml.org,2002:{name}", Oracle.construct_yaml_str)


def oracle(text):
    """Return the documents, or the error of PyYAML."""
    try:
        return list(yaml.load_all(text, Loader=Oracle))
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError) as error:
        return error


def read_or_error(path):
    try:
        return read(path), None
    except LoadError as error:
        return None, error


def in_one_order(value):
    """A text of a value that does not depend on the order of keys and tells 1, 1.0, True and NaN apart."""
    if isinstance(value, dict):
        return sorted((repr(key), in_one_order(item)) for key, item in value.items())
    return [in_one_order(item) for item in value] if isinstance(value, list) else repr(value)


def plain(value):
    """Sets as mappings to null, pairs as mappings: what this loader makes of them."""
    if isinstance(value, set):
        return dict.fromkeys(value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


@settings(deadline=None, derandomize=True, max_examples=250)
@given(VALUES, st.booleans(), st.booleans())
def test_what_pyyaml_writes_is_what_was_written(file, value, flow, utf16):
    text = yaml.safe_dump(value, default_flow_style=flow, allow_unicode=True, sort_keys=False)
    assume(text.isprintable() or yaml.safe_load(text) == value)  # PyYAML itself loses some line separators
    encoded = {"encoding": "utf-16-le", "bom": codecs.BOM_UTF16_LE} if utf16 else {}
    assert repr(read(file(text, **encoded))) == repr(as_tree([value]))


@settings(deadline=None, derandomize=True, max_examples=600, suppress_health_check=list(HealthCheck))
@given(FRAGMENTS)
def test_any_text_is_read_as_safe_load_reads_it_or_refused(file, text):
    assume(text)
    path = file(text)
    tree, error = read_or_error(path)
    if error:
        assert 0 <= error.offset <= len(text.encode())
        return
    documents = oracle(text)
    assert isinstance(documents, list) or "duplicate anchor" in str(documents)  # which YAML itself allows
    if isinstance(documents, list):
        assert in_one_order(tree) == in_one_order(plain(as_tree(documents)))


@settings(deadline=None, derandomize=True, max_examples=600, suppress_health_check=list(HealthCheck))
@given(FRAGMENTS)
def test_only_what_the_readme_names_is_refused_beyond_safe_load(file, text):
    assume(text)
    _, error = read_or_error(file(text))
    if error and isinstance(oracle(text), list):
        named = ("stands twice", "stands inside the value it names", "tag !!")
        assert any(word in error.reason for word in named), error


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        (
            "a: no\nb: 012\nc: 1:30\nd: 1e-3\ne: 1.0e-3\nf: ~",
            {"a": False, "b": 10, "c": 90, "d": "1e-3", "e": 1e-3, "f": None},
        ),
        ("- 1\n- a", {"$": [1, "a"]}),
        ("3", {"$": 3}),
        ("# nothing\n", {"$": None}),
        ("{}", {}),
        ("$: [1]", {"$": {"$": [1]}}),
        ("$documents: [1]", {"$": {"$documents": [1]}}),
        ("a: 1\n---\nb: 2\n", {"$documents": [{"a": 1}, {"b": 2}]}),
        ("!!set {a, b}", {"a": None, "b": None}),
        ("!!omap [a: 1, b: 2]", {"$": [{"a": 1}, {"b": 2}]}),
        ("a: !!binary aGk=", {"a": b"hi"}),
        ("a: !!str 12\nb: ! 'x'", {"a": "12", "b": "x"}),
        ("day: 2024-05-01", {"day": dt.date(2024, 5, 1)}),
        ("1: a\n1.5: b\n~: c\nyes: d", {1.0: "a", 1.5: "b", None: "c"}),
        ("a: =\nb: <<\n=: c", {"a": "=", "b": "<<", "=": "c"}),
    ],
)
def test_documents_become_trees(file, text, tree):
    if "yes: d" in text:  # 1 and true are one key
        assert "stands twice" in refused(file(text)).reason
    else:
        assert read(file(text)) == tree


def test_aliases_share_the_value(file):
    tree = read(file("base: &b {lr: 1}\ndev: *b\nruns: [*b, *b]\nname: &n adam\nother: *n\n*n : key"))
    assert tree["dev"] is tree["base"] is tree["runs"][1]
    assert tree["other"] == "adam"
    assert tree["adam"] == "key"


def test_merge_keys_give_way_to_own_keys_and_earlier_maps_to_none_but_these(file):
    text = (
        "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\n"
        "one: {<<: *a, x: 9}\ntwo: {<<: [*a, *b]}\nthree: {<<: *a, <<: *b}\nfour: {k: 1, <<: {k: 2, x: {<<: *b}}}\n"
    )
    assert read(file(text)) == yaml.safe_load(text)


@pytest.mark.parametrize("levels", [9, 100])
def test_an_alias_bomb_loads_at_once_as_shared_values(file, levels):
    lines = ["l0: &l0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]" for i in range(1, levels)]
    tree = read(file("\n".join(lines)))
    value = tree[f"l{levels - 1}"]
    for _ in range(levels - 1):
        assert all(item is value[0] for item in value)
        value = value[0]
    assert value == ["lol"] * 9


def test_a_bomb_of_merge_keys_stays_small_or_is_refused(file):
    lines = ["m0: &m0 {a: 1}"]
    lines += [f"m{i}: &m{i} {{<<: [{', '.join([f'*m{i - 1}'] * 9)}], k{i}: 1}}" for i in range(1, 40)]
    tree = read(file("\n".join(lines)))
    assert len(tree["m39"]) == 40
    chain = ["m0: &m0 {a: 1}", *(f"m{i}: &m{i} {{<<: *m{i - 1}, k{i}: 1}}" for i in range(1, 2000))]
    assert "merge keys (<<) copy more than 1,000,000 entries" in refused(file("\n".join(chain))).reason


@pytest.mark.parametrize(
    ("text", "at", "reason"),
    [
        ("ü: 1\nlr: 2\nlr: 3\n", "lr: 3", 'the key "lr" stands twice in one mapping (line 3, column 1)'),
        ("a: {b: [{x: 1, y: 2, x: 3}]}", "x: 3", 'the key "x" stands twice in one mapping (line 1, column 22)'),
        ('a: 1\n"a": 2', '"a"', 'the key "a" stands twice'),
        ("1: a\ntrue: b", "true", "the key True stands twice"),
        ("1: a\n1.0: b", "1.0", "the key 1.0 stands twice"),
        ("é: !!python/object/apply:os.system [ls]", "!!python", "the tag !!python/object/apply:os.system is refused"),
        ("a: !Ref x", "!Ref", "the tag !Ref is refused; only plain values are read (line 1, column 4)"),
        ("a: !!map x", "!!map", "the tag !!map is refused"),
        ("a: !!seq {}", "!!seq", "the tag !!seq is refused"),
        ("a: &x [1, *x]", "*x", "the alias *x stands inside the value it names"),
        ("a: &x {b: {<<: *x}}", "*x", "the alias *x stands inside the value it names"),
        ("a: *nope", "*nope", "the alias *nope names no anchor before it"),
        ("a: &x 1\n---\nb: *x", "*x", "the alias *x names no anchor before it"),
        ("? [a]\n: 1", None, "a list or a mapping stands as a key; only scalar keys are read"),
        ("<<: 3", "3", "a merge key (<<) has a value that is not a mapping"),
        ("a: !!int x1", "!!int", "'x1' cannot be read as int"),
        ("a: !!bool maybe", "!!bool", "'maybe' cannot be read as bool"),
        ("a: !!timestamp soon", "!!timestamp", "'soon' cannot be read as timestamp"),
        ("a: 2024-13-45", "2024", "'2024-13-45' cannot be read as timestamp"),
        ("a: !!binary ä", "!!binary", "'\\xe4' cannot be read as binary"),
        ("a: 1.0e+999", "1.0e", "the number 1.0e+999 is outside the range of 64-bit floats"),
        ("a: 1.0e-999", "1.0e", "the number 1.0e-999 is outside the range of 64-bit floats"),
        (f"a: {'9' * 4301}", "9" * 4301, "a number of 4,301 characters is too long to be read"),
        (f"a: 0x{'f' * 4000}", "0x", "an integer of more than 4,300 digits is too long to be read"),
        (
            "a: 'b\nc: d",
            None,
            "not YAML: while scanning a quoted scalar, found unexpected end of stream (line 2, column 5)",
        ),
        ("é: [1, 2", None, "not YAML: while parsing a flow sequence, did not find expected ',' or ']'"),
        ("é: \x01", "\x01", "not YAML: control characters are not allowed"),
        ("a: b: c", ": c", "not YAML: mapping values are not allowed in this context (line 1, column 5)"),
        ("", None, "is empty"),
    ],
)
@pytest.mark.parametrize(
    ("encoding", "bom"), [("utf-8", b""), ("utf-8", codecs.BOM_UTF8), ("utf-16-be", codecs.BOM_UTF16_BE)]
)
def test_what_is_refused_is_an_error_with_its_place(file, text, at, reason, encoding, bom):
    error = refused(file(text, encoding, bom))
    assert error.reason.startswith(reason)
    place = text.rindex(at) if at else len(text)
    if at or reason.startswith(("not YAML", "is empty")):
        assert error.offset == len(bom) + len(text[:place].encode(encoding))


@pytest.mark.parametrize(
    "number", [".inf", "-.INF", "0.0", "-0.0", "0.0e+999", "1.7976931348623157e+308", "5.0e-324", "0:00.0"]
)
def test_infinities_zeros_and_extreme_floats_are_read(file, number):
    tree = read(file(f"a: {number}"))
    assert repr(tree) == repr(yaml.safe_load(f"a: {number}"))
    assert math.isnan(read(file("a: .nan"))["a"])


@pytest.mark.parametrize("piece", ["[", "{a: ", "- ", "? "])
def test_deep_nesting_is_refused_at_once(file, piece):
    start = time.process_time()
    error = refused(file(piece * 300_000))
    assert time.process_time() - start < 5
    assert error.reason.startswith(f"nested deeper than {build.MAX_DEPTH} levels")
    assert error.offset == build.MAX_DEPTH * len(piece)


def test_a_document_of_the_greatest_depth_is_read(file):
    value = read(file("[" * build.MAX_DEPTH + "]" * build.MAX_DEPTH))["$"]
    for _ in range(build.MAX_DEPTH - 1):
        [value] = value
    assert value == []


def test_a_file_beyond_the_bounds_is_refused_before_it_is_parsed(file, monkeypatch):
    assert "has 101 %TAG directives" in refused(file("%TAG !a! b\n" * 101 + "---\nx")).reason
    monkeypatch.setattr(loader, "MAX_BYTES", 10)
    assert "has 11 bytes; more than 10 are not read" in refused(file("[1,2,3,4,5]")).reason


@pytest.mark.parametrize("data", [b"a: \xff", b"\xff\xfea\0\0\xd8"])
def test_bytes_that_are_no_text_are_an_error_at_the_first(file, data):
    error = refused(file(data))
    assert error.offset == data.rindex(b"\xff" if data.startswith(b"a") else b"\0\xd8")
    assert "text" in error.reason


def test_json_is_read_as_yaml(file):
    value = {"a": [1, 2.5, None, True, "x\ny"], "b": {"c": {}}}
    assert read(file(json.dumps(value))) == value
