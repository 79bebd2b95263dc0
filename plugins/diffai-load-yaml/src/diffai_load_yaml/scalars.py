"""What a YAML scalar stands for: the rules of YAML 1.1 as PyYAML's ``safe_load`` applies them."""

from __future__ import annotations

from typing import Any

import yaml

MAX_NUMBER_LENGTH = 4300
"""Characters of a number, and decimal digits of an integer; longer ones take quadratic time to read or to print."""
STRING_TAG = "tag:yaml.org,2002:str"
MERGE_TAG = "tag:yaml.org,2002:merge"

_PREFIX = "tag:yaml.org,2002:"
_NUMBERS = frozenset({f"{_PREFIX}int", f"{_PREFIX}float"})
_TEXTS = frozenset({STRING_TAG, MERGE_TAG, f"{_PREFIX}value"})  # the last two mean something only as keys
_CONSTRUCTED = _NUMBERS | {f"{_PREFIX}{name}" for name in ("null", "bool", "binary", "timestamp")}
_CONSTRUCTOR_ERRORS = (yaml.YAMLError, ValueError, LookupError, ArithmeticError, AttributeError, TypeError)
_BIT_LIMIT = (10**MAX_NUMBER_LENGTH).bit_length()


def tag_of(event: Any, parser: Any) -> str:
    """Return the tag of a scalar event: the written one, or what its text looks like."""
    if event.tag is None and event.style:
        return STRING_TAG  # in quotes or a block
    if event.tag is None or event.tag == "!":
        return str(parser.resolve(yaml.ScalarNode, event.value, event.implicit))
    return str(event.tag)


def construct(tag: str, event: Any, parser: Any) -> Any:
    """Return the value of a scalar event.

    Raises:
        ValueError: If the tag is none of the plain ones, or the text does not fit it; says so in words.
    """
    if tag in _TEXTS:
        return event.value
    if tag not in _CONSTRUCTED:
        raise ValueError(f"the tag {written_tag(tag)} is refused; only plain values are read")
    if tag in _NUMBERS and len(event.value) > MAX_NUMBER_LENGTH:
        raise ValueError(f"a number of {len(event.value):,} characters is too long to be read")
    node = yaml.ScalarNode(tag, event.value, event.start_mark, event.end_mark)
    try:
        value = parser.yaml_constructors[tag](parser, node)
    except _CONSTRUCTOR_ERRORS as error:
        kind = tag.removeprefix(_PREFIX)
        raise ValueError(f"{event.value[:40]!a} cannot be read as {kind}") from error
    _check_range(value, event.value)
    return value


def _check_range(value: Any, text: str) -> None:
    if isinstance(value, int) and value.bit_length() >= _BIT_LIMIT:
        raise ValueError(f"an integer of more than {MAX_NUMBER_LENGTH:,} digits is too long to be read")
    if isinstance(value, float) and _is_lost(value, text.lower()):
        raise ValueError(f"the number {text[:40]} is outside the range of 64-bit floats")


def _is_lost(value: float, text: str) -> bool:
    """Whether a number became infinite or zero only because a float cannot hold it."""
    if value in {float("inf"), float("-inf")}:
        return "inf" not in text
    return value == 0 and bool(text.partition("e")[0].strip("+-0.:_"))


def written_tag(tag: str) -> str:
    """Return a tag as it is written in a file."""
    short = f"!!{tag.removeprefix(_PREFIX)}" if tag.startswith(_PREFIX) else tag
    return ascii(short[:80])[1:-1]
