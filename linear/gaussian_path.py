"""Exact Rényi divergence of the joint path of two linear Gaussian chains, in any dimension.

From y the next position is N(C y + d, W) under Q and N(C y + d + K y + k, W) under P. With u the order (1 - order for
the reverse direction), the moment still to come v(y) = E_Q[(dP/dQ)^u | y] stays the exponential of a quadratic,
log v(y) = y'A y + b'y + g. One step back, W = L L',

    log v(y) = u (u-1)/2 |L^-1 (K y + k)|^2 + log E exp(z'A z + b'z + g),    z ~ N(C y + d + u (K y + k), W),

and, for z ~ N(m, L L') and J = I - 2 L'A L positive definite,

    log E exp(z'A z + b'z) = m'A m + b'm + |J^-1/2 L'(2 A m + b)|^2 / 2 - log|J| / 2;

when J is not positive definite the expectation is infinite for every m, and so is the divergence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike, NDArray

from linear._checks import real_array
from linear.gaussian_renyi import BOUNDARY, covariance, renyi_order

Array = NDArray[np.float64]
Quadratic = tuple[Array, Array, float]  # (A, b, g) of y'A y + b'y + g


class _InfiniteExpectation(ArithmeticError):
    """The exponential of a quadratic that no Gaussian average can hold."""


@dataclass(frozen=True)
class LinearStep:
    """One step of the pair: transition C, gap_slope K, noise_cov W (d, d); offset d, gap_offset k (d,); or scalars.

    `noise_cov` must be positive definite. For gradient descent on a quadratic with Hessian H and minimiser b,
    transition = I - step_size H and offset = step_size H b.
    """

    transition: ArrayLike
    gap_slope: ArrayLike
    noise_cov: ArrayLike
    offset: ArrayLike = 0.0
    gap_offset: ArrayLike = 0.0


def linear_path_renyi(
    steps: Sequence[LinearStep],
    *,
    order: float,
    start_mean: ArrayLike,
    start_cov: ArrayLike,
    reverse: bool = False,
) -> float:
    """D_order(P || Q) of the whole path (theta_0, ..., theta_n), or D_order(Q || P) with `reverse`; may be +inf.

    theta_0 has the law N(start_mean, start_cov) under both, `start_cov` semi-definite (zero for a point). Steps are
    in time order and may differ.
    """
    order = renyi_order(order)
    tilt = 1 - order if reverse else order
    mean = np.atleast_1d(real_array("start_mean", start_mean, dimensions=(0, 1)))
    size = mean.size
    spread = covariance("start_cov", start_cov, size)
    values, vectors = np.linalg.eigh(spread)
    if values.min() < -1e-12 * max(values.max(), 0.0):
        raise ValueError("start_cov: must be positive semi-definite")
    quadratic: Quadratic = (np.zeros((size, size)), np.zeros(size), 0.0)
    try:
        for step in reversed(steps):
            quadratic = _step_back(step, quadratic, tilt, size)
        quadratic = _expectation(quadratic, vectors * np.sqrt(np.maximum(values, 0.0)))
    except _InfiniteExpectation:
        return np.inf
    matrix, vector, constant = quadratic
    return max(float(mean @ matrix @ mean + vector @ mean + constant), 0.0) / (order - 1)


def _step_back(step: LinearStep, ahead: Quadratic, tilt: float, size: int) -> Quadratic:
    transition, gap_slope = (_matrix(name, getattr(step, name), size) for name in ("transition", "gap_slope"))
    offset, gap_offset = (_vector(name, getattr(step, name), size) for name in ("offset", "gap_offset"))
    try:
        factor: Array = np.asarray(np.linalg.cholesky(covariance("noise_cov", step.noise_cov, size)))
    except np.linalg.LinAlgError:
        raise ValueError("noise_cov: must be positive definite") from None
    matrix, vector, constant = _substituted(
        _expectation(ahead, factor), transition + tilt * gap_slope, offset + tilt * gap_offset
    )
    slope = scipy.linalg.solve_triangular(factor, gap_slope, lower=True)
    shift = scipy.linalg.solve_triangular(factor, gap_offset, lower=True)
    weight = tilt * (tilt - 1) / 2
    return (
        matrix + weight * slope.T @ slope,
        vector + 2 * weight * slope.T @ shift,
        constant + weight * float(shift @ shift),
    )


def _expectation(quadratic: Quadratic, factor: Array) -> Quadratic:
    """log E exp(quadratic(z)), z ~ N(m, factor factor'), as a quadratic in m."""
    matrix, vector, constant = quadratic
    growth, directions = np.linalg.eigh(2 * factor.T @ matrix @ factor)
    if growth.max() >= 1 - BOUNDARY:
        raise _InfiniteExpectation
    pull = factor @ directions
    slope, shift = 2 * pull.T @ matrix, pull.T @ vector
    weighted = slope / (1 - growth)[:, None]
    return (
        matrix + slope.T @ weighted / 2,
        vector + weighted.T @ shift,
        constant + float(shift @ (shift / (1 - growth))) / 2 - float(np.log1p(-growth).sum()) / 2,
    )


def _substituted(quadratic: Quadratic, slope: Array, offset: Array) -> Quadratic:
    """The quadratic at slope y + offset, in y."""
    matrix, vector, constant = quadratic
    return (
        slope.T @ matrix @ slope,
        slope.T @ (2 * matrix @ offset + vector),
        float(offset @ matrix @ offset + vector @ offset) + constant,
    )


def _matrix(name: str, value: ArrayLike, size: int) -> Array:
    """`value` as a (size, size) matrix; a scalar stands for that multiple of the identity."""
    matrix = real_array(name, value, dimensions=(0, 2))
    if matrix.ndim == 0:
        return float(matrix) * np.eye(size)
    if matrix.shape != (size, size):
        raise ValueError(f"{name} has shape {matrix.shape}: must be ({size}, {size})")
    return matrix


def _vector(name: str, value: ArrayLike, size: int) -> Array:
    """`value` as a (size,) vector; a scalar is repeated."""
    vector = real_array(name, value, dimensions=(0, 1))
    if vector.ndim == 1 and vector.size != size:
        raise ValueError(f"{name} has {vector.size} entries: must have {size}")
    return np.broadcast_to(vector, (size,))
