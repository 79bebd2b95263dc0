"""Quantised tensors: equal codes are identical, other codes are measured by what they stand for."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from diffai_core.artifact import Artifact, BlockTensor, Quantization
from diffai_core.dtypes import dtype
from diffai_core.findings import Identity
from diffai_core.run import compare_artifacts
from diffai_core.testing import artifact, tensor

if TYPE_CHECKING:
    from collections.abc import Iterator

CODES = np.arange(-12, 12, dtype=np.int8).reshape(4, 6)


def _decoded(codes: np.ndarray, scale: float, log: list[str], max_bytes: int) -> Iterator[np.ndarray]:
    log.append("decoded")
    step = max(max_bytes // 4, 1)
    values = (codes.reshape(-1) * np.float32(scale)).astype(np.float32)
    for start in range(0, values.size, step):
        yield values[start : start + step]


def quantized(codes: np.ndarray, scale: float, scheme: str = "int8_affine", log: list[str] | None = None) -> Artifact:
    stored = (tensor("codes", codes), tensor("scale", np.array([scale], np.float32)))
    ref = BlockTensor(
        name="w",
        shape=codes.shape,
        dtype=dtype("float32"),
        open_blocks=partial(_decoded, codes, scale, [] if log is None else log),
        quantization=Quantization(scheme=scheme, bits=8, stored=stored),
    )
    return replace(artifact(), tensors={"w": ref})


def compared(old: Artifact, new: Artifact) -> Any:
    from diffai_core.api import choose_comparators
    from diffai_core.registry import load_registry

    return compare_artifacts(old, new, choose_comparators(load_registry(), ["tensors"]))


def test_equal_codes_and_scales_are_identical_and_nothing_is_dequantised() -> None:
    log: list[str] = []
    report = compare_artifacts(quantized(CODES, 0.5, log=log), quantized(CODES, 0.5, log=log), ())
    assert report.counts.identical == 1
    assert report.old.dtypes == {"int8_affine": 1}
    assert report.old.n_bytes == CODES.size + 4
    assert log == []


def test_another_code_is_a_change_measured_in_dequantised_values() -> None:
    other = CODES.copy()
    other[2, 3] += 3
    report = compared(quantized(CODES, 0.5), quantized(other, 0.5))
    (finding,) = [finding for finding in report.findings if finding.kind == "tensor_stats_changed"]
    assert finding.values["max_abs_diff"] == 1.5
    assert finding.values["n_changed"] == 1
    assert finding.values["max_abs_diff_index"] == [2, 3]


def test_other_codes_for_the_same_values_are_equal_values() -> None:
    report = compared(quantized(CODES * 2, 0.25), quantized(CODES, 0.5))
    assert report.verdict.identity is Identity.EQUAL_VALUES


def test_a_float_parent_is_compared_by_dequantised_values() -> None:
    values = CODES * np.float32(0.5)
    values[0, 0] += np.float32(0.125)
    report = compared(artifact(tensors={"w": values}), quantized(CODES, 0.5))
    kinds = {finding.kind: finding for finding in report.findings}
    assert (kinds["tensor_dtype_changed"].old, kinds["tensor_dtype_changed"].new) == ("float32", "int8_affine")
    assert kinds["tensor_stats_changed"].values["max_abs_diff"] == 0.125
    assert report.exit_code == 1


@pytest.mark.parametrize("swap", [False, True])
def test_a_float_parent_with_equal_values_has_another_form_and_is_no_pass(swap) -> None:
    sides = [artifact(tensors={"w": CODES * np.float32(0.5)}), quantized(CODES, 0.5)]
    report = compared(*(sides[::-1] if swap else sides))
    assert report.counts.changed == 1
    assert report.exit_code == 1


def test_schemes_of_equal_values_are_told_apart() -> None:
    report = compared(quantized(CODES, 0.5), quantized(CODES, 0.5, scheme="awq"))
    (finding,) = [finding for finding in report.findings if finding.kind == "tensor_dtype_changed"]
    assert finding.values == {"values_equal": True}


def _scaled(scales: np.ndarray, axis: int, max_bytes: int) -> Iterator[np.ndarray]:
    shape = [1, 1]
    shape[axis] = -1
    values = (SQUARE * scales.reshape(shape)).astype(np.float32).reshape(-1)
    step = max(max_bytes // 4, 1)
    for start in range(0, values.size, step):
        yield values[start : start + step]


SQUARE = np.arange(16, dtype=np.int8).reshape(4, 4)


def test_equal_codes_whose_scales_are_for_another_axis_are_measured() -> None:
    scales = np.array([1, 2, 3, 4], np.float32)
    sides = []
    for axis in (0, 1):
        how = Quantization(
            scheme="int8_affine", bits=8, stored=(tensor("codes", SQUARE), tensor("scales", scales)), axis=axis
        )
        ref = BlockTensor(
            name="w",
            shape=(4, 4),
            dtype=dtype("float32"),
            open_blocks=partial(_scaled, scales, axis),
            quantization=how,
        )
        sides.append(replace(artifact(), tensors={"w": ref}))
    report = compared(*sides)
    (finding,) = [finding for finding in report.findings if finding.kind == "tensor_stats_changed"]
    wanted = np.abs(SQUARE * scales[:, None] - SQUARE * scales[None, :]).max()
    assert finding.values["max_abs_diff"] == wanted
    assert compared(sides[0], sides[0]).exit_code == 0
