"""What a certificate needs to know of one deletion from ridge, gathered once and shared by all methods.

In the eigenbasis of the reference Hessian H_ (row removed; eigenvalues lambda_, A = I - eta H_) the row is w = V'x and
the unlearning and reference maps are diagonal with factors a = 1 - eta lambda_. In the eigenbasis of the full Hessian
the learning map is diagonal with factors m = 1 - eta lambda.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

import linear
from linear.langevin import reference_residual_moments, residual_moments

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Residuals:
    """The deleted row's residual at each learning step, N(mean, variance I_C): `norms` (T,), `variances` (T,)."""

    means: Array
    norms: Array
    variances: Array

    @classmethod
    def of(cls, moments: tuple[Array, Array]) -> Residuals:
        means, variances = moments[0][0], moments[1][0]
        return cls(means, np.linalg.norm(means, axis=1), variances)


@dataclass(frozen=True)
class DeletionFacts:
    """One deletion, in numbers.

    contraction: one factor serving the learning and the reference map; learned, reference: the row's residuals along
    the D-chain and along the chain without the row; factors (p,) and row (p,): a and V'x; full_factors (p,), overlap
    (p, p) = V'U: the learning map.
    """

    step_size: float
    learn_steps: int
    unlearn_steps: int
    learn_noise: float
    unlearn_noise: float
    outputs: int
    row_norm: float
    contraction: float
    learned: Residuals
    reference: Residuals
    factors: Array
    row: Array
    full_factors: Array
    overlap: Array

    @classmethod
    def of(cls, problem: linear.RidgeProblem, schedule: linear.Schedule, index: int) -> DeletionFacts:
        """Gather the facts of deleting row `index`. Raises what `linear` raises for a bad problem or index."""
        learned = Residuals.of(residual_moments(problem, schedule, [index]))
        reference = Residuals.of(reference_residual_moments(problem, schedule, [index]))
        x = problem.features[index]
        curvature, basis = np.linalg.eigh(problem.hessian - np.outer(x, x))
        return cls(
            step_size=schedule.step_size,
            learn_steps=schedule.learn_steps,
            unlearn_steps=schedule.unlearn_steps,
            learn_noise=schedule.learn_noise,
            unlearn_noise=schedule.unlearn_noise,
            outputs=problem.n_outputs,
            row_norm=float(np.linalg.norm(x)),
            contraction=problem.contraction_factor(schedule.step_size, index),
            learned=learned,
            reference=reference,
            # No eigenvalue of the reference Hessian lies below the penalty; rounding may say otherwise.
            factors=1 - schedule.step_size * np.maximum(curvature, problem.ridge),
            row=basis.T @ x,
            full_factors=1 - schedule.step_size * problem.eigenvalues,
            overlap=basis.T @ problem.eigenvectors,
        )

    def with_unlearn_noise(self, unlearn_noise: float) -> DeletionFacts:
        """The same deletion with another unlearning noise; nothing of the learning phase changes."""
        changed = replace(self, unlearn_noise=unlearn_noise)
        for name in ("powers", "learn_variance", "unlearn_variance", "mean_gap", "sensitivities"):
            changed.__dict__[name] = getattr(self, name)
        return changed

    @cached_property
    def sensitivities(self) -> dict[tuple[str, float], Array]:
        """Sensitivities already found, by base chain and log tail; methods that ask for the same ones share them."""
        return {}

    @property
    def random_steps(self) -> bool:
        """Whether any residual that enters a sensitivity is random."""
        return self.learn_noise > 0 and self.learn_steps > 1

    @cached_property
    def powers(self) -> Array:
        """a_j^n, shape (p, max(T, K) + 1)."""
        most = max(self.learn_steps, self.unlearn_steps)
        steps = np.hstack([np.ones((len(self.factors), 1)), np.tile(self.factors[:, None], most)])
        found: Array = np.asarray(np.cumprod(steps, axis=1), dtype=np.float64)
        return found

    @cached_property
    def learn_variance(self) -> Array:
        """sum_{i<n} a_j^{2i} for n = 0..T, shape (p, T+1): variance per unit noise of n reference steps."""
        return _running_sum(self.powers[:, : self.learn_steps] ** 2)

    @cached_property
    def unlearn_variance(self) -> Array:
        """sum_{i<K} a_j^{2i}, shape (p,)."""
        squares: Array = np.sum(self.powers[:, : self.unlearn_steps] ** 2, axis=1)
        return squares

    @cached_property
    def decay(self) -> Array:
        """a_j^K, shape (p,): what the unlearning phase leaves of a gap."""
        return self.powers[:, self.unlearn_steps]

    @cached_property
    def mean_gap(self) -> Array:
        """Mean of X_T - X'_T, shape (p, C): d_T = -eta sum_k A^{T-1-k} x (mean residual at k)'."""
        steps = self.powers[:, : self.learn_steps][:, ::-1]
        return -self.step_size * self.row[:, None] * (steps @ self.learned.means)

    @cached_property
    def reference_variance(self) -> Array:
        """Diagonal of the reference law's covariance, shape (p,)."""
        learned = self.learn_noise**2 * self.decay**2 * self.learn_variance[:, -1]
        return learned + self.unlearn_noise**2 * self.unlearn_variance


def _running_sum(values: Array) -> Array:
    total: Array = np.hstack([np.zeros((values.shape[0], 1)), np.cumsum(values, axis=1)])
    return total
