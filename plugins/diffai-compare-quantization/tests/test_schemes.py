"""Rounding, its null and the grids it leaves, against PyTorch, gguf, ml_dtypes and planted grids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import pytest
import torch
from diffai_compare_quantization.grids import find_grid
from diffai_compare_quantization.nearest import explained_share
from diffai_compare_quantization.schemes import CANDIDATES, Scheme, gaussian_sqnr, rounded, sqnr_of
from torch.ao.ns.fx.utils import compute_sqnr

if TYPE_CHECKING:
    from numpy.typing import NDArray

RNG = np.random.default_rng(3)
W = RNG.standard_normal((64, 512)) * 0.02
BY_NAME = {scheme.name: scheme for scheme in CANDIDATES}
INT8_ROW, INT4_128 = BY_NAME["int8 per row"], BY_NAME["int4 groups of 128"]


def _torch_rows(matrix: NDArray[Any], bits: int) -> NDArray[Any]:
    top = 2 ** (bits - 1) - 1
    values = torch.tensor(matrix)
    scales = values.abs().amax(1) / top
    zeros = torch.zeros(len(matrix), dtype=torch.int32)
    found: NDArray[Any] = torch.fake_quantize_per_channel_affine(
        values.float(), scales.float(), zeros, 0, -top - 1, top
    ).numpy()
    return found.astype(np.float64)


def test_sqnr_is_that_of_pytorch() -> None:
    other = rounded(INT4_128, W)
    reference = compute_sqnr(torch.tensor(W).float(), torch.tensor(other).float())  # it takes float32 only
    assert sqnr_of(W, other) == pytest.approx(float(reference), abs=1e-4)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_rows_are_rounded_as_pytorch_rounds_channels(bits: int) -> None:
    ours = rounded(Scheme("", "symmetric", bits, "row"), W)
    assert np.abs(ours - _torch_rows(W, bits)).max() <= 1e-6 * np.abs(W).max()


def test_groups_are_rows_of_their_own() -> None:
    assert np.abs(rounded(INT4_128, W).reshape(-1, 128) - _torch_rows(W.reshape(-1, 128), 4)).max() <= 1e-8


def test_a_row_that_is_no_multiple_of_the_group_is_rounded_to_its_end() -> None:
    ragged = W[:, :200]
    found = rounded(INT4_128, ragged)
    assert found.shape == ragged.shape
    assert np.allclose(found[:, 128:], _torch_rows(ragged[:, 128:], 4), atol=1e-8)


@pytest.mark.parametrize(("name", "kind"), [("float16", torch.float16), ("bfloat16", torch.bfloat16)])
def test_casts_are_those_of_pytorch(name: str, kind: torch.dtype) -> None:
    assert (
        rounded(BY_NAME[name], W.astype(np.float32).astype(np.float64))
        == torch.tensor(W).float().to(kind).double().numpy()
    ).all()


def test_float8_rows_are_scaled_to_the_largest_number() -> None:
    scales = np.abs(W).max(axis=1, keepdims=True) / 448
    wanted = (W / scales).astype(np.float32).astype(ml_dtypes.float8_e4m3fn).astype(np.float64) * scales
    assert np.allclose(rounded(BY_NAME["float8_e4m3fn per row"], W), wanted, rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "scheme", "within"),
    [
        ("Q8_0", Scheme("q8_0", "symmetric", 8, "group", 32), 0.1),
        ("Q4_0", Scheme("q4_0", "signed", 4, "group", 32), 0.1),
        ("Q5_0", Scheme("q5_0", "signed", 5, "group", 32), 0.1),
        ("Q4_1", Scheme("q4_1", "affine", 4, "group", 32), 0.2),
        ("Q5_1", Scheme("q5_1", "affine", 5, "group", 32), 0.2),
    ],
)
def test_gguf_types_come_near_their_null(kind: str, scheme: Scheme, within: float) -> None:
    gguf = pytest.importorskip("gguf")
    normal = np.random.default_rng(0).standard_normal((64, 1024)).astype(np.float32)
    code = getattr(gguf.GGMLQuantizationType, kind)
    back = gguf.quants.dequantize(gguf.quants.quantize(normal, code), code)
    reference = sqnr_of(normal.astype(np.float64), back.astype(np.float64))
    assert gaussian_sqnr(scheme, 1024, normal.size) == pytest.approx(reference, abs=within)


@pytest.mark.parametrize("scheme", CANDIDATES, ids=lambda scheme: scheme.name)
def test_the_null_is_what_other_normal_values_give(scheme: Scheme) -> None:
    normal = np.random.default_rng(8).standard_normal((1024, 512))
    wanted = sqnr_of(normal, rounded(scheme, normal))
    assert gaussian_sqnr(scheme, 512, normal.size) == pytest.approx(wanted, abs=0.5 if scheme.per == "tensor" else 0.15)


def test_bits_per_weight_count_the_scales() -> None:
    assert INT4_128.bits_per_weight(512, 1 << 18) == 4 + 16 / 128
    assert BY_NAME["int8 groups of 32"].bits_per_weight(512, 1 << 18) == 8.5  # as Q8_0 of GGUF
    assert INT4_128.bits_per_weight(200, 1 << 18) == 4 + 16 * 2 / 200
    assert BY_NAME["bfloat16"].bits_per_weight(512, 1 << 18) == 16


@pytest.mark.parametrize("storage", [np.float32, np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize(
    ("scheme", "wanted"),
    [
        (Scheme("", "symmetric", 8, "tensor"), "int8 per tensor"),
        (Scheme("", "symmetric", 8, "row"), "int8 per row"),
        (Scheme("", "symmetric", 8, "group", 128), "int8 groups of 128"),
        (Scheme("", "symmetric", 8, "group", 32), "int8 groups of 32"),
        (Scheme("", "symmetric", 4, "row"), "int4 per row"),
        (Scheme("", "symmetric", 4, "group", 128), "int4 groups of 128"),
        (Scheme("", "affine", 4, "group", 64), "int4 groups of 64"),
        (Scheme("", "symmetric", 3, "group", 128), "int3 groups of 128"),
        (Scheme("", "nf4", 4, "group", 64), "nf4 groups of 64"),
        (Scheme("", "symmetric", 2, "row"), "int2 per row"),
    ],
    ids=str,
)
def test_a_planted_grid_is_found_with_its_bits_and_its_group(scheme: Scheme, wanted: str, storage: Any) -> None:
    matrix = rounded(scheme, np.random.default_rng(1).standard_normal((32, 512)) * 0.02)
    assert str(find_grid(matrix.astype(storage).astype(np.float64))) == wanted


@pytest.mark.parametrize("storage", [np.float32, np.float16, ml_dtypes.bfloat16])
def test_values_on_no_grid_are_on_none(storage: Any) -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        normal = rng.standard_normal((16, 1024))
        pruned = np.where(rng.random(normal.shape) < 0.9, 0.0, normal)
        for matrix in (normal, rng.standard_t(4, normal.shape), pruned, rng.uniform(-1, 1, normal.shape)):
            assert find_grid(matrix.astype(storage).astype(np.float64)) is None


def test_constant_rows_and_rows_of_two_values_are_on_no_grid() -> None:
    assert find_grid(np.ones((16, 64))) is None
    assert find_grid(np.tile([0.5, -0.25], (16, 64))) is None


@pytest.mark.parametrize(
    "scheme", [*CANDIDATES[2:], Scheme("", "affine", 4, "group", 64)], ids=lambda scheme: scheme.name
)
def test_rounding_to_nearest_is_explained_and_other_codes_are_not(scheme: Scheme) -> None:
    new = rounded(scheme, W)
    assert explained_share(W, new, scheme) == 1.0
    moved = np.where(np.random.default_rng(2).random(W.shape) < 0.1, np.roll(new, 1, axis=1), new)
    assert explained_share(W, moved, scheme) < 0.95
