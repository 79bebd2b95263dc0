"""The verdict, the first line of every report: never wrong, whatever kind of sameness or difference there is."""

from __future__ import annotations

import math
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from command import run_diffai
from safetensors_files import write_safetensors

if TYPE_CHECKING:
    from pathlib import Path

F32 = np.float32
NAN = np.array([0x7FC00000, 0x7FC00001], np.uint32).view(F32)
WEIGHTS = np.random.default_rng(7).standard_normal((64, 64)).astype(F32)


def verdict_of(folder: Path, old: dict[str, Any], new: dict[str, Any], *options: str) -> tuple[str, int]:
    """Return the identity the command prints first, and its exit code."""
    paths = [write_safetensors(folder / f"{side}.safetensors", tensors) for side, tensors in (("o", old), ("n", new))]
    done = run_diffai(*paths, *options)
    assert done.stderr == ""
    return done.stdout.split("\n", 1)[0].partition(":")[0], done.returncode


def edited(array: np.ndarray, index: Any, value: Any) -> np.ndarray:
    copy = array.copy()
    copy[index] = value
    return copy


INT64 = np.array([2**53, 2**53 + 1, -(2**63)], np.int64)
TINY64 = np.array([5e-324, 1.0], np.float64)
BF16 = np.array([0x3F80, 0x4000], np.uint16)
FP8 = np.array([0x38, 0x40], np.uint8)

DIFFERENT = {
    "one_int64_beyond_two_to_the_53": ({"x": INT64}, {"x": edited(INT64, 1, 2**53)}),
    "a_float64_change_of_1e-12": ({"x": np.array([1.0])}, {"x": np.array([1.0 + 1e-12])}),
    "a_doubled_denormal_float64": ({"x": TINY64}, {"x": edited(TINY64, 0, 1e-323)}),
    "a_doubled_denormal_float32": ({"x": np.array([1e-45], F32)}, {"x": np.array([3e-45], F32)}),
    "one_bfloat16_ulp": ({"x": ("BF16", [2], BF16.tobytes())}, {"x": ("BF16", [2], edited(BF16, 0, 0x3F81).tobytes())}),
    "one_float8_ulp": ({"x": ("F8_E4M3", [2], FP8.tobytes())}, {"x": ("F8_E4M3", [2], edited(FP8, 0, 0x39).tobytes())}),
    "one_float4_code": ({"x": ("F4", [4], b"\x21\x43")}, {"x": ("F4", [4], b"\x21\x33")}),
    "swapped_rows": ({"x": WEIGHTS}, {"x": WEIGHTS[::-1]}),
    "a_transposed_square_matrix": ({"x": WEIGHTS}, {"x": np.ascontiguousarray(WEIGHTS.T)}),
    "a_reshape_only": ({"x": WEIGHTS}, {"x": WEIGHTS.reshape(32, 128)}),
    "another_dtype_with_equal_values": ({"x": WEIGHTS}, {"x": WEIGHTS.astype(np.float64)}),
    "nan_on_one_side": ({"x": np.array([1, 2], F32)}, {"x": np.array([1, np.nan], F32)}),
    "inf_of_the_other_sign": ({"x": np.array([np.inf], F32)}, {"x": np.array([-np.inf], F32)}),
    "an_empty_tensor_of_another_shape": ({"x": np.zeros((0, 3), F32)}, {"x": np.zeros((0, 4), F32)}),
    "a_scalar": ({"x": np.array(1, F32)}, {"x": np.array(2, F32)}),
    "a_scalar_against_one_element": ({"x": np.array(1, F32)}, {"x": np.array([1], F32)}),
    "a_bool": ({"x": np.array([True, False])}, {"x": np.array([True, True])}),
    "the_last_element_of_a_large_tensor": (
        {"x": np.zeros(5_000_011, np.int8)},
        {"x": edited(np.zeros(5_000_011, np.int8), -1, 1)},
    ),
    "an_added_tensor": ({"x": WEIGHTS}, {"x": WEIGHTS, "y": WEIGHTS}),
    "a_removed_empty_tensor": ({"x": WEIGHTS, "y": np.zeros(0, F32)}, {"x": WEIGHTS}),
    "a_renamed_tensor": ({"x": WEIGHTS}, {"y": WEIGHTS}),
}


@pytest.mark.parametrize("case", DIFFERENT)
def test_it_is_different_with(case: str, tmp_path: Path) -> None:
    assert verdict_of(tmp_path, *DIFFERENT[case]) == ("different", 1)
    assert verdict_of(tmp_path, *reversed(DIFFERENT[case])) == ("different", 1)


EQUAL_VALUES = {
    "negative_zero": ({"x": np.array([0.0, 1], F32)}, {"x": np.array([-0.0, 1], F32)}),
    "nan_payload": ({"x": NAN[:1]}, {"x": NAN[1:]}),
    "negative_zero_of_bfloat16": ({"x": ("BF16", [1], b"\0\0")}, {"x": ("BF16", [1], b"\0\x80")}),
    "negative_zero_of_float8": ({"x": ("F8_E5M2", [1], b"\0")}, {"x": ("F8_E5M2", [1], b"\x80")}),
    "negative_zero_of_complex": (
        {"x": np.array([0j], np.complex64)},
        {"x": np.array([complex(-0.0, 0)], np.complex64)},
    ),
}


@pytest.mark.parametrize("case", EQUAL_VALUES)
def test_values_are_equal_in_other_bits_with(case: str, tmp_path: Path) -> None:
    assert verdict_of(tmp_path, *EQUAL_VALUES[case]) == ("equal values, other bits", 0)


def test_a_change_within_the_tolerance_given_is_equal_and_exit_code_0(tmp_path: Path) -> None:
    old, new = {"x": np.array([1.0, 2.0])}, {"x": np.array([1.0, 2.001])}
    assert verdict_of(tmp_path, old, new, "--epsilon", "0.0011") == ("equal values, other bits", 0)
    assert verdict_of(tmp_path, old, new, "--epsilon", "0.0009") == ("different", 1)
    assert verdict_of(tmp_path, old, new, "--tolerance-per-layer", "^x$=1e-3,0") == ("equal values, other bits", 0)
    assert verdict_of(tmp_path, old, new, "--tolerance-per-layer", "^y$=1e-3,0") == ("different", 1)


def test_the_tolerance_that_the_report_names_passes_and_any_smaller_one_does_not(tmp_path: Path) -> None:
    old, new = {"x": WEIGHTS}, {"x": WEIGHTS + F32(1e-3) * WEIGHTS[::-1]}
    paths = [write_safetensors(tmp_path / f"{side}.safetensors", t) for side, t in (("o", old), ("n", new))]
    largest = float(np.abs(new["x"].astype(float) - old["x"].astype(float)).max())
    assert run_diffai(*paths, "--epsilon", repr(largest)).returncode == 0
    assert run_diffai(*paths, "--epsilon", repr(math.nextafter(largest, 0))).returncode == 1
    assert f"{largest!r}" in run_diffai(*paths, "--output", "json").stdout


def test_nan_at_the_same_places_is_identical(tmp_path: Path) -> None:
    both = {"x": np.array([np.nan, 1, np.inf], F32)}
    assert verdict_of(tmp_path, both, both) == ("identical files", 0)


@pytest.mark.parametrize(
    "tensors",
    [{}, {"x": np.zeros((0,), F32)}, {"x": np.array(3, np.int64)}, {"x": WEIGHTS, "y": INT64}],
    ids=["no_tensors", "empty_tensor", "scalar", "two_tensors"],
)
def test_copies_are_identical_files(tensors: dict[str, Any], tmp_path: Path) -> None:
    old = write_safetensors(tmp_path / "a.safetensors", tensors)
    new = shutil.copy(old, tmp_path / "b.safetensors")
    done = run_diffai(old, new)
    assert (done.stdout.partition(":")[0].strip().split("\n")[0], done.returncode) == ("identical files", 0)


def test_a_file_against_itself_is_identical(tmp_path: Path) -> None:
    path = write_safetensors(tmp_path / "a.safetensors", {"x": WEIGHTS})
    assert run_diffai(path, path).stdout.startswith("identical files")


def test_another_tensor_order_is_identical_tensors_and_exit_code_0(tmp_path: Path) -> None:
    old, new = {"x": WEIGHTS, "y": INT64}, {"y": INT64, "x": WEIGHTS}
    assert verdict_of(tmp_path, old, new) == ("identical tensors", 0)


def test_other_metadata_is_identical_tensors_and_a_difference(tmp_path: Path) -> None:
    old = write_safetensors(tmp_path / "a.safetensors", {"x": WEIGHTS}, {"epoch": "1"})
    new = write_safetensors(tmp_path / "b.safetensors", {"x": WEIGHTS}, {"epoch": "2"})
    done = run_diffai(old, new)
    assert done.stdout.startswith("identical tensors")
    assert '~ __metadata__.epoch: "1" -> "2"' in done.stdout
    assert done.returncode == 1


def test_another_container_is_identical_tensors(tmp_path: Path) -> None:
    old = write_safetensors(tmp_path / "a.safetensors", {"x": WEIGHTS, "y": INT64})
    np.savez(tmp_path / "stored.npz", x=WEIGHTS, y=INT64)
    np.savez_compressed(tmp_path / "deflated.npz", x=WEIGHTS, y=INT64)
    for name in ("stored.npz", "deflated.npz"):
        done = run_diffai(old, tmp_path / name)
        assert (done.stdout.partition(":")[0], done.returncode, done.stderr) == ("identical tensors", 0, "")


def test_every_single_changed_element_is_found_with_its_index(tmp_path: Path) -> None:
    base = np.arange(40_000, dtype=F32).reshape(200, 200)
    for index in [(0, 0), (163, 167), (163, 168), (199, 199)]:
        paths = [
            write_safetensors(tmp_path / "o.safetensors", {"x": base}),
            write_safetensors(tmp_path / "n.safetensors", {"x": edited(base, index, -1e6)}),
        ]
        text = run_diffai(*paths).stdout
        assert f"at {list(index)}" in text
        assert text.startswith("different: 1 of 1 tensor changed")


def test_a_config_value_within_the_tolerance_is_said_and_is_no_difference(tmp_path: Path) -> None:
    old, new = tmp_path / "a.json", tmp_path / "b.json"
    old.write_text('{"lr": 0.001, "steps": 5}')
    new.write_text('{"lr": 0.0010001, "steps": 5}')
    done = run_diffai(old, new, "--epsilon", "1e-3", "--brief")
    assert (done.stdout, done.returncode) == ("equal values, other bits: 1 other value within tolerance\n", 0)
    assert run_diffai(old, new, "--epsilon", "1e-9", "--brief").returncode == 1


def test_metadata_within_the_tolerance_beside_equal_tensors_is_said(tmp_path: Path) -> None:
    for name, rate in (("a", 0.001), ("b", 0.0010001)):
        (tmp_path / name).mkdir()
        write_safetensors(tmp_path / name / "m.safetensors", {"x": WEIGHTS})
        (tmp_path / name / "config.json").write_text(f'{{"lr": {rate}}}')
    done = run_diffai(tmp_path / "a", tmp_path / "b", "--epsilon", "1e-3", "--brief")
    assert done.stdout == "equal values, other bits: 1 tensor: 1 identical; 1 other value within tolerance\n"
    assert done.returncode == 0
