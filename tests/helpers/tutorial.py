"""Read a tutorial: its commands with the output it promises, and the files it shows."""

from __future__ import annotations

import re
from typing import NamedTuple

_BLOCK = re.compile(
    r"(?:<!-- file: (?P<file>\S+) -->\n)?^```(?P<language>\w+)\n(?P<body>.*?)^```$", re.DOTALL | re.MULTILINE
)


class Shown(NamedTuple):
    """A file that the text shows."""

    path: str
    text: str


class Command(NamedTuple):
    """A command and the output that the text promises.

    ``...`` stands for anything within a line; alone on a line, for any number of lines.
    """

    line: str
    output: str

    def promises(self, output: str) -> bool:
        """Whether ``output`` is what the text says."""
        lines = self.output.splitlines()
        return re.fullmatch("".join(_pattern(line) for line in lines), output) is not None


def _pattern(line: str) -> str:
    if line == "...":
        return "(?:.*\n)*"
    return re.escape(line).replace(re.escape("..."), ".*") + "\n"


def steps(text: str) -> list[Shown | Command]:
    """Return the files and the commands of all ``console`` blocks, in the order of the text."""
    found: list[Shown | Command] = []
    for block in _BLOCK.finditer(text):
        if block["file"]:
            found.append(Shown(block["file"], block["body"]))
        elif block["language"] == "console":
            for part in re.split(r"^\$ ", block["body"], flags=re.MULTILINE)[1:]:
                line, _, output = part.partition("\n")
                found.append(Command(line, output))
    return found


def languages(text: str) -> list[tuple[str, bool]]:
    """Return the language of each block and whether a file is named above it."""
    return [(block["language"], bool(block["file"])) for block in _BLOCK.finditer(text)]
