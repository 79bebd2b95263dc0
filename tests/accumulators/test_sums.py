"""Sums are exact to the last digits, and the same whatever BLAS does."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import numpy as np
import pytest

from diffai_core.accumulators.sums import dot, total

SIZES = [0, 1, 7, 8191, 8192, 8193, 16384, 32768, 40_001]


@pytest.mark.parametrize("size", SIZES)
def test_sums_and_products_agree_with_exact_arithmetic(size):
    rng = np.random.default_rng(size)
    left, right = rng.standard_normal(size), rng.standard_normal(size) * 1e3
    scale = max(float(np.abs(left).sum()), 1e-300)
    assert total(left) == pytest.approx(math.fsum(left.tolist()), abs=2e-15 * scale)
    products = [a * b for a, b in zip(left.tolist(), right.tolist(), strict=True)]
    assert dot(left, right) == pytest.approx(math.fsum(products), abs=2e-15 * math.fsum(map(abs, products)) + 1e-300)
    assert dot(left, left) == pytest.approx(math.fsum((left * left).tolist()), rel=1e-14)


def test_the_number_of_blas_threads_changes_no_bit():
    program = (
        "import numpy as np\n"
        "from diffai_core.accumulators.sums import dot, total\n"
        "x = np.random.default_rng(3).standard_normal(2_000_001)\n"
        "print(dot(x, x).hex(), total(x).hex())\n"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "OPENBLAS_NUM_THREADS": threads},
            capture_output=True,
            check=True,
        ).stdout
        for threads in ("1", "2", "4")
    }
    assert len(printed) == 1
