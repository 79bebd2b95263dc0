"""Small tables for a person: the weights that lost most, and what other schemes would cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from diffai_compare_quantization.look import Look

_MOST = 5
_NAME = 44


def worst_lines(coarser: Sequence[Look]) -> Iterator[str]:
    """Yield the weights of least SQNR against the null, if there are several."""
    rated = sorted((look.sqnr_db, look.target.key, look) for look in coarser if look.sqnr_db is not None)
    if len(rated) < 2:  # noqa: PLR2004 - one is named in the summary
        return
    yield f"{'least SQNR':<{_NAME}} {'dB':>7} {'null':>7} {'error':>9}"
    for sqnr, name, look in rated[:_MOST]:
        error = look.relative_error
        yield f"{_short(name):<{_NAME}} {sqnr:>7.1f} {_decibels(look.gaussian_sqnr_db):>7} {error or 0.0:>9.2e}"


def candidate_lines(found: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield what rounding NEW in other schemes would cost."""
    if found:
        yield f"{'rounding NEW to':<24} {'bits':>6} {'median dB':>10} {'least dB':>9}"
    for row in found:
        median, least = (_cost(row, name) for name in ("sqnr_db", "worst_sqnr_db"))
        yield f"{row['scheme']:<24} {row['bits_per_weight']:>6.2f} {median:>10} {least:>9}"


def _cost(row: Mapping[str, Any], name: str) -> str:
    if row[name] is not None:
        return f"{row[name]:.1f}"
    return "overflow" if row["n_overflow"] else "lossless"


def _decibels(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _short(name: str) -> str:
    """Return a name without its middle where it is long; printable."""
    shown = "".join(char if char.isprintable() else "?" for char in name)
    half = (_NAME - 1) // 2
    return shown if len(shown) <= _NAME else f"{shown[:half]}…{shown[-half:]}"
