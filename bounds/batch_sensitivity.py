"""High-probability sensitivity of several training rows at once, under noisy gradient descent on a ridge problem.

A gradient step taken with and without the rows X_S differs by ``step_size * X_S'R``, R = X_S W - Y_S the residuals of
the rows. Along the chain the columns of R are independent Gaussians with one covariance V, so that

    |X_S'R|^2 = rest + sum_j |b_j + sqrt(theta_j) z_j|^2,   z_j ~ N(0, I_C),

theta_j the eigenvalues of X_S V X_S' on the span of the rows, b_j the mean of X_S'R along the eigenvectors and `rest`
what the mean has where nothing is random. Its tail (derived here) is the inverse Laplace integral

    P(Q > q) = (1 / 2 pi i) int exp(K(z) - z q) / z dz,   K(z) = sum_j n_j z / v_j - (C/2) log v_j,   v_j = 1 - 2 z theta_j,

n_j = |b_j|^2, over a line with 0 < Re z < 1 / (2 max theta); by Chernoff's inequality it is at most exp(K(z) - z q).
For one row it is the noncentral chi-square of `bounds.sensitivity`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bounds import _checks
from bounds._tails import contour, increasing_root

Array = NDArray[np.float64]
_ULP = 2.0**-52
_NEWTON_STEPS = 12
_GOOD = 1e-9  # relative error of the integral above which Chernoff's bound is kept
_CHUNK = 512


def norm_law(rows: ArrayLike, means: ArrayLike, covariances: ArrayLike) -> tuple[Array, Array, Array]:
    """(n_j, theta_j, rest) of |X_S'R|^2 at every step: shapes (N, s), (N, s), (N,).

    rows : (s, p), X_S. means : (N, s, C) and covariances : (N, s, s) of the residuals of the rows, by step.
    """
    x = _checks.array("rows", rows, "(-inf, inf)", ndim=2)
    mean = _checks.array("means", means, "(-inf, inf)")
    covariance = _checks.array("covariances", covariances, "(-inf, inf)")
    _, triangle = np.linalg.qr(x.T)  # X_S' = Q triangle, and Q changes no norm
    spread = triangle @ covariance @ triangle.T
    theta, axes = np.linalg.eigh(0.5 * (spread + spread.transpose(0, 2, 1)))
    theta = np.maximum(theta, 0.0)
    # A variance that is rounding of the largest is no variance; the mean there is certain.
    random = theta > 8 * theta.shape[-1] * _ULP * theta.max(axis=-1, keepdims=True, initial=0.0)
    squares = np.sum((axes.transpose(0, 2, 1) @ (triangle @ mean)) ** 2, axis=-1)
    rest = np.sum(np.where(random, 0.0, squares), axis=-1)
    return np.where(random, squares, 0.0), np.where(random, theta, 0.0), rest


def norm_quantile(shift_squared: ArrayLike, variances: ArrayLike, columns: int, log_tail: ArrayLike) -> Array:
    """r with P(sum_j |b_j + sqrt(theta_j) z_j|^2 > r^2) at most e^log_tail, and hardly larger than it must be.

    Parameters
    ----------
    shift_squared, variances : (..., s), n_j = |b_j|^2 and theta_j.
    columns : C, the length of each z_j.
    log_tail : natural logarithm of the tail probability; above log(1/2) the quantile of 1/2 is returned.

    Returns
    -------
    (...) array, rounded up: never below the quantile, within 1e-6 of it wherever the contour integral is accurate, and
    Chernoff's bound elsewhere. Where all variances are 0 it is sqrt(sum of n_j).
    """
    shift = _checks.array("shift_squared", shift_squared, "[0, inf)")
    theta = _checks.array("variances", variances, "[0, inf)")
    columns = _checks.count("columns", columns, least=1)
    tail = np.minimum(_checks.array("log_tail", log_tail, "(-inf, 0)"), -np.log(2.0))
    if shift.ndim == 0 or theta.ndim == 0 or shift.shape[-1] != theta.shape[-1]:
        raise ValueError(
            f"shift_squared, variances have shapes {shift.shape}, {theta.shape}: need a last axis of one length"
        )
    shape = np.broadcast_shapes(shift.shape[:-1], theta.shape[:-1], tail.shape)
    shift, theta = (
        np.broadcast_to(part, (*shape, part.shape[-1])).reshape(-1, part.shape[-1]) for part in (shift, theta)
    )
    tail = np.broadcast_to(tail, shape).ravel()
    squares = shift.sum(-1)
    largest = theta.max(-1)
    random = np.flatnonzero(largest > 0)
    for start in range(0, random.size, _CHUNK):
        at = random[start : start + _CHUNK]
        unit = largest[at]  # in units of the largest variance
        scaled = _quantile(shift[at] / unit[:, None], theta[at] / unit[:, None], columns, tail[at])
        squares[at] = scaled * unit
    return np.sqrt(squares * (1 + 8 * _ULP)).reshape(shape)[()] * (1 + 2 * _ULP)


def _quantile(shift: Array, theta: Array, columns: int, log_tail: Array) -> Array:
    """The quantile of the squared norm; largest variance 1. Newton's method down from Chernoff's bound."""
    known = _chernoff(shift, theta, columns, log_tail)
    square = known.copy()
    for _ in range(_NEWTON_STEPS):
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # all end as an error that is not small
            log, slope, error = _log_tail(shift, theta, columns, square)
        good = np.isfinite(log) & (error <= _GOOD)
        excess = np.where(good, log + error - log_tail, np.inf)
        # The tail is (nearly) log-concave, so that Newton from above stays above; only what was verified is kept.
        known = np.where(excess <= 0, np.minimum(known, square), known)
        if np.all(~good | ((excess <= 0) & (excess >= -2e-7 * np.abs(log_tail)))):
            break
        step = np.where(good & (slope < 0), (excess + 1e-8 * np.abs(log_tail)) / slope, 0.0)
        square = np.where(good, np.clip(square - step, 0.5 * square, known), square)
    return known * (1 + 4 * _ULP)


def _chernoff(shift: Array, theta: Array, columns: int, log_tail: Array) -> Array:
    """min over z of (K(z) - log_tail) / z: always an upper bound, wherever z is."""

    def cumulant(z: Array) -> tuple[Array, Array]:
        v = 1 - 2 * z[:, None] * theta
        value = (shift * z[:, None] / v - 0.5 * columns * np.log(v)).sum(-1)
        return value, (shift / v**2 + columns * theta / v).sum(-1)

    def place(x: Array) -> Array:
        return 0.5 / (1 + np.exp(-x))

    def slope(x: Array) -> Array:
        z = place(x)
        value, rate = cumulant(z)
        return rate * z - value + log_tail

    z = place(increasing_root(slope, np.full(log_tail.shape, -60.0), np.full(log_tail.shape, 30.0)))
    value, _ = cumulant(z)
    return (value - log_tail) / z * (1 + 1e-12)


def _log_tail(shift: Array, theta: Array, columns: int, square: Array) -> tuple[Array, Array, Array]:
    """log P(Q > square), its slope and a bound on its error."""
    half = 0.5 * columns

    def place(x: Array) -> Array:
        return 0.5 / (1 + np.exp(-x))

    def slope(x: Array) -> Array:
        z = place(x)
        v = 1 - 2 * z[:, None] * theta
        return (shift / v**2 + columns * theta / v).sum(-1) - square - 1 / z

    z = place(increasing_root(slope, np.full(square.shape, -300.0), np.full(square.shape, 36.0)))
    v = 1 - 2 * z[:, None] * theta
    relative = theta / v
    curvature = ((4 * shift / v**2 + 2 * columns * relative) * relative).sum(-1)
    weight, doubled = shift / v**2, 2 * relative
    third = ((24 * weight + 8 * columns * relative) * relative**2).sum(-1)
    width = (curvature + 1 / z**2) ** -0.5

    def ratio(moved: NDArray[np.complex128]) -> NDArray[np.complex128]:
        change = moved[..., None]
        factor = 1 - change * doubled
        exponent = (change * (weight / factor) - half * np.log(factor)).sum(-1) - moved * square
        return np.exp(exponent) / (1 + moved / z)

    to_branch = 0.5 - z
    value = contour(
        ratio,
        distance=z,
        width=width,
        singularity=np.sqrt(np.maximum(to_branch, 0.0) * 2 * curvature / np.abs(third)),
    )
    pulled = shift * z[:, None] / v
    parts = (pulled + half * np.abs(np.log(v)) + (pulled + half) / v).sum(-1) + z * square + np.abs(np.log(z)) + 1
    log = (pulled - half * np.log(v)).sum(-1) - z * square - np.log(z) + value.log
    return log, -value.mean_distance, value.error + 8 * _ULP * parts
