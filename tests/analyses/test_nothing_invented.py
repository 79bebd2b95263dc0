"""No analysis answers from the name of a file, and none prints a number that does not come from the files."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.helpers.command import run_diffai
from tests.helpers.safetensors_files import write_safetensors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = pytest.mark.timeout(300)

TELLING = ("epoch_50_lr_0.01_loss_0.02", "bert_attention_12_heads_quantized_int8_accuracy_0.92")


def random_model(seed: int) -> dict[str, NDArray[Any]]:
    """Return a small transformer of random sizes, parts and weights; nothing about it repeats between seeds."""
    rng = np.random.default_rng(seed)
    head, heads = int(rng.integers(3, 9)) * 2, int(rng.integers(2, 5))
    width, inner = head * heads, int(rng.integers(20, 90))
    scale = float(rng.uniform(0.01, 0.3))

    def weights(*shape: int) -> NDArray[Any]:
        return (scale * rng.standard_t(5, shape)).astype(np.float32)

    embedding = weights(int(rng.integers(60, 200)), width)
    model = {"model.embed_tokens.weight": embedding, "model.norm.weight": weights(width)}
    optional = {"mlp.gate_proj.weight": (inner, width), "post_attention_layernorm.weight": (width,)}
    optional |= {f"self_attn.{name}_proj.bias": (width,) for name in "qkv"}
    parts = {name: shape for number, (name, shape) in enumerate(optional.items()) if seed >> number & 1}
    for block in range(int(rng.integers(2, 6))):
        start = f"model.layers.{block}."
        model |= {f"{start}self_attn.{name}_proj.weight": weights(width + 2 * seed, width) for name in "qkv"}
        model |= {
            f"{start}self_attn.o_proj.weight": weights(width, width + 2 * seed),
            f"{start}mlp.up_proj.weight": weights(inner, width),
            f"{start}mlp.down_proj.weight": weights(width, inner),
            f"{start}input_layernorm.weight": weights(width),
        }
        model |= {f"{start}{name}": weights(*shape) for name, shape in parts.items()}
    return model


def retrained(model: dict[str, NDArray[Any]], seed: int) -> dict[str, NDArray[Any]]:
    """Return the model after a random change of random size."""
    rng = np.random.default_rng(seed)
    size = float(rng.uniform(0.01, 0.4))
    return {
        name: (tensor + size * tensor.std() * rng.standard_normal(tensor.shape)).astype(np.float32)
        for name, tensor in model.items()
    }


@pytest.fixture(name="pairs", scope="module")
def random_pairs(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, Path]]:
    folder = tmp_path_factory.mktemp("random")
    pairs = []
    for seed in range(5):
        model = random_model(seed)
        old, new = folder / f"old{seed}.safetensors", folder / f"new{seed}.safetensors"
        write_safetensors(old, model)
        write_safetensors(new, retrained(model, 100 + seed))
        pairs.append((old, new))
    return pairs


def results_of(old: Path, new: Path, *options: str) -> list[dict[str, Any]]:
    done = run_diffai(old, new, "--all", "--output", "json", *options)
    assert (done.returncode, done.stderr) == (1, "")
    text = done.stdout.replace(json.dumps(str(old))[1:-1], "OLD").replace(json.dumps(str(new))[1:-1], "NEW")
    results: list[dict[str, Any]] = json.loads(text)
    return results


def test_files_with_telling_names_get_the_answers_of_any_other(pairs: list[tuple[Path, Path]], tmp_path: Path) -> None:
    old, new = pairs[0]
    told_old, told_new = (tmp_path / f"{name}.safetensors" for name in TELLING)
    shutil.copy(old, told_old)
    shutil.copy(new, told_new)
    assert results_of(told_old, told_new) == results_of(old, new)


def test_every_analysis_answers_exactly_once(pairs: list[tuple[Path, Path]]) -> None:
    kinds = [tag for result in results_of(*pairs[0]) for tag in result]
    for tag in (
        *("LayerImpact", "QuantizationAnalysis", "QuantizationAware", "SparsityAnalysis", "SizeReduction"),
        *("LearningProgress", "ConvergenceAnalysis", "AnomalyDetection", "GradientAnalysis", "CompareGradients"),
        *("MemoryAnalysis", "InferenceSpeedAnalysis", "PerformanceImpactEstimate", "ArchitectureComparison"),
        *("ParamEfficiencyAnalysis", "ModelType", "HyperparameterImpact", "HyperparameterComparison"),
        *("LearningRateAnalysis", "EmbeddingAnalysis", "SimilarityMatrix", "ClusteringChange", "AttentionAnalysis"),
        *("HeadImportance", "AttentionPatternDiff", "ChangeSummary", "ReviewFriendly", "RiskAssessment"),
        *("DeploymentReadiness", "RegressionTest", "GenerateReport", "IncludeCharts", "NamedChange"),
    ):
        assert kinds.count(tag) == 1, tag


def measured_numbers(value: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """Yield each fraction in an answer with its place; nulls, thresholds and whole numbers are no measurements.

    Nor are the edges of the bins that charts are drawn with.
    """
    if isinstance(value, dict):
        for key, item in value.items():
            if not {"null", "threshold", "random", "edges"} & set(key.split("_")) and key != "charts":
                yield from measured_numbers(item, f"{path}.{key}")
    elif isinstance(value, list):
        for item in value:
            yield from measured_numbers(item, f"{path}[]")
    elif isinstance(value, float) and value != round(value):
        yield path, value


def test_no_fraction_is_the_same_for_unrelated_models(pairs: list[tuple[Path, Path]]) -> None:
    seen: defaultdict[str, list[set[float]]] = defaultdict(list)
    for pair in pairs:
        places: defaultdict[str, set[float]] = defaultdict(set)
        for result in results_of(*pair):
            for place, number in measured_numbers(result):
                places[place].add(number)
        for place, numbers in places.items():
            seen[place].append(numbers)
    everywhere = {place: numbers for place, numbers in seen.items() if len(numbers) == len(pairs)}
    assert len(everywhere) > 100
    constant = {place: common for place, numbers in everywhere.items() if (common := set.intersection(*numbers))}
    assert constant == {}
