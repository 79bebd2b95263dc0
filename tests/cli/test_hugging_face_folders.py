"""Folders as Hugging Face writes them: weights, configuration, tokenizer, chat template and adapter in one report."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from command import findings_of, report_of, run_diffai
from safetensors_files import write_safetensors

from diffai_core import compare

if TYPE_CHECKING:
    from pathlib import Path

_RNG = np.random.default_rng(4)
_WEIGHTS = {
    "model.embed_tokens.weight": _RNG.standard_normal((6, 8)).astype(np.float32),
    "model.layers.0.mlp.down_proj.weight": _RNG.standard_normal((8, 16)).astype(np.float32),
    "model.norm.weight": np.ones(8, np.float32),
}
_SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
_VOCAB = {"<unk>": 0, "<s>": 1, "</s>": 2, "a": 3, "b": 4, "ab": 5}
_JSON: dict[str, Any] = {
    "config.json": {"architectures": ["LlamaForCausalLM"], "hidden_size": 8, "torch_dtype": "float32"},
    "generation_config.json": {"temperature": 0.7, "eos_token_id": [2]},
    "tokenizer.json": {
        "version": "1.0",
        "added_tokens": [{"id": 0, "content": "<unk>", "special": True}],
        "normalizer": None,
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": None,
        "model": {"type": "BPE", "vocab": _VOCAB, "merges": ["a b"]},
    },
    "tokenizer_config.json": {"model_max_length": 2048, "tokenizer_class": "LlamaTokenizer"},
    "special_tokens_map.json": {"eos_token": "</s>"},
}


def _write_weights(folder: Path, weights: dict[str, np.ndarray]) -> None:
    weight_map = {name: _SHARDS[number % 2] for number, name in enumerate(weights)}
    for shard in _SHARDS:
        write_safetensors(folder / shard, {name: weights[name] for name in weights if weight_map[name] == shard})
    index = {"metadata": {"total_size": sum(array.nbytes for array in weights.values())}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")


def _write_json(folder: Path, name: str, *keys: str, value: Any) -> None:
    """Set one value of a JSON file."""
    document = json.loads((folder / name).read_text(encoding="utf-8"))
    place = document
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    (folder / name).write_text(json.dumps(document), encoding="utf-8")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A model with everything that belongs to it."""
    folder = tmp_path / "base"
    folder.mkdir()
    _write_weights(folder, _WEIGHTS)
    for name, content in _JSON.items():
        (folder / name).write_text(json.dumps(content, indent=2), encoding="utf-8")
    (folder / "chat_template.jinja").write_text("{{ bos_token }}{{ messages }}\n", encoding="utf-8")
    (folder / "README.md").write_text("A model.\n", encoding="utf-8")
    return folder


@pytest.fixture
def tuned(base: Path) -> Path:
    """A copy of the model."""
    return shutil.copytree(base, base.parent / "tuned")


def test_a_copy_is_the_same(base: Path, tuned: Path) -> None:
    done = run_diffai(base, tuned)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("identical files: 3 tensors equal bit for bit")


def test_changes_in_every_file_are_in_one_report(base: Path, tuned: Path) -> None:
    _write_weights(tuned, _WEIGHTS | {"model.norm.weight": np.full(8, 1.5, np.float32)})
    _write_json(tuned, "config.json", "hidden_size", value=16)
    _write_json(tuned, "generation_config.json", "temperature", value=0.6)
    _write_json(tuned, "tokenizer.json", "model", "vocab", value=_VOCAB | {"<tool>": 6})
    _write_json(tuned, "tokenizer_config.json", "model_max_length", value=4096)
    _write_json(tuned, "special_tokens_map.json", "eos_token", value="<eot>")
    (tuned / "chat_template.jinja").write_text("{{ messages }}\n", encoding="utf-8")
    report = report_of(base, tuned)
    assert report["exit_code"] == 1
    assert report["counts"]["changed"] == 1
    assert report["counts"]["identical"] == 2
    assert list(findings_of(report, "tensor_stats_changed")) == ["model.norm.weight"]
    changed = {place: (found["old"], found["new"]) for place, found in findings_of(report, "modified").items()}
    template = changed.pop('["chat_template.jinja"]')
    assert template[0] != template[1]
    assert changed == {
        '["config.json"].hidden_size': (8, 16),
        '["generation_config.json"].temperature': (0.7, 0.6),
        '["special_tokens_map.json"].eos_token': ("</s>", "<eot>"),
        '["tokenizer_config.json"].model_max_length': (2048, 4096),
    }
    assert list(findings_of(report, "added")) == ['["tokenizer.json"].vocab.<tool>']
    assert findings_of(report, "removed") == {}


@pytest.mark.parametrize("name", ["tokenizer.json", "chat_template.jinja"])
def test_a_file_that_is_missing_is_a_difference(base: Path, tuned: Path, name: str) -> None:
    (tuned / name).unlink()
    report = report_of(base, tuned)
    assert report["exit_code"] == 1
    assert list(findings_of(report, "removed")) == [f'["{name}"]']
    assert report["counts"]["identical"] == 3


def test_a_damaged_file_is_an_error_and_the_others_are_compared(base: Path, tuned: Path) -> None:
    (tuned / "tokenizer_config.json").write_text("{", encoding="utf-8")
    _write_json(tuned, "config.json", "hidden_size", value=16)
    done = run_diffai(base, tuned)
    assert done.returncode == 2
    assert "tuned/tokenizer_config.json: " in done.stdout + done.stderr
    assert '["config.json"].hidden_size: 8 -> 16' in done.stdout


def test_a_missing_shard_is_an_error_that_names_it(base: Path, tuned: Path) -> None:
    (tuned / _SHARDS[1]).unlink()
    done = run_diffai(base, tuned)
    assert done.returncode == 2
    assert f"tuned/{_SHARDS[1]}: no such file or directory; model.safetensors.index.json names it" in done.stderr


@pytest.mark.parametrize("damaged", ["old", "new"])
def test_beside_a_damaged_shard_the_others_and_every_other_file_are_compared(
    base: Path, tuned: Path, damaged: str
) -> None:
    _write_weights(tuned, _WEIGHTS | {"model.norm.weight": np.full(8, 1.5, np.float32)})
    _write_json(tuned, "config.json", "hidden_size", value=16)
    shard = (base if damaged == "old" else tuned) / _SHARDS[1]
    shard.write_bytes(shard.read_bytes()[:-4])
    report = compare(base, tuned)
    assert report.exit_code == 2
    assert [lost.where for lost in report.not_compared] == [str(shard)]
    assert [found.where for found in report.findings if found.level == "change"] == [
        f"{_SHARDS[0]}:model.norm.weight",
        '["config.json"].hidden_size',
    ]
    assert (report.counts.added, report.counts.removed) == (0, 0)


def test_beside_a_damaged_model_of_which_nothing_opens_by_itself_the_damage_is_told(tmp_path: Path) -> None:
    for side in ("old", "new"):
        (tmp_path / side).mkdir()
        write_safetensors(tmp_path / side / "model.safetensors", _WEIGHTS)
    (tmp_path / "new/model.safetensors").write_bytes(b"\x08")
    done = run_diffai(tmp_path / "old", tmp_path / "new")
    assert done.returncode == 2
    assert f"{tmp_path}/new/model.safetensors: " in done.stderr


def test_the_folder_compares_with_a_single_file_of_its_weights(base: Path, tmp_path: Path) -> None:
    write_safetensors(tmp_path / "all.safetensors", _WEIGHTS)
    report = report_of(tmp_path / "all.safetensors", base)
    assert report["counts"]["identical"] == 3
    assert report["counts"]["added"] == 0


# -- adapters --------------------------------------------------------------------------------------------------

_LORA = {
    f"base_model.model.model.layers.0.self_attn.{layer}.lora_{half}.weight": _RNG.standard_normal(shape, np.float32)
    for layer in ("q_proj", "v_proj")
    for half, shape in (("A", (4, 8)), ("B", (8, 4)))
}
_ADAPTER_CONFIG = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"]}


def _write_adapter(folder: Path, weights: dict[str, np.ndarray], **config: Any) -> Path:
    folder.mkdir(exist_ok=True)
    write_safetensors(folder / "adapter_model.safetensors", weights)
    (folder / "adapter_config.json").write_text(json.dumps(_ADAPTER_CONFIG | config), encoding="utf-8")
    return folder


def test_an_adapter_is_one_artefact_with_its_configuration(tmp_path: Path) -> None:
    changed = {name: array + 1 if "q_proj.lora_B" in name else array for name, array in _LORA.items()}
    old = _write_adapter(tmp_path / "old", _LORA)
    report = report_of(old, _write_adapter(tmp_path / "new", changed, lora_alpha=16))
    assert report["exit_code"] == 1
    assert list(findings_of(report, "tensor_stats_changed")) == [
        "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight"
    ]
    assert findings_of(report, "modified")['["adapter_config.json"].lora_alpha']["new"] == 16
    assert report["counts"]["identical"] == 3


@pytest.mark.parametrize("sharded", [True, False])
def test_an_adapter_beside_a_model_keeps_its_own_names(base: Path, tuned: Path, *, sharded: bool) -> None:
    _write_adapter(tuned, _LORA)
    if not sharded:
        for name in (*_SHARDS, "model.safetensors.index.json"):
            (tuned / name).unlink()
        write_safetensors(tuned / "model.safetensors", _WEIGHTS)
    report = report_of(base, tuned)
    assert report["exit_code"] == 1
    added = {finding["where"] for finding in report["findings"] if finding["kind"] == "added"}
    assert {f"adapter_model.safetensors:{name}" for name in _LORA} <= added | set(findings_of(report, "tensor_added"))
    assert report["counts"]["added"] == len(_LORA)
    assert report["counts"]["identical"] == 3


# -- several formats -------------------------------------------------------------------------------------------


def _write_gguf(path: Path, weights: dict[str, np.ndarray]) -> None:
    import gguf

    writer = gguf.GGUFWriter(path, "llama")
    for name, array in weights.items():
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_of_a_model_in_two_formats_the_second_stands_under_the_name_of_its_file(base: Path, tuned: Path) -> None:
    _write_gguf(base / "model.gguf", _WEIGHTS)
    _write_gguf(tuned / "model.gguf", _WEIGHTS | {"model.norm.weight": np.full(8, 2, np.float32)})
    report = report_of(base, tuned)
    assert report["exit_code"] == 1
    assert report["counts"]["identical"] == 5
    assert list(findings_of(report, "tensor_stats_changed")) == ["model.gguf:model.norm.weight"]


def test_a_folder_with_one_format_compares_with_a_folder_of_another(base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "converted"
    folder.mkdir()
    _write_gguf(folder / "any-name.gguf", _WEIGHTS)
    report = report_of(base, folder)
    assert report["counts"]["identical"] == 3
    assert report["counts"]["added"] == report["counts"]["removed"] == 0


# -- quantised models ------------------------------------------------------------------------------------------


def test_a_quantised_model_compares_with_the_float_model_it_was_made_from(base: Path, tuned: Path) -> None:
    """By name, by its dequantised values: no element is further away than half a step."""
    name = "model.layers.0.mlp.down_proj.weight"
    weight = _WEIGHTS[name]
    scale = np.abs(weight).max(1, keepdims=True) / 127
    codes = np.round(weight / scale).astype(np.int8)
    _write_weights(tuned, _WEIGHTS | {name: codes, f"{name}_scale": scale})
    report = report_of(base, tuned)
    assert report["exit_code"] == 1
    assert report["counts"]["identical"] == 2
    assert report["counts"]["added"] == report["counts"]["removed"] == 0
    dtypes = findings_of(report, "tensor_dtype_changed")
    assert {place: (found["old"], found["new"]) for place, found in dtypes.items()} == {
        name: ("float32", "int8_scaled")
    }
    (stats,) = findings_of(report, "tensor_stats_changed").values()
    error = np.abs(codes * scale - weight).max()
    assert stats["values"]["max_abs_diff"] == pytest.approx(error, rel=1e-5)
    assert 0 < error <= scale.max() * 0.5001


def test_shards_of_a_second_format_are_compared_once_through_their_index(tmp_path):
    import torch

    old = tmp_path / "old"
    old.mkdir()
    write_safetensors(old / "model.safetensors", _WEIGHTS)
    names = {name: f"pytorch_model-0000{i + 1}-of-00003.bin" for i, name in enumerate(_WEIGHTS)}
    for name, file in names.items():
        torch.save({name: torch.from_numpy(_WEIGHTS[name])}, old / file)
    (old / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": names}), encoding="utf-8")
    new = shutil.copytree(old, tmp_path / "new")
    done = run_diffai(old, new)
    assert done.stdout.startswith("identical files: 6 tensors")
    torch.save({"model.norm.weight": torch.zeros(8)}, new / names["model.norm.weight"])
    report = report_of(old, new)
    assert list(findings_of(report, "tensor_stats_changed")) == ["pytorch_model.bin.index.json:model.norm.weight"]
    assert report["counts"]["identical"] == 5


def test_external_data_in_a_folder_belong_to_their_model(tmp_path):
    import onnx
    from onnx import helper, numpy_helper

    weight = np.arange(4096, dtype=np.float32)
    value = helper.make_tensor_value_info("w", 1, [4096])
    graph = helper.make_graph([], "g", [], [value], [numpy_helper.from_array(weight, "w")])
    for side in ("old", "new"):
        (tmp_path / side).mkdir()
        model = helper.make_model(graph)
        onnx.save(model, tmp_path / side / "model.onnx", save_as_external_data=True, location="weights.data")
        (tmp_path / side / "config.json").write_text("{}", encoding="utf-8")
    done = run_diffai(tmp_path / "old", tmp_path / "new")
    assert (done.returncode, done.stdout.partition("\n")[0]) == (0, "identical files: 1 tensor equal bit for bit")
    data = tmp_path / "new/weights.data"
    data.write_bytes(data.read_bytes()[:-4] + b"\0\0\0\0")
    report = report_of(tmp_path / "old", tmp_path / "new")
    assert list(findings_of(report, "tensor_stats_changed")) == ["model.onnx:w"]
    assert not findings_of(report, "modified")
