"""Plots of the report as SVG text: promise against truth for one leg, and one strip of ratios per method.

Colours, weights and fonts are left to the page's style sheet (by class), so that the plots follow light and dark mode;
shapes and labels alone carry the meaning, so that they read in grey.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

Pair = tuple[float, float]

POINTS_AT_MOST = 400
_RANKS = range(POINTS_AT_MOST)
_LN10 = math.log(10)

# The scatter in user units, about one CSS pixel each: readable on a phone without zooming.
_WIDTH, _HEIGHT = 360, 330
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 346, 24, 290
# A letter of a label is at most this wide.
_LETTER = 6.6


def thin(pairs: Sequence[Pair], at_most: int = POINTS_AT_MOST) -> list[Pair]:
    """At most `at_most` of the (log promise, log truth) pairs that can be drawn, by truth/promise from far to close.

    Pairs with an infinite end are left out; of many, evenly spaced ranks are kept, the closest approach among them.
    Raises ValueError for `at_most` < 2.
    """
    if at_most < 2:
        raise ValueError(f"at_most = {at_most!r}: must be at least 2")
    finite = {(promise, truth) for promise, truth in pairs if math.isfinite(promise) and math.isfinite(truth)}
    drawable = sorted(finite, key=lambda pair: (pair[1] - pair[0], pair))
    if len(drawable) <= at_most:
        return drawable
    step = (len(drawable) - 1) / (at_most - 1)
    return [drawable[round(place * step)] for place in range(at_most)]


def log_ticks(low: float, high: float, at_most: int = 6) -> list[tuple[float, str]]:
    """Ticks (log10 of the value, label as SVG text) inside [low, high], both log10; 1-2-5 on a short axis."""
    if high - low <= 2:
        steps = [(math.log10(digit) + decade, digit, decade) for decade in _decades(low, high) for digit in (1, 2, 5)]
        inside = [(place, _plain(digit, decade)) for place, digit, decade in steps if low <= place <= high]
        if len(inside) > at_most:
            inside = [(float(decade), _plain(1, decade)) for decade in _decades(low, high) if low <= decade <= high]
        return inside
    power = 10 ** max(0, math.floor(math.log10((high - low) / at_most)))
    stride = next(digit * power for digit in (1, 2, 5, 10) if high - low <= at_most * digit * power)
    first = math.ceil(low / stride) * stride
    return [(float(decade), _plain(1, decade)) for decade in range(first, math.floor(high) + 1, stride)]


def _decades(low: float, high: float) -> range:
    return range(math.floor(low) - 1, math.ceil(high) + 1)


def _plain(digit: int, decade: int) -> str:
    """digit * 10^decade as SVG text: written out where short, otherwise as a power."""
    if -4 <= decade <= 3:
        return f"{digit * 10.0**decade:.{max(0, -decade)}f}"
    size = str(abs(decade)) if abs(decade) < 10**6 else f"{abs(decade):.0e}".replace("e+", "e").replace("e0", "e")
    power = f'10<tspan class="power" dy="-5">{"−" if decade < 0 else ""}{size}</tspan>'
    return power if digit == 1 else f"{digit}·{power}"


@dataclass(frozen=True)
class Marked:
    """A point that the plot points out: its place as (log promise, log truth) and what is written beside it."""

    pair: Pair
    label: str


def scatter(pairs: Sequence[Pair], *, closest: Marked | None = None, violation: Marked | None = None) -> str:
    """Truth (up) against promise (right) as an SVG element, both on log axes over one range; "" if there is nothing.

    pairs: natural logarithms (promise, truth), as `thin` returns them. Points far below nearly everything promised sit
    on the lower edge as triangles, so that the neighbourhood of the diagonal stays visible.
    """
    marked = [mark for mark in (closest, violation) if mark is not None and all(map(math.isfinite, mark.pair))]
    drawn = [pair for pair in pairs if all(map(math.isfinite, pair))] + [mark.pair for mark in marked]
    if not drawn:
        return ""
    axis = _Axis.holding(drawn)
    what = f"Truth against promise on {len(pairs)} instances, logarithmic axes" if pairs else "Truth against promise"
    summary = "; ".join([what, *(mark.label for mark in marked)])
    parts = [
        f'<svg class="plot" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(summary)}">',
        f'<path class="broken" d="M{_LEFT} {_BOTTOM}V{_TOP}H{_RIGHT}z"/>',
        *_frame(axis),
        f'<text x="{_RIGHT}" y="{_TOP - 9}" text-anchor="end" class="quiet">shaded: promise broken</text>',
        *_cloud(axis, pairs),
        _diagonal_label(axis, marked),
    ]
    for mark in marked:
        parts += _mark(axis, mark, "violation" if mark is violation else "closest")
    return "".join([*parts, "</svg>"])


@dataclass(frozen=True)
class _Axis:
    """The common range of both axes, in log10."""

    low: float
    high: float

    @classmethod
    def holding(cls, pairs: Sequence[Pair]) -> _Axis:
        promises = sorted(promise / _LN10 for promise, _ in pairs)
        values = promises + [truth / _LN10 for _, truth in pairs]
        high, least, typical = max(values), promises[0], promises[len(promises) // 20]
        if typical - least > 2 * (high - typical) > 0:
            least = typical  # a few promises in another world would press all others into one corner
        low = max(min(values), least - max(3.0, 0.5 * (high - least)))
        room = max(0.06 * (high - low), 0.5 * (0.8 - (high - low)), 0.02)
        return cls(low - room, high + room)

    def x(self, log_value: float) -> float:
        place = (log_value / _LN10 - self.low) / (self.high - self.low)
        return _LEFT + max(place, 0.0) * (_RIGHT - _LEFT)

    def y(self, log_value: float) -> float:
        return _BOTTOM - (log_value / _LN10 - self.low) / (self.high - self.low) * (_BOTTOM - _TOP)


def _frame(axis: _Axis) -> list[str]:
    parts = []
    for place, label in log_ticks(axis.low, axis.high, 5):
        x, y = axis.x(place * _LN10), axis.y(place * _LN10)
        parts.append(f'<path class="grid" d="M{x:.1f} {_TOP}V{_BOTTOM}M{_LEFT} {y:.1f}H{_RIGHT}"/>')
        parts.append(f'<text x="{x:.1f}" y="{_BOTTOM + 17}" text-anchor="middle">{label}</text>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    parts.append(f'<path class="axis" d="M{_LEFT} {_TOP}V{_BOTTOM}H{_RIGHT}"/>')
    parts.append(f'<path class="diagonal" d="M{_LEFT} {_BOTTOM}L{_RIGHT} {_TOP}"/>')
    parts.append(f'<text x="{_LEFT - 6}" y="{_TOP - 9}" class="name">↑ truth</text>')
    parts.append(f'<text x="{_RIGHT}" y="{_BOTTOM + 34}" text-anchor="end" class="name">promise →</text>')
    return parts


def _cloud(axis: _Axis, pairs: Sequence[Pair]) -> list[str]:
    """All points as one path of dots; those below the frame as triangles on its edge."""
    inside: dict[str, None] = {}
    below: dict[str, None] = {}
    for promise, truth in pairs:
        if not (math.isfinite(promise) and math.isfinite(truth)):
            continue
        x, y = axis.x(promise), axis.y(truth)
        if y <= _BOTTOM:
            inside[f"M{x:.1f} {y:.1f}h0"] = None
        else:
            below[f"M{x - 3:.1f} {_BOTTOM - 7}h6l-3 6z"] = None
    parts = []
    if inside:
        parts.append(f'<path class="dots" d="{"".join(inside)}"/>')
    if below:
        parts.append(f'<path class="below" d="{"".join(below)}"/>')
        parts.append(f'<text x="{_LEFT}" y="{_BOTTOM + 34}" class="quiet">▾ truth lies lower</text>')
    return parts


def _diagonal_label(axis: _Axis, marked: Sequence[Marked]) -> str:
    """Written along the diagonal, in the half that holds no marked point."""
    middle = 0.5 * (_LEFT + _RIGHT)
    crowded_right = any(axis.x(mark.pair[0]) > middle for mark in marked)
    share = 0.26 if crowded_right else 0.74
    x, y = _LEFT + share * (_RIGHT - _LEFT), _BOTTOM - share * (_BOTTOM - _TOP)
    angle = math.degrees(math.atan2(_BOTTOM - _TOP, _RIGHT - _LEFT))
    return (
        f'<text x="{x:.1f}" y="{y - 6:.1f}" text-anchor="middle" class="quiet" '
        f'transform="rotate({-angle:.1f} {x:.1f} {y:.1f})">truth = promise</text>'
    )


def _mark(axis: _Axis, mark: Marked, kind: str) -> list[str]:
    x, y = axis.x(mark.pair[0]), min(axis.y(mark.pair[1]), _BOTTOM)
    if kind == "violation":
        shape = f'<path class="violation" d="M{x - 6:.1f} {y - 6:.1f}l12 12m0 -12l-12 12"/>'
    else:
        shape = f'<circle class="closest" cx="{x:.1f}" cy="{y:.1f}" r="6.5"/>'
    width = _LETTER * len(mark.label)
    if x - 10 - width >= _LEFT:
        place, anchor, lift = x - 11, "end", -5.0
    elif x + 10 + width <= _WIDTH:
        place, anchor, lift = x + 11, "start", 14.0
    else:
        place, anchor, lift = 0.5 * (_LEFT + _RIGHT), "middle", -14.0
    height = min(max(y + lift, _TOP + 14), _BOTTOM - 4)
    return [
        shape,
        f'<text x="{place:.1f}" y="{height:.1f}" text-anchor="{anchor}" class="mark">{escape(mark.label)}</text>',
    ]


_ROW, _TICK = 52, 16


def strips(ratios: Mapping[str, Sequence[float]]) -> str:
    """One strip per name on a common log axis: every ratio a tick, the 5th to 95th percentile a bar, the median bold.

    As wide as its container (places are percentages), so that its letters keep their size on any screen. Ratios that
    are not positive and finite are left out; "" if none is left.
    """
    kept = {name: sorted(float(value) for value in values if 0 < value < math.inf) for name, values in ratios.items()}
    kept = {name: values for name, values in kept.items() if values}
    if not kept:
        return ""
    low = min(0.0, *(math.log10(values[0]) for values in kept.values()))
    high = max(low + 0.8, *(math.log10(values[-1]) for values in kept.values()))
    low, high = low - 0.03 * (high - low), high + 0.03 * (high - low)

    def share(value: float) -> float:
        return 100 * (math.log10(value) - low) / (high - low)

    bottom = _ROW * len(kept) + 6
    medians = {name: statistics.median(values) for name, values in kept.items()}
    summary = ", ".join(f"{name} {median:.3g}" for name, median in medians.items())
    parts = [
        f'<svg class="strips" width="100%" height="{bottom + 40}" role="img" '
        f'aria-label="{escape(f"Certified over exact epsilon per method, logarithmic axis; medians: {summary}")}">'
    ]
    for place, label in log_ticks(low, high):
        x = share(10**place)
        parts.append(f'<line class="grid" x1="{x:.2f}%" x2="{x:.2f}%" y1="0" y2="{bottom}"/>')
        parts.append(f'<text x="{x:.2f}%" y="{bottom + 16}" text-anchor="middle">{label}</text>')
    parts.append(f'<line class="diagonal" x1="{share(1):.2f}%" x2="{share(1):.2f}%" y1="0" y2="{bottom}"/>')
    parts.append(f'<text x="100%" y="{bottom + 34}" text-anchor="end" class="name">certified / exact epsilon →</text>')
    for row, (name, values) in enumerate(kept.items()):
        parts += _strip(name, values, medians[name], row * _ROW, share)
    return "".join([*parts, "</svg>"])


def _strip(name: str, values: list[float], median: float, top: int, share: Callable[[float], float]) -> list[str]:
    """`values` sorted."""
    upper, lower = top + 24, top + 24 + _TICK
    last = len(values) - 1
    drawn = values if last < POINTS_AT_MOST else [values[round(k * last / (POINTS_AT_MOST - 1))] for k in _RANKS]
    # The ticks are one path in per mille of the width; the page draws its lines unscaled.
    ticks = dict.fromkeys(f"M{10 * share(value):.0f} {upper}v{_TICK}" for value in drawn)
    start, end, middle = share(values[round(0.05 * last)]), share(values[round(0.95 * last)]), share(median)
    return [
        f'<text x="0" y="{top + 18}"><tspan class="name">{escape(name)}</tspan> median {median:.3g}</text>',
        f'<svg width="100%" height="{lower}" viewBox="0 0 1000 {lower}" preserveAspectRatio="none">'
        f'<path class="ticks" d="{"".join(ticks)}"/></svg>',
        f'<line class="span" x1="{start:.2f}%" x2="{end:.2f}%" y1="{lower + 4}" y2="{lower + 4}"/>',
        f'<line class="median" x1="{middle:.2f}%" x2="{middle:.2f}%" y1="{upper - 2}" y2="{lower + 8}"/>',
    ]
