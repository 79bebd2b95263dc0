"""The checkpoints of docs/examples/checkpoints, trained once by their script into the cache outside the repository."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from tests.helpers.wheels import cache_folder

EXAMPLES = Path(__file__).parents[2] / "docs/examples"
SOURCES = (EXAMPLES / "models/train.py", *sorted((EXAMPLES / "checkpoints").glob("*.py")))


def made_checkpoints() -> Path:
    """Return the folder that ``make.py`` writes; trained anew where the scripts or torch are other than before.

    Of several test processes one trains and the others wait.
    """
    from filelock import FileLock

    digest = hashlib.sha256(b"".join(path.read_bytes() for path in SOURCES)).hexdigest()[:16]
    target = cache_folder() / f"checkpoints-{version('torch')}-{digest}"
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        if not target.is_dir():
            with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
                made = Path(scratch) / "made"
                command = [sys.executable, str(EXAMPLES / "checkpoints/make.py"), str(made)]
                subprocess.run(command, check=True, timeout=500)
                made.rename(target)
    return target
