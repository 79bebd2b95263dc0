"""Files: what is read is what was opened, however many there are and whoever closes them."""

from __future__ import annotations

import os
import pickle
import threading
from typing import TYPE_CHECKING

import pytest

from diffai_core.errors import LoadError
from diffai_core.files import DataFile, OpenFiles, Source
from diffai_core.testing.watch import descriptor_count

if TYPE_CHECKING:
    from pathlib import Path

USES = {
    "read": lambda file: file.read(0, 1),
    "read_into": lambda file: file.read_into(0, bytearray(1)),
    "map": lambda file: file.map(),
    "check_unchanged": lambda file: file.check_unchanged(),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "data.bin"
    path.write_bytes(b"0123456789")
    return path


@pytest.mark.parametrize("use", USES)
def test_a_file_used_after_it_was_closed_is_an_error_that_names_it(path, use):
    file = DataFile(path, "data.bin")
    file.map()
    file.close()
    with pytest.raises(LoadError, match=r"^data\.bin: was closed while it was still needed$"):
        USES[use](file)


@pytest.mark.parametrize("use", USES)
def test_a_released_file_holds_no_descriptor_and_can_be_used_all_the_same(path, use):
    before = descriptor_count()
    with DataFile(path) as file:
        file.map()
        file.release()
        assert descriptor_count() == before
        USES[use](file)
        assert file.read(3, 4) == b"3456"
        assert bytes(file.map()[3:7]) == b"3456"
    assert descriptor_count() == before


def test_a_view_outlives_the_release_of_its_file(path):
    with DataFile(path) as file:
        view = file.map()
        file.release()
        assert bytes(view) == b"0123456789"


@pytest.mark.parametrize("use", USES)
def test_a_released_file_that_was_written_to_is_an_error(path, use):
    with DataFile(path) as file:
        file.release()
        path.write_bytes(b"abcdefghijk")
        with pytest.raises(LoadError, match="written to while it was read"):
            USES[use](file)


@pytest.mark.parametrize("use", USES)
def test_a_released_file_that_was_replaced_is_an_error(path, use):
    with DataFile(path) as file:
        file.release()
        other = path.with_suffix(".new")
        other.write_bytes(b"abcdefghij")
        other.replace(path)
        with pytest.raises(LoadError, match="no longer the one that was opened"):
            USES[use](file)


def test_a_released_file_that_was_deleted_is_an_error(path):
    with DataFile(path) as file:
        file.release()
        path.unlink()
        for use in USES.values():
            with pytest.raises(LoadError, match="no such file"):
                use(file)


def test_a_refused_file_leaves_no_descriptor_open(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    before = descriptor_count()
    errors = []
    for name in ("pipe", ".", "nothing"):
        with pytest.raises(LoadError) as caught:
            DataFile(tmp_path / name, name)
        errors.append(caught)  # and its traceback
    assert [error.value.reason.partition(" (")[0] for error in errors] == [
        "is not a regular file",
        "is a directory, not a file",
        "no such file or directory",
    ]
    assert descriptor_count() == before


def test_a_read_beyond_the_end_keeps_no_descriptor_through_its_traceback(path):
    before = descriptor_count()
    with pytest.raises(LoadError, match="5 bytes too early") as caught, DataFile(path) as file:
        file.read(5, 10)
    assert descriptor_count() == before
    assert caught.value.offset == 10


def test_no_more_files_are_open_at_once_than_allowed(tmp_path):
    open_files = OpenFiles(4)
    for number in range(20):
        (tmp_path / str(number)).write_bytes(bytes([number]))
    before = descriptor_count()
    files = [DataFile(tmp_path / str(number), open_files=open_files) for number in range(20)]
    assert descriptor_count() == before + 4
    for _ in range(2):
        assert [file.read(0, 1)[0] for file in files] == list(range(20))
        assert descriptor_count() == before + 4
    for file in files:
        file.close()
    assert descriptor_count() == before


def test_the_files_of_a_folder_share_one_bound(tmp_path, monkeypatch):
    folder = Source(tmp_path)
    for number in range(100):
        (tmp_path / str(number)).write_bytes(b"x")
    before = descriptor_count()
    files = [folder.child(str(number)).open() for number in range(100)]
    assert descriptor_count() == before + 64
    for file in files:
        file.close()
    assert descriptor_count() == before


def test_threads_that_read_more_files_than_may_be_open_get_the_bytes_of_the_right_one(tmp_path):
    # A descriptor closed under a reader would get its number reused: the reader would see another file.
    open_files = OpenFiles(2)
    for number in range(12):
        (tmp_path / str(number)).write_bytes(bytes([number]) * 50_000)
    before = descriptor_count()
    files = [DataFile(tmp_path / str(number), open_files=open_files) for number in range(12)]
    wrong: list[object] = []

    def read(start: int) -> None:
        buffer = bytearray(50_000)
        try:
            for step in range(400):
                number = (start + 5 * step) % 12
                files[number].read_into(0, buffer)
                if buffer.count(number) != 50_000:
                    wrong.append(number)
        except Exception as error:  # noqa: BLE001 - to the main thread
            wrong.append(error)

    threads = [threading.Thread(target=read, args=(start,)) for start in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    for file in files:
        file.close()
    assert descriptor_count() == before


def test_a_source_and_a_released_file_can_be_sent_to_another_process(path):
    with Source(path).open() as file:
        file.release()
        with pickle.loads(pickle.dumps(file)) as again:
            assert again.read(0, 10) == b"0123456789"
    with pickle.loads(pickle.dumps(Source(path))).open() as again:
        assert again.size == 10


@pytest.mark.parametrize("name", ["a\\b", "c:d", "..x", "a b"])
def test_a_listed_file_is_opened_by_exactly_its_name(tmp_path, name):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_bytes(b"another")
    (tmp_path / name).write_bytes(b"mine")
    with Source(tmp_path).listed(name).open() as file:
        assert file.read(0, file.size) == b"mine"


def test_a_listed_link_that_leads_out_of_the_folder_is_refused(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(b"x")
    (folder / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(LoadError, match="leads out of the folder"):
        Source(folder).listed("link")
