"""Fuzz every loader for some seconds with a coverage-guided fuzzer (atheris): its own conformance test gives the seed.

    python tests/fuzz/run.py [--seconds 10] [--runs N] [--seed N] [--only NAME]

A loader fails if any bytes make it raise something else than a ``LoadError``, take more than 10 seconds or more than
2 GB. The bytes are then kept, and their path is printed. Needs atheris (Linux, CPython).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "helpers"))

from subjects import PLANTED, subjects  # noqa: E402 - found by the line above

LIMITS = ("-timeout=10", "-rss_limit_mb=2048", "-max_len=32768", "-len_control=0", "-print_final_stats=1")
_GRACE = 120


def fuzzed(name: str, seconds: int, kept: Path, more: list[str]) -> tuple[bool, str]:
    """Fuzz one loader; return whether it held, and one line about it."""
    prefix = kept / name.replace(":", "-")
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, str(HERE / "target.py"), name, f"{scratch}/{name.replace(':', '-')}", *LIMITS]
        command += [f"-max_total_time={seconds}", f"-artifact_prefix={prefix}-", *more]
        try:
            done = subprocess.run(command, capture_output=True, timeout=seconds + _GRACE, check=False)
        except subprocess.TimeoutExpired:
            return False, f"{name}: did not end {_GRACE} s after its time"
    log = done.stderr.decode("utf-8", "replace") + done.stdout.decode("utf-8", "replace")
    tried = [line.split()[-1] for line in log.splitlines() if line.startswith("stat::number_of_executed_units")]
    if done.returncode == 0 and tried:
        return True, f"{name}: held, {int(tried[0]):,} files tried"
    Path(f"{prefix}.log").write_text(log, encoding="utf-8")
    reason = next(
        (line for line in reversed(log.splitlines()) if "Error" in line or "ERROR" in line), "no reason given"
    )
    return False, f"{name}: FAILED ({reason.strip()[:200]}); log and bytes: {prefix}*"


def main() -> int:
    """Fuzz all loaders, two at a time; return 1 if one failed, 2 if there is none."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=10, help="For each loader.")
    parser.add_argument("--runs", type=int, default=-1, help="Files tried for each loader at most.")
    parser.add_argument(
        "--seed", type=int, default=0, help="The same one makes the same files; 0 takes another each time."
    )
    parser.add_argument("--only", default="", help="Only loaders in whose name this occurs.")
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()) / "diffai-fuzz", help="Where to.")
    given = parser.parse_args()
    package = PLANTED if given.only.startswith(PLANTED) else ""
    names = [subject.name for subject in subjects(package) if given.only in subject.name]
    more = [f"-runs={given.runs}", f"-seed={given.seed}"]
    given.keep.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        outcomes = list(pool.map(lambda name: fuzzed(name, given.seconds, given.keep, more), names))
    for _, line in outcomes:
        print(line)
    if not outcomes:
        print(f"no loader is called {given.only!r}")
        return 2
    return 0 if all(held for held, _ in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
