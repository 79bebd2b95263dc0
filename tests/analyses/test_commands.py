"""Every command that users know, word for word in a shell, on checkpoints that were really trained."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree as ET

import pytest
import yaml

pytestmark = [pytest.mark.timeout(600)]

FILES = {
    "baseline/resnet18.pth": "network/shallow.pth",
    "experiment/resnet34.pth": "network/deep.pth",
    "pretrained/model.pth": "network/shallow_epoch_1.pth",
    "finetuned/model.pth": "network/shallow_epoch_5.pth",
    "original/model.pth": "network/shallow.pth",
    "quantized/model.pth": "network/shallow_int8.pth",
    "full/model.pth": "network/shallow.pth",
    "pruned/model.pth": "network/shallow_pruned.pth",
    "full_precision/model.pth": "network/shallow.pth",
    "baseline/model.pth": "network/deep.pth",
    "optimized/model.pth": "network/deep_int8.pth",
    "checkpoints/epoch_1.pth": "network/deep_epoch_1.pth",
    "checkpoints/epoch_2.pth": "network/deep_epoch_2.pth",
    "checkpoints/epoch_3.pth": "network/deep_epoch_3.pth",
    "model_v1/model.safetensors": "transformer/v1.safetensors",
    "model_v2/model.safetensors": "transformer/v2.safetensors",
    "model_v1.safetensors": "transformer/v1.safetensors",
    "model_v2.safetensors": "transformer/v2.safetensors",
    "model_fp32.safetensors": "transformer/v2.safetensors",
    "model_int8.safetensors": "transformer/int8_as_float.safetensors",
    "pretrained_model.safetensors": "transformer/v2.safetensors",
    "finetuned_model.safetensors": "transformer/finetuned.safetensors",
    "checkpoint_epoch_10.pt": "transformer/epoch_3.pt",
    "checkpoint_epoch_20.pt": "transformer/epoch_5.pt",
    "model_before.pt": "transformer/epoch_1.pt",
    "model_after.pt": "transformer/epoch_2.pt",
    "model_v1.pt": "transformer/epoch_2.pt",
    "model_v2.pt": "transformer/epoch_3.pt",
    "model_before_anomaly.pt": "transformer/epoch_5.pt",
    "model_after_anomaly.pt": "transformer/diverged.pt",
    "lightweight_model.safetensors": "network/shallow.safetensors",
    "heavy_model.safetensors": "network/deep.safetensors",
    "production_model.safetensors": "transformer/v1.safetensors",
    "candidate_model.safetensors": "transformer/v2.safetensors",
    "main_branch_model.safetensors": "transformer/v2.safetensors",
    "feature_branch_model.safetensors": "transformer/lora_merged.safetensors",
    "resnet_model.safetensors": "network/shallow.safetensors",
    "efficientnet_model.safetensors": "network/deep.safetensors",
    "model_lr_0.01.safetensors": "transformer/lr_high.safetensors",
    "model_lr_0.001.safetensors": "transformer/lr_low.safetensors",
    "model_a.safetensors": "transformer/v2.safetensors",
    "model_b.safetensors": "transformer/two_of_four.safetensors",
    "baseline_model.safetensors": "transformer/v1.safetensors",
    "improved_model.safetensors": "transformer/v2.safetensors",
    "experiment_model.safetensors": "transformer/finetuned.safetensors",
    "transformer_v1.safetensors": "transformer/v1.safetensors",
    "transformer_v2.safetensors": "transformer/v2.safetensors",
    "model_current.pt": "transformer/epoch_4.pt",
    "model_candidate.pt": "transformer/epoch_5.pt",
    "model1.pth": "network/shallow_epoch_4.pth",
    "model2.pth": "network/shallow_epoch_5.pth",
}
"""What stands for each file of the commands: a checkpoint of the same kind."""


class Ran(NamedTuple):
    """What a shell did with a command."""

    code: int
    out: str
    err: str
    folder: Path


@pytest.fixture(name="shell")
def user_shell(checkpoints: Path, tmp_path: Path) -> Any:
    """Return a function that types a command in a folder with all the files."""
    for name, source in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(checkpoints / source)

    def run(command: str, **variables: str) -> Ran:
        environment = {"PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin", **variables}
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            timeout=120,
        )
        return Ran(done.returncode, done.stdout, done.stderr, tmp_path)

    return run


TEXT = {
    "diffai baseline/resnet18.pth experiment/resnet34.pth --show-structure": (
        "Model Changes:",
        "+ layer1.2.conv1.weight: shape=[16, 16, 3, 3], dtype=f32, params=2304",
        "Parameters: 9,",
    ),
    "diffai pretrained/model.pth finetuned/model.pth --tensor-details": ("~ model.fc.weight: mean=", "norm_ratio="),
    "diffai original/model.pth quantized/model.pth --show-structure": (
        "! fc.weight: float32 -> int8_scaled",
        "! conv1.weight: float32 -> int8_scaled",
        "change: quantised",
    ),
    "diffai full/model.pth pruned/model.pth --diff-only": ("~ fc.weight: mean=", "change: "),
    "diffai model_v1/model.safetensors model_v2/model.safetensors --tensor-details": ("norm_ratio=",),
    "diffai baseline/model.pth optimized/model.pth --show-size-reduction": ("size_reduction: status=measured",),
    "diffai full_precision/model.pth quantized/model.pth --quantization-analysis": ("quantization_analysis: status=",),
    "diffai model_v1.safetensors model_v2.safetensors": ("change: full fine-tune", "1-cos="),
    "diffai model_v1.safetensors model_v2.safetensors --show-layer-impact --stats": (
        "layer_impact: status=measured",
        ", ks_d=",
    ),
    "diffai model_fp32.safetensors model_int8.safetensors --quantization-analysis": (
        "quantization_analysis: status=measured",
        "int8",
    ),
    "diffai model_fp32.safetensors model_int8.safetensors --quantization-analysis --precision-loss-threshold 0.01": (
        "quantization_analysis: status=measured",
        "0.01",
        "(user)",
    ),
    "diffai model_v1.safetensors model_v2.safetensors --sort-by-change-magnitude": ("~ model.",),
    "diffai pretrained_model.safetensors finetuned_model.safetensors --show-layer-impact --sort-by-change-magnitude": (
        "change: partial fine-tune",
        "layer_impact: status=measured",
    ),
    "diffai checkpoint_epoch_10.pt checkpoint_epoch_20.pt --learning-progress --convergence-analysis": (
        "learning_progress: status=measured",
        "convergence_analysis: status=",
    ),
    "diffai model_before.pt model_after.pt --learning-progress --convergence-analysis --stats": (
        "learning_progress: status=measured",
        ", ks_d=",
    ),
    "diffai model_before_anomaly.pt model_after_anomaly.pt --anomaly-detection --gradient-analysis": (
        "anomaly_detection: status=measured",
        "gradient_analysis: status=measured",
    ),
    "diffai lightweight_model.safetensors heavy_model.safetensors --memory-analysis --inference-speed-estimate": (
        "memory_analysis: status=",
        "inference_speed_analysis: status=",
    ),
    "diffai main_branch_model.safetensors feature_branch_model.safetensors"
    " --review-friendly --change-summary --risk-assessment": (
        "change: merged LoRA of rank 4",
        "review_friendly: status=",
        "change_summary: status=measured",
        "risk_assessment: status=",
    ),
    "diffai resnet_model.safetensors efficientnet_model.safetensors"
    " --architecture-comparison --param-efficiency-analysis": (
        "architecture_comparison: status=measured",
        "param_efficiency_analysis: status=measured",
    ),
    "diffai model_lr_0.01.safetensors model_lr_0.001.safetensors --hyperparameter-impact --learning-rate-analysis": (
        "hyperparameter_impact: status=not_measurable",
        "learning_rate_analysis: status=not_measurable",
    ),
    "diffai model_a.safetensors model_b.safetensors --deployment-readiness --performance-impact-estimate": (
        "deployment_readiness: status=",
        "performance_impact_estimate: status=",
    ),
    "diffai model_v1.safetensors model_v2.safetensors --embedding-analysis --similarity-matrix --clustering-change": (
        "embedding_analysis: status=measured",
        "similarity_matrix: status=measured",
        "clustering_change: status=",
    ),
    "diffai transformer_v1.safetensors transformer_v2.safetensors"
    " --attention-analysis --head-importance --attention-pattern-diff": (
        "attention_analysis: status=not_measurable",
        "head_importance: status=not_measurable",
        "attention_pattern_diff: status=not_measurable",
        "--num-heads",
    ),
}
"""Commands whose report is text, and what must stand in it."""


@pytest.mark.parametrize("command", TEXT)
def test_a_command_says_what_it_is_asked_for(command: str, shell: Any) -> None:
    ran = shell(command)
    assert (ran.code, ran.err) == (1, "")
    assert ran.out.startswith("different: ")
    for expected in TEXT[command]:
        assert expected in ran.out


def test_the_loop_over_epochs_prints_a_block_for_each(shell: Any) -> None:
    ran = shell(
        "for checkpoint in checkpoints/epoch_*.pth; do"
        ' diffai checkpoints/epoch_1.pth "$checkpoint" --show-structure --diff-only; done'
    )
    assert ran.err == ""
    assert ran.out.count("Model Changes:\n  No structural changes\n  Parameters: ") == 3
    assert "Weight updates: 0% of parameters modified" in ran.out
    updates = [line for line in ran.out.splitlines() if "Weight updates:" in line]
    assert len(updates) == 3
    assert all(line.endswith("% of parameters modified") for line in updates)


def test_a_filter_leaves_what_it_is_found_in(shell: Any) -> None:
    ran = shell('diffai model_v1/model.safetensors model_v2/model.safetensors --filter "attention.*"')
    assert ran.code == 1
    changed = [line.split(":")[0].removeprefix("  ~ ") for line in ran.out.splitlines() if line.startswith("  ~ ")]
    names = [f"model.layers.{n}.post_attention_layernorm.{part}" for n in range(4) for part in ("bias", "weight")]
    assert changed == names


JSON = {
    "diffai model_v1.safetensors model_v2.safetensors --output json > changes.json": ("changes.json", "NamedChange"),
    "diffai model1.pth model2.pth --output json > team_comparison.json": ("team_comparison.json", "TensorStatsChanged"),
}


@pytest.mark.parametrize("command", JSON)
def test_a_list_of_results_goes_into_a_file(command: str, shell: Any) -> None:
    ran = shell(command)
    name, tag = JSON[command]
    assert (ran.code, ran.out, ran.err) == (1, "", "")
    results = json.loads((ran.folder / name).read_text())
    assert all(isinstance(result, dict) and len(result) == 1 for result in results)
    assert tag in {key for result in results for key in result}


JQ = {
    "diffai model_v1.pt model_v2.pt --learning-progress --output json | jq '.[] | select(.LearningProgress)'": (
        "LearningProgress",
        "measured",
    ),
    "diffai production_model.safetensors candidate_model.safetensors --architecture-comparison"
    " --param-efficiency-analysis --deployment-readiness --performance-impact-estimate --generate-report"
    " --output json | jq '.[] | select(.DeploymentReadiness)'": ("DeploymentReadiness", None),
}


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
@pytest.mark.parametrize("command", JQ)
def test_jq_finds_the_one_answer_of_an_analysis(command: str, shell: Any) -> None:
    ran = shell(command)
    tag, status = JQ[command]
    assert (ran.code, ran.err) == (1, "")
    answer = json.loads(ran.out)
    assert [*answer] == [tag]
    assert status is None or answer[tag]["status"] == status


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
def test_scripts_read_the_document(shell: Any) -> None:
    variables = {
        "BASELINE": "model_v1.safetensors",
        "EXPERIMENT": "model_v2.safetensors",
        "REPORT": "report of today.json",
    }
    assert shell('diffai "$BASELINE" "$EXPERIMENT" --format json > "$REPORT"', **variables).code == 1
    for field, kind in {
        ".comparison.param_diff": "number",
        ".param_diff": "number",
        ".comparison.structure_changes": "array",
        ".comparison.significant_changes": "array",
    }.items():
        assert shell(f'jq -r "{field} | type" "$REPORT"', **variables).out.strip() == kind


def test_a_script_learns_that_nothing_changed(shell: Any) -> None:
    script = (
        'if diffai "$BASELINE" "$EXPERIMENT" --diff-only --quiet; then'
        ' echo "No structural changes detected"; else echo changed; fi'
    )
    same = {"BASELINE": "model_v2.safetensors", "EXPERIMENT": "model_fp32.safetensors"}
    assert shell(script, **same).out == "No structural changes detected\n"
    other = {"BASELINE": "baseline/resnet18.pth", "EXPERIMENT": "experiment/resnet34.pth"}
    assert shell(script, **other).out == "changed\n"


def test_a_regression_test_is_a_junit_file(shell: Any) -> None:
    ran = shell(
        "diffai production_model.safetensors candidate_model.safetensors"
        " --regression-test --alert-on-degradation --output-format junit-xml"
    )
    assert ran.code == 3, "no metrics: the alert cannot be decided"
    root = ET.fromstring(ran.out)
    assert root.tag == "testsuites"
    assert list(root.iter("skipped"))


def test_a_report_for_a_deployment_is_yaml(shell: Any) -> None:
    ran = shell(
        "diffai model_current.pt model_candidate.pt --regression-test --alert-on-degradation --risk-assessment"
        " --review-friendly --output yaml > deployment_report.yaml"
    )
    results = yaml.safe_load((ran.folder / "deployment_report.yaml").read_text())
    tags = {key for result in results for key in result}
    assert {"RegressionTest", "AlertOnDegradation", "RiskAssessment", "ReviewFriendly"} <= tags
    assert ran.code == 0, "the loss fell, so the alert, which is a gate, passes"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (
            (
                "diffai baseline_model.safetensors improved_model.safetensors --generate-report --markdown-output"
                " --include-charts > report.md"
            ),
            ("# ", "## ", "| "),
        ),
        (
            (
                "diffai baseline_model.safetensors experiment_model.safetensors --learning-progress"
                " --convergence-analysis --hyperparameter-impact --generate-report --markdown-output > report.md"
            ),
            ("learning_progress", "full fine-tune"),
        ),
    ],
)
def test_a_report_is_markdown(command: str, expected: tuple[str, ...], shell: Any) -> None:
    ran = shell(command)
    assert (ran.code, ran.err) == (1, "")
    text = (ran.folder / "report.md").read_text()
    for part in expected:
        assert part in text


def test_results_keep_their_order_and_bytes(shell: Any) -> None:
    command = "diffai model_current.pt model_candidate.pt --all --output json"
    first, second = shell(command), shell(f"{command} --jobs 2")
    assert first.code == 1
    assert first.err == ""
    assert first.out == second.out
