"""Runs the command ``diffai`` as a user does: a process of its own, its output read as text or JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

DIFFAI = str(Path(sys.executable).parent / "diffai")


def run_diffai(*arguments: object, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``diffai`` with ``arguments`` and return what it did; 60 seconds at most."""
    return subprocess.run(
        [DIFFAI, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        timeout=60,
    )


def report_of(*arguments: object) -> dict[str, Any]:
    """Run ``diffai … --format json`` and return the document, which must name the exit code of the process."""
    done = run_diffai(*arguments, "--format", "json")
    report: dict[str, Any] = json.loads(done.stdout or "null")
    assert report is not None, done.stderr
    assert (report["exit_code"], done.stderr) == (done.returncode, "")
    return report


def findings_of(report: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """Return the findings of one kind by where they are; each place has one at most."""
    found = [finding for finding in report["findings"] if finding["kind"] == kind]
    by_place = {finding["where"]: finding for finding in found}
    assert len(by_place) == len(found)
    return by_place
