"""What is refused: XML that could do harm, numbers that do not fit, files that are not there or not inside."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from diffai_load_openvino import markup
from diffai_load_openvino.loader import open_openvino
from diffai_load_openvino.sniff import looks_like_openvino

from diffai_core.plugin import LoadError, Source

FIXTURES = Path(__file__).parent / "fixtures"
EMPTY = '<net name="n" version="11"><layers>{}</layers><edges>{}</edges></net>'


@pytest.fixture
def refused_text(tmp_path, refused):
    """Return the error of an XML of this text."""

    def refusal(text):
        path = tmp_path / "model.xml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return refused(path)

    return refusal


@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE net [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>',
        '<!DOCTYPE net [<!ENTITY secret SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE net SYSTEM "http://127.0.0.1:1/model.dtd">',
        "<!DOCTYPE net>",
    ],
)
def test_a_document_type_is_refused(refused_text, doctype):
    error = refused_text(f'<?xml version="1.0"?>\n{doctype}\n{EMPTY.format("&b;", "")}')
    assert "declares a document type" in error.reason
    assert error.offset is not None


def test_deep_nesting_is_refused(refused_text):
    error = refused_text('<net version="11">' + "<rt_info>" * 200_000)
    assert error.reason == "XML elements are nested deeper than 100"
    assert error.offset == len('<net version="11">') + 99 * len("<rt_info>")


def test_too_many_elements_are_refused(refused_text, monkeypatch):
    monkeypatch.setattr(markup, "MAX_ELEMENTS", 10)
    assert refused_text(EMPTY.format("<x />" * 11, "")).reason == "has more than 10 XML elements"


def test_too_many_bytes_are_refused(refused_text, monkeypatch):
    monkeypatch.setattr(markup, "MAX_BYTES", 10)
    assert "at most 10 are read" in refused_text(EMPTY).reason


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (EMPTY.replace("11", "7"), "is IR version 7; only 10 and 11 are read, convert it with OpenVINO"),
        (EMPTY.replace("11", "x"), "the version of the IR is 'x', not a whole number"),
        (EMPTY.replace(' version="11"', ""), "the version of the IR is '', not a whole number"),
        ("<html />", "is not OpenVINO: its root is <html>, not <net>"),
        ("<net", "is not well-formed XML: unclosed token"),
        ("", "is not well-formed XML: no element found"),
        ('<?xml version="1.0" encoding="rot13"?><net version="11" />', "character encoding cannot be read"),
        ('<net version="11">&x;</net>', "is not well-formed XML: undefined entity"),
    ],
)
def test_what_is_no_ir_is_refused(refused_text, text, complaint):
    assert complaint in refused_text(text).reason


LAYER = '<layer id="{}" name="c" type="Const" version="opset1">{}<output><port id="0" /></output></layer>'
EDGE = '<edge from-layer="{}" from-port="{}" to-layer="{}" to-port="{}" />'


@pytest.mark.parametrize(
    ("layers", "edges", "complaint"),
    [
        (LAYER.format(1, "") * 2, "", "two layers have the id 1"),
        (LAYER.format("one", ""), "", "the id of <layer> is 'one', not a whole number"),
        (LAYER.format(1, ""), EDGE.format(2, 0, 1, 0), "an edge names output port 0 of layer 2, which is not there"),
        (LAYER.format(1, ""), EDGE.format(1, 0, 1, 5), "an edge names input port 5 of layer 1, which is not there"),
        (LAYER.format(1, ""), EDGE.format(1, "", 1, 5), "the from-port of <edge> is '', not a whole number"),
        (LAYER.format(9**30, ""), "", "not a whole number"),
    ],
)
def test_layers_and_edges_that_do_not_fit_are_refused(refused_text, layers, edges, complaint):
    error = refused_text(EMPTY.format(layers, edges))
    assert complaint in error.reason
    assert error.offset


def test_two_bodies_of_one_name_are_refused(refused_text):
    bodies = "<body><layers /></body>" * 2
    layer = f'<layer id="1" name="l" type="Loop" version="opset5">{bodies}</layer>'
    assert refused_text(EMPTY.format(layer, "")).reason == "a layer has two bodies called 'body'"


def test_many_bodies_open_without_delay(tmp_path):
    data = '<data element_type="u8" shape="0" offset="0" size="0" />'
    inner = f'<layer id="0" name="c" type="Const" version="opset1">{data}</layer>'
    layer = '<layer id="{0}" name="if" type="If" version="opset8"><then_body><layers>{1}</layers></then_body></layer>'
    text = EMPTY.format("".join(layer.format(number, inner) for number in range(10_000)), "")
    (tmp_path / "m.xml").write_text(text, encoding="utf-8")
    begin = time.perf_counter()
    with open_openvino(Source(tmp_path / "m.xml"), {}) as artifact:
        assert len(artifact.tensors) == 10_000
    assert time.perf_counter() - begin < 30


def test_two_edges_to_one_input_are_refused(refused, edited):
    edge = '<edge from-layer="0" from-port="0" to-layer="'
    text = (FIXTURES / "every_type.xml").read_text(encoding="utf-8")
    whole = edge + text.partition(edge)[2].partition("/>")[0] + "/>"
    assert "two edges lead to input port 0" in refused(edited("every_type", (whole, whole * 2))).reason


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        (('element_type="u8"', 'element_type="u9"'), "element type 'u9', which OpenVINO does not have"),
        (('element_type="u8" shape="9"', 'element_type="u8" shape="8"'), "does not fit u8, shape [8]"),
        (('element_type="u8" shape="9"', 'element_type="u8" shape="-9"'), "which no array can have"),
        (
            ('element_type="u8" shape="9"', 'element_type="u8" shape="0,9999999999,9999999999"'),
            "which no array can have",
        ),
        (('element_type="u8" shape="9"', f'element_type="u8" shape="{"1," * 64}9"'), "has 65 dimensions"),
        (('element_type="u8" shape="9"', 'element_type="u8" shape="nine"'), "is 'nine', not a whole number"),
        (('element_type="u8" shape="9" offset="', 'element_type="u8" shape="9" offset="-'), "which does not fit"),
        (('element_type="u8" shape="9"', 'element_type="string" shape="9"'), "which does not fit string"),
        (('element_type="u3" shape="9" offset="', 'element_type="u3" shape="20" offset="'), "which does not fit u3"),
    ],
)
def test_constants_that_contradict_themselves_are_refused(refused, edited, changes, complaint):
    error = refused(edited("every_type", changes))
    assert complaint in error.reason
    assert error.offset


@pytest.mark.parametrize("number", ["523", "999999999999999999", "1" * 5000])
def test_a_place_behind_the_end_is_refused(refused, edited, number):
    text = (FIXTURES / "every_type.xml").read_text(encoding="utf-8")
    place = text.partition('element_type="f64" shape="9" offset="')[2].partition('"')[0]
    old = f'shape="9" offset="{place}"'
    error = refused(edited("every_type", (old, f'shape="9" offset="{number}"')))
    assert "too early for constant 'constant.f64'" in error.reason or "not a whole number" in error.reason


def test_truncated_weights_are_an_error_that_names_file_and_offset(refused, edited):
    weights = edited("every_type").with_suffix(".bin")
    weights.write_bytes(weights.read_bytes()[:500])
    error = refused(weights.with_suffix(".xml"))
    assert error.path.endswith("every_type.bin")
    assert (error.offset, "the file ends here" in error.reason) == (500, True)


def test_missing_weights_are_an_error_that_names_them(refused, edited):
    path = edited("branches")
    path.with_suffix(".bin").unlink()
    assert refused(path).reason == "its weights are missing: there is no branches.bin in the same folder"


def test_weights_outside_of_the_folder_are_refused(refused, edited, tmp_path):
    path = edited("branches")
    inner = tmp_path / "inner"
    inner.mkdir()
    path.rename(inner / "branches.xml")
    (inner / "branches.bin").symlink_to(tmp_path / "branches.bin")
    assert "leads out of the folder" in refused(inner / "branches.xml").reason


@pytest.mark.parametrize("at", [0, 4, 12, 16])
def test_packed_strings_that_do_not_fit_are_refused(refused, edited, at):
    path = edited("every_type")
    text = path.read_text(encoding="utf-8")
    place = int(text.partition('element_type="string" shape="3" offset="')[2].partition('"')[0])
    data = bytearray(path.with_suffix(".bin").read_bytes())
    data[place + at : place + at + 4] = b"\xff\xff\xff\x7f"
    path.with_suffix(".bin").write_bytes(data)
    error = refused(path)
    assert "do not hold the 3 strings" in error.reason
    assert error.offset == place


def outcome(path):
    """Read everything; return the path that a LoadError names, or nothing."""
    try:
        with open_openvino(Source(path), {}) as artifact:
            for ref in artifact.tensors.values():
                assert sum(block.size for block in ref.blocks(64)) == ref.numel
    except LoadError as error:
        return error.path
    return "readable"


@pytest.mark.parametrize("model", ["quantized", "branches", "every_type"])
def test_random_damage_gives_a_load_error_or_something_readable(tmp_path, model):
    rng = random.Random(model)
    text = (FIXTURES / f"{model}.xml").read_bytes()
    (tmp_path / "m.bin").write_bytes((FIXTURES / f"{model}.bin").read_bytes())
    words = [
        b'"0"',
        b'"-1"',
        b'"99999999999"',
        b"Multiply",
        b"Const",
        b"Subtract",
        b"u8",
        b"nf4",
        b"<layers>",
        b'""',
        b"1",
    ]
    for _ in range(150):
        data = bytearray(text)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(data))
            end = at + rng.choice((0, 1, 3, 40))
            data[at:end] = rng.choice((bytes([rng.randrange(256)]), rng.choice(words), data[at - 60 : at]))
        (tmp_path / "m.xml").write_bytes(data)
        begin = time.perf_counter()
        assert outcome(tmp_path / "m.xml").startswith(("readable", str(tmp_path)))
        assert time.perf_counter() - begin < 5


@pytest.mark.parametrize(
    ("head", "wanted"),
    [
        (b'<?xml version="1.0"?>\n<net name="a" version="11">\n\t<layers>', True),
        (b'\xef\xbb\xbf<?xml version="1.0" ?><!-- by hand --><net version="10" name="a"><layers/>', True),
        (b'<net name="old" version="6" batch="1"><layers>', True),
        (b'<?xml version="1.0"?><html><body version="11"><layers>', False),
        (b'<?xml version="1.0"?><net name="pnml" type="P/T"><layers>', False),
        (b"<?xml" + b" " * 4000, False),
        (b"<!--" * 1000, False),
        (b"", False),
    ],
)
def test_sniffing_knows_an_ir_from_other_xml(head, wanted):
    assert looks_like_openvino(head, len(head)) is wanted
