"""One noisy step of two laws on the line, held as weighted particles: what becomes of them, in logs.

A particle is (position before the noise, log weight under P, log weight under Q).  After Gaussian noise the laws
have densities; Gauss-Legendre nodes of these densities are the particles of the next step.
"""

from __future__ import annotations

from itertools import pairwise
from math import inf, isfinite, log, pi, sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import log_ndtr

Vector = NDArray[np.float64]
Intervals = list[tuple[float, float]]

_MOST_NODES = 40_000
_FARTHEST = 1e8  # noise units from the origin: beyond, positions are too coarse in double precision
_CHUNK = 1 << 22  # kernel entries held in memory at a time


class Particles(NamedTuple):
    position: Vector
    log_p: Vector
    log_q: Vector


class Ahead(NamedTuple):
    """P(the last point exceeds the barrier | now at y) <= exp(-z^2 / 2), z = (gap - scale * y)_+ / std."""

    gap: float
    scale: float
    std: float


def distance(particles: Particles, std: float) -> float:
    """How far from 0 the particles lie, in noise units."""
    farthest = float(np.abs(particles.position).max() / std)
    if farthest > _FARTHEST:
        raise FloatingPointError(f"the runs are {farthest:.1e} noise deviations from 0: too far for double precision")
    return farthest


def support(particles: Particles, std: float, epsilon: float, floor: float, ahead: Ahead) -> tuple[Intervals, float]:
    """Disjoint intervals outside which no particle matters after the noise, and how far any of them reaches.

    A particle of weight w at x matters at y if w exp(-(y-x)^2 / (2 std^2)) exp(-z(y)^2 / 2) > exp(-floor), with z
    from ``ahead`` and w the larger of p and exp(epsilon) q.  The condition is convex in y, hence an interval, and
    what the particle throws outside it, and then beyond the barrier, weighs at most exp(-floor).
    """
    room = np.maximum(particles.log_p, particles.log_q + epsilon) + floor
    live = room > 0.0
    x, room = particles.position[live], room[live]
    plain = std * np.sqrt(2.0 * room)
    low, high = x - plain, x + plain
    dead = ahead.scale * high < ahead.gap
    if isfinite(ahead.gap):
        # below the barrier's foot the condition is that of a product of two Gaussians: its centre, and what is left
        # of the room once the cost of reaching the barrier is paid
        lag = ahead.gap - ahead.scale * x
        variance = ahead.std**2 + (ahead.scale * std) ** 2
        centre = x + lag * ahead.scale * std**2 / variance
        spare = room - 0.5 * lag**2 / variance
        half = std * ahead.std * np.sqrt(2.0 * np.maximum(spare, 0.0) / variance)
        possible = spare > 0.0
        low = np.where(possible & (ahead.scale * (centre - half) < ahead.gap), centre - half, low)
        high = np.where(possible & (ahead.scale * (centre + half) < ahead.gap), centre + half, high)
        dead &= ~possible
    x, low, high = x[~dead], low[~dead], high[~dead]
    if not x.size:
        return [], 0.0
    reach = max((high - x).max(), (x - low).max())
    by_low = np.argsort(low)
    low, high = low[by_low], np.maximum.accumulate(high[by_low])
    gaps = np.flatnonzero(low[1:] > high[:-1])
    return list(zip(low[np.r_[0, gaps + 1]], high[np.r_[gaps, high.size - 1]], strict=True)), float(reach)


def panels(intervals: Intervals, breaks: Vector, widths: Vector) -> tuple[Vector, Vector]:
    """Left and right ends of panels that have no break inside; those before breaks[j] are at most widths[j] wide."""
    left, right = [], []
    for low, high in intervals:
        for a, b in pairwise([low, *(c for c in breaks if low < c < high), high]):
            count = int(np.ceil((b - a) / widths[np.searchsorted(breaks, 0.5 * (a + b))]))
            if count > _MOST_NODES:
                raise FloatingPointError(f"{count} panels needed: the range is too wide for this noise")
            grid = np.linspace(a, b, count + 1)
            left.append(grid[:-1])
            right.append(grid[1:])
    return np.concatenate(left), np.concatenate(right)


def spread(
    particles: Particles, std: float, reach: float, ends: tuple[Vector, Vector], rule: tuple[Any, Any]
) -> Particles:
    """The Gauss-Legendre nodes on the panels, with the weights both laws give them after the noise.

    Relative to a panel's centre c the kernel factors, -(y-x)^2 = -(y-c)^2 + 2(y-c)(x-c) - (x-c)^2: the last term
    joins the log weights before the maximum is taken out, and one matrix exp((y-c)(x-c)) serves both laws.
    Particles further than ``reach`` from a panel are left out.
    """
    left, right = ends
    nodes = left.size * rule[0].size
    if nodes > _MOST_NODES:
        raise FloatingPointError(f"{nodes} nodes needed, {_MOST_NODES} allowed: the range is too wide for this noise")
    ascending = np.argsort(particles.position)
    position = particles.position[ascending] / std
    weights = np.stack([particles.log_p, particles.log_q])[:, ascending]
    centre, half = (left + right) / (2.0 * std), (right - left) / (2.0 * std)
    inner = half[:, None] * rule[0]
    first = np.searchsorted(position, centre - half - reach / std)
    stop = np.searchsorted(position, centre + half + reach / std, side="right")
    band = np.arange((stop - first).max())
    out = np.empty((2, *inner.shape))
    chunk = max(1, _CHUNK // (band.size * inner.shape[1]))
    for begin in range(0, centre.size, chunk):
        part = slice(begin, begin + chunk)
        chosen = first[part, None] + band
        outside = chosen >= stop[part, None]
        chosen[outside] = 0
        offset = position[chosen] - centre[part, None]
        offset[outside] = 0.0
        logs = weights[:, chosen] - 0.5 * offset**2
        logs[:, outside] = -inf
        most = logs.max(axis=2, keepdims=True)
        most[most == -inf] = 0.0
        kernel = np.exp(inner[part, :, None] * offset[:, None, :])
        sums = np.matmul(kernel, np.moveaxis(np.exp(logs - most), 0, -1))
        with np.errstate(divide="ignore"):  # a law may put nothing here: log 0 is meant
            out[:, part] = most + np.log(np.moveaxis(sums, -1, 0))
    # Gauss-Legendre weight times the normal density's constant, both in noise units
    out += np.log(half[:, None] * rule[1] / sqrt(2.0 * pi)) - 0.5 * inner**2
    return Particles(((centre[:, None] + inner) * std).ravel(), out[0].ravel(), out[1].ravel())


def crossing(particles: Particles, std: float, epsilon: float, low: float, high: float) -> float:
    """The one point where p = exp(epsilon) q after the noise; the end of [low, high] if it lies beyond."""

    def excess(y: float) -> float:
        return _log_ratio(particles, std, y) - epsilon

    if excess(low) >= 0.0:
        return low
    if excess(high) <= 0.0:
        return high
    # the value is stationary in every threshold: an error of 1e-9 noise units costs 1e-18
    return float(brentq(excess, low, high, xtol=1e-9 * std, rtol=1e-14))


def _log_ratio(particles: Particles, std: float, y: float) -> float:
    """Log of dP/dQ at y after the noise, by max-shifted sums over every particle."""
    square = -0.5 * ((y - particles.position) / std) ** 2
    p, q = particles.log_p + square, particles.log_q + square
    most_p, most_q = p.max(), q.max()
    if most_p == -inf or most_q == -inf:  # one law is nowhere in sight
        return inf if most_p > most_q else -inf
    return float(most_p - most_q + np.log(np.exp(p - most_p).sum()) - np.log(np.exp(q - most_q).sum()))


def beyond(particles: Particles, std: float, epsilon: float, theta: float) -> tuple[float, float]:
    """Log of sum (p - exp(epsilon) q) P(position + noise > theta), and by how much it amplifies rounding."""
    log_p, log_q = particles.log_p, particles.log_q + epsilon
    larger = np.maximum(log_p, log_q)
    some = larger > -inf
    gap = log_p[some] - log_q[some]
    weight = larger[some] + log_ndtr((particles.position[some] - theta) / std)
    top = weight.max()
    # p - q = max(p, q) * (1 - exp(-|log p - log q|)), signed
    value = (-np.sign(gap) * np.expm1(-np.abs(gap)) * np.exp(weight - top)).sum()
    size = ((1.0 + np.exp(-np.abs(gap))) * np.exp(weight - top)).sum()
    if not value > 0.0:
        return -inf, inf
    return float(top + log(value)), float(size / value)
