"""Checks of the values that users give, on the command line or in Python: both use these, and refuse in the same words.

Every check returns the value to use, or raises a ``UsageError`` that says what is wrong with it; who calls knows the
name under which it was given, and puts it before the message (:func:`named`).
"""

from __future__ import annotations

import math
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from diffai_core.errors import UsageError
from diffai_core.keys import Tolerance
from diffai_core.specs import ReadingWay
from diffai_core.wording import did_you_mean, listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")

MOST_JOBS = 1024
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_LARGEST_MEMORY = 1 << 50
_LONGEST = 60

_MOST_NAMED = 8
"""Names that a message lists of those that exist."""


def named(name: str, check: Callable[[Any], T], value: object) -> T:
    """Return what ``check`` makes of ``value``; if it refuses, the message begins with ``name``.

    Raises:
        UsageError: If ``check`` does.
    """
    try:
        return check(value)
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from error


def optional(check: Callable[[Any], T]) -> Callable[[Any], T | None]:
    """Return a check that lets ``None`` pass and leaves the rest to ``check``."""
    return lambda value: None if value is None else check(value)


def text(value: object) -> str:
    """Return a text."""
    if not isinstance(value, str):
        raise UsageError(f"{_shown(value)} is not a text")
    return value


def flag(value: object) -> bool:
    """Return ``True`` or ``False``."""
    if not isinstance(value, bool):
        raise UsageError(f"{_shown(value)} is neither True nor False")
    return value


def integer(value: object) -> int:
    """Return an integer."""
    found = _integer(value)
    if found is None:
        raise UsageError(f"{_shown(value)} is not a valid integer")
    return found


def number(value: object) -> float:
    """Return a number; NaN is refused because it compares with nothing."""
    found = _real(value)
    if found is None or math.isnan(found):
        raise UsageError(f"{_shown(value)} is not a number")
    return found


def non_negative(value: object) -> float:
    """Return a finite number that is not negative.

    Example:
        >>> non_negative(1), non_negative(0.5)
        (1.0, 0.5)
    """
    found = _real(value)
    if found is None or not 0 <= found < math.inf:
        raise UsageError(f"{_shown(value)} is not a finite number of at least 0")
    return found


def job_count(value: object) -> int:
    """Return a number of worker threads."""
    found = _integer(value)
    if found is None or not 1 <= found <= MOST_JOBS:
        raise UsageError(f"{_shown(value)} is not a whole number from 1 to {MOST_JOBS}")
    return found


def reading_way(value: str) -> ReadingWay:
    """Return how to get at the bytes of files."""
    for way in get_args(ReadingWay):
        if value == way:
            found: ReadingWay = way
            return found
    raise UsageError(f"{_shown(value)} is none of {', '.join(get_args(ReadingWay))}")


def byte_count(value: str) -> int:
    """Return the number of bytes in a text such as ``256M`` or ``1.5GiB``.

    Example:
        >>> byte_count("1.5GiB")
        1610612736
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]?)(?:i?B)?", value.strip(), re.IGNORECASE)
    if not found:
        raise UsageError(f"{_shown(value)} is not a size; write for instance 256M or 1G")
    n_bytes = float(found[1]) * _UNITS[found[2].upper()]
    if n_bytes > _LARGEST_MEMORY:
        raise UsageError(f"{_shown(value)} is too much; the largest is {_LARGEST_MEMORY >> 30}G")
    return int(n_bytes)


def regex(value: object) -> re.Pattern[str]:
    """Compile a regular expression.

    Python's warnings about future meanings of ``[[`` and the like are not for the user of a command; ``re`` keeps
    what it compiled, so that a plugin that compiles the same text again does not warn either.
    """
    pattern = text(value)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return re.compile(pattern)
    except re.error as error:
        place = "" if error.pos is None else f" at position {error.pos}"
        raise UsageError(f"{_shown(value)} is not a regular expression: {error.msg}{place}") from error
    except (OverflowError, RecursionError, MemoryError) as error:
        raise UsageError(f"the regular expression is too large ({error})") from error


def one_of(choices: Sequence[str]) -> Callable[[object], str]:
    """Return a check for one of a few words."""

    def check(value: object) -> str:
        if not isinstance(value, str) or value not in choices:
            meant = did_you_mean(value, choices) if isinstance(value, str) else ""
            raise UsageError(f"{_shown(value)} is none of {', '.join(choices)}{meant}")
        return value

    return check


def several(check: Callable[[Any], T]) -> Callable[[object], tuple[T, ...]]:
    """Return a check for several values; one text is refused, because it would count as its letters."""

    def check_all(value: object) -> tuple[T, ...]:
        if isinstance(value, str | bytes):
            raise UsageError("must be a list, not one text")
        try:
            items = list(value)  # type: ignore[call-overload]  # what is no iterable is refused
        except TypeError as error:
            raise UsageError(f"must be a list, not {_shown(value)}") from error
        return tuple(check(item) for item in items)

    return check_all


def list_of(name: str, content: str, values: object) -> tuple[str, ...]:
    """Return several texts.

    Args:
        name: Name of the argument.
        content: What the texts are, for the message.
        values: What the user gave.

    Raises:
        UsageError: If it is one text, or not a list of texts.
    """
    if isinstance(values, str | bytes):
        raise UsageError(f"{name} must be a list of {content}, not one text")
    return named(name, several(text), values)


def layer_tolerance(value: str) -> tuple[re.Pattern[str], Tolerance]:
    """Return the pattern and the tolerance in ``PATTERN=rtol,atol``."""
    pattern, _, numbers = value.rpartition("=")
    tolerance = None
    with suppress(UsageError):
        tolerance = _tolerance(numbers.split(","), typed(decimal, non_negative))
    if not pattern or tolerance is None:
        raise UsageError(f"{_shown(value)} is not PATTERN=rtol,atol; write for instance 'norm=1e-3,1e-6'")
    return regex(pattern), tolerance


def layer_tolerances(values: object) -> tuple[tuple[re.Pattern[str], Tolerance], ...]:
    """Return the tolerances in ``{pattern: (rtol, atol)}``."""
    return tuple((regex(pattern), _tolerance(pair)) for pattern, pair in mapping(values).items())


def mapping(value: object) -> Mapping[Any, Any]:
    """Return a mapping."""
    if not isinstance(value, Mapping):
        raise UsageError(f"{_shown(value)} is not a mapping")
    return value


def require_known(name: object, names: Iterable[str], what: str) -> None:
    """Refuse a name that is none of ``names``.

    Raises:
        UsageError: If it is not; the message says what may have been meant.
    """
    names = list(names)
    if not isinstance(name, str) or name not in names:
        shown = name if isinstance(name, str) and name else _shown(name)
        meant = did_you_mean(name, names) if isinstance(name, str) else ""
        more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
        raise UsageError(f"{shown}: no such {what}{meant} (there are: {listed(names[:_MOST_NAMED])}{more})")


def input_path(name: str, value: object) -> str:
    """Return a path that can be looked up.

    Args:
        name: ``OLD`` or ``NEW``.
        value: A path, as text, as bytes or as an object that stands for one.

    Raises:
        UsageError: If it is empty, no path, or one that no file can have.
    """
    try:
        path = os.fsdecode(value)  # type: ignore[arg-type]  # what is no path is refused
        in_bytes = os.fsencode(path)
    except TypeError as error:
        raise UsageError(f"{name} must be a path, not {_shown(value)}") from error
    except UnicodeError as error:
        raise UsageError(f"{name} is not a path on this system ({_shown(value)})") from error
    if not in_bytes:
        raise UsageError(f"{name} is an empty path")
    if b"\0" in in_bytes:
        raise UsageError(f"{name} is a path with a NUL byte, which no file can have ({_shown(path)})")
    return path


def typed(parse: Callable[[str], Any], check: Callable[[Any], T]) -> Callable[[Any], T]:
    """Return a check that also takes a number as it is typed; what is none is refused in the words that were typed.

    Example:
        >>> typed(decimal, non_negative)("1e-6"), typed(int, job_count)("2")
        (1e-06, 2)
    """

    def check_text(value: object) -> T:
        if isinstance(value, str):
            with suppress(ValueError, UsageError):
                return check(parse(value))
        return check(value)

    return check_text


def decimal(written: str) -> float:
    """Return the number that is written; infinity only where it says so.

    Raises:
        ValueError: If it is no number, or one that is too large.
    """
    found = float(written)
    if math.isinf(found) and "inf" not in written.lower():
        raise ValueError(written)
    return found


def _tolerance(value: object, check: Callable[[Any], float] = non_negative) -> Tolerance:
    numbers = several(check)(value)
    if len(numbers) != 2:  # noqa: PLR2004 - rtol and atol
        raise UsageError(f"{_shown(value)} is not (rtol, atol)")
    return Tolerance(*numbers)


def _real(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def _integer(value: object) -> int | None:
    return int(value) if isinstance(value, Integral) and not isinstance(value, bool) else None


def _shown(value: object) -> str:
    """Return a value as Python would write it, cut where it is long."""
    try:
        written = repr(value)
    except Exception:  # noqa: BLE001 - the value is the user's own object
        written = f"a {type(value).__name__}"
    return written if len(written) <= _LONGEST else f"{written[: _LONGEST // 2]}…{written[-_LONGEST // 4 :]}"
