"""What is measured: diffai, the floors below which no comparison can go, and what people would use instead."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from measure import environment

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).resolve().parent
ORIGINAL = "diffai-python==0.5.2"
"""The package of the tool that had this name first."""

_CHANGED = r"^(\d+) changed"
_VERDICT = r"^different: ([\d,]+) of"


class Program(NamedTuple):
    """Something to measure.

    Args:
        name: As the table calls it.
        argv: Command without the two files.
        files: ``pair`` (OLD and NEW), ``copy`` (OLD and its copy) or ``none``.
        counts: Regular expression that finds the number of changed tensors in the output; empty: not checked.
        codes: Exit codes for equal and for different files.
        ours: Whether a false answer is a fault of this repository.
        missing: Why it cannot be run; empty if it can.
    """

    name: str
    argv: tuple[str, ...]
    files: str = "pair"
    counts: str = ""
    codes: tuple[int, int] = (0, 1)
    ours: bool = True
    missing: str = ""


def everything(command: str, cache: Path, wanted: tuple[str, ...]) -> list[Program]:
    """Return diffai, the floors and the peers whose names begin with a wanted word.

    Args:
        command: How diffai is called.
        cache: Folder for the environments of peers that need their own.
        wanted: Beginnings of names; ``("",)`` wants all.
    """
    makers: dict[str, Callable[[str], Program]] = {
        "diffai": lambda name: Program(name, (command,), counts=_VERDICT),
        "diffai --jobs 1": lambda name: Program(name, (command, "--jobs", "1"), counts=_VERDICT),
        "diffai --kernel numpy": lambda name: Program(name, (command, "--kernel", "numpy"), counts=_VERDICT),
        "diffai, all statistics": lambda name: Program(
            name, (str(Path(command).parent / "python"), str(HERE / "all_statistics.py")), counts=_VERDICT
        ),
        "cmp (floor, equal files)": lambda name: Program(name, ("cmp",), files="copy", codes=(0, 0)),
        "read (floor)": lambda name: Program(name, (sys.executable, "-S", str(HERE / "floors/read.py")), codes=(0, 0)),
        "NumPy script": lambda name: _script(name, "numpy, ml_dtypes", HERE / "peers/with_numpy.py"),
        "torch script": lambda name: _script(name, "torch", HERE / "peers/with_torch.py"),
        "original 0.5.2": lambda name: _original(name, cache),
    }
    return [make(name) for name, make in makers.items() if name.startswith(wanted)]


def start_up(command: str) -> list[Program]:
    """Return what every run pays: the interpreter, click, and the help of diffai with all plugins."""
    return [
        Program("diffai", (command, "--help"), files="none", codes=(0, 0)),
        *(
            Program(f"python -c '{code}'", (sys.executable, "-c", code), files="none", codes=(0, 0))
            for code in ("pass", "import click", "import numpy")
        ),
    ]


def _script(name: str, modules: str, script: Path) -> Program:
    probe = [sys.executable, "-c", f"import {modules}, safetensors"]
    found = subprocess.run(probe, capture_output=True, check=False).returncode == 0
    missing = "" if found else f"not measured: {modules} and safetensors are not all installed"
    return Program(name, (sys.executable, str(script)), counts=_CHANGED, missing=missing)


def _original(name: str, cache: Path) -> Program:
    """Install the original tool into its own environment once; say so where that fails."""
    folder = cache / "original"
    python = str(folder / "bin/python")
    missing = ""
    steps = ([sys.executable, "-m", "venv", str(folder)], [python, "-m", "pip", "install", "-q", ORIGINAL])
    for step in () if (folder / "complete").exists() else steps:
        done = subprocess.run(step, capture_output=True, text=True, check=False, env=environment())
        if done.returncode:
            missing = f"not measured: not installable here ({done.stderr.strip().splitlines()[-1][:100]})"
            break
    else:
        (folder / "complete").touch()
    argv = (python, str(HERE / "peers/with_original.py"))
    return Program(name, argv, counts=_CHANGED, ours=False, missing=missing)
