"""What a folder says about how its model is quantised."""

from __future__ import annotations

import pytest
from diffai_lib_quantization.config import read_config

from diffai_core.plugin import Source


def _write(folder, **files):
    for name, text in files.items():
        (folder / f"{name}.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    return Source(folder)


def test_the_configuration_of_the_model_goes_before_that_of_the_quantiser(tmp_path):
    folder = _write(tmp_path, config='{"quantization_config": {"bits": 4}}', quantize_config='{"bits": 8}')
    assert read_config(folder) == {"bits": 4}


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ({}, None),
        ({"config": "{}"}, None),
        ({"config": '{"quantization_config": null}'}, None),
        ({"config": '{"quantization_config": []}'}, None),
        ({"config": '{"compression_config": {"format": "x"}}'}, {"format": "x"}),
        ({"config": "{}", "quantize_config": '{"bits": 8}'}, {"bits": 8}),
        ({"quant_config": '{"w_bit": 4}'}, {"w_bit": 4}),
        ({"config": "[]"}, None),
        ({"config": b"\xff"}, None),
        ({"config": '{"quantization_config": {"bits": 4}'}, None),
        ({"config": "[" * 100_000}, None),
        ({"config": '{"a": 1' + "0" * 5000 + "}"}, None),
        ({"config": " " * (1 << 23) + "{}"}, None),
    ],
)
def test_a_folder_says_what_is_in_its_files_or_nothing(tmp_path, files, wanted):
    assert read_config(_write(tmp_path, **files)) == wanted


def test_a_link_that_leads_out_of_the_folder_is_not_followed(tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    _write(tmp_path, config='{"quantization_config": {"bits": 4}}')
    (inside / "config.json").symlink_to(tmp_path / "config.json")
    assert read_config(Source(inside)) is None
