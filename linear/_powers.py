"""Powers and power sums of t = 1 - rate, and their divided differences, all to full relative accuracy.

One gradient step multiplies an eigendirection by t = 1 - rate, rate = step_size * eigenvalue > 0. The laws of a chain
need t^n and g_n(t) = sum_{k<n} t^{2k}; what a deletion changes is a difference of such functions at two nearby
matrices, which is a sum of divided differences f[t, r] = (f(t) - f(r)) / (t - r). Nothing here is computed as that
quotient. With s = t^2 >= 0, p_n(s) = s^n and G_n(s) = sum_{k<n} s^k, the product rule
(fg)[s, r] = f[s, r] g(r) + f(s) g[s, r] applied to

    p_{2n} = p_n p_n,   p_{n+1} = s p_n,   G_{2n} = G_n (1 + p_n),   G_{n+1} = G_n + p_n

gives recursions in which every term is nonnegative, so no digit is lost however close the arguments are; and
(t^{2n})[t, r] = (t + r) p_n[s, r] because (t^2)[t, r] = t + r.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_LARGEST_EXPONENT = 600.0  # of e; leaves room below the overflow at 709 for sums and products with the data


def refuse_overflow(rate: Array, steps: int) -> None:
    """FloatingPointError if (1 - rate)^(2 steps) comes near the end of the range of doubles."""
    if 2 * steps * np.max(log_magnitude(rate)) > _LARGEST_EXPONENT:
        raise FloatingPointError(
            f"step_size * smoothness = {np.max(rate):.6g} is above 2: the chain grows beyond the range of doubles "
            f"within {steps} steps"
        )


def log_magnitude(rate: Array) -> Array:
    """log|1 - rate|, -inf at rate = 1; accurate near rate = 0 and rate = 2, where |t| is near 1."""
    distance = np.where(rate <= 1.0, rate, 2.0 - rate)
    with np.errstate(divide="ignore"):
        return np.log1p(-distance)


def power(rate: Array, count: int) -> Array:
    """(1 - rate)^count."""
    if count == 0:
        return np.ones_like(rate)
    magnitude = np.exp(count * log_magnitude(rate))
    return np.where(rate > 1.0, -magnitude, magnitude) if count % 2 else magnitude


def geometric_sum(rate: Array, count: int) -> Array:
    """sum_{k<count} (1 - rate)^k = (1 - (1 - rate)^count) / rate, for rate > 0."""
    if count == 0:
        return np.zeros_like(rate)
    # t > 0, or an even power: 1 - |t|^n through expm1. A negative odd power adds up.
    one_minus = -np.expm1(count * log_magnitude(rate))
    if count % 2:
        one_minus = np.where(rate > 1.0, 1.0 - power(rate, count), one_minus)
    return one_minus / rate


def noise_gain(rate: Array, count: int) -> Array:
    """g_count = sum_{k<count} (1 - rate)^{2k}: the variance that `count` unit noises leave in this direction."""
    if count == 0:
        return np.zeros_like(rate)
    below_one = rate * (2.0 - rate)  # 1 - t^2
    at_one = below_one == 0.0
    total = -np.expm1(2 * count * log_magnitude(rate)) / np.where(at_one, 1.0, below_one)
    return np.where(at_one, float(count), total)


def _square_differences(rate: Array, other: Array, count: int) -> tuple[Array, Array]:
    """p_count[s, r] and G_count[s, r] on the grid rate x other of the last axes, by binary doubling."""
    shape = np.broadcast_shapes((*rate.shape, 1), (*other.shape[:-1], 1, other.shape[-1]))
    if count == 0:
        return np.zeros(shape), np.zeros(shape)
    powers, sums, reached = np.ones(shape), np.zeros(shape), 1
    for bit in bin(count)[3:]:
        left, right = power(rate, 2 * reached)[..., :, None], power(other, 2 * reached)[..., None, :]
        sums = sums * (1.0 + right) + noise_gain(rate, reached)[..., :, None] * powers
        powers = powers * (left + right)
        reached *= 2
        if bit == "1":
            sums = sums + powers
            powers = power(rate, 2)[..., :, None] * powers + power(other, 2 * reached)[..., None, :]
            reached += 1
    return powers, sums


def _sum_of(rate: Array, other: Array) -> Array:
    """t + r on the grid: 2 - rate is exact from 1 on, so this keeps its digits where t and r have opposite signs."""
    first, second = rate[..., :, None], other[..., None, :]
    return (2.0 - np.maximum(first, second)) - np.minimum(first, second)


def power_differences(rate: Array, other: Array, count: int) -> Array:
    """(t^count)[t, r] for t = 1 - rate and r = 1 - other, on the grid (len(rate), len(other))."""
    half, odd = divmod(count, 2)
    powers, _ = _square_differences(rate, other, half)
    even = _sum_of(rate, other) * powers
    if not odd:
        return even
    # t^{2h+1}[t, r] = t (t + r) p_h[s, r] + r^{2h}. The first term is negative only for opposite signs and |t| < |r|,
    # and then the result is (|t|^{2h+1} + |r|^{2h+1}) / (|t| + |r|), at least half the second.
    return (1.0 - rate)[..., :, None] * even + power(other, 2 * half)[..., None, :]


def gain_differences(rate: Array, other: Array, count: int) -> Array:
    """g_count[t, r] for t = 1 - rate and r = 1 - other, on the grid (len(rate), len(other))."""
    _, sums = _square_differences(rate, other, count)
    return _sum_of(rate, other) * sums
