"""What a run imports: it pays for each module before it does anything, and names are exact where times are not."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from safetensors_files import write_safetensors

if TYPE_CHECKING:
    from pathlib import Path

ARRAYS = {"numpy", "ml_dtypes", "diffai_core.accumulators"}
"""What measures numbers."""
FOREIGN = {"torch", "scipy", "onnx", "h5py", "safetensors", "pandas", "rich"}
"""Libraries that some plugin may use, and no run that does not need this plugin."""
RARE = {"importlib.metadata", "hashlib", "json", "yaml", "decimal", "fractions", "asyncio", "multiprocessing", "email"}
"""Modules of some milliseconds that serve rare cases."""
CHECKOUT = {"hashlib"}
"""What the native kernel imports in a checkout alone: it holds its extension against the sources beside it."""
THREADS = {"concurrent.futures", "queue"}
FOLDERS = {"diffai_core.folder", "diffai_core.listing"}
WORK = {"diffai_core.api", "diffai_core.artifact", "diffai_core.engine", "diffai_core.findings", "pathlib", "mmap"}
"""What opens and compares files."""

WEIGHTS = np.linspace(-1, 1, 96, dtype=np.float32).reshape(8, 12)
# Not `-X importtime`: that one does not tell what `importlib.import_module` imports, such as plugins.
PROBE = """
import sys
python = set(sys.modules)
from diffai_core.cli import main
code = main()
print(*sorted(set(sys.modules) - python), file=sys.stderr)
sys.exit(code)
"""


def imported(*words: object, code: int, without: str = "") -> set[str]:
    """Return the modules that ``diffai`` imports beyond those of Python itself; it must end with ``code``."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "DIFFAI_DISABLE": without},
        timeout=60,
    )
    assert done.returncode == code, done.stderr
    return set(done.stderr.splitlines()[-1].split())


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return write_safetensors(tmp_path / "old.safetensors", {"x": WEIGHTS}, {"step": "1"})


@pytest.mark.parametrize("word", ["--help", "--version"])
def test_help_imports_nothing_that_compares(word: str) -> None:
    assert not imported(word, code=0) & (ARRAYS | FOREIGN | RARE | THREADS | FOLDERS | WORK)


def test_the_list_of_plugins_imports_nothing_that_measures() -> None:
    assert not imported("--plugins", code=0) & ((ARRAYS | FOREIGN | RARE | THREADS | FOLDERS) - CHECKOUT)


@pytest.mark.parametrize("word", ["--help", "--plugins"])
def test_of_a_plugin_that_is_not_used_only_its_declarations_are_imported(word: str) -> None:
    of_plugins = {name for name in imported(word, code=0) if name.startswith("diffai_") and "diffai_core" not in name}
    assert len({name.partition(".")[0] for name in of_plugins}) > 5
    of_kernels = {name for name in of_plugins if name.startswith("diffai_kernel_")}  # the list tells which one works
    unused = of_plugins - of_kernels if word == "--plugins" else of_plugins
    assert {name.partition(".")[2] for name in unused} == {"", "plugin"}


def test_an_identical_pair_is_compared_without_numpy_json_threads_and_folders(old: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(old.read_bytes())
    found = imported(old, copy, code=0)
    assert "diffai_core.engine" in found
    assert not found & ((ARRAYS | FOREIGN | RARE | THREADS | FOLDERS) - CHECKOUT)


def test_a_pair_that_differs_in_its_metadata_alone_is_compared_without_numpy(old: Path, tmp_path: Path) -> None:
    new = write_safetensors(tmp_path / "new.safetensors", {"x": WEIGHTS}, {"step": "2"})
    assert not imported(old, new, code=1) & (ARRAYS | FOREIGN | THREADS | FOLDERS)


def test_added_and_removed_tensors_are_told_without_numpy_though_not_named(old: Path, tmp_path: Path) -> None:
    new = write_safetensors(tmp_path / "new.safetensors", {"x": WEIGHTS, "y": WEIGHTS[:2]}, {"step": "1"})
    for pair in [(old, new), (new, old)]:
        assert not imported(*pair, code=1, without="compare-review") & (ARRAYS | FOREIGN | THREADS | FOLDERS)


def test_configs_are_compared_without_numpy_and_other_formats(tmp_path: Path) -> None:
    for name, text in [("old.json", '{"lr": 0.1}'), ("new.json", '{"lr": 0.2}')]:
        (tmp_path / name).write_text(text)
    found = imported(tmp_path / "old.json", tmp_path / "new.json", code=1)
    assert not found & (ARRAYS | FOREIGN | THREADS | FOLDERS | {"yaml"})
    formats = {name for name in found if name.startswith("diffai_load_") and name.endswith(".loader")}
    assert formats == {"diffai_load_json.loader"}


def test_a_changed_tensor_imports_numpy_and_nothing_else_that_is_large(old: Path, tmp_path: Path) -> None:
    new = write_safetensors(tmp_path / "new.safetensors", {"x": WEIGHTS * 2}, {"step": "1"})
    found = imported(old, new, "--jobs", 1, code=1)
    assert "numpy" in found
    assert not found & (
        FOREIGN
        | THREADS
        | FOLDERS
        | {"ml_dtypes", "importlib.metadata", "numpy.ma", "numpy.random", "numpy.fft", "numpy.testing"}
    )


def test_ml_dtypes_is_imported_for_the_dtypes_that_numpy_lacks(tmp_path: Path) -> None:
    paths = [
        write_safetensors(tmp_path / f"{byte}.safetensors", {"x": ("BF16", [4], bytes([0, byte] * 4))})
        for byte in (0x3F, 0x40)
    ]
    assert "ml_dtypes" in imported(*paths, "--jobs", 1, code=1)
