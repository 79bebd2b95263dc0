"""The reference kernel, NumPy, keeps the laws of a kernel."""

from __future__ import annotations

from diffai_core.plugin import KernelSpec
from diffai_core.testing import KernelTests


class TestReference(KernelTests):
    spec = KernelSpec("numpy", "the folds themselves", "diffai_core.kernels:ReferenceKernel")
