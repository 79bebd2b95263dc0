"""Write, or with ``--check`` compare, the files that are generated from the plugins of a checkout.

    python -m diffai_core.testing.sync [--check]

These are the development requirements, the tables of the reference, the example plugins, and the files that the
tutorial shows.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from diffai_core.errors import DiffaiError
from diffai_core.testing.checkout import checkout_root
from diffai_core.testing.generated import COMMAND, from_templates, lists

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


def synchronise(root: Path, *, check: bool) -> list[str]:
    """Write the generated files that are missing or differ; return their paths.

    Args:
        root: The checkout.
        check: Whether to write nothing.

    Raises:
        PluginError: If a plugin is not as the contract demands.
    """
    # The example plugins come first, because the lists name them too.
    return [*_update(root, from_templates(root), check=check), *_update(root, lists(root), check=check)]


def _update(root: Path, texts: Mapping[str, str], *, check: bool) -> list[str]:
    changed = [path for path, text in texts.items() if _current(root / path) != text]
    if not check:
        for path in changed:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(texts[path], encoding="utf-8", newline="\n")
    return changed


def _current(path: Path) -> str | None:
    return path.read_bytes().decode("utf-8", "replace") if path.is_file() else None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code: 1 if ``--check`` finds a difference, 2 in trouble."""
    parser = argparse.ArgumentParser(prog=COMMAND, description="Write the generated files of a checkout of diffai.")
    parser.add_argument("--check", action="store_true", help="Change nothing; fail if a file is out of date.")
    check = parser.parse_args(arguments).check
    try:
        changed = synchronise(checkout_root(), check=check)
    except DiffaiError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    for path in changed:
        sys.stdout.write(f"{path} {'is out of date' if check else 'written'}\n")
    if check and changed:
        sys.stderr.write(f"generated files are out of date; run: {COMMAND}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
