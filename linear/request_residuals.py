"""Exact laws of the residuals of rows that are still to be deleted, along a chain that serves requests.

The residuals of s rows at one step are X_S W - Y_S: Gaussian, their C columns independent with one common covariance.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from linear import _powers
from linear._deletion import Deletion, Requests
from linear.ridge import RidgeProblem
from linear.schedule import Schedule

__all__ = ["PhaseResiduals", "request_residuals"]

Array = NDArray[np.float64]


class PhaseResiduals(NamedTuple):
    """One phase of n steps, s rows still to be deleted: `means` (n, s, C), `covariances` (n, s, s) of each column."""

    rows: tuple[int, ...]
    means: Array
    covariances: Array


def request_residuals(
    problem: RidgeProblem,
    schedule: Schedule,
    requests: Requests,
    *,
    unlearn_noise: ArrayLike | None = None,
    reference: bool = False,
) -> tuple[PhaseResiduals, ...]:
    """The phases but the last, where no row is left to delete: learning, and the steps after each request but the last.

    reference : along the chain that never sees the rows, instead of the chain that learns on them.

    With H = U diag(lambda) U' of the chain's own data, rho = 1 - eta lambda, and w, S the mean and the covariance at
    the start of a phase, after k steps the mean is X_S W* - Y_S + X_S U rho^k U'(w - W*) and the covariance
    X_S U (rho^k U'S U rho^k + noise^2 g_k(rho)) U'X_S'.
    """
    deletion = Deletion.of_requests(problem, schedule, requests, unlearn_noise)
    mean = deletion.problem.initial
    covariance = np.zeros((problem.n_features, problem.n_features))
    found = []
    for phase in deletion.phases[:-1]:
        own = deletion.reference if reference else phase.problem
        rate, vectors = schedule.step_size * own.eigenvalues, own.eigenvectors
        rotated = phase.features @ vectors
        to_go = vectors.T @ (mean - own.minimiser)
        spread = vectors.T @ covariance @ vectors
        shape = (phase.steps, len(rate))
        powers = np.array([_powers.power(rate, k) for k in range(phase.steps)]).reshape(shape)
        gains = phase.noise**2 * np.array([_powers.noise_gain(rate, k) for k in range(phase.steps)]).reshape(shape)
        moved = rotated * powers[:, None, :]  # (n, s, p)
        means = moved @ to_go + (phase.features @ own.minimiser - phase.targets)
        covariances = (moved @ spread) @ moved.transpose(0, 2, 1) + (rotated * gains[:, None, :]) @ rotated.T
        found.append(PhaseResiduals(phase.rows, means, 0.5 * (covariances + covariances.transpose(0, 2, 1))))
        last = _powers.power(rate, phase.steps)
        mean = own.minimiser + vectors @ (last[:, None] * to_go)
        kept = last[:, None] * spread * last + np.diag(phase.noise**2 * _powers.noise_gain(rate, phase.steps))
        covariance = vectors @ kept @ vectors.T
    return tuple(found)
