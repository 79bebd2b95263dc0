"""Build the C++ extension, for the stable ABI; where there is no compiler, install without it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from setuptools import Extension, setup

SOURCES = ("module", "reading", "instruction_set", "set_baseline", "set_avx2", "set_avx512")
FLAGS = [
    "-std=c++17",
    "-O3",
    "-ffp-contract=off",
    "-fno-exceptions",
    "-fno-rtti",
    "-fvisibility=hidden",
    "-Wall",
    "-Wno-maybe-uninitialized",
]
DIGEST = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(Path("native").glob("*.?pp")))).hexdigest()
SANITIZERS = os.environ.get("DIFFAI_SANITIZE", "")
"""For instance ``address,undefined``: build with these sanitizers, to test."""

if SANITIZERS:
    FLAGS += [f"-fsanitize={SANITIZERS}", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-g1", "-O0"]

setup(
    ext_modules=[
        Extension(
            "diffai_kernel_native._native",
            sources=[f"native/{name}.cpp" for name in SOURCES],
            depends=sorted(str(path) for path in Path("native").glob("*.hpp")),
            define_macros=[("Py_LIMITED_API", "0x030B0000"), ("DIFFAI_SOURCES", f'"{DIGEST}"')],
            extra_compile_args=FLAGS,
            extra_link_args=[f"-fsanitize={SANITIZERS}"] if SANITIZERS else [],
            language="c++",
            py_limited_api=True,
            optional=True,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
