"""With a compiler the extension is built for the stable ABI; without one the package works all the same, on NumPy."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

PLUGIN = Path(__file__).parents[1]
PACKAGE = "diffai_kernel_native"
DIFFAI = Path(sys.executable).parent / "diffai"
WITHOUT_COMPILER = {"CC": "false", "CXX": "false"}
COMPILER = shutil.which("c++") or shutil.which("g++")
REASON = "its extension is not built ("
REMEDY = "; install a C++ compiler and then the plugin again, without pip's cache"


def run(*arguments, **environment):
    return subprocess.run(
        [str(argument) for argument in arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
        env={**os.environ, **environment},
    )


def build_wheel(folder, **environment):
    """Build a wheel as ``pip install`` does, from a copy of the sources, and return its path."""
    sources = folder / "sources"
    leave_out = shutil.ignore_patterns("build", "*.so", "*.egg-info", "__pycache__", "tests")
    shutil.copytree(PLUGIN, sources, ignore=leave_out)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-cache-dir"]
    done = run(*command, "--wheel-dir", folder, sources, **environment)
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with the package as it is installed where there is no compiler."""
    pytest.importorskip("setuptools", minversion="77")
    folder = tmp_path_factory.mktemp("without-compiler")
    wheel = build_wheel(folder, **WITHOUT_COMPILER)
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(folder / "site")
    assert f"{PACKAGE}/plugin.py" in names
    assert not [name for name in names if name.endswith(".so")]
    return folder / "site"


@pytest.fixture
def pair(tmp_path):
    weights = np.arange(12, dtype=np.float32).reshape(3, 4)
    paths = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    for path, array in zip(paths, (weights, weights + 1), strict=True):
        safetensors.numpy.save_file({"w": array}, path)
    return paths


def diffai(site, *arguments):
    """Run diffai with the packages in ``site`` before all others."""
    return run(DIFFAI, *arguments, PYTHONPATH=str(site), COLUMNS="300")


def test_without_a_compiler_diffai_measures_with_numpy_and_says_so_in_one_line(site, pair):
    done = diffai(site, *pair)
    assert done.returncode == 1
    assert done.stderr.startswith(f"diffai: diffai-kernel-native 0.1.0: {REASON}")
    assert done.stderr.endswith(f"{REMEDY}; measuring with NumPy instead\n")
    assert done.stderr.count("\n") == 1
    assert done.stdout == diffai(site, *pair, "--kernel", "numpy").stdout


def test_without_a_compiler_the_native_kernel_cannot_be_asked_for(site, pair):
    done = diffai(site, *pair, "--kernel", "native")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"diffai-kernel-native 0.1.0: {REASON}" in done.stderr
    assert done.stderr.rstrip().endswith(REMEDY)
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("option", [("--kernel", "numpy"), ("--quiet",)])
def test_who_asks_for_numpy_or_for_silence_hears_nothing_of_it(site, pair, option):
    done = diffai(site, *pair, *option)
    assert (done.returncode, done.stderr) == (1, "")


def test_without_a_compiler_the_list_of_plugins_tells_why(site):
    done = diffai(site, "--plugins", "--json")
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(done.stdout) if row["kind"] == "kernel"}
    assert rows["native"]["reason"].startswith(REASON)
    assert rows["native"]["reason"].endswith(REMEDY)
    assert (rows["native"]["status"], rows["native"]["default"]) == ("broken", False)
    assert (rows["numpy"]["status"], rows["numpy"]["default"]) == ("ok", True)


@pytest.mark.slow
@pytest.mark.skipif(not COMPILER, reason="there is no C++ compiler")
def test_the_wheel_fits_every_python_from_3_11_on_and_its_extension_works(tmp_path, pair):
    pytest.importorskip("setuptools", minversion="77")
    hasty = tmp_path / "hasty-compiler"  # optimising takes minutes, and is not what this is about
    hasty.write_text(f'#!/bin/sh\nexec {COMPILER} "$@" -O0\n', encoding="utf-8")
    hasty.chmod(0o755)
    wheel = build_wheel(tmp_path, CC=str(hasty), CXX=str(hasty))
    assert re.search(r"-cp311-abi3-\w+\.whl$", wheel.name)
    with zipfile.ZipFile(wheel) as archive:
        (extension,) = [name for name in archive.namelist() if name.endswith(".so")]
        archive.extractall(tmp_path / "site")
    assert extension == f"{PACKAGE}/_native.abi3.so"
    done = diffai(tmp_path / "site", *pair, "--kernel", "native")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout == diffai(tmp_path / "site", *pair, "--kernel", "numpy").stdout


def test_the_list_of_plugins_says_which_kernel_is_in_use_and_for_which_instruction_set():
    native = pytest.importorskip(f"{PACKAGE}._native", reason="the extension is not built")
    for name in native.instruction_sets():
        done = run(DIFFAI, "--plugins", COLUMNS="300", DIFFAI_NATIVE_SET=name)
        row = next(line for line in done.stdout.splitlines() if line.startswith("kernel   native"))
        assert f"in use, {name}, --kernel native" in row
    done = run(DIFFAI, "--plugins", COLUMNS="300", DIFFAI_NATIVE_SET="pdp11")
    assert "this processor has" in done.stdout


def test_the_commands_of_the_readme_do_what_it_says(pair):
    pytest.importorskip(f"{PACKAGE}._native", reason="the extension is not built")
    readme = (PLUGIN / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^ {4}diffai old\.safetensors new\.safetensors ?(.*?) *#", readme, re.MULTILINE)
    assert {"--kernel numpy", "--kernel native"} <= set(commands)
    for options in commands:
        done = run(DIFFAI, *pair, *options.split())
        assert (done.returncode, done.stderr) == (1, ""), options
