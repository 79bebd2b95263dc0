"""Models that Keras wrote: names, roles, values bit for bit, configuration."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from diffai_load_hdf5.sniff import looks_like_keras

from diffai_core.plugin import FileTensor

FIXTURES = Path(__file__).parent / "fixtures"
VALUES = json.loads((FIXTURES / "values.json").read_text(encoding="utf-8"))
BOTH = pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
PLACES = {
    "first/kernel": "layers/dense/vars/0",
    "first/bias": "layers/dense/vars/1",
    "norm/gamma": "layers/batch_normalization/vars/0",
    "norm/moving_variance": "layers/batch_normalization/vars/3",
    "last/kernel": "layers/dense_1/vars/0",
}


def bits(ref):
    array = ref.read()
    return array.view(f"u{array.itemsize}").reshape(-1).tolist()


@BOTH
def test_weights_of_an_archive_have_keras_own_bits_and_lie_in_the_file(opened, dtype):
    artifact = opened(FIXTURES / f"{dtype}.keras")
    for path, name in PLACES.items():
        ref = artifact.tensors[name]
        assert isinstance(ref, FileTensor)
        assert (ref.dtype.name, bits(ref)) == (dtype, VALUES[dtype][f"tiny/{path}"])


@BOTH
def test_weights_of_an_older_file_have_keras_own_bits(opened, dtype):
    artifact = opened(FIXTURES / f"{dtype}.h5")
    for path, values in VALUES[dtype].items():
        layer = path.split("/")[1]
        ref = artifact.tensors[f"model_weights/{layer}/{path}"]
        assert (ref.dtype.name, bits(ref)) == (dtype, values)


@pytest.mark.parametrize(("suffix", "prefix"), [("keras", "optimizer/"), ("h5", "optimizer_weights/")])
def test_the_state_of_the_optimizer_has_its_role(opened, suffix, prefix):
    roles = {name: ref.role for name, ref in opened(FIXTURES / f"float32.{suffix}").tensors.items()}
    assert {name for name, role in roles.items() if role == "optimizer"} == {n for n in roles if n.startswith(prefix)}
    assert set(roles.values()) == {"optimizer", "weights"}


def test_the_configuration_stands_under_one_key_in_both_kinds_of_file(opened):
    archive, older = opened(FIXTURES / "float32.keras").tree, opened(FIXTURES / "float32.h5").tree
    with zipfile.ZipFile(FIXTURES / "float32.keras") as file:
        assert archive["model_config"] == json.loads(file.read("config.json"))
        assert {key: archive[key] for key in ("keras_version", "date_saved")} == json.loads(file.read("metadata.json"))
    assert [layer["class_name"] for layer in older["model_config"]["config"]["layers"]] == [
        layer["class_name"] for layer in archive["model_config"]["config"]["layers"]
    ]
    assert older["keras_version"] == archive["keras_version"]
    assert older["training_config"]["loss"] == "mse"


def test_names_of_weights_are_in_the_tree(opened):
    tree = opened(FIXTURES / "float32.h5").tree
    assert tree["/model_weights"]["layer_names"] == ["first", "norm", "last"]
    assert tree["/model_weights/first"]["weight_names"] == ["tiny/first/kernel", "tiny/first/bias"]


def test_keras_itself_agrees_with_the_fixtures():
    keras = pytest.importorskip("keras")
    weights = keras.saving.load_model(FIXTURES / "float32.keras").get_weights()
    wanted = [np.array(value, "u4").view("f4") for value in VALUES["float32"].values()]
    assert all(np.array_equal(found.reshape(-1), value) for found, value in zip(weights, wanted, strict=True))


@pytest.mark.parametrize(
    ("first", "answer"),
    [("metadata.json", True), ("config.json", True), ("model/data.pkl", False), ("a.npy", False), ("[Content]", False)],
)
def test_an_archive_is_told_from_other_zip_files(tmp_path, first, answer):
    path = tmp_path / "a"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(first, b"{}")
    assert looks_like_keras(path.read_bytes()[:4096], path.stat().st_size) is answer


def repacked(path, change, method=zipfile.ZIP_STORED):
    """Write the archive again with members as ``change(name, data)`` returns them."""
    with zipfile.ZipFile(FIXTURES / "float32.keras") as old, zipfile.ZipFile(path, "w", method) as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return path


LAYERS = [
    {"class_name": "Lambda", "module": "keras.layers", "config": {"function": {"class_name": "__lambda__"}}},
    {"class_name": "Dense", "module": "keras.layers", "config": {"activation": "relu"}},
    {
        "class_name": "Dense",
        "module": "keras.layers",
        "config": {"activation": {"class_name": "function", "module": "builtins"}},
    },
    {"class_name": "Gate", "module": "my_package.layers", "registered_name": "my>Gate", "config": {}},
    {"class_name": "Gate", "module": "my_package.layers", "registered_name": "my>Gate", "config": {}},
]


def test_functions_in_an_archive_and_layers_of_other_packages_are_listed_with_the_place(opened, tmp_path):
    config = json.dumps({"class_name": "Sequential", "module": "keras", "config": {"layers": LAYERS}}).encode()
    path = repacked(tmp_path / "a.keras", lambda name, data: config if name == "config.json" else data)
    place = path.read_bytes().index(config)
    assert opened(path).foreign == tuple(
        (name, str(path), place) for name in ("keras.layers.Lambda", "keras.__lambda__", "my_package.layers.Gate")
    )


def test_functions_in_an_older_file_are_listed(opened, tmp_path):
    import h5py

    path = shutil.copy(FIXTURES / "float32.h5", tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        config = {"class_name": "Sequential", "config": {"layers": [LAYERS[1]]}}
        file.attrs["model_config"] = json.dumps(config)
    assert opened(path).foreign == ()
    with h5py.File(path, "a") as file:
        config["config"]["layers"].append({"class_name": "Lambda", "config": {"function": ["4wEAAAA=", None, None]}})
        file.attrs["model_config"] = json.dumps(config)
    assert [name for name, _, _ in opened(path).foreign] == ["keras.layers.Lambda"]


@BOTH
@pytest.mark.parametrize("suffix", ["h5", "keras"])
def test_a_plain_model_wants_nothing_to_be_called(opened, dtype, suffix):
    assert opened(FIXTURES / f"{dtype}.{suffix}").foreign == ()


def test_another_zip_file_is_no_archive_of_keras(refused, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.keras", "w") as archive:
        archive.writestr("archive/data.pkl", b"")
    assert "is no Keras archive" in refused(tmp_path / "a.keras").reason


def test_assets_are_compared_by_digest(opened, tmp_path):
    path = repacked(tmp_path / "a.keras", lambda _, data: data)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("assets/vocabulary.txt", b"a\nb\n")
    entry = opened(path).tree["assets/vocabulary.txt"]
    assert entry["bytes"] == 4
    assert re.fullmatch(r"[0-9a-f]{64}", entry["blake2b"])


def test_damaged_json_is_an_error_with_its_place(refused, tmp_path):
    error = refused(repacked(tmp_path / "a.keras", lambda n, data: b"{,}" if n == "config.json" else data))
    assert "config.json" in error.reason


def test_damaged_weights_are_an_error_with_their_place(refused, tmp_path):
    error = refused(repacked(tmp_path / "a.keras", lambda n, data: data[:3000] if n.endswith(".h5") else data))
    with zipfile.ZipFile(tmp_path / "a.keras") as archive:
        assert error.offset > archive.getinfo("model.weights.h5").header_offset
    assert "ends here" in error.reason


def test_compressed_weights_that_are_too_large_are_refused_before_they_are_decompressed(refused, tmp_path, monkeypatch):
    monkeypatch.setattr("diffai_load_hdf5.archive.MAX_INFLATED_BYTES", 1000)
    error = refused(repacked(tmp_path / "a.keras", lambda _, data: data, zipfile.ZIP_DEFLATED))
    assert "zip -0" in error.reason
