"""A peer: the original tool's Python package, run by the Python of its own environment."""

from __future__ import annotations

import sys

import diffai


def main() -> None:
    """Print of how many tensors it reports anything."""
    results = diffai.diff_paths(sys.argv[1], sys.argv[2])
    print(f"{len({result['path'].partition('.data_summary')[0] for result in results})} changed")


if __name__ == "__main__":
    main()
