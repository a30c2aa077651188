"""Rényi divergence of one noisy gradient step with a training point from the same step without it.

Adjacency: the point is added or removed, and the first argument of a divergence is the law WITH it. `noise_std` is the
standard deviation of what is added to the gradient, or in general to whatever `gradient_norm` measures: for a step of
Langevin temperature sigma on a sum of gradients divided by B, use gradient_norm = step_size |g| / B and
noise_std = sqrt(2 step_size) sigma. All results are rounded up, may be +inf, and are never NaN.

References: Mironov, Talwar, Zhang, *Rényi Differential Privacy of the Sampled Gaussian Mechanism* (2019); Thudi et
al., *Gradients Look Alike* (2024), read from its released code, since its text was not available.
"""

from __future__ import annotations

import math
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaln, logsumexp

from bounds._checks import FloatArray, array, count, number
from bounds._outward import TINY, allowance, down, shaped, up

_MOST_DRAWS = 20_000_000
_FURTHEST = 1e140  # noise standard deviations beyond which squares may overflow; answered by +inf


def sum_rule(*, order: float, gradient_norm: ArrayLike, noise_std: ArrayLike, rate: float = 1.0) -> FloatArray | float:
    """Divergence of one noisy step with the point from the same step without it, under Poisson sampling.

    Parameters
    ----------
    gradient_norm : norm of the point's contribution when sampled; any shape.
    noise_std : broadcasts with `gradient_norm`.
    rate : probability that the point is in the batch; 1 means always.

    With s = gradient_norm^2 / (2 noise_std^2) and integer order a, the moment is exactly
    E_Q[(P/Q)^a] = sum_k C(a,k) (1-q)^(a-k) q^k e^(s k (k-1)) for each fixed rest of the batch, and quasi-convexity
    covers a random rest (Thudi et al., released code; Mironov, Talwar and Zhang 2019). The reverse direction is never
    larger. For other orders the log moment, convex in the order, is interpolated between the two integers around it:
    a certain bound, sharper than rounding the order up (which is the same for orders below 2). At rate 1 the value
    is order * s for every order.
    """
    order = number("order", order, "(1, inf)")
    rate = number("rate", rate, "[0, 1]")
    norms, std = array("gradient_norm", gradient_norm, "[0, inf)"), array("noise_std", noise_std, "(0, inf)")
    with np.errstate(over="ignore"):
        half = np.asarray((norms / std) ** 2 / 2)
        if rate == 1:
            return shaped(np.where(norms == 0, 0.0, up(order * half, 6)))
        if rate == 0:
            return shaped(np.zeros_like(half))
        below = math.floor(order)
        share = order - below
        moment = (1 - share) * _sampled_log_moment(half, below, rate)
        if share:
            moment = moment + share * _sampled_log_moment(half, below + 1, rate)
        moment = moment + TINY * order**2  # half itself may have underflowed
        return shaped(np.where(norms == 0, 0.0, up(moment / (order - 1), 8)))


def mean_rule(
    *,
    order: int,
    first: ArrayLike,
    second: ArrayLike,
    noise_std: float,
    first_weights: ArrayLike | None = None,
    second_weights: ArrayLike | None = None,
) -> float:
    """Divergence of one noisy step whose mean is drawn from `first` from one whose mean is drawn from `second`.

    Parameters
    ----------
    order : an integer of at least 2.
    first, second : (m,) or (m, d), every value the mean of a batch can take.
    noise_std : noise on that MEAN; a library that adds noise C sigma to the sum and divides by B has C sigma / B.
    first_weights, second_weights : their probabilities; equal ones when not given.

    D_a is convex in its second argument, so D_a <= E_U D_a(P || N(U, s^2)), and with u_i = U_i - U the inner moment is
    E exp(sum_{i<j} u_i.u_j / s^2) over a independent draws from `first` (derived here; the exponent equals that of
    Thudi et al.'s released code). All multisets of draws are enumerated; ValueError when they are too many. From
    sampled batches in place of the whole law the result is biased low: an estimate, not a bound.
    """
    order = count("order", order, least=2)
    noise_std = number("noise_std", noise_std, "(0, inf)")
    p_means, p_weights = _law("first", first, first_weights)
    q_means, q_weights = _law("second", second, second_weights)
    if p_means.shape[1] != q_means.shape[1]:
        raise ValueError(f"second has {q_means.shape[1]} coordinates: must have {p_means.shape[1]}, as first")
    tuples = math.comb(len(p_means) + order - 1, order)
    if tuples * order > _MOST_DRAWS:
        raise ValueError(f"order = {order}: {tuples} multisets of {len(p_means)} batch means, too many to enumerate")
    draws = np.array(list(combinations_with_replacement(range(len(p_means)), order)))
    repeats = np.zeros((len(draws), len(p_means)))
    np.add.at(repeats, (np.arange(len(draws))[:, None], draws), 1.0)
    log_weights = gammaln(order + 1) - gammaln(repeats + 1).sum(axis=1) + repeats @ np.log(p_weights)
    total, size = 0.0, 0.0
    for centre, weight in zip(q_means, q_weights, strict=True):
        steps = (p_means - centre) / noise_std
        if np.abs(steps).max() > _FURTHEST:
            return math.inf
        squares = (steps**2).sum(axis=1)
        exponents = (((repeats @ steps) ** 2).sum(axis=1) - repeats @ squares) / 2
        total += weight * float(logsumexp(log_weights + exponents)) / (order - 1)
        size += weight * float(order**2 * squares.max() + np.abs(log_weights).max())
    roundings = 8 * (order + p_means.shape[1] + len(p_means)) + len(draws).bit_length() + len(q_means)
    return max(total + float(allowance(1 + size, roundings)), 0.0)


def log_square_moment(*, scale: ArrayLike, mean: ArrayLike, variance: ArrayLike) -> FloatArray | float:
    """log E exp(scale r^2 / 2) for r ~ N(mean, variance), rounded up: +inf from scale * variance = 1 on.

    The moment that `compose` asks of a step whose gradient norm is |x| |r|, r the Gaussian residual of a linear
    regression: with fixed 1/n, scale = power (b-1) b step_size |x|^2 / (2 temperature^2 n^2) at order b. Independent
    outputs add. Derived here: -log(1 - scale variance)/2 + scale mean^2 / (2 (1 - scale variance)).
    """
    scale, variance = array("scale", scale, "[0, inf)"), array("variance", variance, "[0, inf)")
    mean = array("mean", mean, "(-inf, inf)")
    with np.errstate(over="ignore"):
        used = up(scale * variance, 2)
        left = np.maximum(1 - used, 0.0)
        inside = left > 0
        room = np.where(inside, down(left, 2), 1.0)
        value = -np.log1p(-np.where(inside, used, 0.0)) / 2 + scale * mean * mean / (2 * room)
        # log1p is steep near -1, but the error of its argument is outward already.
        return shaped(np.where(scale == 0, 0.0, np.where(inside, up(value, 8), np.inf)))


def _sampled_log_moment(half: FloatArray, order: int, rate: float) -> FloatArray:
    """log sum_k C(order, k) (1-rate)^(order-k) rate^k exp(half k (k-1)), rounded up; 0 < rate < 1.

    The weights sum to 1, so the sum is 1 + sum_k w_k (e^x_k - 1), x_k = half k (k-1): nonnegative terms, accurate
    however small. Each is w_k e^x_k (1 - e^-x_k), scaled by the largest w_k e^x_k or 1.
    """
    if order == 1:
        return np.zeros_like(half)
    log_in, log_out = math.log(rate), math.log1p(-rate)
    k = np.arange(2, order + 1)
    log_weights = [math.log(math.comb(order, j)) + (order - j) * log_out + j * log_in for j in range(2, order + 1)]
    pairs = (k * (k - 1)).tolist()
    overflow = half > 1e300 / order**2
    safe = np.where(overflow, 0.0, half)
    peak = np.zeros_like(safe)
    for log_weight, pair in zip(log_weights, pairs, strict=True):
        np.maximum(peak, log_weight + pair * safe, out=peak)
    scaled = np.zeros_like(safe)
    for log_weight, pair in zip(log_weights, pairs, strict=True):
        exponent = pair * safe
        scaled -= np.exp(exponent + (log_weight - peak)) * np.expm1(-exponent)
    moment = np.where(peak > 0, peak + np.log(np.exp(-peak) + scaled), np.log1p(scaled))
    # Exponents are sums of terms no larger than `size`, so the sum is off by a relative 8 size EPS, and so is its
    # logarithm while it is small; once large, by that much absolutely.
    size = pairs[-1] * safe + order * (1 - log_in - log_out)
    moment = moment + allowance(np.minimum(moment, 1.0) * (size + order) + moment, 8)
    return np.where(overflow, np.inf, moment)


def _law(name: str, means: ArrayLike, weights: ArrayLike | None) -> tuple[FloatArray, FloatArray]:
    """The values of positive probability, (m, d), and their probabilities, (m,)."""
    values = array(name, means, "(-inf, inf)")
    if values.ndim not in (1, 2) or values.size == 0:
        raise ValueError(f"{name} has shape {values.shape}: must be (m,) or (m, d), not empty")
    values = values.reshape(len(values), -1)
    if weights is None:
        return values, np.full(len(values), 1 / len(values))
    chances = array(f"{name}_weights", weights, "[0, 1]", ndim=1, length=len(values))
    if abs(chances.sum() - 1) > 1e-9:
        raise ValueError(f"{name}_weights sum to {chances.sum()!r}: must sum to 1")
    return values[chances > 0], chances[chances > 0]
