"""The zip files of other writers are read, and agree with ``zipfile``."""

from __future__ import annotations

import subprocess
import sys
import zipfile

import pytest
import torch
from diffai_lib_zip import DEFLATED, STORED, MemberPayload, Region, read_all, read_directory
from hypothesis import given, settings
from hypothesis import strategies as st

from diffai_core.plugin import DataFile, LoadError


def members_of(path):
    with DataFile(path) as file:
        directory = read_directory(file)
        return {member.name: read_all(MemberPayload(file, member), 1 << 30) for member in directory.members}


def expected(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "a.pt"
    torch.save({"w": torch.arange(1000.0), "b": torch.ones(3)}, path)
    return path


def test_a_checkpoint_of_pytorch_with_its_padding_is_read(checkpoint):
    assert members_of(checkpoint) == expected(checkpoint)
    with DataFile(checkpoint) as file:
        payloads = [m for m in read_directory(file).members if "/data/" in m.name]
        assert [member.method for member in payloads] == [STORED, STORED]
        assert [member.start % 64 for member in payloads] == [0, 0]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_checkpoint_that_was_zipped_again_is_read(tmp_path, checkpoint, method):
    path = tmp_path / "again.pt"
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in expected(checkpoint).items():
            archive.writestr(name, data)
    assert members_of(path) == expected(checkpoint)


def test_folders_in_an_archive_are_empty_members(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.mkdir("folder")
        archive.writestr("folder/a", b"data")
    assert members_of(path) == {"folder/": b"", "folder/a": b"data"}


def test_an_archive_written_to_a_pipe_is_read(tmp_path):
    path = tmp_path / "a.zip"
    code = "import zipfile, sys; zipfile.ZipFile(sys.stdout.buffer, 'w', 8).writestr('a', b'data' * 100)"
    path.write_bytes(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
    assert path.read_bytes()[6] & 8
    assert members_of(path) == {"a": b"data" * 100}


NAMES = st.text(st.characters(codec="ascii", exclude_characters="\0/\\"), min_size=1)


@given(st.dictionaries(NAMES, st.binary(), max_size=5), st.booleans())
@settings(deadline=None, derandomize=True, max_examples=50)
def test_any_archive_agrees_with_zipfile(tmp_path_factory, contents, packed):
    path = tmp_path_factory.mktemp("z") / "a.zip"
    with zipfile.ZipFile(path, "w", DEFLATED if packed else STORED) as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
    assert members_of(path) == expected(path)


def test_more_than_the_limit_is_not_read(checkpoint):
    with DataFile(checkpoint) as file:
        member = max(read_directory(file).members, key=lambda one: one.size)
        with pytest.raises(LoadError, match="at most 100 are read") as caught:
            read_all(MemberPayload(file, member), 100)
        assert caught.value.offset == member.start


def test_damage_in_a_stored_member_is_found_by_its_checksum(checkpoint):
    with DataFile(checkpoint) as file:
        member = max(read_directory(file).members, key=lambda one: one.size)
    data = bytearray(checkpoint.read_bytes())
    data[member.start + 100] ^= 1
    checkpoint.write_bytes(data)
    with pytest.raises(LoadError, match="its CRC is"):
        members_of(checkpoint)


def test_a_region_is_a_stretch_of_a_file(tmp_path):
    (tmp_path / "f").write_bytes(bytes(range(100)))
    with DataFile(tmp_path / "f") as file:
        assert read_all(Region(file, 10, 20), 20) == bytes(range(10, 30))
        assert Region(file, 10, 20).error("x", 5).offset == 15


def test_every_truncation_is_an_error(tmp_path, checkpoint):
    data = checkpoint.read_bytes()
    for length in range(0, len(data), 97):
        (tmp_path / "cut").write_bytes(data[:length])
        with pytest.raises(LoadError):
            members_of(tmp_path / "cut")
