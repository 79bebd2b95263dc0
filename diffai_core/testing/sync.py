"""Write, or with ``--check`` compare, the files that are generated from the plugins of a checkout.

    python -m diffai_core.testing.sync [--check]

These are the development requirements, the tables of the reference, and the example plugins.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from diffai_core.errors import DiffaiError
from diffai_core.testing.checkout import checkout_root
from diffai_core.testing.generated import COMMAND, generated_texts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def outdated(root: Path) -> dict[str, str]:
    """Return the generated files of the checkout that are missing or differ, with the text they should have."""
    return {path: text for path, text in generated_texts(root).items() if _current(root / path) != text}


def _current(path: Path) -> str | None:
    return path.read_bytes().decode("utf-8", "replace") if path.is_file() else None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code: 1 if ``--check`` finds a difference, 2 in trouble."""
    parser = argparse.ArgumentParser(prog=COMMAND, description="Write the generated files of a checkout of diffai.")
    parser.add_argument("--check", action="store_true", help="Change nothing; fail if a file is out of date.")
    check = parser.parse_args(arguments).check
    try:
        root = checkout_root()
        changes = outdated(root)
    except DiffaiError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    for path, text in changes.items():
        sys.stdout.write(f"{path} {'is out of date' if check else 'written'}\n")
        if not check:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text, encoding="utf-8", newline="\n")
    if check and changes:
        sys.stderr.write(f"generated files are out of date; run: {COMMAND}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
