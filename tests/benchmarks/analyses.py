"""Measure what each analysis adds to the comparison of two files: CPU seconds and peak memory of the whole process.

    python tests/benchmarks/analyses.py OLD NEW [--runs 2]

Rows: the default run, all analyses that read nothing after the pass together, each analysis by itself, and all of them.
"""

from __future__ import annotations

import argparse
import tempfile

from measure import cost, run

from diffai_core.registry import load_registry

TROUBLE = 2


def main() -> None:
    """Run every row and print it as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--runs", type=int, default=2)
    given = parser.parse_args()
    specs = [one.spec for one in load_registry().comparators.values() if not one.spec.default and not one.spec.gate]
    in_pass = [f"--{spec.name}" for spec in specs if not spec.second_look and spec.name != "example"]
    rows = {"default": [], "all that live on the pass": in_pass}
    rows |= {f"--{spec.name}": [f"--{spec.name}"] for spec in specs if spec.name != "example"}
    rows["everything"] = [f"--{spec.name}" for spec in specs if spec.name != "example"]
    with tempfile.NamedTemporaryFile() as scratch:
        for title, flags in rows.items():
            command = ["diffai", given.old, given.new, *flags, "--quiet", "--jobs", "1"]
            runs = [run(command, scratch.name) for _ in range(given.runs)]
            assert all(one.code < TROUBLE for one in runs), f"{title}: exit code {runs[0].code}"
            found = cost(runs)
            print(f"{title:32} {found.cpu:7.2f} s  {found.rss:6.0f} MiB", flush=True)


if __name__ == "__main__":
    main()
