"""Changes of config and metadata as a tree, coloured and signed."""

from __future__ import annotations

import re
from itertools import groupby
from typing import TYPE_CHECKING

from diffai_core.plugin import ABSENT
from diffai_report_html.marks import cell, key, pre, shown, table, text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from diffai_core.plugin import Finding

_SEGMENT = re.compile(r'\[(?:\d+|"(?:[^"\\]|\\.)*")\]|[^.\[]+')
_PATH = re.compile(r'(?:(?:^|\.)[^.\[]+|\[(?:\d+|"(?:[^"\\]|\\.)*")\])+')
_DEEPEST = 24
_FORMS = {
    "added": ("add", "+", "added"),
    "removed": ("del", "-", "removed"),
    "modified": ("mod", "~", "changed"),
    "type_changed": ("mod", "!", "another type"),
}


def entries(findings: Sequence[Finding]) -> Iterator[str]:
    """Yield the tree of the entries that differ."""
    if not findings:
        return
    yield '<section id="entries" aria-labelledby="h-entries">\n<h2 id="h-entries">Config and metadata</h2>\n'
    yield '<div class="tree"><ul>\n'
    yield from _tree(findings)
    yield "</ul></div>\n</section>\n"


def _tree(findings: Sequence[Finding]) -> Iterator[str]:
    """Yield the entries below the path they share; groups open and close as the paths go."""
    known = [(segments(finding.where), finding) for finding in findings]
    open_: list[str] = []
    for path, finding in _together(known):
        above = path[:-1]
        shared = 0
        while shared < min(len(open_), len(above)) and open_[shared] == above[shared]:
            shared += 1
        for _ in range(len(open_) - shared):
            yield "</ul></details></li>\n"
        for segment in above[shared:]:
            yield f"<li><details open><summary>{key(segment)}</summary><ul>\n"
        open_ = above
        yield _leaf(path[-1], finding)
    for _ in open_:
        yield "</ul></details></li>\n"


def _together(known: list[tuple[list[str], Finding]]) -> list[tuple[list[str], Finding]]:
    """Return the entries so that those below one group follow each other, groups in the order they come first."""
    first: dict[tuple[str, ...], int] = {}
    for path, _ in known:
        for end in range(1, len(path)):
            first.setdefault(tuple(path[:end]), len(first))
    return sorted(known, key=lambda item: [first[tuple(item[0][:end])] for end in range(1, len(item[0]))])


def segments(path: str) -> list[str]:
    """Return the steps of a path, at most 24 of them; a path of another form is one step.

    Example:
        >>> segments('a.b[0]["c.d"].e')
        ['a', 'b', '[0]', '["c.d"]', 'e']
    """
    if not _PATH.fullmatch(path):
        return [path]
    steps = _SEGMENT.findall(path)
    if len(steps) <= _DEEPEST:
        return steps
    rest = path
    for step in steps[: _DEEPEST - 1]:
        rest = rest.removeprefix(".").removeprefix(step)
    return [*steps[: _DEEPEST - 1], rest]


def _leaf(step: str, finding: Finding) -> str:
    class_, sign, words = _FORMS.get(finding.kind, ("mod", "~", "changed"))
    sides = [shown(side) for side in (finding.old, finding.new) if side is not ABSENT]
    types = [str(finding.values.get(field, "")) for field in ("old_type", "new_type")]
    typed = f' <span class="soft">({text(types[0])} → {text(types[1])})</span>' if all(types) else ""
    said = f'<div class="soft">{text(finding.message)}</div>' if finding.message else ""
    body = f"{key(step)}: {' → '.join(f'<code>{side}</code>' for side in sides)}{typed}"
    mark = f'<span title="{words}">{sign}</span>'
    return f'<li><span class="{class_}">{mark} {body}</span>{said}{pre(finding.detail)}</li>\n'


def others(findings: Sequence[Finding]) -> Iterator[str]:
    """Yield differences of kinds that only their analysis knows, one table for each kind."""
    if not findings:
        return
    yield '<section id="others" aria-labelledby="h-others">\n<h2 id="h-others">Other differences</h2>\n'
    for kind, group in groupby(sorted(findings, key=lambda finding: finding.kind), key=lambda finding: finding.kind):
        yield f"<h3>{text(kind.replace('_', ' '))}</h3>\n"
        yield from table("", ["where", "OLD", "NEW", "values", "why"], map(_other, group))
    yield "</section>\n"


def _other(finding: Finding) -> str:
    sides = "".join("<td></td>" if side is ABSENT else cell(side) for side in (finding.old, finding.new))
    values = ", ".join(f"{text(field)} {shown(value)}" for field, value in finding.values.items())
    said = f"{text(finding.message)}{pre(finding.detail)}"
    return f"<td>{key(finding.where)}</td>{sides}<td>{values}</td><td>{said}</td>"
