"""The table of rounding errors against casts of torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffai_lib_layers import rounding_of

from diffai_core.plugin import BlockTensor, Quantization, dtype


def ref(name, **more):
    return BlockTensor(name="w", shape=(2,), dtype=dtype(name), open_blocks=lambda _: iter(()), **more)


@pytest.mark.parametrize("name", ["float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_the_rounding_of_a_dtype_is_the_error_of_a_cast(name):
    values = torch.from_numpy(np.random.default_rng(0).normal(0, 0.02, 400_000))
    kind = getattr(torch, name)
    scale = values.abs().max() / torch.finfo(kind).max if "float8" in name else 1.0
    cast = (values / scale).to(kind).double() * scale
    assert rounding_of(ref(name)) == pytest.approx(float((cast - values).norm() / values.norm()), rel=0.03)


def test_the_rounding_of_doubles_is_that_of_floats_with_29_bits_more():
    assert rounding_of(ref("float64")) == pytest.approx(rounding_of(ref("float32")) / 2**29, rel=0.03)


def test_the_coarser_side_counts_and_unknown_ones_are_not_guessed():
    assert rounding_of(ref("float32"), ref("bfloat16")) == rounding_of(ref("bfloat16"))
    assert rounding_of(ref("float32"), None) == rounding_of(ref("float32"))
    assert rounding_of(ref("float32"), ref("int8")) is None
    assert rounding_of() is None
    assert rounding_of(ref("float32", quantization=Quantization(scheme="q4_0", bits=4, stored=()))) is None
