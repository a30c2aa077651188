"""What a certificate needs to know of several deletions from ridge, made together or one request after another.

In the eigenbasis of the Hessian H_ without any deleted row (A = I - eta H_) the reference map is diagonal with factors
a. A step of the unlearned chain on data that still hold the rows X_S differs from it by -eta X_S'R, R the residuals.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

import linear
from linear._deletion import Deletion, Requests
from linear.request_residuals import PhaseResiduals, request_residuals

from .. import batch_sensitivity, sensitivity

Array = NDArray[np.float64]
Base = Literal["learned", "reference"]

# Rounding of the moments and of the few operations on them, many times over; it only ever enlarges a promise.
_UP = 1 + 1e-12


class Difference(NamedTuple):
    """One phase's steps: rows (p, s) in the reference's eigenbasis, residual law, and that of |X_S'R|^2."""

    rows: Array
    residuals: PhaseResiduals
    shift_squared: Array
    variances: Array
    rest: Array


@dataclass(frozen=True, eq=False)
class RequestFacts:
    """Several deletions, in numbers; the steps are those of the whole history, learning first.

    noise (N,): injected at each step; factors (p,): a; contraction: one factor for every map of both chains;
    driven: how many of the N steps differ between the chains (all but those after the last request).
    """

    deletion: Deletion
    noise: Array
    factors: Array
    contraction: float
    differences: dict[Base, tuple[Difference, ...]]

    @classmethod
    def of(
        cls,
        problem: linear.RidgeProblem,
        schedule: linear.Schedule,
        requests: Requests,
        unlearn_noise: ArrayLike | None = None,
    ) -> RequestFacts:
        """Gather them. Raises what `linear` raises for a bad problem or bad requests."""
        deletion = Deletion.of_requests(problem, schedule, requests, unlearn_noise)
        reference = deletion.reference
        differences: dict[Base, tuple[Difference, ...]] = {}
        for base in ("learned", "reference"):
            found = []
            moments = request_residuals(
                problem, schedule, requests, unlearn_noise=unlearn_noise, reference=base == "reference"
            )
            for phase, residuals in zip(deletion.phases, moments, strict=False):
                law = batch_sensitivity.norm_law(phase.features, residuals.means, residuals.covariances)
                found.append(Difference(reference.eigenvectors.T @ phase.features.T, residuals, *law))
            differences[base] = tuple(found)
        return cls(
            deletion=deletion,
            noise=np.concatenate([np.full(phase.steps, phase.noise) for phase in deletion.phases]),
            factors=1 - schedule.step_size * reference.eigenvalues,
            contraction=_contraction(problem, reference, schedule.step_size),
            differences=differences,
        )

    def with_last_noise(self, noise: float) -> RequestFacts:
        """The same with another noise in the steps after the last request, where nothing else depends on it."""
        *before, last = self.deletion.phases
        changed = Deletion(
            self.deletion.problem,
            self.deletion.reference,
            self.deletion.schedule,
            (*before, replace(last, noise=noise)),
        )
        levels = self.noise.copy()
        levels[self.driven :] = noise
        facts = RequestFacts(changed, levels, self.factors, self.contraction, self.differences)
        for name in ("coupled_gap", "unit_gap_law", "last_powers", "_quantiles"):
            facts.__dict__[name] = getattr(self, name)
        return facts

    @property
    def outputs(self) -> int:
        return self.deletion.problem.n_outputs

    @property
    def driven(self) -> int:
        return sum(phase.steps for phase in self.deletion.phases[:-1])

    @property
    def last_steps(self) -> int:
        """K, the steps after the last request."""
        return self.deletion.phases[-1].steps

    def random_steps(self, base: Base) -> int:
        """How many steps have a random difference."""
        return sum(int((part.variances > 0).any(axis=1).sum()) for part in self.differences[base])

    @cached_property
    def _quantiles(self) -> dict[tuple[Base, float], Array]:
        return {}

    def sensitivities(self, base: Base, log_tail: float) -> Array:
        """s_k (N,), exceeded anywhere along the base chain with probability at most e^log_tail; 0 after the last request.

        A union bound over the random steps: at each one the quantile of eta |X_S'R|, which one row makes a noncentral
        chi and several rows a sum of such.
        """
        if (base, log_tail) not in self._quantiles:
            each = log_tail - np.log(max(self.random_steps(base), 1))
            parts = []
            for part in self.differences[base]:
                if not part.variances.any():
                    random = np.zeros(len(part.rest))
                elif part.shift_squared.shape[1] == 1:
                    mean, std = np.sqrt(part.shift_squared[:, 0]), np.sqrt(part.variances[:, 0])
                    random = sensitivity.residual_quantile(mean, std, self.outputs, log_tail=min(each, -1e-60))
                else:
                    random = batch_sensitivity.norm_quantile(part.shift_squared, part.variances, self.outputs, each)
                parts.append(np.sqrt(random**2 + part.rest))
            found = self.deletion.schedule.step_size * np.concatenate([*parts, np.zeros(self.last_steps)]) * _UP
            self._quantiles[base, log_tail] = found
        return self._quantiles[base, log_tail]

    def powers(self, count: int) -> Array:
        """a_j^n for n < count, shape (p, count)."""
        steps = np.hstack([np.ones((len(self.factors), 1)), np.tile(self.factors[:, None], max(count - 1, 0))])
        return np.asarray(np.cumprod(steps, axis=1)[:, :count], dtype=np.float64)

    @cached_property
    def last_powers(self) -> Array:
        """a_j^n for n = 0..K, shape (p, K + 1)."""
        return self.powers(self.last_steps + 1)

    @cached_property
    def coupled_gap(self) -> tuple[Array, Array]:
        """Mean (p, C) and covariance (p, p) of each column of X - X' before the last phase, under common noise.

        In the eigenbasis V. The mean obeys d <- A d - eta X_S'(mean residual). The noise of step k reaches X through
        the product P_k of the maps after it and X' through Q_k = A^(steps left); D_k = P_k - Q_k obeys, backwards,
        D_{k-1} = D_k M_k - eta Q_k X_S'X_S, and the covariance is the sum of noise_k^2 D_k D_k'.
        """
        deletion, eta = self.deletion, self.deletion.schedule.step_size
        vectors = deletion.reference.eigenvectors
        size, left = len(self.factors), self.driven
        powers = self.powers(left)
        mean, covariance = np.zeros((size, self.outputs)), np.zeros((size, size))
        for part in self.differences["learned"]:
            steps = len(part.rest)
            remaining = powers[:, left - steps : left][:, ::-1]
            for row in range(part.rows.shape[1]):
                mean -= eta * part.rows[:, row, None] * (remaining @ part.residuals.means[:, row])
            left -= steps
        gap, basis, passed = np.zeros((size, size)), vectors, 0
        for phase, part in zip(deletion.phases[-2::-1], self.differences["learned"][::-1], strict=True):
            gap = gap @ (basis.T @ phase.problem.eigenvectors)
            basis = phase.problem.eigenvectors
            in_u = eta * (phase.features @ basis)
            rate = 1 - eta * phase.problem.eigenvalues
            for _ in range(phase.steps):
                if passed and phase.noise:
                    covariance += phase.noise**2 * gap @ gap.T
                gap = gap * rate - (powers[:, passed, None] * part.rows) @ in_u
                passed += 1
        return mean, 0.5 * (covariance + covariance.T)

    @cached_property
    def unit_gap_law(self) -> tuple[Array, Array] | None:
        """The coupled gap left at the end, whitened by last noise 1: squared means (p,), variances (p,) in a basis
        where its coordinates are independent. None where there is no last step to hide it."""
        decay = self.last_powers[:, -1]
        spread = np.sqrt(np.sum(self.last_powers[:, :-1] ** 2, axis=1))
        moved = decay != 0
        if np.any(spread[moved] == 0):
            return None
        scale = np.divide(decay, spread, out=np.zeros_like(spread), where=moved)
        mean, covariance = self.coupled_gap
        variances, basis = np.linalg.eigh(scale[:, None] * covariance * scale)
        return np.sum((basis.T @ (scale[:, None] * mean)) ** 2, axis=1), np.maximum(variances, 0)


def _contraction(problem: linear.RidgeProblem, reference: linear.RidgeProblem, step_size: float) -> float:
    """A Lipschitz factor of every step, rounded up: all Hessians lie between H_ and H."""
    smallest = max(float(reference.eigenvalues[0]) - reference.eigenvalue_error, problem.ridge)
    largest = problem.smoothness + problem.eigenvalue_error
    rounding = float(np.finfo(float).eps) * max(1.0, step_size * largest)
    return max(abs(1 - step_size * smallest), abs(1 - step_size * largest)) + rounding
