"""Reads the documentation as a reader does: links, headings, and the console sessions that show a command's output."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from repository import ROOT, tracked

if TYPE_CHECKING:
    from pathlib import Path

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<body>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!\!)\[[^\]\n]+\]\((?P<target>[^)\s]+)\)")


class Session(NamedTuple):
    """A command shown in a ``console`` fence, and the output shown under it."""

    page: str
    command: str
    output: str


def pages() -> list[str]:
    """Return the Markdown pages of the repository."""
    return [name for name in tracked() if name.endswith(".md")]


def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def sessions(page: str) -> list[Session]:
    """Return the commands of all ``console`` fences of a page with the output shown for each."""
    found = []
    for fence in _FENCE.finditer(text(page)):
        if fence["language"] != "console":
            continue
        for part in re.split(r"^\$ ", fence["body"], flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            found.append(Session(page, command, output.rstrip("\n")))
    return found


def matches(shown: str, real: str) -> bool:
    """Whether ``real`` is the output shown; a line ``…`` stands for any number of lines."""
    pattern = r"\n".join(r"(?:.*)" if line.strip() == "…" else re.escape(line) for line in shown.split("\n"))
    return re.fullmatch(pattern, real.rstrip("\n"), re.DOTALL) is not None


def links(page: str) -> list[str]:
    """Return the targets of all links of a page, code left out."""
    prose = re.sub(r"`[^`\n]*`", "", _FENCE.sub("", text(page)))
    return [found["target"] for found in _LINK.finditer(prose)]


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    prose = _FENCE.sub("", page.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def broken_links(page: str) -> list[str]:
    """Return the links of a page that lead to no file or no heading of the repository."""
    broken = []
    for target in links(page):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    return broken
