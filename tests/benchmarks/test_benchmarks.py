"""The benchmark is not timed here; this keeps it from rotting and holds every program in it to the truth."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).with_name("run.py")


def test_the_benchmark_runs_on_small_pairs_and_every_program_of_ours_gives_the_planted_answer(tmp_path):
    command = [sys.executable, str(PROGRAM), "--json", "--runs", "1", "--scale", "0.004", "--pairs", "S,I,B"]
    environment = {**os.environ, "DIFFAI_BENCH_CACHE": str(tmp_path)}
    done = subprocess.run(
        [*command, "--only", "diffai,NumPy,cmp"], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(done.stdout)
    assert {row["pair"] for row in rows} == {"S", "I", "B"}
    ours = {"diffai", "diffai --jobs 1", "diffai --kernel numpy", "diffai, all statistics"}
    assert {row["program"] for row in rows} == {*ours, "NumPy script", "cmp (floor, equal files)"}
    assert all(row["remark"] == "" and row["cost"]["cpu"] > 0 and row["cost"]["rss"] > 0 for row in rows)
