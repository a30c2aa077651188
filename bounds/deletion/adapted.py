"""The adapted-shift certificate of deletions from ridge: the shifted path's law is computed, nothing is sampled.

What is promised. `chernoff_*` is guaranteed up to float rounding, which is allowed for: the moments of the likelihood
ratio of the two paths are exact and Chernoff's inequality does the rest. `forward` and `reverse` are sharper: the same
ratio's contour integral, plus an estimate of the integral's error with a margin (not a proof), as for the coupling
certificate. Both are two-sided from one plan, need no delta_s, no contraction and no clipping.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

import linear
from linear.krylov import krylov_coordinates

from .. import _gaussian_ratio, adapted_paths
from .facts import DeletionFacts

Array = NDArray[np.float64]

# Rounding of the eigenvalues and shifts behind a law (some 1e-13 relative), met in the result: the logarithm moves by
# about (1 + |log|) times a relative change of them.
_ROUNDING = 1e-11
_POINTS = 100  # worked on at once


def deletions(facts: DeletionFacts) -> adapted_paths.Deletions:
    """The facts as the plan needs them, with one leading axis also for a single deletion."""

    def stacked(values: Array, axes: int) -> Array:
        return values.reshape(-1, *values.shape[values.ndim - axes :])

    return adapted_paths.Deletions(
        step_size=facts.step_size,
        learn_steps=facts.learn_steps,
        unlearn_steps=facts.unlearn_steps,
        learn_noise=facts.learn_noise,
        unlearn_noise=facts.unlearn_noise,
        factors=stacked(facts.factors, 1),
        full_factors=stacked(facts.full_factors, 1),
        row=stacked(facts.row, 1),
        overlap=stacked(facts.overlap, 2),
        gap=stacked(facts.mean_gap, 2),
    )


@dataclass(frozen=True, eq=False)
class Adapted:
    """Derived here: H between the ends is at most H between the shifted path and the reference path (`bounds.adapted`)."""

    facts: DeletionFacts
    log_delta_s: float = -math.inf
    mu: float = math.nan

    @cached_property
    def laws(self) -> adapted_paths.PathLaws:
        """Laws of the paths."""
        return adapted_paths.path_laws(deletions(self.facts))

    @property
    def floor(self) -> float:
        left = float(self.laws.left_out[0])
        return math.log(left) if left > 0 else -math.inf

    def forward(self, epsilon: float) -> float:
        return self._finished(_gaussian_ratio.log_hockey_stick(self.laws.ratio, _each(epsilon)), 0.0)

    def reverse(self, epsilon: float) -> float:
        found = _gaussian_ratio.log_hockey_stick(self.laws.ratio.swapped(), _each(epsilon))
        return self._finished(found, max(epsilon, 0.0))

    def chernoff_forward(self, epsilon: float) -> float:
        """As forward, by Chernoff's inequality alone."""
        return self._finished(_gaussian_ratio.chernoff(self.laws.ratio, _each(epsilon)), 0.0)

    def chernoff_reverse(self, epsilon: float) -> float:
        """As reverse, by Chernoff's inequality alone."""
        return self._finished(_gaussian_ratio.chernoff(self.laws.ratio.swapped(), _each(epsilon)), max(epsilon, 0.0))

    def _finished(self, log: Array, weight: float) -> float:
        """Plus what the plan left out, e^weight times: P(S) may be off by it, which the reverse side multiplies."""
        value = float(log[0])
        if not math.isinf(value):
            value += _ROUNDING * (1 + abs(value))
        left = float(self.laws.left_out[0])
        if left > 0:
            value = float(np.logaddexp(value, math.log(left) + weight)) + 1e-15 * (1 + abs(value))
        return min(value, 0.0)


def _each(epsilon: float) -> Array:
    return np.array([float(epsilon)])


@dataclass(frozen=True)
class AdaptedEpsilons:
    """For m deletions at one delta: `indices`; `epsilon`, two-sided by the contour; `guaranteed`, by Chernoff alone."""

    indices: NDArray[np.intp]
    epsilon: Array
    guaranteed: Array


def adapted_epsilons(
    problem: linear.RidgeProblem,
    schedule: linear.Schedule,
    *,
    delta: float,
    indices: NDArray[np.intp] | None = None,
    rank: int = 24,
    progress: Callable[[int, int], None] | None = None,
) -> AdaptedEpsilons:
    """Two-sided epsilon at `delta` of many deletions (default: all), block by block in Krylov coordinates.

    What the `rank` dimensions miss is not in the numbers; `KrylovCoordinates.missed` bounds it (about 1e-10 relative
    on MNIST at rank 24). progress(done, total) is called after every block.
    """
    chosen = np.arange(problem.n_points) if indices is None else np.asarray(indices)
    found: list[tuple[Array, Array]] = []
    for begin in range(0, len(chosen), _POINTS):
        part = chosen[begin : begin + _POINTS]
        found.append(_epsilons(problem, schedule, part, rank, delta))
        if progress is not None:
            progress(min(begin + _POINTS, len(chosen)), len(chosen))
    sharp, guaranteed = (np.concatenate([item[k] for item in found]) for k in (0, 1))
    return AdaptedEpsilons(chosen, sharp, guaranteed)


def _epsilons(
    problem: linear.RidgeProblem, schedule: linear.Schedule, part: NDArray[np.intp], rank: int, delta: float
) -> tuple[Array, Array]:
    space = krylov_coordinates(problem, part, rank=rank)
    means, _ = linear.residual_moments(problem, schedule, part)
    eta = schedule.step_size
    factors = 1 - eta * space.reference_curvature
    gap = np.zeros((*factors.shape, problem.n_outputs))
    for k in range(schedule.learn_steps):
        gap = factors[:, :, None] * gap - eta * space.row[:, :, None] * means[:, k, None, :]
    laws = adapted_paths.path_laws(
        adapted_paths.Deletions(
            step_size=eta,
            learn_steps=schedule.learn_steps,
            unlearn_steps=schedule.unlearn_steps,
            learn_noise=schedule.learn_noise,
            unlearn_noise=schedule.unlearn_noise,
            factors=factors,
            full_factors=1 - eta * space.curvature,
            row=space.row,
            overlap=space.overlap,
            gap=gap,
        )
    )
    # What was left out costs e^epsilon times as much in the reverse direction; e^chernoff is more than that.
    backward = laws.ratio.swapped()
    result = []
    for solve in (_gaussian_ratio.epsilon_for, _gaussian_ratio.chernoff_epsilon):
        spare = delta - laws.left_out
        forward = solve(laws.ratio, _log(spare))
        most = _gaussian_ratio.chernoff_epsilon(backward, _log(0.5 * delta + np.zeros_like(spare)))
        reverse = solve(backward, _log(delta - laws.left_out * np.exp(np.minimum(most, 700.0))))
        result.append(np.maximum(forward, reverse) * (1 + 1e-9))
    return result[0], result[1]


def _log(values: Array) -> Array:
    return np.log(np.maximum(values, 1e-300))
