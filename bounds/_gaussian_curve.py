"""log delta of Gaussian differential privacy without cancellation, and a bound on its error.

With a = mu/2 - epsilon/mu, y = mu - a and Mills' ratio m(x) = (1 - Phi(x)) / phi(x), e^epsilon phi(a - mu) = phi(a), so

    delta     = Phi(a) - e^epsilon Phi(a - mu) = phi(a) [m(-a) - m(y)] = phi(a) * integral of 1 - t m(t), -a < t < y,
    1 - delta = phi(a) [m(a) + m(y)].

Rounding. u = 2^-53; exp, log and log1p are taken to be within 4u and erfcx within 16u, relative. The tests measure
about 1u and 10u against Arb, and compare the bound with the true error.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import erfcx

from bounds._checks import FloatArray

_U = 2.0**-53
_ROUND = 1.0  # multiplies the bound; the tests set it to 0 and must see wrong sides
_ROOT_HALF = np.sqrt(0.5)
_ROOT_HALF_PI = np.sqrt(0.5 * np.pi)
_LOG_ROOT_2PI = 0.5 * np.log(2.0 * np.pi)
_FEW, _MANY = (np.polynomial.legendre.leggauss(nodes) for nodes in (3, 8))
_FRACTION_FROM, _FRACTION_DEPTH = 4.0, 25


class Curve(NamedTuple):
    """log delta, a bound on its error, and what its derivatives need."""

    log: FloatArray  # nearest
    error: FloatArray  # |log - truth| is at most this, also after log + error is rounded
    slope: FloatArray  # d log delta / d log mu = mu phi(a) / delta
    a: FloatArray
    y: FloatArray  # mu - a
    mills_y: FloatArray


def curve(mu: FloatArray, epsilon: FloatArray) -> Curve:
    """The curve at flat arrays 0 < mu < inf and 0 <= epsilon < inf."""
    # mu/2 - epsilon/mu cancels when epsilon is near mu^2/2, so the quotient is taken in two doubles. That leaves a
    # relative error of 2u and at most 8u^2 * ratio, which moves log delta and log(1 - delta) by at most |a| + 3 times
    # as much and matters for wild ratios only.
    ratio, ratio_low = _quotient(epsilon, mu)
    a, a_low = _two_sum(0.5 * mu, -ratio)
    a = np.minimum(a + (a_low - ratio_low), 1e3)  # from there on 1 - delta is 0
    y = np.minimum(0.5 * mu + ratio, 1e300)
    moved = 8.0 * _U * _U * ratio * (np.abs(a) + 3.0)
    mills_y = _mills(y)
    log_phi = -0.5 * a * a - _LOG_ROOT_2PI

    log, error, slope = np.empty_like(a), np.empty_like(a), np.empty_like(a)
    small = a <= 0.0
    if not small.all():
        # If delta >= 1/2, from 1 - delta: the exponent is off by (2.5 a^2 + 1)u, each Mills ratio by 24u, the rest
        # by 8u, and |d log log1p(-x) / d log x| < 1.45 for x <= 1/2. 1e-320 is for the spacing of tiny doubles.
        i = np.flatnonzero(~small)
        width = _mills(a[i]) + mills_y[i]
        rest = np.exp(log_phi[i]) * width
        small[i] = rest > 0.5
        rest = np.minimum(rest, 0.5)
        log[i] = np.log1p(-rest)
        error[i] = (_U * (4.0 * a[i] * a[i] + 60.0) + 1.5 * moved[i]) * -log[i] + 1e-320
        slope[i] = mu[i] * (rest / (1.0 - rest)) / width
    if small.any():
        # If delta < 1/2, then a < 0.68 (as epsilon >= 0, delta >= 2 Phi(a) - 1) and J = drop * mu < m(-0.68) < 2.4, so
        # a^2/2 and -log J are at most |log delta|: seven roundings at that scale (two from a), and 4u of both
        # logarithms, which add up to at most |log delta| + 2 max(log mu, 0) + 2.
        i = np.flatnonzero(small)
        drop, relative = _mean_drop(-a[i], mu[i], y[i], mills_y[i])
        log_mu = np.log(mu[i])
        log[i] = log_phi[i] + (np.log(drop) + log_mu)
        error[i] = _U * (11.0 * (np.abs(log[i]) + np.maximum(log_mu, 0.0)) + relative + 16.0) + moved[i]
        slope[i] = 1.0 / drop
    return Curve(log, error * _ROUND, slope, a, y, mills_y)


def _mean_drop(x: FloatArray, width: FloatArray, y: FloatArray, mills_y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """[m(x) - m(y)] / width for y = x + width, x > -0.7, and its relative error in units of u."""
    mills_x = _mills(x)
    near = mills_y > 0.7 * mills_x
    drop = (mills_x - mills_y) / width
    relative = np.full_like(drop, 140.0)  # 24u on each term, amplified by at most (1 + 0.7) / (1 - 0.7)
    if near.any():
        # -m'(t) = 1 - t m(t) is positive and smooth: eight Gauss-Legendre nodes err by less than 6u up to this ratio,
        # three by less than u on a narrow interval. 1 - t m(t) >= 1 / (t^2 + 3), so computed as it stands it is off
        # by at most 22u (t^2 + 3).
        narrow = width < 0.003 * np.maximum(x, 1.0)
        for (nodes, weights), rows in ((_FEW, near & narrow), (_MANY, near & ~narrow)):
            i = np.flatnonzero(rows)
            if i.size:
                points = np.multiply.outer(0.5 + 0.5 * nodes, width[i]) + x[i]
                drop[i] = (0.5 * weights) @ _mills_descent(points)
                relative[i] = 22.0 * np.minimum(y[i], _FRACTION_FROM) ** 2 + 100.0
    return drop, relative


def _mills(x: FloatArray) -> FloatArray:
    """Mills' ratio (1 - Phi(x)) / phi(x)."""
    return _ROOT_HALF_PI * erfcx(_ROOT_HALF * x)


def _mills_descent(t: FloatArray) -> FloatArray:
    """1 - t m(t) = -m'(t): as it stands for small t, else m(t) / (t + 2/(t + 3/(t + ...))), free of cancellation."""
    mills = _mills(t)
    descent = 1.0 - t * mills
    far = t >= _FRACTION_FROM
    if far.any():
        z = t[far]
        fraction = 0.5 * (z + np.sqrt(z * z + (4.0 * _FRACTION_DEPTH + 2.0)))
        for j in range(_FRACTION_DEPTH, 1, -1):
            np.divide(j, fraction, out=fraction)
            fraction += z
        descent[far] = mills[far] / fraction
    return descent


def _quotient(numerator: FloatArray, denominator: FloatArray) -> tuple[FloatArray, FloatArray]:
    """numerator / denominator in two doubles, capped at 2^500; exact scaling keeps every product in range."""
    top, top_power = np.frexp(numerator)
    bottom, bottom_power = np.frexp(denominator)
    ratio = top / bottom
    product, product_low = _two_product(ratio, bottom)
    remainder = (top - product) - product_low
    power = np.minimum(top_power - bottom_power, 501)
    return np.minimum(np.ldexp(ratio, power), 2.0**500), np.ldexp(remainder / bottom, power)


def _two_sum(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    total = x + y
    moved = total - x
    return total, (x - (total - moved)) + (y - moved)


def _two_product(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    product = x * y
    x_high, y_high = x * 134217729.0, y * 134217729.0
    x_high, y_high = x_high - (x_high - x), y_high - (y_high - y)
    x_low, y_low = x - x_high, y - y_high
    return product, ((x_high * y_high - product) + x_high * y_low + x_low * y_high) + x_low * y_low
