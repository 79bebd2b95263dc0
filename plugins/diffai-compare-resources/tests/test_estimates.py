"""Bytes are those that are stored, times are bounds, and nothing is invented."""

from __future__ import annotations

import io
import math
from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest
import torch
from diffai_compare_resources.checks import at_least_one, known_device, parse_size, positive
from diffai_compare_resources.devices import Device, chosen_devices, device_table
from diffai_compare_resources.estimates import Span, slack

from diffai_core.plugin import Quantization, UsageError
from diffai_core.testing import artifact, tensor

TABLE = {  # llama.cpp, tools/quantize/README.md: Llama-3.1-8B; bits a weight, GiB, tokens/s of generation
    "IQ1_S": (2.0042, 1.87, 79.73),
    "IQ1_M": (2.1460, 2.01, 72.92),
    "IQ2_XXS": (2.3824, 2.23, 79.86),
    "IQ2_XS": (2.5882, 2.42, 78.04),
    "IQ2_S": (2.7403, 2.56, 77.30),
    "IQ2_M": (2.9294, 2.74, 74.44),
    "IQ3_XXS": (3.2548, 3.04, 73.95),
    "IQ3_XS": (3.4977, 3.27, 71.67),
    "IQ3_S": (3.6606, 3.42, 69.31),
    "IQ3_M": (3.7628, 3.52, 70.15),
    "IQ4_XS": (4.4597, 4.17, 77.51),
    "IQ4_NL": (4.6818, 4.38, 76.71),
    "Q2_K_S": (2.9697, 2.78, 90.01),
    "Q2_K": (3.1593, 2.95, 79.85),
    "Q3_K_S": (3.6429, 3.41, 71.68),
    "Q3_K_L": (4.2979, 4.02, 69.38),
    "Q4_K_S": (4.6672, 4.36, 76.71),
    "Q4_K_M": (4.8944, 4.58, 71.93),
    "Q5_K_S": (5.5704, 5.21, 69.53),
    "Q5_K_M": (5.7036, 5.33, 67.23),
    "Q6_K": (6.5633, 6.14, 58.67),
    "Q8_0": (8.5008, 7.95, 50.93),
}
F16 = (14.96, 29.17)


@pytest.mark.parametrize("name", TABLE)
def test_the_published_speeds_of_quantised_models_lie_in_the_interval(name):
    bits, size, speed = TABLE[name]
    ratio = size / F16[0]
    low, high = Span(ratio, ratio).times(1.0, slack(bits))
    assert low <= F16[1] / speed <= high


def quantised(shape, bits):
    """Return a matrix in codes of so many bits with one float16 scale for each 32 of them."""
    n = math.prod(shape)
    codes = tensor("w.codes", np.zeros(n * bits // 8, np.uint8))
    scales = tensor("w.scales", np.zeros(n // 32, np.float16))
    return replace(
        tensor("w", np.zeros(shape, np.float32)),
        quantization=Quantization(scheme=f"int{bits}", bits=bits, stored=(codes, scales)),
    )


def test_quantised_weights_count_their_codes_and_scales(run):
    old = artifact({"w": np.zeros((64, 64), np.float16)})
    new = replace(old, tensors={"w": quantised((64, 64), 4)})
    found = run("memory-analysis", old, new)
    assert found.values["weight_bytes_old"] == 64 * 64 * 2
    assert found.values["weight_bytes_new"] == 64 * 64 // 2 + 2 * 64 * 64 // 32
    assert found.values["new"]["bits_per_weight"] == 4.5
    assert found.message.startswith("weights take 0.281 times the bytes (float16 -> int4)")


def test_tied_weights_are_counted_once(run):
    one = tensor("a", np.zeros((8, 4), np.float32))
    tied = [replace(one, name=name, shared_storage="s") for name in ("a", "b")]
    old = replace(artifact(), tensors={ref.name: ref for ref in tied})
    found = run("memory-analysis", old, artifact({"a": np.zeros((8, 4), np.float32), "b": np.ones((8, 4), np.float32)}))
    assert (found.values["weight_bytes_old"], found.values["weight_bytes_new"]) == (128, 256)
    assert (found.values["old"]["parameters"], found.values["new"]["parameters"]) == (32, 64)


def test_the_state_of_adam_is_eight_bytes_a_parameter(run, models):
    weights = models.arrays(models.Llama())
    state = {
        f"optimizer.state.{index}.{name}": np.ones_like(array)
        for index, array in enumerate(weights.values())
        for name in ("exp_avg", "exp_avg_sq")
    }
    side = artifact(weights | state, roles=dict.fromkeys(state, "optimizer"))
    found = run("memory-analysis", side, side)
    assert found.values["old"]["optimizer_bytes_per_parameter"] == 8.0
    assert found.values["weight_bytes_old"] == sum(array.nbytes for array in weights.values())
    assert found.values["old"]["training_bytes_mixed_adamw"] == 18 * found.values["old"]["parameters"]


@pytest.mark.parametrize("n_kv_heads", [1, 2, 4])
def test_the_cache_is_what_the_projections_of_a_run_leave_behind(run, models, n_kv_heads):
    model = models.Llama(n_kv_heads=n_kv_heads)
    kept = []
    for block in model.model.layers:
        for name in ("k_proj", "v_proj"):
            getattr(block.self_attn, name).register_forward_hook(lambda _m, _i, out: kept.append(out))
    model(torch.zeros(2, 7, dtype=torch.long))
    found = run("memory-analysis", *[models.checkpoint(model)] * 2, batch_size=2, sequence_length=7)
    assert found.values["old"]["kv_bytes"] == sum(out.nbytes for out in kept)
    half = models.checkpoint(model, dtype=ml_dtypes.bfloat16)
    assert run("memory-analysis", half, half).values["kv_bytes_per_token_old"] * 14 == sum(o.nbytes for o in kept) / 2


def test_the_cache_agrees_with_the_formula_of_the_configuration(run, models):
    model = models.Llama(n_layers=3, n_heads=4, n_kv_heads=2, head_dim=8)
    found = run("memory-analysis", *[models.checkpoint(model)] * 2)
    assert found.values["kv_bytes_per_token_new"] == 2 * 3 * 2 * 8 * 4


def test_activations_are_those_of_the_formula_and_need_a_configuration(run, models):
    tree = {"config.json": {"num_hidden_layers": 3, "hidden_size": 32, "num_attention_heads": 4}}
    side = models.checkpoint(models.Llama(), tree)
    found = run("memory-analysis", side, side, batch_size=2, sequence_length=10)
    assert found.values["old"]["activation_bytes"] == 3 * 10 * 2 * 32 * (34 + 5 * 4 * 10 / 32)
    assert found.values["old"]["activation_bytes_flash"] == 3 * 34 * 10 * 2 * 32
    assert found.values["old"]["activation_bytes_recomputed"] == 3 * 2 * 10 * 2 * 32
    bare = models.checkpoint(models.Llama())
    found = run("memory-analysis", bare, bare)
    assert found.values["old"]["activation_bytes"] is None
    assert "give the folder with config.json" in found.message


def test_what_fits_is_what_is_smaller_than_the_memory(run):
    found = run("memory-analysis", *[artifact({"w": np.zeros((8, 8), np.float32)})] * 2, device="t4")
    assert found.values["devices"] == [
        {"device": "t4", "device_bytes": 16e9, "fits_old": True, "fits_new": True}
        | {"device_source": found.values["devices"][0]["device_source"]}
    ]


def test_a_step_is_bound_by_memory_until_the_batch_is_as_large_as_the_published_crossing():
    """With 16-bit weights the crossing lies at peak / bandwidth sequences: 295 on an H100 SXM, 153 on an A100."""
    crossings = {"h100-sxm": 295, "a100-80gb-sxm": 153}
    n = 10_000_000
    for device in device_table():
        if device.name in crossings:
            bounds = [device.bound(batch * 2 * n, 2 * n) for batch in range(1, 400)]
            assert bounds.index("compute") + 1 == pytest.approx(crossings[device.name], abs=1)


def test_the_least_time_is_the_larger_of_what_work_and_bytes_need(run, models):
    side = models.checkpoint(models.Llama())
    found = run("inference-speed-estimate", side, side, device_flops=1e9, device_bandwidth=1e6, batch_size=1)
    (one,) = found.values["devices"]
    assert one["latency_lower_s_old"] == max(
        found.values["flops_per_token_old"] / 1e9, found.values["step_bytes_old"] / 1e6
    )
    assert (found.values["bound_old"], found.status) == ("memory", "bounded")
    slow = run("inference-speed-estimate", side, side, device_flops=1e6, device_bandwidth=1e12)
    assert slow.values["bound_old"] == "compute"
    assert slow.values["latency_lower_s_old"] == pytest.approx(slow.values["flops_per_token_old"] / 1e6)


def test_numbers_of_the_user_go_before_those_of_the_table():
    none = {"device": None, "device_flops": None, "device_bandwidth": None}
    assert chosen_devices(none) == device_table()
    (one,) = chosen_devices(none | {"device": "L4", "device_bandwidth": 1e12})
    assert (one.name, one.flops, one.bandwidth) == ("l4", 121e12, 1e12)
    assert one.source.startswith("user")
    assert {device.bandwidth for device in chosen_devices(none | {"device_bandwidth": 1e12})} == {1e12}
    assert chosen_devices(none | {"device_flops": 1.0, "device_bandwidth": 2.0})[0].seconds(3.0, 8.0) == 4.0


def test_a_calibrated_speed_of_the_same_model_is_the_measured_one(run, models):
    side = models.checkpoint(models.Llama())
    other = models.checkpoint(models.Llama())
    found = run("inference-speed-estimate", side, other, calibrate=50.0)
    assert found.status == "estimated"
    assert found.values["latency_estimate_s_new"] == [0.02, 0.02]
    assert found.values["throughput_estimate_per_s_new"] == [50.0, 50.0]


def test_a_calibrated_speed_of_another_model_lies_between_no_change_and_the_ratio_of_bytes(run, models):
    options = {"device_flops": 1e18, "device_bandwidth": 1e9}
    old, new = models.checkpoint(models.Llama(n_layers=2)), models.checkpoint(models.Llama(n_layers=6))
    found = run("inference-speed-estimate", old, new, calibrate=50.0, **options)
    growth = found.values["step_bytes_ratio"]
    assert growth > 1.5
    assert found.values["latency_estimate_s_new"] == pytest.approx([0.02, 0.02 * growth])
    assert found.values["latency_without_fixed_costs_s_new"] == pytest.approx([0.02 * growth] * 2)


def test_a_measured_speed_beyond_the_device_is_doubted(run, models):
    side = models.checkpoint(models.Llama())
    found = run("inference-speed-estimate", side, models.checkpoint(models.Llama()), calibrate=1e12, device="t4")
    assert found.message.startswith("OLD was measured faster than the device can be")


def test_the_impact_is_one_for_a_model_with_other_values(run, models):
    found = run("performance-impact-estimate", *(models.checkpoint(models.Llama()) for _ in range(2)))
    assert [found.values[name] for name in ("latency", "throughput", "memory")] == [[1.0, 1.0]] * 3
    assert found.message == "neither work nor bytes of a step changed"


def test_on_any_device_the_ratio_of_times_lies_in_the_interval(run, models):
    old, new = models.checkpoint(models.Llama()), models.checkpoint(models.Llama(n_layers=5), dtype=np.float16)
    low, high = run("performance-impact-estimate", old, new).values["latency_least_ratio"]
    for exponent in range(6, 20):
        device = Device("x", "x", 1e12, 10.0**exponent, None, "user", "")
        values = run(
            "inference-speed-estimate", old, new, device_flops=device.flops, device_bandwidth=device.bandwidth
        ).values
        assert low - 1e-12 <= values["latency_lower_s_new"] / values["latency_lower_s_old"] <= high + 1e-12


def test_every_ratio_moves_with_the_quantity_behind_it(run, models):
    base = models.Llama()
    old = models.checkpoint(base)
    same = run("performance-impact-estimate", old, old).values
    half = run("performance-impact-estimate", old, models.checkpoint(base, dtype=np.float16)).values
    deep = run("performance-impact-estimate", old, models.checkpoint(models.Llama(n_layers=6))).values
    wide = run("performance-impact-estimate", old, models.checkpoint(models.Llama(n_kv_heads=4))).values
    assert (half["weight_bytes_ratio"], half["flops_ratio"], half["kv_bytes_ratio"]) == (0.5, 1.0, 0.5)
    assert half["latency"] == [pytest.approx(half["step_bytes_ratio"]), 1.0]
    assert deep["kv_bytes_ratio"] == 2.0
    assert deep["flops_ratio"] > 1
    assert wide["kv_bytes_ratio"] == 2.0
    for name in ("latency", "throughput", "memory", "step_bytes_ratio", "weight_bytes_ratio"):
        assert same[name] != half[name]
        assert same[name] != deep[name]


def test_batch_and_context_move_what_depends_on_them(run, models):
    side = models.checkpoint(models.Llama())
    small = run("inference-speed-estimate", side, side, sequence_length=10).values
    long = run("inference-speed-estimate", side, side, sequence_length=1000).values
    many = run("inference-speed-estimate", side, side, sequence_length=10, batch_size=9).values
    assert long["flops_per_token_old"] - small["flops_per_token_old"] == 990 * 4 * 32 * 3
    assert long["step_bytes_old"] - small["step_bytes_old"] == 990 * small["kv_bytes_per_token_old"]
    assert many["flops_per_token_old"] == small["flops_per_token_old"]
    assert many["step_bytes_old"] - small["step_bytes_old"] == 8 * 10 * small["kv_bytes_per_token_old"]


def test_convolutions_without_a_graph_leave_flops_out_and_say_so(run, models):
    side = models.checkpoint(models.Cnn())
    found = run("inference-speed-estimate", side, side)
    assert found.values["flops_per_input_old"] is None
    assert found.values["n_unresolved_old"] == 3
    assert found.coverage < 0.1
    assert "FLOPs are not measurable for 3 parts of OLD" in found.message
    impact = run("performance-impact-estimate", side, models.checkpoint(models.Cnn(channels=16)))
    assert impact.values["latency"] is None
    assert impact.values["weight_bytes_ratio"] > 1


@pytest.mark.parametrize("name", ["memory-analysis", "inference-speed-estimate", "performance-impact-estimate"])
def test_without_weights_nothing_is_measurable(run, name):
    found = run(name, artifact(tree={"hidden_size": 4}), artifact(tree={"hidden_size": 8}))
    assert found.status == "not_measurable"
    assert "give" in found.message


@pytest.mark.parametrize("name", ["memory-analysis", "inference-speed-estimate", "performance-impact-estimate"])
def test_telling_names_of_files_change_nothing(run, models, name):
    sides = models.checkpoint(models.Llama()), models.checkpoint(models.Llama(n_layers=2))
    telling = (replace(sides[0], name="llama-70b-int4.pt"), replace(sides[1], name="bert_h100_1000tps.pt"))
    assert run(name, *sides) == run(name, *telling)


@pytest.mark.parametrize(
    ("check", "value", "message"),
    [
        (at_least_one, 0, "is not a whole number from 1"),
        (at_least_one, 1 << 50, "is not a whole number from 1"),
        (positive, 0.0, "is not a finite number above 0"),
        (positive, math.inf, "is not a finite number above 0"),
        (parse_size, "3 x 224", "is not a shape; write for instance 3x224x224"),
        (parse_size, "0x3", "is not a shape"),
        (parse_size, "", "is not a shape"),
        (known_device, "h1000", "is not in the table .there are: h100-sxm"),
    ],
)
def test_a_wrong_value_is_refused_with_what_would_be_right(check, value, message):
    with pytest.raises(UsageError, match=message):
        check(value)


def test_bytes_of_the_files_are_counted_with_what_is_around_the_tensors(run, tmp_path):
    from diffai_core.plugin import Source

    path = tmp_path / "m.bin"
    path.write_bytes(io.BytesIO(bytes(500)).getvalue())
    with Source(str(path)).open() as file:
        side = replace(artifact({"w": np.zeros((8, 8), np.float32)}), files=(file,))
        values = run("memory-analysis", side, side).values
    assert (values["old"]["file_bytes"], values["old"]["file_overhead_bytes"]) == (500, 500 - 256)
