"""Exact laws of the deleted point's residual along the learning chain, for many points at once.

The residual of point i at step k is W_k'x_i - y_i: Gaussian, its C columns independent with one common variance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from linear import _checks, _powers
from linear.ridge import RidgeProblem
from linear.schedule import Schedule

Array = NDArray[np.float64]
Indices = Sequence[int] | NDArray[np.integer] | None
_BLOCK_ENTRIES = 1 << 23  # doubles in the largest temporary array: 64 MB


def residual_moments(problem: RidgeProblem, schedule: Schedule, indices: Indices = None) -> tuple[Array, Array]:
    """Means (m, T, C) and variances (m, T) of the residuals at steps k = 0..T-1 of learning on *all* the data.

    With H = U diag(lambda) U', rho = 1 - eta lambda and u = U'x: the mean is x'W* - y + sum_j u_j rho_j^k (W_0 - W*)_j
    and the variance learn_noise^2 sum_j u_j^2 (1 - rho_j^{2k}) / (1 - rho_j^2).
    """
    chosen = _checks.positions("indices", indices, problem.n_points)
    rate = schedule.step_size * problem.eigenvalues
    rotated = problem.features[chosen] @ problem.eigenvectors
    means = residual_means(problem, schedule, chosen, rotated)
    variances = np.empty((len(chosen), schedule.learn_steps))
    for steps in _blocks(schedule.learn_steps, problem.n_features):
        gains = np.stack([_powers.noise_gain(rate, k) for k in range(steps.start, steps.stop)], axis=1)
        variances[:, steps] = rotated**2 @ gains
    return means, variances * schedule.learn_noise**2


def residual_means(problem: RidgeProblem, schedule: Schedule, chosen: NDArray[np.intp], rotated: Array) -> Array:
    """The means alone, (m, T, C), of the points `chosen`, whose rows in the eigenbasis are `rotated`, (m, p)."""
    rate = schedule.step_size * problem.eigenvalues
    _powers.refuse_overflow(rate, schedule.learn_steps)
    to_go = problem.eigenvectors.T @ (problem.initial - problem.minimiser)
    final = problem.features[chosen] @ problem.minimiser - problem.targets[chosen]
    outputs = problem.n_outputs
    means = np.empty((len(chosen), schedule.learn_steps, outputs))
    for steps in _blocks(schedule.learn_steps, problem.n_features * outputs):
        powers = np.stack([_powers.power(rate, k) for k in range(steps.start, steps.stop)], axis=1)
        spread = (powers[:, :, None] * to_go[:, None, :]).reshape(problem.n_features, -1)
        means[:, steps] = (rotated @ spread).reshape(len(chosen), steps.stop - steps.start, outputs)
    means += final[:, None, :]
    return means


def reference_residual_moments(
    problem: RidgeProblem, schedule: Schedule, indices: Indices = None
) -> tuple[Array, Array]:
    """The same along the *reference* chain of each point: point i's residual when learning without row i.

    No decomposition per point (derived here). With kappa_j = x'M^j x and A = M + eta x x', the resolvent identity
    (I - zA)^{-1} = (I - zM)^{-1} + eta z (I - zA)^{-1} x x'(I - zM)^{-1} gives, for alpha_j = x'A^j x,

        alpha_k = kappa_k + eta sum_{l<k} kappa_{k-1-l} alpha_l.

    The means of the two chains differ by D_{k+1} = A D_k + eta x r_k, r_k the residual on all the data, so those of the
    reference residual are r_k + eta sum_{l<k} alpha_{k-1-l} r_l; the variance is learn_noise^2 sum_{j<k} alpha_{2j}.
    While step_size * smoothness <= 1 every kappa and alpha is nonnegative and no digits are lost in the recursions;
    errors are amplified by at most 1 + sum_j eta alpha_j <= 1 / (1 - leverage).
    """
    chosen = _checks.positions("indices", indices, problem.n_points)
    learn, eta = schedule.learn_steps, schedule.step_size
    driven, _ = residual_moments(problem, schedule, chosen)
    kernel = _kernel(problem, eta, chosen, max(2 * learn - 3, 0))
    variances = np.zeros((len(chosen), learn))
    np.cumsum(kernel[:, ::2], axis=1, out=variances[:, 1:])
    variances *= schedule.learn_noise**2

    means = driven.copy()
    for lag in range(1, learn):
        means[:, lag:] += eta * kernel[:, lag - 1, None, None] * driven[:, : learn - lag]
    return means, variances


def _kernel(problem: RidgeProblem, step_size: float, chosen: NDArray[np.intp], count: int) -> Array:
    """alpha_j = x'A^j x for j < count, (m, count), from kappa_j = x'M^j x."""
    rate = step_size * problem.eigenvalues
    weights = (problem.features[chosen] @ problem.eigenvectors) ** 2
    alpha = np.empty((len(chosen), count))
    for block in _blocks(count, problem.n_features):
        powers = [_powers.power(rate, j) for j in range(block.start, block.stop)]
        alpha[:, block] = weights @ np.stack(powers, axis=1)
    backwards = alpha[:, ::-1].copy()  # kappa, so that a convolution is a plain inner product of slices
    for k in range(1, count):
        alpha[:, k] += step_size * np.einsum("il,il->i", backwards[:, count - k :], alpha[:, :k])
    return alpha


def _blocks(total: int, width: int) -> Iterator[slice]:
    """Slices that cover range(total), such that a block times `width` stays within the memory of a temporary."""
    size = max(1, _BLOCK_ENTRIES // max(1, width))
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))
