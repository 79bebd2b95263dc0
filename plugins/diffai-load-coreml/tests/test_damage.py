"""What is refused: messages that lie, weights that are not there, not inside the folder, or other than said."""

from __future__ import annotations

import json
import random
import shutil
import struct
import time
from pathlib import Path

import pytest
from diffai_load_coreml import collected
from diffai_load_coreml.loader import open_coreml
from diffai_load_coreml.sniff import looks_like_coreml

from diffai_core.plugin import LoadError, Source

FIXTURES = Path(__file__).parent / "fixtures"
INNER = "Data/com.apple.CoreML"
NETWORKS = sorted(path.name for path in FIXTURES.glob("*.mlmodel"))


def varint(number):
    return bytes([number & 0x7F | 0x80, *varint(number >> 7)]) if number > 0x7F else bytes([number])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


@pytest.fixture
def package(tmp_path):
    """Return a copy of a package that may be damaged."""

    def copy(name="new_int8"):
        return Path(shutil.copytree(FIXTURES / f"{name}.mlpackage", tmp_path / "m.mlpackage"))

    return copy


@pytest.fixture
def refused_bytes(tmp_path, refused):
    """Return the error of a model of these bytes."""

    def refusal(data):
        (tmp_path / "m.mlmodel").write_bytes(data)
        return refused(tmp_path / "m.mlmodel")

    return refusal


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "is no Core ML model"),
        (field(1, 4), "is no Core ML model"),
        (field(500, b""), "is no Core ML model"),
        (field(1, 4) + field(500, b"") + field(302, b""), "must say each thing once, and be of one kind"),
        (field(1, 4) + field(1, 5) + field(500, b""), "must say each thing once, and be of one kind"),
        (field(1, 4) + b"\x12\xff\xff\xff\xff\x07", "end"),
        (field(1, 4) + field(500, field(1, field(1, b"\xff"))), "is not UTF-8"),
        (field(1, 4) + field(502, field(2, field(1, b"main"))), "the entry 'main' has no value"),
        (
            field(1, 4) + field(2, field(100, field(3, b"a") + field(3, b"b"))) + field(500, b""),
            "author is there 2 times",
        ),
    ],
)
def test_what_is_no_model_is_an_error(refused_bytes, data, complaint):
    error = refused_bytes(data)
    assert complaint in error.reason
    assert error.offset is not None


def test_models_nested_without_end_are_an_error(refused_bytes):
    data = field(1, 1) + field(500, b"")
    for _ in range(120):
        data = field(1, 1) + field(202, field(1, data))
    assert "nested more than 100 deep" in refused_bytes(data).reason


def test_too_many_values_are_an_error(refused_bytes, monkeypatch):
    monkeypatch.setattr(collected, "MAX_VALUES", 50)
    nodes = field(1, field(1, 1)) * 100
    assert "more than 50 values besides its weights" in refused_bytes(field(1, 1) + field(302, field(1, nodes))).reason


def test_a_kind_of_model_that_is_not_known_is_not_passed_over(opened, tmp_path):
    (tmp_path / "m.mlmodel").write_bytes(field(1, 99) + field(999, b"new"))
    assert [lost.reason for lost in opened(tmp_path / "m.mlmodel").not_readable] == ["a model of the unknown kind 999"]


def test_a_layer_that_is_not_known_is_not_passed_over(opened, tmp_path):
    layer = field(1, field(1, b"new") + field(4999, b"x"))
    (tmp_path / "m.mlmodel").write_bytes(field(1, 4) + field(500, layer))
    assert [lost.where for lost in opened(tmp_path / "m.mlmodel").not_readable] == ["new"]


def test_fields_that_are_not_known_are_kept(opened, tmp_path):
    (tmp_path / "m.mlmodel").write_bytes(field(1, 4) + field(2, field(99, b"new")) + field(500, b""))
    assert opened(tmp_path / "m.mlmodel").tree["description"] == {"field 99": [b"new"]}


def test_many_layers_of_one_name_are_kept_apart_without_delay(opened, tmp_path):
    layer = field(1, b"fc") + field(140, field(20, field(1, struct.pack("<f", 1.5))))
    (tmp_path / "m.mlmodel").write_bytes(field(1, 4) + field(500, field(1, layer) * 20_000))
    begin = time.perf_counter()
    tensors = opened(tmp_path / "m.mlmodel").tensors
    assert time.perf_counter() - begin < 30
    assert (len(tensors), list(tensors)[:2], list(tensors)[-1]) == (
        20_000,
        ["fc.weights", "fc.weights#2"],
        "fc.weights#20000",
    )


def test_scales_that_do_not_fit_are_not_passed_over(opened, tmp_path):
    quantization = field(1, 8) + field(101, field(1, struct.pack("<3f", 1, 2, 3)))
    weights = field(30, bytes(8)) + field(40, quantization)
    layer = field(1, b"fc") + field(140, field(1, 2) + field(2, 4) + field(20, weights))
    (tmp_path / "m.mlmodel").write_bytes(field(1, 4) + field(500, field(1, layer)))
    artifact = opened(tmp_path / "m.mlmodel")
    assert [lost.where for lost in artifact.not_readable] == ["fc.weights"]


@pytest.mark.parametrize("number_of_bits", [0, 9, 64, 1 << 40])
def test_weights_of_no_possible_bits_are_not_passed_over(opened, tmp_path, number_of_bits):
    weights = field(30, bytes(8)) + field(40, field(1, number_of_bits) + field(102, field(1, bytes(8))))
    layer = field(1, b"fc") + field(140, field(20, weights))
    (tmp_path / "m.mlmodel").write_bytes(field(1, 4) + field(500, field(1, layer)))
    assert [lost.where for lost in opened(tmp_path / "m.mlmodel").not_readable] == ["fc.weights"]


def test_codes_behind_their_table_are_an_error_when_they_are_read(opened, tmp_path):
    quantization = field(1, 8) + field(102, field(1, struct.pack("<2f", 1, 2)))
    weights = field(30, bytes([0, 1, 2])) + field(40, quantization)
    layer = field(1, b"fc") + field(140, field(20, weights))
    (tmp_path / "m.mlmodel").write_bytes(field(1, 4) + field(500, field(1, layer)))
    with pytest.raises(LoadError, match="points behind its table of 2 values"):
        opened(tmp_path / "m.mlmodel").tensors["fc.weights"].read()


def test_numbers_that_were_not_packed_are_read(opened, tmp_path):
    weights = b"".join(varint(1 << 3 | 5) + struct.pack("<f", value) for value in (1.5, -2, 0.25))
    layer = field(1, b"fc") + field(140, field(20, weights))
    (tmp_path / "m.mlmodel").write_bytes(field(1, 4) + field(500, field(1, layer)))
    assert opened(tmp_path / "m.mlmodel").tensors["fc.weights"].read().tolist() == [1.5, -2, 0.25]


@pytest.mark.parametrize(
    ("manifest", "complaint"),
    [
        ("", "does not say which file is the model"),
        ("{}", "does not say which file is the model"),
        ("[" * 100_000, "does not say which file is the model"),
        ('{"rootModelIdentifier": "1", "itemInfoEntries": {"1": {"path": 3}}}', "the path of the model is no text"),
        ('{"rootModelIdentifier": "1", "itemInfoEntries": {"1": {"path": "../../../x"}}}', "is not inside the folder"),
        ('{"rootModelIdentifier": "1", "itemInfoEntries": {"1": {"path": "gone"}}}', "no such file"),
    ],
)
def test_a_manifest_that_names_no_model_is_an_error(package, refused, manifest, complaint):
    path = package()
    (path / "Manifest.json").write_text(manifest, encoding="utf-8")
    assert complaint in refused(path).reason


@pytest.mark.parametrize("name", ["../../../Manifest.json", "/etc/passwd", "weights/../../../Manifest.json"])
def test_weights_outside_of_the_folder_are_refused(package, refused, name):
    path = package()
    model = path / INNER / "model.mlmodel"
    shown = b"@model_path/weights/weight.bin"
    replaced = name.ljust(len(shown), "x").encode() if len(name) <= len(shown) else name.encode()[: len(shown)]
    model.write_bytes(model.read_bytes().replace(shown, replaced))
    assert "not inside the folder" in refused(path).reason or "no such file" in refused(path).reason


def test_weights_behind_a_link_that_leads_out_are_refused(package, refused, tmp_path):
    path = package()
    weights = path / INNER / "weights/weight.bin"
    weights.rename(tmp_path / "elsewhere.bin")
    weights.symlink_to(tmp_path / "elsewhere.bin")
    assert "leads out of the folder; model.mlmodel names it" in refused(path).reason


def test_missing_weights_are_an_error_that_says_who_names_them(package, refused):
    path = package()
    (path / INNER / "weights/weight.bin").unlink()
    error = refused(path)
    assert error.path.endswith("weights/weight.bin")
    assert error.reason == "no such file or directory; model.mlmodel names it"


def patched(path, at, data):
    weights = path / INNER / "weights/weight.bin"
    raw = bytearray(weights.read_bytes())
    raw[at : at + len(data)] = data
    weights.write_bytes(raw)
    return path


@pytest.mark.parametrize(
    ("at", "data", "complaint"),
    [
        (4, b"\x03", "is no file of weights of version 2, but says 3"),
        (64, b"\0", "there is no record of weights here"),
        (68, b"\x02", "the record here holds float32 and the model says int8"),
        (68, b"\xff", "the record here holds type 255 and the model says int8"),
        (72, b"\xff", "which does not fit int8, shape [8, 16]"),
        (80, b"\xff\xff\xff\xff\xff\xff\xff\x7f", "bytes too early for a record"),
    ],
)
def test_records_that_are_not_what_the_model_says_are_an_error(package, refused, at, data, complaint):
    error = refused(patched(package(), at, data))
    assert complaint in error.reason
    assert error.path.endswith("weight.bin")
    assert error.offset is not None


def test_truncated_weights_are_an_error_that_names_file_and_offset(package, refused):
    path = package()
    weights = path / INNER / "weights/weight.bin"
    weights.write_bytes(weights.read_bytes()[:100])
    error = refused(path)
    assert (error.path.endswith("weight.bin"), error.offset) == (True, 100)


def test_a_mask_that_does_not_fit_its_values_is_an_error_when_it_is_read(package, opened):
    path = package("new_sparse")
    mask = opened(path).tensors["fc_weight_0_sparsified"].quantization.stored[1]
    before = mask.read()[0]
    patched(path, mask.offset, bytes([before ^ 1]))
    with pytest.raises(LoadError, match="does not have as many ones as there are values"):
        opened(path).tensors["fc_weight_0_sparsified"].read()


def outcome(path):
    """Read everything; return the path that a LoadError names, or that it was readable."""
    try:
        with open_coreml(Source(path), {}) as artifact:
            for ref in artifact.tensors.values():
                assert sum(block.size for block in ref.blocks(4096)) == ref.numel
    except LoadError as error:
        return error.path
    return "readable"


@pytest.mark.parametrize("model", [*NETWORKS, *("new_int4", "new_lut3groups", "new_sparse", "old_lut6", "old_int8")])
def test_random_damage_gives_a_load_error_or_something_readable(tmp_path, package, model):
    rng = random.Random(model)
    is_file = model in NETWORKS
    path = tmp_path / "m.mlmodel" if is_file else package(model)
    part = path if is_file else path / INNER / "model.mlmodel"
    intact = (FIXTURES / model).read_bytes() if is_file else part.read_bytes()
    for _ in range(150):
        data = bytearray(intact)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(data))
            end = at + rng.choice((0, 1, 1, 5))
            data[at:end] = rng.choice((bytes([rng.randrange(256)]), b"\xff" * 9 + b"\x01", b"", data[at - 20 : at]))
        part.write_bytes(data)
        begin = time.perf_counter()
        assert outcome(path).startswith(("readable", str(tmp_path)))
        assert time.perf_counter() - begin < 5


HEAD = b"\x08\x04\x12\x10\x0a\x05\x0a\x01x\x1a\x00\x52\x07\x0a\x01y\x1a\x02\x12\x00"


@pytest.mark.parametrize(
    ("head", "size", "wanted"),
    [
        (HEAD + b"\xa2\x1f\x05", 100, True),
        (HEAD + b"\x50\x01\xa2\x1f\x05", 100, True),
        (HEAD, 20, False),
        (HEAD + b"\x3a\x05", 100, False),
        (b"\x08\x07\x12\x07pytorch\x1a\x052.0.1:\x02\x0a\x00", 100, False),
        (b"\x08\x01\x12\x80\x20\x0a\x80\x10\x12\x80\x10\x0a\x04Cast" + b"\0" * 4000, 4112, False),
        (b"", 0, False),
        (b"\x08", 1, False),
        (b"\x08\x04\x12", 3, False),
    ],
)
def test_sniffing_knows_core_ml_from_other_messages(head, size, wanted):
    assert looks_like_coreml(head, size) is wanted


@pytest.mark.parametrize("name", [*NETWORKS, f"plain.mlpackage/{INNER}/model.mlmodel"])
def test_sniffing_knows_what_coremltools_wrote(name):
    data = (FIXTURES / name).read_bytes()
    assert looks_like_coreml(data[:4096], len(data)) is (name != "pipeline.mlmodel")


def test_a_manifest_is_not_opened_when_it_is_too_large(package, refused):
    path = package()
    (path / "Manifest.json").write_text(json.dumps("x" * (1 << 20)), encoding="utf-8")
    assert "at most 1,048,576 are read" in refused(path).reason
