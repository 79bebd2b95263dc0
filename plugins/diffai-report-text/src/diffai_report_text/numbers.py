"""Numbers as text: short, and never rounded to something that says more than was measured."""

from __future__ import annotations

import math
from typing import Any

from diffai_report_text.literals import literal, not_finite

NOT_MEASURABLE = "n/a"

_DIGITS = 3
_EXACT_DIGITS = 17
_UNITS = ("kB", "MB", "GB", "TB", "PB", "EB")
_STEP = 1000.0
_LARGE = 1e16  # from here on decimals are noise
_PLAIN_FROM, _PLAIN_TO = 1e3, 1e15


def fixed(value: Any) -> str:
    """Return a mean or a deviation with four decimals.

    Example:
        >>> fixed(-0.00017), fixed(None), fixed(float("nan"))
        ('-0.0002', 'n/a', 'NaN')
    """
    if isinstance(value, complex):
        return f"{value:.4f}"
    if not _is_number(value):
        return _other(value)
    if not math.isfinite(value):
        return not_finite(value)
    return f"{value:.4f}" if abs(value) < _LARGE else f"{value:.4e}"


def measure(value: Any) -> str:
    """Return a number with three significant digits; integers and what is not a number in full.

    A number between integers is never rounded to one of them.

    Example:
        >>> measure(0.00314159), measure(0.99999), measure(12345.678), measure(None)
        ('0.00314', '0.99999', '12345.7', 'n/a')
    """
    if not isinstance(value, float):
        return _other(value)
    if not math.isfinite(value):
        return not_finite(value)
    return _unlike(value, {math.floor(value), math.ceil(value)})


def percent(share: Any) -> str:
    """Return a share as a percentage: 0% only for none, 100% only for all.

    Example:
        >>> percent(0.5), percent(1.0), percent(0.99996), percent(1e-9), percent(0.0)
        ('50%', '100%', '99.996%', '1e-07%', '0%')
    """
    if not _is_number(share):
        return _other(share)
    if not math.isfinite(share):
        return not_finite(share)
    if share in {0, 1}:
        return f"{share * 100:.0f}%"
    return f"{_unlike(float(share) * 100, {0, 100})}%"


def at_least(value: float) -> str:
    """Return a number with three significant digits, rounded up, so that whoever types it in has enough.

    Example:
        >>> at_least(0.0930001), at_least(0.093)
        ('0.0931', '0.093')
    """
    from decimal import ROUND_CEILING, Context

    rounded = Context(prec=_DIGITS, rounding=ROUND_CEILING).create_decimal(repr(value))
    text = f"{float(rounded):.{_DIGITS}g}"
    return text if float(text) >= value else repr(value)


def size(n_bytes: int) -> str:
    """Return a number of bytes in decimal units.

    Example:
        >>> size(1), size(48), size(90_852_864), size(999_999)
        ('1 byte', '48 bytes', '90.9 MB', '1.0 MB')
    """
    if n_bytes < _STEP:
        return counted(n_bytes, "byte")
    amount = n_bytes / _STEP
    for unit in _UNITS[:-1]:
        if round(amount, 1) < _STEP:
            return f"{amount:.1f} {unit}"
        amount /= _STEP
    return f"{amount:.1f} {_UNITS[-1]}"


def counted(count: int, noun: str) -> str:
    """Return a count with its noun.

    Example:
        >>> counted(1, "tensor"), counted(1200, "tensor")
        ('1 tensor', '1,200 tensors')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _unlike(value: float, refused: set[int]) -> str:
    """Return the shortest text of at least three digits that does not equal a number that ``value`` is not."""
    if _PLAIN_FROM <= abs(value) < _PLAIN_TO:
        candidates = iter([f"{value:.1f}"])
    else:
        candidates = (f"{value:.{digits}g}" for digits in range(_DIGITS, _EXACT_DIGITS))
    return next((text for text in candidates if value in refused or float(text) not in refused), repr(value))


def _is_number(value: Any) -> bool:
    if isinstance(value, int):
        return not isinstance(value, bool) and abs(value) < _LARGE
    return isinstance(value, float)


def _other(value: Any) -> str:
    return NOT_MEASURABLE if value is None else literal(value, measure)
