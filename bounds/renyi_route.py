"""Gaussian DP seen through Rényi divergences: what is lost by the detour.

The pair N(0, 1), N(mu, 1) has divergence order * mu^2 / 2 at EVERY order; note the factor `order`. Each order gives a
valid (epsilon, delta) by `renyi_dp.epsilon_improved`, solved here for whichever of the three is asked, and the best
order is searched on a grid of log(order - 1). The result is never better than the exact `gaussian_dp`, and rounding is
on the safe side whichever order is found.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from bounds import gaussian_dp, renyi_dp
from bounds._checks import FloatArray, number
from bounds._outward import allowance, down, up

# order - 1 from 1e-14 to 1e26
_FIRST, _LAST, _POINTS = -32.0, 60.0, 185


def renyi_epsilon(*, mu: float, delta: float) -> float:
    """The least epsilon >= 0 any order promises for a mu-GDP mechanism, rounded up; `delta` in (0, 1)."""
    mu, delta = number("mu", mu, "(0, inf)"), number("delta", delta, "(0, 1)")

    def epsilon(order: FloatArray) -> FloatArray:
        divergence = gaussian_dp.renyi(mu, order)
        return np.asarray(renyi_dp.epsilon_improved(order=order, divergence=divergence, delta=delta))

    return _least(epsilon)


def renyi_log_delta(*, mu: float, epsilon: float) -> float:
    """Natural log of the least delta any order promises at `epsilon` > 0, rounded up, at most 0."""
    mu, epsilon = number("mu", mu, "(0, inf)"), number("epsilon", epsilon, "(0, inf)")

    def log_delta(order: FloatArray) -> FloatArray:
        # from epsilon = D + log((a-1)/a) - (log delta + log a)/(a-1)
        divergence = np.asarray(gaussian_dp.renyi(mu, order))
        shrink = -np.log1p(-1 / order)
        value = (order - 1) * (divergence - epsilon - shrink) - np.log(order)
        return value + allowance((order - 1) * (divergence + epsilon + shrink) + np.log(order), 16)

    return min(_least(log_delta), 0.0)


def renyi_mu(*, epsilon: float, delta: float) -> float:
    """The largest mu for which some order promises (epsilon, delta), rounded down. `epsilon` > 0, `delta` in (0, 1)."""
    epsilon, delta = number("epsilon", epsilon, "(0, inf)"), number("delta", delta, "(0, 1)")

    def spent(order: FloatArray) -> FloatArray:
        # minus what order * mu^2 / 2 may be, over the order
        terms = -np.log1p(-1 / order), np.log(order) / (order - 1), math.log(delta) / (order - 1)
        value = epsilon + terms[0] + terms[1] + terms[2]
        return (allowance(epsilon + terms[0] + terms[1] - terms[2], 16) - value) / order

    return float(down(math.sqrt(-2 * _least(spent)), 8))


def _least(function: Callable[[FloatArray], FloatArray]) -> float:
    """The least value over orders. At the lower end of the range it says next to nothing, but truly."""
    grid = np.linspace(_FIRST, _LAST, _POINTS)
    for _ in range(6):
        values = function(np.asarray(up(1 + np.exp(grid), 0)))
        best = int(np.argmin(values))
        if best == grid.size - 1:
            raise FloatingPointError("the best order lies above 1e26")
        grid = np.linspace(grid[max(best - 1, 0)], grid[best + 1], 33)
    return float(values.min())
