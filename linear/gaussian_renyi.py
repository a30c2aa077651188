"""Rényi divergences between Gaussians, infinite ones included, and the exact decay of one-dimensional linear chains.

The divergence of order a > 1 is D_a(P || Q) = log E_Q[(dP/dQ)^a] / (a - 1). Between N(m1, S1) and N(m2, S2) let
g_1, ..., g_d be the eigenvalues of S1 - S2 relative to S2 and d_j the whitened components of m1 - m2. The Gaussian
integral gives

    D_a = sum_j a d_j^2 / (2 v_j) + [l(e g_j) - e l(g_j)] / (2 e),    e = 1 - a,  v_j = 1 + e g_j,  l(x) = log1p(x) - x,

when every v_j > 0, and +inf otherwise: some direction of the integrand p^a q^(1-a) then does not decay. Every term
of the sum is nonnegative and the -x inside l cancels the first order exactly, so equal and nearly equal laws lose no
digits to subtraction.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike, NDArray

from linear._checks import finite, integer, nonnegative, real_array

Array = NDArray[np.float64]
# A covariance may fall this far (relative to the other law's) below semi-definite through rounding, not further.
_INDEFINITE = 1e-9
# A weight v_j this small against its own terms is zero up to rounding: the boundary belongs to the infinite side.
BOUNDARY = 8 * np.finfo(float).eps


def gaussian_renyi(mean_p: ArrayLike, cov_p: ArrayLike, mean_q: ArrayLike, cov_q: ArrayLike, *, order: float) -> float:
    """D_order(N(mean_p, cov_p) || N(mean_q, cov_q)); +inf where the integral diverges.

    Parameters
    ----------
    mean_p, mean_q : (d,) or scalars
    cov_p, cov_q : (d, d) or scalars (variances); symmetric, `cov_q` positive definite, `cov_p` semi-definite.
    order : above 1.

    The boundary v_j = 0 of the finite region (see the module) is infinite, and so is an order within rounding of it.
    A singular `cov_p` gives +inf. Raises ValueError when `cov_q` is not positive definite or `cov_p` is indefinite.
    """
    order = renyi_order(order)
    mean_p, mean_q = (
        np.atleast_1d(real_array(name, value, dimensions=(0, 1)))
        for name, value in (("mean_p", mean_p), ("mean_q", mean_q))
    )
    size = mean_p.size
    if size == 0:
        raise ValueError("mean_p: must not be empty")
    if mean_q.size != size:
        raise ValueError(f"mean_q has {mean_q.size} entries: must have {size}, as mean_p")
    cov_p, cov_q = covariance("cov_p", cov_p, size), covariance("cov_q", cov_q, size)
    try:
        factor = np.linalg.cholesky(cov_q)
    except np.linalg.LinAlgError:
        raise ValueError("cov_q: must be positive definite") from None
    half = scipy.linalg.solve_triangular(factor, cov_p - cov_q, lower=True)
    excess = scipy.linalg.solve_triangular(factor, half.T, lower=True)
    gains, directions = np.linalg.eigh((excess + excess.T) / 2)
    if gains.min() < -1 - _INDEFINITE:
        raise ValueError("cov_p: must be positive semi-definite")
    gaps = directions.T @ scipy.linalg.solve_triangular(factor, mean_p - mean_q, lower=True)
    return float(_whitened(gaps, gains, order).sum())


def scalar_renyi(
    mean_p: ArrayLike, variance_p: ArrayLike, mean_q: ArrayLike, variance_q: ArrayLike, *, order: float
) -> Array:
    """D_order between one-dimensional Gaussians, element by element over broadcast arguments.

    Variances may be zero: two equal point masses are at divergence 0, and any other pair in which exactly one law,
    or each of two different laws, is a point mass is at +inf.
    """
    order = renyi_order(order)
    names = ("mean_p", "variance_p", "mean_q", "variance_q")
    values = (mean_p, variance_p, mean_q, variance_q)
    arrays = [real_array(name, value, dimensions=tuple(range(8))) for name, value in zip(names, values, strict=True)]
    for name, value in zip(names[1::2], arrays[1::2], strict=True):
        if (value < 0).any():
            raise ValueError(f"{name} holds {float(value.min())}: every entry must be nonnegative")
    m_p, v_p, m_q, v_q = np.broadcast_arrays(*arrays)
    result = np.full(m_p.shape, np.inf)
    result[(v_p == 0) & (v_q == 0) & (m_p == m_q)] = 0.0
    proper = v_q > 0
    scale = v_q[proper]
    gaps = (m_p[proper] - m_q[proper]) / np.sqrt(scale)
    result[proper] = _whitened(gaps, (v_p[proper] - scale) / scale, order)
    return result


@dataclass(frozen=True)
class OrnsteinUhlenbeck:
    """The chain theta -> contraction * theta + offset + N(0, noise_std^2), on the line.

    Gradient descent on m (theta - b)^2 / 2 with Langevin temperature sigma has contraction 1 - step_size m, offset
    step_size m b and noise_std sqrt(2 step_size) sigma. Any finite `contraction` is allowed.
    """

    contraction: float
    noise_std: float
    offset: float = 0.0

    def __post_init__(self) -> None:
        finite("contraction", self.contraction)
        finite("offset", self.offset)
        nonnegative("noise_std", self.noise_std)

    def after(self, mean: float, variance: float, steps: int) -> tuple[float, float]:
        """Mean and variance of the law that starts at (mean, variance), `steps` steps later."""
        finite("mean", mean)
        nonnegative("variance", variance)
        count = integer("steps", steps, minimum=0)
        c = self.contraction
        drift = self.offset * _geometric(c, 1 - c, count)
        spread = self.noise_std**2 * _geometric(c * c, (1 - c) * (1 + c), count)
        return c**count * mean + drift, c ** (2 * count) * variance + spread

    def stationary(self) -> tuple[float, float]:
        """Mean and variance of the stationary law; ValueError unless |contraction| < 1."""
        c = self.contraction
        if not abs(c) < 1:
            raise ValueError(f"contraction = {c!r}: a stationary law needs an absolute value below 1")
        return self.offset / (1 - c), self.noise_std**2 / ((1 - c) * (1 + c))

    def divergences(
        self, start_p: tuple[float, float], start_q: tuple[float, float], *, order: float, steps: int
    ) -> Array:
        """D_order(law from start_p || law from start_q) after 0, 1, ..., `steps` steps; shape (steps + 1,).

        Starts are (mean, variance) pairs. Gap and variance difference are carried through the chain themselves, so
        laws that have come close together keep their digits.
        """
        order = renyi_order(order)
        count = integer("steps", steps, minimum=0)
        (mean_p, variance_p), (mean_q, variance_q) = start_p, start_q
        nonnegative("start_p[1]", variance_p)
        reference = np.array([self.after(mean_q, variance_q, step)[1] for step in range(count + 1)])
        powers = self.contraction ** np.arange(count + 1.0)
        gap, excess = powers * (finite("start_p[0]", mean_p) - mean_q), powers**2 * (variance_p - variance_q)
        result = np.where((gap == 0) & (excess == 0), 0.0, np.inf)
        proper = reference > 0
        scale = reference[proper]
        result[proper] = _whitened(gap[proper] / np.sqrt(scale), excess[proper] / scale, order)
        return result


def renyi_order(order: float) -> float:
    """`order` as a finite float above 1."""
    number = finite("order", order)
    if number <= 1:
        raise ValueError(f"order = {order!r}: must be above 1")
    return number


def covariance(name: str, value: ArrayLike, size: int) -> Array:
    """`value` as a symmetric (size, size) matrix; a scalar is allowed when size is 1."""
    matrix = np.atleast_2d(real_array(name, value, dimensions=(0, 2)))
    if matrix.shape != (size, size):
        raise ValueError(f"{name} has shape {matrix.shape}: must be ({size}, {size})")
    if np.abs(matrix - matrix.T).max() > 1e-12 * np.abs(matrix).max():
        raise ValueError(f"{name}: must be symmetric")
    return (matrix + matrix.T) / 2


def _whitened(gaps: Array, gains: Array, order: float) -> Array:
    """The terms of the module's formula, one per direction."""
    e = 1 - order
    weights = 1 + e * gains
    finite_terms = (weights > BOUNDARY * (1 - e * (1 + np.abs(gains)))) & (gains > -1)
    gains, gaps = np.where(finite_terms, gains, 0.0), np.where(finite_terms, gaps, 0.0)
    shape = (_log1p_less(e * gains) - e * _log1p_less(gains)) / (2 * e)
    shift = order * gaps**2 / (2 * np.where(finite_terms, weights, 1.0))
    return np.where(finite_terms, shift + shape, np.inf)


def _log1p_less(x: Array) -> Array:
    """log1p(x) - x without cancellation, for x > -1.

    With u = x / (2 + x), log1p(x) = 2 artanh(u) and x = 2u + u x, so the difference is -u x + 2 (u^3/3 + u^5/5 + ...);
    at |x| <= 1/2, u^2 <= 1/9 and 17 terms leave less than 9^-17. Further out nothing cancels.
    """
    near = np.where(np.abs(x) <= 0.5, x, 0.0)
    u = near / (2 + near)
    series = np.zeros_like(u)
    for power in range(17, 0, -1):
        series = 1 / (2 * power + 1) + u * u * series
    return np.where(np.abs(x) <= 0.5, -u * near + 2 * u**3 * series, np.log1p(x) - x)


def _geometric(ratio: float, one_less_ratio: float, count: int) -> float:
    """1 + ratio + ... + ratio^(count-1), given 1 - ratio to full accuracy."""
    if one_less_ratio == 0:
        return float(count)
    if abs(one_less_ratio) < 0.5:
        return -math.expm1(count * math.log1p(-one_less_ratio)) / one_less_ratio
    return (1 - ratio**count) / one_less_ratio
