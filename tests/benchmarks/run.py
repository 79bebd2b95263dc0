"""Measure diffai beside the floors and beside what people would use instead, all in one run.

    python tests/benchmarks/run.py [--pairs U,S,I,F,B,T,G] [--runs 3] [--json]
    python tests/benchmarks/kernels.py

Generates the pairs once into a cache outside the repository (``DIFFAI_BENCH_CACHE``, about 4 GB; the growth pairs G
need 12 GB at a time and are removed again). Every program runs once unmeasured, so the files are in the page cache and
bytecode is cached: these are warm times. CPU is user + system seconds of the whole process; each row gives the least
and the median of the runs and the greatest peak of resident memory.

A time counts only with a true answer: exit code and number of changed tensors are checked, and a row that gets them
wrong says so (and this program then ends with exit code 1, unless the fault is another project's).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import programs
from measure import Cost, cost, run
from pairs import GROWTH, PAIRS, Pair
from programs import Program

HERE = Path(__file__).resolve().parent
HELP = Pair("diffai --help, and what it stands on", "", "", "", 0, (0.2, None))


class Row(NamedTuple):
    """One line of a table: a program on a pair. ``cost`` is ``None`` where it could not run."""

    program: str
    cost: Cost | None
    gb_per_s: float | None
    remark: str


class Table(NamedTuple):
    """All programs on one pair."""

    name: str
    pair: Pair
    rows: list[Row]


def measure(pair: Pair, program: Program, folder: Path, n_runs: int) -> Row:
    """Run one program on one pair, once unmeasured and then ``n_runs`` times."""
    if program.missing:
        return Row(program.name, None, None, program.missing)
    names = {"pair": (pair.old, pair.new), "copy": (pair.old, pair.copy), "none": ()}[program.files]
    files = [str(folder / f"{name}.safetensors") for name in names]
    with tempfile.NamedTemporaryFile() as scratch:
        runs = [run([*program.argv, *files], scratch.name) for _ in range(n_runs + 1)]
    summary = cost(runs[1:])
    rate = sum(Path(file).stat().st_size for file in files) / 1e9 / summary.cpu if files else None
    return Row(program.name, summary, rate, false_answer(pair, program, runs[0].code, runs[0].output))


def false_answer(pair: Pair, program: Program, code: int, output: str) -> str:
    """Say what is false in the answer of a program, or nothing."""
    found = re.search(program.counts, output, re.MULTILINE) if program.counts else None
    n_found = int(found[1].replace(",", "")) if found else 0
    if not program.ours:
        return "" if n_found == pair.changed else f"finds {n_found} of {pair.changed} changed tensors"
    if code != program.codes[pair.changed > 0]:
        return f"WRONG: exit code {code}"
    if program.counts and n_found != pair.changed:
        return f"WRONG: finds {n_found} of {pair.changed} changed tensors"
    return ""


def generate(folder: Path, scale: float, pair: Pair) -> None:
    """Write the files of a pair where they are missing, in a process of their own."""
    for name in (pair.old, pair.new, pair.copy):
        if not (folder / f"{name}.safetensors").exists():
            subprocess.run([sys.executable, str(HERE / "pairs.py"), str(folder), str(scale), name], check=True)


def as_text(table: Table) -> str:
    """Return a table for people; costs also as multiples of diffai's."""
    ours = next((row.cost for row in table.rows if row.program == "diffai"), None)
    head = ("CPU s", "median", "x diffai", "wall s", "RSS MiB", "x diffai", "GB/s CPU")
    lines = [f"{table.name}: {table.pair.title}", " " * 28 + "".join(f"{word:>9}" for word in head)]
    for row in table.rows:
        if row.cost is None or ours is None:
            lines.append(f"  {row.program:26}  {row.remark}")
            continue
        cells = (row.cost.cpu, row.cost.cpu_median, row.cost.cpu / ours.cpu, row.cost.wall)
        memory = f"{row.cost.rss:9.1f}{row.cost.rss / ours.rss:9.2f}"
        rate = f"{row.gb_per_s:9.2f}" if row.gb_per_s is not None else ""
        lines.append(
            f"  {row.program:26}{''.join(f'{cell:9.3f}' for cell in cells)}{memory}{rate}  {row.remark}".rstrip()
        )
    return "\n".join([*lines, *bars(table.pair, ours)]) + "\n"


def bars(pair: Pair, ours: Cost | None) -> list[str]:
    """Say whether the limits set for a pair are kept."""
    if ours is None:
        return []
    checks = zip((ours.cpu, ours.rss), pair.bar, ("s CPU", "MiB RSS"), strict=True)
    return [
        f"  bar {limit:g} {unit}: {'met' if value <= limit else 'MISSED'}"
        for value, limit, unit in checks
        if limit is not None
    ]


def as_json(tables: list[Table]) -> str:
    """Return all tables as one JSON document."""
    rows = [
        {"pair": table.name, "title": table.pair.title, **row._asdict(), "cost": row.cost and row.cost._asdict()}
        for table in tables
        for row in table.rows
    ]
    return json.dumps(rows, indent=2)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    cache = Path(os.environ.get("DIFFAI_BENCH_CACHE", Path.home() / ".cache/diffai-bench"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", default="U,S,I,F,B,T", help="which pairs, of U S I F B T G (default %(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="measured runs of each program (default %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of tables")
    parser.add_argument("--cache", type=Path, default=cache, help="where the files lie (default %(default)s)")
    parser.add_argument("--scale", type=float, default=1.0, help="shrink the large tensors, to test this program")
    parser.add_argument("--diffai", default=str(Path(sys.executable).parent / "diffai"), help="the command to measure")
    parser.add_argument(
        "--only", default="", help="only programs whose names begin so: diffai,cmp,NumPy (default: all)"
    )
    return parser.parse_args()


def tables(options: argparse.Namespace, folder: Path) -> list[Table]:
    """Measure all that is asked for, and print each table when it is complete."""
    everything = programs.everything(options.diffai, options.cache, tuple(options.only.split(",")))
    done: list[Table] = []

    def add(name: str, pair: Pair, chosen: list[Program]) -> None:
        done.append(Table(name, pair, [measure(pair, program, folder, options.runs) for program in chosen]))
        if not options.json:
            print(as_text(done[-1]), flush=True)

    for letter in options.pairs.split(","):
        if letter == "U":
            add("help", HELP, programs.start_up(options.diffai))
        for name in GROWTH if letter == "G" else (letter,):
            generate(folder, options.scale, PAIRS[name])
            add(name, PAIRS[name], everything[:1] if name in GROWTH else everything)
            if name in GROWTH:
                (folder / f"{PAIRS[name].old}.safetensors").unlink()
                (folder / f"{PAIRS[name].new}.safetensors").unlink()
    return done


def main() -> int:
    """Measure and print; the exit code is 1 if any answer was wrong."""
    options = arguments()
    folder = options.cache / f"scale-{options.scale:g}"
    folder.mkdir(parents=True, exist_ok=True)
    done = tables(options, folder)
    if options.json:
        print(as_json(done))
    return int(any(row.remark.startswith("WRONG") for table in done for row in table.rows))


if __name__ == "__main__":
    sys.exit(main())
