"""Charts drawn as SVG with a text that says what they show."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeGuard

from diffai_report_text.numbers import measure

from diffai_report_html.marks import text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_WIDTH, _HEIGHT = 640, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 12, 26, 34
_BAR, _LABEL, _CHARACTER = 20, 46, 7.3
_LINES = ("old", "new")
_MOST_BARS = 60

Point = tuple[float, float]


def is_finite(value: Any) -> TypeGuard[float]:
    """Whether a value can be drawn."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _svg(width: float, height: float, title: str, about: str, pieces: Sequence[str]) -> Iterator[str]:
    yield f'<svg width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}" role="img" '
    yield f'aria-label="{text(title)}: {text(about)}">\n<title>{text(title)}</title>\n<desc>{text(about)}</desc>\n'
    for piece in pieces:
        yield f"{piece}\n"
    yield "</svg>\n"


def _words(x: float, y: float, said: str, *, anchor: str = "start", class_: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{class_}">{text(said)}</text>'


def bars(chart: Mapping[str, Any], columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    """Yield bars: one group for each row, its label before it, one bar for each further column."""
    shown = [row for row in rows if row and any(map(is_finite, row[1:]))][:_MOST_BARS]
    if not shown:
        return
    labels = [_short(str(row[0])) for row in shown]
    left = max(map(len, labels)) * _CHARACTER + 10
    top = max(abs(value) for row in shown for value in row[1:] if is_finite(value)) or 1.0
    names = _LINES if len(columns) > 2 else _LINES[1:]  # noqa: PLR2004 - a label and two series
    pieces = _legend(columns[1:3], left, names)
    for number, (label, row) in enumerate(zip(labels, shown, strict=True)):
        y = _TOP + number * _BAR * 1.4
        pieces.append(_words(left - 6, y + 14, label, anchor="end"))
        series = [value if is_finite(value) else 0.0 for value in row[1 : 1 + len(names)]]
        thick = _BAR / max(len(series), 1)
        for line, value in enumerate(series):
            length = abs(value) / top * (_WIDTH - 120)
            place = f'x="{left:.1f}" y="{y + line * thick:.1f}" width="{length:.1f}" height="{thick - 1:.1f}"'
            pieces.append(f'<rect class="{names[line]}" {place}/>')
        pieces.append(_words(left + abs(series[-1]) / top * (_WIDTH - 120) + 4, y + 16, measure(float(series[-1]))))
    about = f"{len(shown)} bars; the longest is {labels[0]}" if len(shown) > 1 else labels[0]
    yield from _svg(left + _WIDTH - 40, _TOP + len(shown) * _BAR * 1.4 + 6, str(chart.get("title", "")), about, pieces)


def _short(label: str) -> str:
    return label if len(label) <= _LABEL else f"{label[: _LABEL // 2]}…{label[1 - _LABEL // 2 :]}"


def _legend(titles: Sequence[str], x: float, names: Sequence[str] = _LINES) -> list[str]:
    pieces = []
    for number, name in enumerate(titles):
        pieces.append(f'<rect class="{names[number]}" x="{x:.1f}" y="5" width="12" height="12"/>')
        pieces.append(_words(x + 17, 15, name))
        x += 30 + len(name) * _CHARACTER
    return pieces


def histogram(chart: Mapping[str, Any], columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    """Yield a histogram: counts as bars with the edges below, shares of two sides as two outlines over the values."""
    if len(columns) == 3:  # noqa: PLR2004 - two edges and one series
        yield from _counts(chart, columns, rows)
    else:
        yield from _outlines(chart, columns, rows)


def _counts(chart: Mapping[str, Any], columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    labelled = [[_bin(row[0], row[1]), row[2]] for row in rows if len(row) == 3]  # noqa: PLR2004 - as above
    yield from bars(chart, ["bin", columns[2]], labelled)


def _bin(low: Any, high: Any) -> str:
    if low == high:
        return "unchanged" if low == 0 else measure(low)
    edges = ["…" if edge is None else measure(edge) for edge in (low, high)]
    return f"{edges[0]} – {edges[1]}"  # noqa: RUF001 - a range


def _outlines(chart: Mapping[str, Any], columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    """Yield an outline for each side: density, so that bins of other widths compare."""
    bins = [row for row in rows if len(row) >= 4 and all(map(is_finite, row[:4])) and row[1] > row[0]]  # noqa: PLR2004 - low, high, and a height for each side
    if not bins:
        return
    heights = [[row[column] / (row[1] - row[0]) for row in bins] for column in (2, 3)]
    inner = bins[1:-1] or bins
    low, high = inner[0][0], inner[-1][1]
    margin = (high - low) * 0.04
    x_of, y_of = (
        _scale((low - margin, high + margin), _LEFT, _WIDTH - _RIGHT),
        _scale((0.0, _highest(heights)), _HEIGHT - _BOTTOM, _TOP),
    )
    pieces = [*_legend(columns[2:4], _LEFT), *_frame(low - margin, high + margin, str(chart.get("x", "")))]
    for name, side in zip(_LINES, heights, strict=True):
        corners = [(x_of(edge), y_of(height)) for row, height in zip(bins, side, strict=True) for edge in row[:2]]
        start, end = (corners[0][0], y_of(0)), (corners[-1][0], y_of(0))
        pieces.append(f'<polyline class="step {name}" points="{_points([start, *corners, end])}"/>')
    distance = chart.get("ks_d")
    said = f"; Kolmogorov-Smirnov distance {measure(distance)}" if is_finite(distance) else ""
    about = f"from {measure(float(bins[0][0]))} to {measure(float(bins[-1][1]))}{said}"
    yield from _svg(_WIDTH, _HEIGHT, str(chart.get("title", "")), about, pieces)


def _highest(heights: Sequence[Sequence[float]]) -> float:
    return max(max(side) for side in heights) or 1.0


def _scale(domain: tuple[float, float], start: float, end: float) -> Any:
    low, high = domain
    span = high - low if high > low else 1.0

    def place(value: float) -> float:
        share = min(max((value - low) / span, 0.0), 1.0)
        return start + share * (end - start)

    return place


def _points(places: Sequence[Point]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def _frame(low: float, high: float, label: str) -> list[str]:
    """Return the axes with the range of the x axis below."""
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    return [
        f'<path class="axis" d="M{_LEFT} {_TOP}V{bottom}H{right}"/>',
        _words(_LEFT, bottom + 15, measure(float(low)), anchor="middle", class_="faint"),
        _words(right, bottom + 15, measure(float(high)), anchor="end", class_="faint"),
        _words((_LEFT + right) / 2, bottom + 28, label, anchor="middle", class_="faint"),
    ]


def lines(chart: Mapping[str, Any], columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    """Yield a line for each side over the steps."""
    sides = [
        [(row[0], row[number]) for row in rows if len(row) > number and is_finite(row[0]) and is_finite(row[number])]
        for number in range(1, len(columns))
    ]
    named = [(name, side) for name, side in zip(columns[1:], sides, strict=True) if side]
    every = [point for _, side in named for point in side]
    if not every:
        return
    low, high = min(x for x, _ in every), max(x for x, _ in every)
    bottom, top = min(y for _, y in every), max(y for _, y in every)
    x_of, y_of = _scale((low, high), _LEFT, _WIDTH - _RIGHT), _scale((bottom, top), _HEIGHT - _BOTTOM, _TOP)
    pieces = [
        *_legend(["OLD", "NEW"], _LEFT),
        *_frame(low, high, str(chart.get("x", ""))),
        _words(_LEFT - 5, _TOP + 8, measure(float(top)), anchor="end", class_="faint"),
        _words(_LEFT - 5, _HEIGHT - _BOTTOM, measure(float(bottom)), anchor="end", class_="faint"),
    ]
    for name, side in named:
        pieces += _line("new" if name == "NEW" else "old", [(x_of(x), y_of(y)) for x, y in side])
    ends = "; ".join(
        f"{name} from {measure(float(side[0][1]))} to {measure(float(side[-1][1]))}" for name, side in named
    )
    yield from _svg(_WIDTH, _HEIGHT, str(chart.get("title", "")), ends, pieces)


def _line(name: str, places: Sequence[Point]) -> list[str]:
    if len(places) == 1:
        return [f'<circle class="dot {name}" cx="{places[0][0]:.1f}" cy="{places[0][1]:.1f}" r="3"/>']
    return [f'<polyline class="line {name}" points="{_points(places)}"/>']
