"""Plots as SVG, drawn by hand: lines over time, and a distribution. Colours are those of the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

_WIDTH, _HEIGHT = 380, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 10, 10, 24
_ROOM: Final = 1.08
"""Above the highest point."""
_TICKS: Final = 4


@dataclass(frozen=True, slots=True)
class Series:
    """A line. ``style`` is its class in the style sheet; points without a value are gaps."""

    name: str
    style: str
    points: Sequence[tuple[float, float | None]]


@dataclass(frozen=True, slots=True)
class Axes:
    """What is where. ``logarithmic`` is for x alone."""

    left: float
    right: float
    highest: float
    logarithmic: bool = False

    def x(self, value: float) -> float:
        """From the left edge of the picture."""
        low, high, at = self.left, self.right, value
        if self.logarithmic:
            low, high, at = math.log10(low), math.log10(high), math.log10(max(value, self.left))
        return _LEFT + (at - low) / ((high - low) or 1) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        """From its upper edge."""
        return _TOP + (1 - value / (self.highest or 1)) * (_HEIGHT - _TOP - _BOTTOM)


def lines(series: Sequence[Series], *, unit: str, label: str) -> str:
    """Lines over the seconds of a run. ``unit`` stands behind the values; ``label`` is for those who cannot see it."""
    values = [value for one in series for _, value in one.points if value is not None]
    ends = [x for one in series for x, _ in one.points]
    if not values:
        return ""
    axes = Axes(min(ends), max(max(ends), min(ends) + 1), _highest(max(values)))
    parts = [_grid(axes), _times(axes)]
    parts += [f'<path class="line {one.style}" d="{_path(one.points, axes)}"/>' for one in series]
    parts.append(_hovers(series, axes, unit))
    return _picture(parts, label)


def distribution(pairs: Sequence[tuple[float, int]], *, marks: Sequence[tuple[str, float]], label: str) -> str:
    """How many durations (ms) were at most how long: bars for how many there were of each length, and the marks named."""
    whole = sum(count for _, count in pairs)
    if not whole:
        return ""
    bins = _bins(pairs)
    low = min(start for start, _, _ in bins)
    highest = _highest(max(100 * count / whole for _, _, count in bins))
    axes = Axes(low, max(end for _, end, _ in bins), highest, logarithmic=True)
    parts = [_grid(axes), _powers(axes)]
    for start, end, count in bins:
        share = 100 * count / whole
        left, right, top = axes.x(start), axes.x(end), axes.y(share)
        parts.append(
            f'<rect class="bar" x="{left + 0.5:.1f}" y="{top:.1f}" width="{max(right - left - 1, 0.8):.1f}" '
            f'height="{axes.y(0) - top:.1f}"><title>{start:.3g} to {end:.3g} ms: {share:.1f} %</title></rect>'
        )
    for place, (name, value) in enumerate(marks):
        x = axes.x(value)
        parts.append(f'<path class="mark" d="M{x:.1f} {_TOP}V{axes.y(0):.1f}"/>')
        end = x > _WIDTH - 60
        parts.append(
            f'<text class="told" x="{x + (-3 if end else 3):.1f}" y="{_TOP + 9 + 12 * place}"'
            f"{' text-anchor=' + chr(34) + 'end' + chr(34) if end else ''}>{escape(name)}</text>"
        )
    return _picture(parts, label)


def _picture(parts: Sequence[str], label: str) -> str:
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'


def _highest(value: float) -> float:
    """A round number above it, so that the ticks are round as well."""
    step = _step(value * _ROOM)
    return step * math.ceil(value * _ROOM / step) if step else 1.0


def _step(highest: float) -> float:
    if highest <= 0:
        return 0.0
    rough = highest / _TICKS
    power = 10 ** math.floor(math.log10(rough))
    return float(next(times * power for times in (1, 2, 2.5, 5, 10) if times * power >= rough * 0.999))


def _grid(axes: Axes) -> str:
    step, parts, value = _step(axes.highest), [], 0.0
    while step and value <= axes.highest * 1.001:
        y = axes.y(value)
        parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>')
        parts.append(f'<text x="{_LEFT - 5}" y="{y + 3.5:.1f}" text-anchor="end">{_number(value)}</text>')
        value += step
    return "".join(parts)


def _times(axes: Axes) -> str:
    step = max(1.0, _step(axes.right - axes.left))
    parts, at = [], math.ceil(axes.left / step) * step
    while at <= axes.right:
        parts.append(f'<text x="{axes.x(at):.1f}" y="{_HEIGHT - 8}" text-anchor="middle">{at:g} s</text>')
        at += step
    return "".join(parts)


def _powers(axes: Axes) -> str:
    parts = []
    for power in range(math.floor(math.log10(axes.left)), math.ceil(math.log10(axes.right)) + 1):
        for times in (1, 3):
            at = times * 10.0**power
            if axes.left <= at <= axes.right:
                parts.append(f'<text x="{axes.x(at):.1f}" y="{_HEIGHT - 8}" text-anchor="middle">{at:g} ms</text>')
    return "".join(parts)


def _path(points: Sequence[tuple[float, float | None]], axes: Axes) -> str:
    parts, pen = [], "M"
    for x, value in points:
        if value is None:
            pen = "M"
            continue
        parts.append(f"{pen}{axes.x(x):.1f} {axes.y(value):.1f}")
        pen = "L"
    # A single point is a dot: round ends draw it.
    return "".join(parts) + ("h0" if len(parts) == 1 else "")


def _hovers(series: Sequence[Series], axes: Axes, unit: str) -> str:
    """A strip for each second that says what was there; the browser shows it under the pointer."""
    at = sorted({x for one in series for x, _ in one.points})
    width = (_WIDTH - _LEFT - _RIGHT) / max(1, len(at) - 1)
    parts = []
    for x in at:
        here = [(one.name, value) for one in series for when, value in one.points if when == x and value is not None]
        told = [f"{name}: {_number(value)} {unit}" for name, value in here]
        if told:
            text = escape(f"{x:g} s: " + ", ".join(told))
            left = axes.x(x) - width / 2
            parts.append(
                f'<rect class="hover" x="{left:.1f}" y="{_TOP}" width="{width:.1f}" height="{_HEIGHT - _TOP - _BOTTOM}">'
                f"<title>{text}</title></rect>"
            )
    return "".join(parts)


def _number(value: float) -> str:
    if value >= 10_000:
        return f"{value / 1000:,.0f}k" if value < 1e6 else f"{value / 1e6:,.1f}M"
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def _bins(pairs: Sequence[tuple[float, int]], count: int = 40) -> list[tuple[float, float, int]]:
    """The counts in wider buckets, each by the same factor wider than the one before."""
    low, high = pairs[0][0] * 0.99, pairs[-1][0] * 1.01
    factor = (high / low) ** (1 / count)
    counts = [0] * count
    for value, many in pairs:
        counts[min(count - 1, int(math.log(value / low) / math.log(factor)))] += many
    return [(low * factor**place, low * factor ** (place + 1), many) for place, many in enumerate(counts) if many]
