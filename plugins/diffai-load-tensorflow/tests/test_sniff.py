"""Content tells TensorFlow's files from others that are protobuf or tables, too."""

from __future__ import annotations

import pytest
from diffai_load_tensorflow.sniff import kind_of

KINDS = {
    "types/model.ckpt.index": "index",
    "slices/model.index": "index",
    "saved_model/saved_model.pb": "saved model",
    "model.meta": "metagraph",
    "frozen.pb": "graph",
    "training/checkpoint": "state",
}


@pytest.mark.parametrize(("name", "kind"), KINDS.items())
def test_files_of_tensorflow_are_told_apart(fixtures, name, kind):
    content = (fixtures / name).read_bytes()
    assert kind_of(content[:4096], len(content)) == kind


def message(number, content):
    return bytes([number << 3 | 2, len(content)]) + content


@pytest.mark.parametrize(
    "head",
    [
        b"\x08\x08\x12\x07pytorch\x1a\x031.9:\x04\x0a\x02\x0a\x00",  # ONNX
        b"\x08\x01\x12\x07pytorch\x1a\x031.9:\x04\x0a\x02\x0a\x00",  # ONNX, the oldest version
        message(1, message(1, "▁the".encode()) + b"\x15\0\0\0\xc0\x18\x01") * 5,  # sentencepiece
        message(1, b"\x08\x00\x10\xff\x0f\x1a\x05\x0a\x03abc"),  # a Paddle program
        b"\x08\x05\x12\x06\x0a\x04\x0a\x02in\xa2\x1f\x00",  # Core ML
        b"\x08\x03\x10\x01\x0a\x04data",  # a tensor of ONNX
        b"\0\0\0\0\0\0\0\0",
        b"\0\0\xff\x08\x01",
        b"\x0a\x05hello\x12\x05world",
        b"model_checkpoint: 1",
        b"\x0a",
        b"",
    ],
)
def test_other_formats_are_declined(head):
    assert kind_of(head, len(head)) is None
