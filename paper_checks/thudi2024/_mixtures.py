"""Exact divergences of one noisy step whose mean is random, by quadrature on the line."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

Array = NDArray[np.float64]

_SPACING = 0.03  # noise standard deviations; the trapezoid rule is then exact to rounding


def sampled_divergence(order: float, shift: float, rate: float, *, reverse: bool = False) -> float:
    """D_order of (1-rate) N(0, 1) + rate N(shift, 1) from N(0, 1), or the reverse.

    With x = rate (e^(shift y - shift^2/2) - 1), of mean 0 under y ~ N(0, 1), the moment is E (1+x)^u, u = order or
    1 - order; E [(1+x)^u - 1 - u x] has a nonnegative integrand, so that a divergence of 1e-10 keeps its digits.
    """
    power = 1 - order if reverse else order
    reach = 14.0
    y = np.arange(-reach, reach + max(order, 1.0) * shift, _SPACING)
    x = rate * np.expm1(shift * y - shift * shift / 2)
    log_weight = math.log(_SPACING / math.sqrt(2 * math.pi)) - y * y / 2
    return math.log1p(float(np.sum(_beyond_linear(x, power, log_weight)))) / (order - 1)


def _beyond_linear(x: Array, power: float, log_weight: Array) -> Array:
    """e^log_weight [(1+x)^power - 1 - power x]; by its series where x is small, in logarithms where it is huge."""
    small = np.abs(x) * (1 + abs(power)) < 0.01
    near = np.where(small, x, 0.0)
    term, series = power * near, np.zeros_like(near)
    for k in range(2, 9):
        term = term * (power - k + 1) / k * near
        series += term
    far = np.where(small, 1.0, x)
    exponent = power * np.log1p(far)
    huge = exponent > 100
    middle = np.where(small, series, np.expm1(np.where(huge, 0.0, exponent)) - power * far)
    return np.where(huge & ~small, np.exp(np.where(huge, exponent + log_weight, 0.0)), np.exp(log_weight) * middle)


def mixture_divergence(
    order: float, first: ArrayLike, first_weights: ArrayLike, second: ArrayLike, second_weights: ArrayLike, std: float
) -> float:
    """D_order of the normal mixture with means `first` from the one with means `second`, one noise std."""
    p_means, q_means = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    spread = float(max(p_means.max(), q_means.max()) - min(p_means.min(), q_means.min()))
    low = min(p_means.min(), q_means.min()) - order * spread - 14 * std
    high = max(p_means.max(), q_means.max()) + order * spread + 14 * std
    y = np.arange(low, high, _SPACING * std)
    log_p, log_q = (
        logsumexp(-(((y[:, None] - means) / std) ** 2) / 2, axis=1, b=np.asarray(weights, dtype=float))
        - math.log(std * math.sqrt(2 * math.pi))
        for means, weights in ((p_means, first_weights), (q_means, second_weights))
    )
    return float(logsumexp(order * log_p + (1 - order) * log_q) + math.log(_SPACING * std)) / (order - 1)
