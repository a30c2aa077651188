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
from typing import Any

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


def _products(facts: DeletionFacts) -> adapted_paths.Products:
    """`adapted_paths.products` of the facts, found once for every unlearning noise; kept as (..., 2, blocks, k, k)."""
    rank = facts.row.shape[-1]
    if "adapted_products" not in facts.__dict__:
        squares, crosses = adapted_paths.products(deletions(facts))
        found = np.zeros((int(np.prod(facts.shape)), 2, len(squares), rank, rank))
        for b, pair in enumerate(zip(squares, crosses, strict=True)):
            found[:, 0, b], found[:, 1, b] = pair
        facts.__dict__["adapted_products"] = found.reshape(*facts.shape, *found.shape[1:])
    kept = facts.__dict__["adapted_products"]
    kept = kept.reshape(int(np.prod(facts.shape)), *kept.shape[-4:])
    return list(kept[:, 0].transpose(1, 0, 2, 3)), list(kept[:, 1].transpose(1, 0, 2, 3))


@dataclass(frozen=True, eq=False)
class Adapted:
    """Derived here: H between the ends is at most H between the shifted path and the reference path (`bounds.adapted`).

    All numbers have the shape of the deletions: none for one, (m,) for many.
    """

    facts: DeletionFacts
    log_delta_s: float = -math.inf

    @cached_property
    def laws(self) -> adapted_paths.PathLaws:
        """Laws of the paths, with one leading axis."""
        return adapted_paths.path_laws(deletions(self.facts), known=_products(self.facts))

    @cached_property
    def _backward(self) -> _gaussian_ratio.GaussianRatio:
        return self.laws.ratio.swapped()

    @property
    def mu(self) -> Any:
        """None: the paths are not Gaussian shifts of each other."""
        return self._shaped(np.full(len(self.laws.left_out), np.nan))

    @property
    def floor(self) -> Any:
        return self._shaped(_log(self.laws.left_out))

    def forward(self, epsilon: Any) -> Any:
        at = self._each(epsilon)
        return self._finished(_gaussian_ratio.log_hockey_stick(self.laws.ratio, at), 0.0)

    def reverse(self, epsilon: Any) -> Any:
        at = self._each(epsilon)
        return self._finished(_gaussian_ratio.log_hockey_stick(self._backward, at), np.maximum(at, 0.0))

    def chernoff_forward(self, epsilon: Any) -> Any:
        """As forward, by Chernoff's inequality alone."""
        at = self._each(epsilon)
        return self._finished(_gaussian_ratio.chernoff(self.laws.ratio, at), 0.0)

    def chernoff_reverse(self, epsilon: Any) -> Any:
        """As reverse, by Chernoff's inequality alone."""
        at = self._each(epsilon)
        return self._finished(_gaussian_ratio.chernoff(self._backward, at), np.maximum(at, 0.0))

    def forward_epsilon(self, log_delta: Any) -> Any:
        """The smallest epsilon >= 0 at which forward is at most log_delta, to 1e-7 relative."""
        return self._epsilon(self.laws.ratio, log_delta, backward=False)

    def reverse_epsilon(self, log_delta: Any) -> Any:
        """The same of reverse."""
        return self._epsilon(self._backward, log_delta, backward=True)

    def _epsilon(self, law: _gaussian_ratio.GaussianRatio, log_delta: Any, backward: bool) -> Any:
        target = self._each(log_delta)
        weight = np.zeros_like(target)
        if backward:  # what was left out costs e^epsilon times as much; Chernoff's epsilon is more than the one sought
            most = _gaussian_ratio.chernoff_epsilon(law, target - math.log(2))
            weight = np.minimum(most, 700.0)
        # exp(target) - left_out e^weight, and the rounding that `_finished` adds
        spent = _log(self.laws.left_out) + weight - target
        spare = target + np.log1p(-np.exp(np.minimum(spent, 0.0)) * (1 - 1e-16))
        found = _gaussian_ratio.epsilon_for(
            law, np.where(spent < -1e-9, spare - 3 * _ROUNDING * (1 + np.abs(spare)), 0)
        )
        return self._shaped(np.where(spent < -1e-9, found, np.inf))

    def _finished(self, log: Array, weight: Any) -> Any:
        """Plus what the plan left out, e^weight times: P(S) may be off by it, which the reverse side multiplies."""
        finite = np.isfinite(log)
        size = np.abs(np.where(finite, log, 0.0))
        # Far out the logarithm itself is known to fewer digits (powers of a nearly vanishing factor, squared).
        value = np.where(finite, log + _ROUNDING * (1 + size) + 1e-7 * np.maximum(size - 1e4, 0.0), log)
        total = np.logaddexp(value, _log(self.laws.left_out) + weight)
        value = np.where(self.laws.left_out > 0, total + 1e-15 * (1 + np.abs(np.where(finite, value, 0.0))), value)
        return self._shaped(np.minimum(value, 0.0))

    def _each(self, value: Any) -> Array:
        return np.broadcast_to(np.asarray(value, dtype=float).reshape(-1), self.laws.left_out.shape)

    def _shaped(self, values: Array) -> Any:
        return values.reshape(np.shape(self.facts.row)[:-1])[()]


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
        forward = solve(laws.ratio, _log(delta - laws.left_out))
        most = _gaussian_ratio.chernoff_epsilon(backward, _log(np.full_like(forward, 0.5 * delta)))
        spare = delta - laws.left_out * np.exp(np.minimum(most, 700.0))
        reverse = np.where(spare > 0, solve(backward, _log(np.maximum(spare, 1e-300))), np.inf)
        result.append(np.maximum(forward, reverse) * (1 + 1e-9))
    return result[0], result[1]


def _log(values: Array) -> Array:
    with np.errstate(divide="ignore"):
        return np.log(np.maximum(values, 0.0))
