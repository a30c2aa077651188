"""Exact laws of the deleted point's residual along the learning chain, for many points at once.

The residual of point i at step k is W_k'x_i - y_i: Gaussian, its C columns independent with one common variance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from linear import _checks, _powers
from linear.ridge import RidgeProblem
from linear.schedule import Schedule

Array = NDArray[np.float64]
Indices = Sequence[int] | NDArray[np.integer] | None
_BLOCK_ENTRIES = 1 << 23  # doubles in the largest temporary array: 64 MB
_TOEPLITZ_ENTRIES = 1 << 20


def residual_moments(problem: RidgeProblem, schedule: Schedule, indices: Indices = None) -> tuple[Array, Array]:
    """Means (m, T, C) and variances (m, T) of the residuals at steps k = 0..T-1 of learning on *all* the data.

    With H = U diag(lambda) U', rho = 1 - eta lambda and u = U'x: the mean is x'W* - y + sum_j u_j rho_j^k (W_0 - W*)_j
    and the variance learn_noise^2 sum_j u_j^2 (1 - rho_j^{2k}) / (1 - rho_j^2).
    """
    chosen = _checks.positions("indices", indices, problem.n_points)
    rotated = problem.features[chosen] @ problem.eigenvectors
    means = residual_means(problem, schedule, chosen, rotated)
    variances = np.empty((len(chosen), schedule.learn_steps))
    for steps in _blocks(schedule.learn_steps, problem.n_features):
        variances[:, steps] = rotated**2 @ _gains(problem, schedule, steps)
    return means, variances


def residual_means(problem: RidgeProblem, schedule: Schedule, chosen: NDArray[np.intp], rotated: Array) -> Array:
    """The means alone, (m, T, C), of the points `chosen`, whose rows in the eigenbasis are `rotated`, (m, p)."""
    _powers.refuse_overflow(schedule.step_size * problem.eigenvalues, schedule.learn_steps)
    rows = _Rows(rotated, problem.features[chosen] @ problem.minimiser - problem.targets[chosen])
    means = np.empty((len(chosen), schedule.learn_steps, problem.n_outputs))
    for steps in _blocks(schedule.learn_steps, problem.n_features * problem.n_outputs):
        means[:, steps] = rows.means(_spread(problem, schedule, steps))
    return means


def residual_norms(
    problem: RidgeProblem, schedule: Schedule, indices: Indices = None, *, chunk: int = 512
) -> tuple[Array, Array]:
    """Norms of the means and variances, both (m, T), of `residual_moments`; of the means only `chunk` points are held.

    Besides the result it takes about 2 chunk T C doubles, or 128 MB where that is less, and p T C or 64 MB for the steps.
    """
    chosen = _checks.positions("indices", indices, problem.n_points)
    chunk = _checks.integer("chunk", chunk, minimum=1)
    _powers.refuse_overflow(schedule.step_size * problem.eigenvalues, schedule.learn_steps)
    norms = np.empty((len(chosen), schedule.learn_steps))
    variances = np.empty_like(norms)
    for steps in _blocks(schedule.learn_steps, max(problem.n_features, chunk) * problem.n_outputs):
        spread, gains = _spread(problem, schedule, steps), _gains(problem, schedule, steps)
        for start in range(0, len(chosen), chunk):
            part = slice(start, start + chunk)
            rows = _Rows.of(problem, chosen[part])
            means = rows.means(spread)
            norms[part, steps] = np.sqrt(np.einsum("itc,itc->it", means, means))
            variances[part, steps] = rows.rotated**2 @ gains
    return norms, variances


class _Rows(NamedTuple):
    """Points: u = U'x in the eigenbasis, (m, p), and the residual at the minimiser, (m, C)."""

    rotated: Array
    final: Array

    @classmethod
    def of(cls, problem: RidgeProblem, chosen: NDArray[np.intp]) -> _Rows:
        features = problem.features[chosen]
        return cls(features @ problem.eigenvectors, features @ problem.minimiser - problem.targets[chosen])

    def means(self, spread: Array) -> Array:
        """(m, steps, C) from `_spread`'s (p, steps * C)."""
        outputs = self.final.shape[1]
        means = (self.rotated @ spread).reshape(len(self.final), spread.shape[1] // outputs, outputs)
        means += self.final[:, None, :]
        return means


def _spread(problem: RidgeProblem, schedule: Schedule, steps: slice) -> Array:
    """rho_j^k (W_0 - W*)_j at these steps, (p, steps * C): times u it is how far every mean has to go."""
    rate = schedule.step_size * problem.eigenvalues
    to_go = problem.eigenvectors.T @ (problem.initial - problem.minimiser)
    powers = np.stack([_powers.power(rate, k) for k in range(steps.start, steps.stop)], axis=1)
    return (powers[:, :, None] * to_go[:, None, :]).reshape(problem.n_features, -1)


def _gains(problem: RidgeProblem, schedule: Schedule, steps: slice) -> Array:
    """learn_noise^2 (1 - rho_j^{2k}) / (1 - rho_j^2) at these steps, (p, steps): times u^2 it is every variance."""
    rate = schedule.step_size * problem.eigenvalues
    gains = np.stack([_powers.noise_gain(rate, k) for k in range(steps.start, steps.stop)], axis=1)
    return schedule.learn_noise**2 * gains


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
    return deletion_residual_moments(problem, schedule, indices)[1]


def deletion_residual_moments(
    problem: RidgeProblem, schedule: Schedule, indices: Indices = None
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """`residual_moments` and `reference_residual_moments` of the same points, for little more than the second alone."""
    chosen = _checks.positions("indices", indices, problem.n_points)
    learn, eta = schedule.learn_steps, schedule.step_size
    learned = residual_moments(problem, schedule, chosen)
    driven = learned[0]
    kernel = _kernel(problem, eta, chosen, max(2 * learn - 3, 0))
    variances = np.zeros((len(chosen), learn))
    np.cumsum(kernel[:, ::2], axis=1, out=variances[:, 1:])
    variances *= schedule.learn_noise**2

    means = driven.copy()
    size = max(1, _TOEPLITZ_ENTRIES // max(1, learn * learn))
    for start in range(0, len(chosen) if learn > 1 else 0, size):
        part = slice(start, start + size)
        # alpha_{k-1-l} at row k and column l, zero where l >= k: every row reads the same reversed line.
        line = np.zeros((len(chosen[part]), 2 * learn - 1))
        line[:, : learn - 1] = kernel[part, learn - 2 :: -1]
        lagged = np.lib.stride_tricks.sliding_window_view(line, learn, axis=1)[:, ::-1]
        means[part] += eta * (np.ascontiguousarray(lagged) @ driven[part])
    return learned, (means, variances)


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
