"""External data are found beside the model, and nowhere else."""

from __future__ import annotations

import os
import shutil

import numpy as np
import onnx
import pytest
from diffai_load_onnx.loader import open_onnx
from onnx import TensorProto, helper, numpy_helper

from diffai_core.plugin import Source

WEIGHTS = {
    "a": np.arange(3000, dtype=np.float32).reshape(30, 100),
    "b": np.arange(500, dtype=np.int64),
    "c": np.array([[1.5, -2]], np.float16),
}


def saved(folder, **how):
    model = helper.make_model(
        helper.make_graph([], "g", [], [], [numpy_helper.from_array(array, name) for name, array in WEIGHTS.items()])
    )
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model, folder / "m.onnx", save_as_external_data=True, size_threshold=0, **how)
    return folder / "m.onnx"


def pointing(location, *, count=4, **entries):
    proto = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[count], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, **entries}.items():
        if value is not None:
            proto.external_data.add(key=key, value=str(value))
    return proto


def check(path):
    with open_onnx(Source(path), {}) as artifact:
        assert set(artifact.tensors) == set(WEIGHTS)
        for name, wanted in WEIGHTS.items():
            found = artifact.tensors[name].read()
            assert found.dtype == wanted.dtype
            np.testing.assert_array_equal(found, wanted)
        return [os.path.basename(file.path) for file in artifact.files]  # noqa: PTH119 - the name alone


def test_all_tensors_in_one_file(tmp_path):
    assert check(saved(tmp_path, all_tensors_to_one_file=True, location="m.data")) == ["m.onnx", "m.data"]


def test_each_tensor_in_a_file_of_its_own(tmp_path):
    assert check(saved(tmp_path, all_tensors_to_one_file=False)) == ["m.onnx", "a", "b", "c"]


def test_data_in_a_folder_below_the_model(tmp_path, save, opened):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/w.bin").write_bytes(np.arange(4, dtype=np.float32).tobytes())
    path = save([], [pointing("weights/w.bin")])
    assert opened(path).tensors["w"].read().tolist() == [0, 1, 2, 3]


def test_offset_and_length_say_where_the_data_lie(tmp_path, save, opened):
    (tmp_path / "w.bin").write_bytes(b"xx" + np.arange(4, dtype=np.float32).tobytes() + b"yy")
    assert opened(save([], [pointing("w.bin", offset=2, length=16)])).tensors["w"].read().tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("inside", ["", "onnx"])
def test_a_snapshot_of_a_hugging_face_cache_is_read_through_its_links(tmp_path, inside):
    repository = tmp_path / "models--org--name"
    blobs, snapshot = repository / "blobs", repository / "snapshots/0123abcd" / inside
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    saved(tmp_path / "made", location="m.onnx_data")
    for number, name in enumerate(("m.onnx", "m.onnx_data")):
        shutil.move(tmp_path / "made" / name, blobs / f"{number}ff")
        (snapshot / name).symlink_to(os.path.relpath(blobs / f"{number}ff", snapshot))
    assert check(snapshot / "m.onnx") == ["m.onnx", "m.onnx_data"]


def secret(tmp_path):
    (tmp_path / "secret").write_bytes(bytes(16))
    (tmp_path / "models").mkdir()
    return tmp_path / "secret"


@pytest.mark.parametrize("location", ["../secret", "x/../../secret", "..", ".", "", "..\\secret", "a/b/../c", "\0"])
def test_a_path_that_leaves_the_folder_is_refused(tmp_path, save, refusal, location):
    secret(tmp_path)
    assert "external data: " in refusal(save([], [pointing(location)], name="models/m.onnx"))


def test_an_absolute_path_is_refused(tmp_path, save, refusal):
    path = save([], [pointing(str(secret(tmp_path)))], name="models/m.onnx")
    assert "which is not inside the folder" in refusal(path)


def test_a_link_that_leaves_the_folder_is_refused(tmp_path, save, refusal):
    (tmp_path / "models").mkdir()
    (tmp_path / "models/w.bin").symlink_to(tmp_path / "secret")
    (tmp_path / "secret").write_bytes(bytes(16))
    message = refusal(save([], [pointing("w.bin")], name="models/m.onnx"))
    assert "'w.bin' is a link that leads out of the folder" in message


def test_a_link_to_a_folder_outside_is_refused(tmp_path, save, refusal):
    (tmp_path / "models").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/w.bin").write_bytes(bytes(16))
    (tmp_path / "models/sub").symlink_to(tmp_path / "outside")
    assert "leads out of the folder" in refusal(save([], [pointing("sub/w.bin")], name="models/m.onnx"))


def test_a_link_within_the_folder_is_followed(tmp_path, save, opened):
    (tmp_path / "real.bin").write_bytes(np.ones(4, np.float32).tobytes())
    (tmp_path / "w.bin").symlink_to("real.bin")
    assert opened(save([], [pointing("w.bin")])).tensors["w"].read().tolist() == [1, 1, 1, 1]


def test_a_pipe_is_refused_and_nothing_waits(tmp_path, save, refusal):
    os.mkfifo(tmp_path / "w.bin")
    assert "not a regular file" in refusal(save([], [pointing("w.bin")]))


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ({"location": None}, "external data without a location"),
        ({"location": "missing.bin"}, "external data: 'missing.bin': no such file or directory"),
        ({"offset": 1}, "the tensor ends 1 bytes behind the end of its external data in 'w.bin'"),
        ({"offset": 1 << 62}, "behind the end of its external data"),
        ({"offset": -1}, "the offset of external data is '-1', which is no number of bytes"),
        ({"offset": "9" * 40}, "which is no number of bytes"),
        ({"offset": "0x10"}, "which is no number of bytes"),
        ({"length": 12}, "the tensor takes 16 bytes, and its external data have 12"),
        ({"length": "²"}, "the length of external data is '²', which is no number of bytes"),
        ({"count": 1 << 40}, "behind the end of its external data"),
        ({"count": 1 << 62}, "the shape of the tensor is larger than any array can be"),
        ({"location": "n" * 5000}, "external data: "),
    ],
)
def test_external_data_that_do_not_fit_are_an_error(tmp_path, save, refusal, entries, expected):
    (tmp_path / "w.bin").write_bytes(bytes(16))
    message = refusal(save([], [pointing(**{"location": "w.bin"} | entries)]))
    assert expected in message
    assert message.startswith(f"{tmp_path / 'model.onnx'}: byte ")


def test_external_data_that_are_cut_off_are_an_error_at_open(tmp_path, refusal):
    path = saved(tmp_path, location="m.data")
    data = (tmp_path / "m.data").read_bytes()
    (tmp_path / "m.data").write_bytes(data[:-1])
    assert "the tensor ends 1 bytes behind the end of its external data in 'm.data'" in refusal(path)


def test_data_in_both_places_are_refused(tmp_path, save, refusal):
    (tmp_path / "w.bin").write_bytes(bytes(16))
    proto = pointing("w.bin")
    proto.raw_data = bytes(16)
    assert "data inside the model and outside" in refusal(save([], [proto]))


def test_nothing_stays_open_when_a_model_is_refused(tmp_path, save, refusal):
    (tmp_path / "w.bin").write_bytes(bytes(16))
    proto = pointing("missing.bin")
    proto.name = "v"
    before = len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0  # noqa: PTH110, PTH208 - Linux
    refusal(save([], [pointing("w.bin"), proto]))
    after = len(os.listdir("/proc/self/fd")) if before else 0  # noqa: PTH208 - Linux
    assert after == before
