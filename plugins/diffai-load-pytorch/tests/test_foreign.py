"""Every pickle that PyTorch would load is searched for code, not only the one that holds the tensors."""

from __future__ import annotations

import io
import itertools
import pickletools
import zipfile

import pytest
import torch
from pytorch_files import save_distributed, save_legacy

CALL = b"cposix\nsystem\n(S'true'\ntR0"
"""Calls ``os.system`` and throws the result away; it may stand before the end of any pickle."""


def with_call(pickled):
    """Return a pickle that calls it at its end."""
    assert pickled.endswith(b".")
    return pickled[:-1] + CALL + b"."


def with_call_inside(archive):
    """Return a zip file whose ``data.pkl`` calls it."""
    found = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(found, "w") as new:
        for name in old.namelist():
            new.writestr(name, with_call(old.read(name)) if name.endswith("data.pkl") else old.read(name))
    return found.getvalue()


def ends_of_pickles(data, count):
    stream = io.BytesIO(data)
    for _ in range(count):
        for _ in pickletools.genops(stream):
            pass
        yield stream.tell()


@pytest.mark.parametrize("which", range(5))
def test_each_of_the_five_pickles_of_the_format_before_zip_is_searched_for_code(tmp_path, opened, which):
    path = tmp_path / "a.pt"
    save_legacy({"w": torch.arange(3.0)}, path)
    assert opened(path).foreign == ()
    data = path.read_bytes()
    start, end = list(itertools.pairwise([0, *ends_of_pickles(data, 5)]))[which]
    path.write_bytes(data[:start] + with_call(data[start:end]) + data[end:])
    assert [foreign.name for foreign in opened(path).foreign] == ["posix.system"]


def test_the_parts_of_a_distributed_checkpoint_are_searched_for_code(tmp_path, opened):
    save_distributed({"w": torch.arange(3.0)}, tmp_path)
    assert opened(tmp_path).foreign == ()
    (shard,) = tmp_path.glob("*.distcp")
    data = shard.read_bytes()
    changed = with_call_inside(data)
    shard.write_bytes(changed)
    described = (tmp_path / ".metadata").read_bytes()
    lengths = [bytes([77]) + len(part).to_bytes(2, "little") for part in (data, changed)]  # BININT2
    assert described.count(lengths[0]) == 1
    (tmp_path / ".metadata").write_bytes(described.replace(*lengths))
    assert [foreign.name for foreign in opened(tmp_path).foreign] == ["posix.system"]


def test_the_sample_inputs_of_an_exported_program_are_searched_for_code(tmp_path, opened):
    path = tmp_path / "a.pt2"
    torch.export.save(torch.export.export(torch.nn.Linear(2, 2), (torch.zeros(1, 2),)), path)
    assert opened(path).foreign == ()
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    (samples,) = (name for name in members if "sample_inputs/" in name)
    members[samples] = with_call_inside(members[samples])
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    assert [foreign.name for foreign in opened(path).foreign] == ["posix.system"]


def test_two_pickles_whose_names_differ_in_case_are_refused_as_pytorch_may_read_either(tmp_path, refused):
    path = tmp_path / "a.pt"
    torch.save({"w": torch.ones(2)}, path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("a/DATA.PKL", with_call(b"N."))
    assert "'data.pkl' and 'DATA.PKL'" in refused(path).reason


def test_bytes_in_a_folder_of_the_archive_are_compared(tmp_path, opened):
    path = tmp_path / "a.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/", b"hidden")
        archive.writestr("a/data.pkl", b"\x80\x02}.")
    assert opened(path).tree["__members__"] == {"": "hidden"}
