"""Plain values as YAML that every version of the language reads alike."""

from __future__ import annotations

import json
import re
from typing import Any

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_OTHER_TYPES = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
_PAIR = re.compile(r"\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})")
_LONGEST_KEY = 120  # readers look no further than 1024 characters for the colon after a key


def dump(value: dict[str, Any] | list[Any], indent: str = "") -> str:
    """Return the lines of a list or mapping that is not empty; each scalar is on one line.

    A list of scalars is written in brackets, where it is not the whole.

    Args:
        value: Nested dict, list, str, int, float, bool and ``None``; no NaN, infinities or lone surrogates.
        indent: What stands before each line.

    Example:
        >>> print(dump({"shape": [2, 3], "dtype": "float32"}), end="")
        shape: [2, 3]
        dtype: float32
    """
    out: list[str] = []
    _write(value, indent, indent, out)
    return "".join(out)


def _write(value: Any, lead: str, indent: str, out: list[str]) -> None:
    """Append the lines of a container; ``lead`` stands before the first of them, ``indent`` before the others."""
    if isinstance(value, dict):
        _write_members(value, lead, indent, out)
    else:
        _write_items(value, lead, indent, out)


def _write_members(members: dict[str, Any], lead: str, indent: str, out: list[str]) -> None:
    for name, value in members.items():
        key = _string(name)
        start = f"{lead}{key}:" if len(key) <= _LONGEST_KEY else f"{lead}? {key}\n{indent}:"
        if _is_short(value):
            out.append(f"{start} {_short(value)}\n")
        else:
            out.append(f"{start}\n")
            _write(value, f"{indent}  ", f"{indent}  ", out)
        lead = indent


def _write_items(items: list[Any], lead: str, indent: str, out: list[str]) -> None:
    for value in items:
        if _is_short(value):
            out.append(f"{lead}- {_short(value)}\n")
        else:
            _write(value, f"{lead}- ", f"{indent}  ", out)
        lead = indent


def _is_short(value: Any) -> bool:
    """Whether a value stands on the line of its key."""
    if isinstance(value, list):
        return not any(isinstance(item, (dict, list)) for item in value)
    return not (isinstance(value, dict) and value)


def _short(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(scalar, value))}]"
    return "{}" if isinstance(value, dict) else scalar(value)


def scalar(value: Any) -> str:
    """Return a string, number, boolean or ``None`` as YAML.

    Example:
        >>> scalar("fc.weight"), scalar("no"), scalar("1:30"), scalar(1e-9), scalar(None)
        ('fc.weight', '"no"', '"1:30"', '1.0e-09', 'null')
    """
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, float):
        text = repr(value)
        return text if "." in text else text.replace("e", ".0e")  # YAML 1.1 takes 1e-09 for a string
    return json.dumps(value)


def _string(value: str) -> str:
    # YAML 1.1 reads `no` as false and `1:30` as 90, YAML 1.2 reads `1e5` as a number: only plain words go unquoted.
    if _WORD.fullmatch(value) and value.lower() not in _OTHER_TYPES:
        return value
    # A string of JSON is one of YAML, except that YAML knows no surrogate pairs and takes no bare DEL.
    text = json.dumps(value).replace("\x7f", "\\u007f")
    return _PAIR.sub(lambda pair: f"\\U{_code_point(pair[1], pair[2]):08x}", text)


def _code_point(high: str, low: str) -> int:
    return 0x10000 + ((int(high, 16) - 0xD800) << 10) + (int(low, 16) - 0xDC00)
