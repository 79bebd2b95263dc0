"""Every variant of the kernel keeps the laws of a kernel, and all of them give the same bits."""

from __future__ import annotations

import math
import os
from types import MappingProxyType

import pytest
from diffai_kernel_native import plugin as native
from hypothesis import given, settings
from hypothesis import strategies as st

from diffai_core.segments import Worker
from diffai_core.testing import KernelTests, PluginTests
from diffai_core.testing.kernel_cases import EDGES, Recipe, case, recipes
from diffai_core.testing.kernel_runs import differing, names_taken, run

try:
    from diffai_kernel_native import _native
except ImportError:
    SETS = ["avx512", "avx2", "baseline"]  # the tests say why there is none
else:
    SETS = _native.instruction_sets()


def on(name):
    """Run the tests of a class on one instruction set; skip them where the processor lacks it."""
    return pytest.mark.skipif(name not in SETS, reason=f"this processor has no {name}")


class TestPlugin(PluginTests):
    plugin = native


class TestBest(KernelTests):
    plugin = native


@on("avx2")
class TestAvx2(KernelTests):
    plugin = native
    environment = MappingProxyType({"DIFFAI_NATIVE_SET": "avx2"})
    n_examples = 30


@on("baseline")
class TestBaseline(KernelTests):
    plugin = native
    environment = MappingProxyType({"DIFFAI_NATIVE_SET": "baseline"})
    n_examples = 30


@pytest.mark.skipif(len(SETS) < 2, reason="this processor has one instruction set only")
class TestInstructionSets:
    @pytest.fixture
    def workers(self):
        native_module = pytest.importorskip("diffai_kernel_native._native")
        from diffai_kernel_native.kernel import NativeKernel

        return {name: Worker(NativeKernel(native_module, name), "auto") for name in SETS}

    @staticmethod
    def check(workers, recipe, folder):
        pair = case(recipe)
        results = {
            name: run(worker, pair, "array", folder, names_taken(worker.kernel, pair))
            for name, worker in workers.items()
        }
        for name in SETS[1:]:
            complaint = differing(results[SETS[0]], results[name])
            assert not complaint, f"{name} against {SETS[0]}: {complaint}"

    def test_all_give_the_same_bits(self, workers, tmp_path):
        n_examples = min(150, int(os.environ.get("DIFFAI_KERNEL_EXAMPLES") or 150))

        @settings(max_examples=n_examples, deadline=None, derandomize=True, database=None)
        @given(recipes(st.one_of(st.sampled_from(EDGES), st.integers(0, 3000))))
        def check(recipe):
            self.check(workers, recipe, tmp_path)

        check()

    @pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16", "float8_e5m2", "int32", "uint8"])
    @pytest.mark.parametrize("shape", [(300, 257), (5, 20_000), (77_777,), (320, 256)])
    def test_all_give_the_same_bits_of_large_tensors(self, workers, tmp_path, dtype, shape):
        for relation in ("independent", "near", "few changed"):
            self.check(workers, Recipe(dtype, dtype, shape, "moderate", relation, seed=math.prod(shape)), tmp_path)
