"""Published safetensors models against themselves, resaved, changed in one element, and cast."""

from __future__ import annotations

import json
import shutil
import struct

import numpy as np
import pytest
from command import findings_of, report_of, run_diffai

pytestmark = pytest.mark.real
each_model = pytest.mark.parametrize("name", ["silero", "wordllama"])


def load(path):
    """Read all tensors with the library of the format."""
    from safetensors.numpy import load_file

    return load_file(path)


def raw(path):
    """Return ``{name: (dtype, shape, bytes)}`` and the metadata, as they stand in the file."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__", None)
    start = 8 + length
    tensors = {}
    for key, entry in header.items():
        begin, end = entry["data_offsets"]
        tensors[key] = (entry["dtype"], entry["shape"], data[start + begin : start + end])
    return tensors, metadata


@each_model
def test_the_loader_gives_the_bits_that_the_safetensors_library_gives(model, name):
    from diffai_load_safetensors.loader import open_safetensors

    from diffai_core.plugin import Source

    path = model(name)
    expected = load(path)
    with open_safetensors(Source(path), {}) as artifact:
        assert artifact.tensors.keys() == expected.keys()
        for key, array in expected.items():
            ours = artifact.tensors[key].read()
            assert (ours.dtype, ours.shape) == (array.dtype, array.shape)
            assert ours.tobytes() == array.tobytes()


@each_model
def test_a_file_and_its_copy_are_identical_files(model, name, tmp_path):
    path = model(name)
    copy = shutil.copy(path, tmp_path / "copy.safetensors")
    for other in (path, copy):
        done = run_diffai(path, other)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("identical files: ")


@each_model
def test_a_file_written_in_another_order_has_identical_tensors(model, name, write_in_order):
    tensors, metadata = raw(model(name))
    other = write_in_order("reversed.safetensors", dict(reversed(tensors.items())), metadata)
    assert load(other).keys() == tensors.keys()
    report = report_of(model(name), other)
    assert (report["verdict"]["identity"], report["exit_code"]) == ("identical tensors", 0)
    assert report["counts"]["identical"] == len(tensors)


@each_model
def test_a_file_resaved_with_other_metadata_has_identical_tensors_and_differs_in_the_metadata_alone(
    model, name, tmp_path
):
    from safetensors.numpy import save_file

    other = tmp_path / "resaved.safetensors"
    save_file(load(model(name)), other, metadata={"resaved": "yes"})
    report = report_of(model(name), other)
    assert (report["verdict"]["identity"], report["exit_code"]) == ("identical tensors", 1)
    assert {finding["where"].partition(".")[0] for finding in report["findings"] if finding["level"] == "change"} == {
        "__metadata__"
    }


@each_model
@pytest.mark.parametrize("place", [0.0, 0.37, 1.0])
def test_one_changed_element_is_found_with_its_tensor_and_its_index(model, name, place, tmp_path):
    from safetensors.numpy import save_file

    tensors = load(model(name))
    key = max(tensors, key=lambda one: tensors[one].size)
    changed = tensors[key].copy()
    flat = round((changed.size - 1) * place)
    before = changed.flat[flat]
    after = np.nextafter(before, before.dtype.type(np.inf))
    changed.flat[flat] = after
    _, metadata = raw(model(name))
    save_file({**tensors, key: changed}, tmp_path / "new.safetensors", metadata=metadata)

    report = report_of(model(name), tmp_path / "new.safetensors")
    assert (report["verdict"]["identity"], report["exit_code"]) == ("different", 1)
    assert (report["counts"]["changed"], report["counts"]["identical"]) == (1, len(tensors) - 1)
    found = findings_of(report, "tensor_stats_changed")
    assert list(found) == [key]
    values = found[key]["values"]
    assert values["n_changed"] == 1
    assert values["max_abs_diff_index"] == [int(i) for i in np.unravel_index(flat, changed.shape)]
    assert values["max_abs_diff"] == float(np.float64(after) - np.float64(before))


@each_model
def test_a_cast_to_bfloat16_is_a_change_of_dtype_with_the_rounding_that_torch_makes(model, name, tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file, save_file

    old = load_file(model(name))
    new = {key: tensor.to(torch.bfloat16) if tensor.is_floating_point() else tensor for key, tensor in old.items()}
    _, metadata = raw(model(name))
    save_file(new, tmp_path / "bf16.safetensors", metadata=metadata)
    report = report_of(model(name), tmp_path / "bf16.safetensors")
    assert report["exit_code"] == 1
    cast = findings_of(report, "tensor_dtype_changed")
    measured = findings_of(report, "tensor_stats_changed")
    assert cast.keys() == {key for key, tensor in old.items() if tensor.is_floating_point()}
    for key in cast:
        difference = new[key].double() - old[key].double()
        n_changed = int((difference != 0).sum())
        assert cast[key]["values"]["values_equal"] is (n_changed == 0)
        if n_changed:
            values = measured[key]["values"]
            assert values["n_changed"] == n_changed
            assert values["max_abs_diff"] == float(difference.abs().max())
            assert values["rel_change"] == pytest.approx(float(difference.norm() / old[key].double().norm()), rel=1e-12)


@pytest.mark.parametrize("n_shards", [2, 5])
def test_a_model_split_into_shards_has_identical_tensors(model, n_shards, tmp_path):
    from safetensors.numpy import save_file

    tensors = load(model("silero"))
    _, metadata = raw(model("silero"))
    keys = list(tensors)
    weight_map = {}
    for index in range(n_shards):
        name = f"model-{index + 1:05}-of-{n_shards:05}.safetensors"
        part = {key: tensors[key] for key in keys[index::n_shards]}
        save_file(part, tmp_path / name, metadata=metadata)
        weight_map |= dict.fromkeys(part, name)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}), encoding="utf-8")
    report = report_of(model("silero"), tmp_path)
    assert (report["verdict"]["identity"], report["exit_code"]) == ("identical tensors", 0)
    assert report["counts"]["identical"] == len(tensors)


@each_model
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_a_download_that_broke_off_is_trouble_and_never_a_pass(model, name, share, tmp_path):
    data = model(name).read_bytes()
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(data[: int(len(data) * share)])
    for pair in ((model(name), broken), (broken, model(name)), (broken, broken)):
        done = run_diffai(*pair)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"diffai: {broken}: ")
        assert done.stderr.count("\n") == 1
