"""Elements of less than a byte mean the same whatever their loader leaves in the rest of the byte."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from diffai_core.dtypes import canonical, dtype
from diffai_core.kernels import ReferenceKernel
from diffai_core.keys import EXACT
from diffai_core.measuring import TensorJob, identical, measure
from diffai_core.plugin import ACCUMULATORS
from diffai_core.segments import Worker
from diffai_core.testing import tensor

INTEGERS = ["int2", "int4", "uint2", "uint4"]
FLOATS = ["float4_e2m1fn", "float6_e2m3fn", "float6_e3m2fn"]


def worker():
    return Worker(ReferenceKernel(), "read")


@pytest.mark.parametrize("name", INTEGERS)
def test_every_spelling_of_an_integer_becomes_one(name):
    kind = dtype(name)
    spellings = np.arange(256, dtype=np.uint8).view(kind.numpy)
    found = canonical(spellings, kind)
    np.testing.assert_array_equal(found.astype(np.float64), spellings.astype(np.float64))
    assert np.unique(found.view(np.uint8)).size == 1 << kind.bits


@pytest.mark.parametrize("name", FLOATS)
def test_floats_as_ml_dtypes_converts_them_keep_their_bits(name):
    numbers = np.linspace(-8, 8, 99).astype(dtype(name).numpy)
    assert canonical(numbers, dtype(name)).tobytes() == numbers.tobytes()


def test_int4_as_ml_dtypes_converts_it_and_as_files_hold_it_is_the_same_number():
    numbers = np.arange(-8, 8)
    converted = numbers.astype(ml_dtypes.int4)
    extended = numbers.astype(np.int8).view(ml_dtypes.int4)
    assert converted.tobytes() != extended.tobytes()
    job = TensorJob.of(tensor("w", converted), tensor("w", extended), EXACT)
    found = measure(job, {name: ACCUMULATORS[name] for name in ("changes", "extrema", "moments")}, worker)
    assert identical(job, worker)
    assert found["changes"].identical
    assert (found["extrema"].old_min, found["extrema"].old_max) == (-8, 7)
    assert found["moments"].old.mean == -0.5
