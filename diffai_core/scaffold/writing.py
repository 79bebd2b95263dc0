"""Fill the templates of a plugin and write them into a new folder."""

from __future__ import annotations

import re
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING

from diffai_core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable
    from pathlib import Path

KINDS = ("load", "compare", "report")
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_MAX_NAME = 40
_SUFFIX = ".tmpl"
_TRY = {
    "load": "diffai OLD NEW          # two {name} files; the README says how to make them",
    "compare": "diffai OLD NEW --{name}",
    "report": "diffai OLD NEW --output {name}",
}


def scaffold(kind: str, name: str, folder: Path) -> list[Path]:
    """Write a working plugin into ``folder/diffai-KIND-NAME``.

    Args:
        kind: ``load``, ``compare`` or ``report``.
        name: What the plugin is called: of the format, of the analysis' flag, of the report format.
        folder: Where the new folder is made.

    Returns:
        The files written, sorted.

    Raises:
        UsageError: If the kind or the name is not of the right form, or the folder exists or cannot be made.
    """
    texts = render(kind, name)
    root = folder / f"diffai-{kind}-{name}"
    try:
        root.mkdir(parents=True)
        for relative, text in texts.items():
            path = root / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
    except FileExistsError as error:
        raise UsageError(f"{root} is already there; choose another name or remove it") from error
    except OSError as error:
        raise UsageError(f"cannot write {root}: {error.strerror or error}") from error
    return [root / relative for relative in sorted(texts)]


def render(kind: str, name: str) -> dict[str, str]:
    """Return the text of each file of a new plugin by its path, with forward slashes.

    Raises:
        UsageError: If the kind or the name is not of the right form.
    """
    if kind not in KINDS:
        raise UsageError(f"a new plugin is one of {', '.join(KINDS)}, not {kind!r}: diffai --new-plugin load NAME")
    if not _NAME.fullmatch(name) or len(name) > _MAX_NAME:
        raise UsageError(
            f"{name!r} cannot name a plugin: use lower-case letters and digits, words joined by single hyphens,"
            f" at most {_MAX_NAME} characters, such as 'my-format'"
        )
    package = f"diffai_{kind}_{name.replace('-', '_')}"
    words = {
        "name": name,
        "distribution": f"diffai-{kind}-{name}",
        "package": package,
        "magic": name.upper(),
    }
    root = files("diffai_core.scaffold") / "templates" / kind
    texts = {path.removesuffix(_SUFFIX): file.read_text(encoding="utf-8") for path, file in _walk(root)}
    rendered = {_placed(path, package): Template(text).substitute(words) for path, text in texts.items()}
    return rendered | {f"src/{package}/py.typed": ""}


def _walk(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(_SUFFIX):
            yield f"{prefix}{entry.name}", entry


def _placed(path: str, package: str) -> str:
    return path.replace("src/", f"src/{package}/", 1) if path.startswith("src/") else path


def next_steps(kind: str, name: str) -> str:
    """Return what to type after :func:`scaffold`, a few lines."""
    return "\n".join(
        [
            "Next:",
            f"  cd diffai-{kind}-{name}",
            "  pip install -e '.[test]'",
            "  pytest                  # holds the plugin to the laws of its kind",
            f"  {_TRY[kind].format(name=name)}",
        ]
    )
