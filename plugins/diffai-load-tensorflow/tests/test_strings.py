"""Texts of a checkpoint whose lengths lie."""

from __future__ import annotations

import pytest
from diffai_load_tensorflow.bundle import Piece
from diffai_load_tensorflow.strings import read_strings

from diffai_core.plugin import DataFile, LoadError


def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


@pytest.mark.parametrize(
    ("length", "reason"),
    [(1 << 32, "are damaged"), ((1 << 64) - 1, "are damaged"), (1 << 64, "64 bits"), ((1 << 70) - 1, "64 bits")],
)
def test_a_text_longer_than_its_tensor_is_an_error(tmp_path, length, reason):
    path = tmp_path / "data"
    path.write_bytes(varint(length).ljust(14, b"\0"))
    with DataFile(path) as file, pytest.raises(LoadError, match=f"tensor 'words' .*{reason}"):
        read_strings(file, "words", Piece(7, (), 0, 0, 14, 0, (), 0))
