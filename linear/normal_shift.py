"""Two normal laws with one covariance: all divergences depend on mu, the distance of the means after whitening."""

from __future__ import annotations

import numpy as np
from scipy.special import erfcx, log_ndtr, ndtri

from linear.whitened import EPS, FloatArray

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(20)
_FAR = 20.0


def log_hockey_stick(
    mu: float | FloatArray, mu_error: float | FloatArray, epsilon: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """log of Phi(a) - e^epsilon Phi(a - mu), a = mu/2 - epsilon/mu, for mu > 0 (one, or one each) and epsilon >= 0.

    Returns it with a bound on its absolute error and its derivative in epsilon. With x = -a, phi the density and
    m = (1 - Phi)/phi Mills' ratio, e^epsilon phi(a - mu) = phi(a) makes it phi(x) (m(x) - m(x + mu)), and as
    m' = x m - 1, the bracket is the integral of 1 - s m(s) > 0 from x to x + mu: nothing cancels when mu is small.
    Its derivative in mu is phi(x).
    """
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        x = epsilon / mu - 0.5 * mu
        log_density = -0.5 * (x * x + np.log(2.0 * np.pi))
        start = np.maximum(x, -5.0)
        nodes = start[:, None] + np.multiply.outer(0.5 * mu, 1.0 + _NODES)
        narrow = 0.5 * mu * (_mills_gap(nodes) @ _WEIGHTS)
        wide = _mills(start) - _mills(start + mu)
        bracket = np.where(mu <= np.maximum(1.0, 0.5 * x), narrow, wide)
        lost = log_density + np.log(_mills(x + mu)) - log_ndtr(-x)
        left = log_ndtr(-x) + np.log1p(-np.exp(np.minimum(lost, 0.0)))
        log = np.where(x < -5.0, left, log_density + np.log(bracket))
        rounding = 8.0 * np.abs(x) * (epsilon / mu + mu) + 2.0 * np.minimum(np.maximum(x, 0.0), _FAR) ** 2 + 64.0
        error = EPS * rounding + mu_error * np.exp(log_density - log)
        slope = -np.exp(log_density - log) * _mills(x + mu)
    return log, np.where(np.isfinite(log + error), error, np.inf), slope


def log_tradeoff(mu: float, mu_error: float, alpha: FloatArray) -> tuple[FloatArray, FloatArray]:
    """log Phi(Phi^-1(1 - alpha) - mu) for alpha in (0, 1), and a bound on its error."""
    quantile = -ndtri(alpha)
    with np.errstate(over="ignore", invalid="ignore"):
        log = log_ndtr(quantile - mu)
        steepness = np.exp(-0.5 * (quantile - mu) ** 2 - 0.5 * np.log(2.0 * np.pi) - log)
        error = steepness * (mu_error + 8.0 * EPS * (np.abs(quantile) + mu + 1.0)) + 8.0 * EPS * (1.0 + np.abs(log))
    return log, np.where(np.isneginf(log), 0.0, error)


def _mills(x: FloatArray) -> FloatArray:
    return np.sqrt(0.5 * np.pi) * erfcx(x / np.sqrt(2.0))


def _mills_gap(s: FloatArray) -> FloatArray:
    """1 - s m(s); from s = 20 on by its asymptotic series s^-2 - 3 s^-4 + 15 s^-6 - ..."""
    inverse = np.maximum(s, _FAR) ** -2.0
    series = np.zeros_like(s)
    for odd in range(25, 0, -2):
        series = odd * inverse * (1.0 - series)
    return np.where(s > _FAR, series, 1.0 - s * _mills(s))
