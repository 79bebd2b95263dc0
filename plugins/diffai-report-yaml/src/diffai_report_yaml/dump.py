"""Plain values as YAML that every version of the language reads alike."""

from __future__ import annotations

import re
from typing import Any

import yaml

_Base: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_./\[\]-]*")
_OTHER_TYPES = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
_ONE_LINE = (1 << 31) - 1


class PlainDumper(_Base):  # type: ignore[misc]
    """Writes no aliases, and quotes each string that some reader could take for something else."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the base class's signature
        """Write a value again where it occurs again."""
        return True


def _string(dumper: Any, value: str) -> Any:
    # YAML 1.1 reads `no` as false and `1:30` as 90, YAML 1.2 reads `1e5` as a number: only plain words go unquoted.
    # Double quotes keep a string with line breaks on one line.
    safe = _WORD.fullmatch(value) and value.lower() not in _OTHER_TYPES
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=None if safe else '"')


PlainDumper.add_representer(str, _string)


def dump(value: Any, *, leaves_inline: bool) -> str:
    """Return ``value`` as lines of YAML; no scalar goes over the end of a line.

    Args:
        value: Nested dict, list, str, int, float, bool and ``None``.
        leaves_inline: Whether a list or mapping of scalars is written in brackets on one line.
    """
    flow = None if leaves_inline else False
    text: str = yaml.dump(value, Dumper=PlainDumper, sort_keys=False, default_flow_style=flow, width=_ONE_LINE)
    return text
