"""Exact laws after learning and unlearning, and the pair of laws that one deletion leaves.

Write M = I - eta H for a step on all the data and A = I - eta H_ for a step without row i = (x, y): M = A - eta x x'.
The unlearned chain makes T noisy steps with M and K with A, the reference chain makes all T + K with A. The noise is
the same for every output column, so the laws are Gaussian with a mean per column and one covariance.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from linear import _gap, _powers
from linear._deletion import Deletion
from linear.gaussian_pair import GaussianPair
from linear.residuals import reference_residual_moments, residual_moments
from linear.ridge import RidgeProblem
from linear.schedule import Schedule
from linear.whitened import Whitened

__all__ = [
    "ExactLaws",
    "deletion_pair",
    "exact_law_map",
    "exact_laws",
    "reference_residual_moments",
    "residual_moments",
    "whitened_gap",
]

Array = NDArray[np.float64]
_LARGEST_RELATIVE_ERROR = 1e-6


class ExactLaws(NamedTuple):
    """P, unlearned, and Q, reference: means (p, C), covariances (p, p) shared by the columns."""

    mean_p: Array
    cov_p: Array
    mean_q: Array
    cov_q: Array


def exact_laws(problem: RidgeProblem, schedule: Schedule, index: int) -> ExactLaws:
    """Exact laws of the parameters after learning with and without row `index`, then unlearning it.

    Raises FloatingPointError where the steps are so long that the chain leaves the range of doubles.
    Derived here; each column of the weights is an independent linear recursion with Gaussian noise.
    """
    return laws_of(Deletion.of(problem, schedule, index))


def laws_of(deletion: Deletion) -> ExactLaws:
    """The laws of any sequence of phases."""
    vectors = deletion.reference.eigenvectors
    mean_p = mean_q = vectors.T @ deletion.problem.initial
    factor_p = np.zeros((len(mean_p), 0))
    for phase in deletion.phases:
        change = _gap.Change(deletion, phase)
        mean_p, factor_p = change.mean_after(mean_p), change.spread_after(factor_p)
    mean_q = _mean_after(deletion.reference, deletion.schedule.step_size, deletion.horizon, mean_q)
    factor_p, factor_q = vectors @ factor_p, vectors * deletion.reference_std
    return ExactLaws(vectors @ mean_p, factor_p @ factor_p.T, vectors @ mean_q, factor_q @ factor_q.T)


def _mean_after(problem: RidgeProblem, step_size: float, steps: int, start: Array) -> Array:
    """Mean after `steps` steps from mean `start`, both in the eigenbasis of the problem's Hessian."""
    rate = step_size * problem.eigenvalues
    pull = step_size * _powers.geometric_sum(rate, steps)
    return _powers.power(rate, steps)[:, None] * start + pull[:, None] * (problem.eigenvectors.T @ problem.cross)


def whitened_gap(problem: RidgeProblem, schedule: Schedule, index: int) -> Whitened:
    """The unlearned law P in the coordinates where the reference law Q is standard, with the errors of its numbers.

    They are the numbers of `deletion_pair`, found as a gap and not by subtracting laws, so they keep their digits
    however small the gap: mostly 13 or more, fewer where the deleted row by far outweighs the others or the steps are
    close to 2 / smoothness. The errors are estimates, with a margin and without proof.

    Raises
    ------
    ValueError : Q is degenerate (no noise ever enters some direction, or what enters is forgotten entirely).
    FloatingPointError : the steps are so long that the chain leaves the range of doubles, or that P is so much wider
        than Q in one direction that the others drown in its rounding.
    """
    return _gap.whitened_gap(Deletion.of(problem, schedule, index))


def deletion_pair(problem: RidgeProblem, schedule: Schedule, index: int) -> GaussianPair:
    """The unlearned law P against the reference law Q, ready for exact divergences.

    P: learn on all rows, then unlearn row `index` by steps without it. Q: the same steps and the same noise levels,
    all without the row. Divergences come from the numbers of `whitened_gap`, taken as exact: they inherit its relative
    accuracy. Samples and enclosures come from the means and covariances, which do not see a gap below their rounding.

    Raises ValueError and FloatingPointError like `whitened_gap`, and FloatingPointError where its error may exceed 1e-6
    of the gap.
    """
    return pair_of(Deletion.of(problem, schedule, index))


def pair_of(deletion: Deletion) -> GaussianPair:
    """The pair of any sequence of phases."""
    whitened = _gap.whitened_gap(deletion)
    shift_error, excess_error = whitened.errors
    gap = np.sqrt(np.sum(whitened.shift_squared)) + np.max(np.abs(whitened.excess))
    if max(np.sum(shift_error), np.max(excess_error) * gap) > _LARGEST_RELATIVE_ERROR * gap**2:
        rows = deletion.rows
        named, these = (
            (f"index = {rows[0]}", "this row outweighs") if len(rows) == 1 else (f"rows {rows}", "these outweigh")
        )
        raise FloatingPointError(
            f"{named}: the gap that its deletion leaves, {gap:.3g} in standard deviations of the reference, is known "
            f"to fewer than six digits; {these} all the others"
        )
    return GaussianPair.from_whitened(replace(whitened, shift_error=None, excess_error=None), *laws_of(deletion))


def exact_law_map(problem: RidgeProblem, schedule: Schedule, index: int) -> tuple[Array, Array]:
    """The affine map W -> matrix @ W + offset that takes the *learned* law exactly to the reference law.

    With (mu, S) the law after `learn_steps` on all the data and (m', S') the reference law after the whole
    horizon, it is W -> m' + S'^{1/2} S^{-1/2} (W - mu), so unlearning by it is perfect: epsilon = 0. It is the
    statement on laws that goes with the exact move of the minimiser in Benarroch, Atif, Cappe 2026, Remark 4.5
    (derived here).

    Returns matrix (p, p) and offset (p, C). Raises ValueError where learning adds no noise.
    """
    deletion = Deletion.of(problem, schedule, index)
    learn = schedule.learn_steps
    if learn == 0 or schedule.learn_noise == 0:
        raise ValueError(
            f"learn_steps = {learn}, learn_noise = {schedule.learn_noise!r}: the learned law is a point and no map "
            "takes it to a law with noise"
        )
    u, v = problem.eigenvectors, deletion.reference.eigenvectors
    learned_std = schedule.learn_noise * np.sqrt(_powers.noise_gain(deletion.rate, learn))
    matrix = (v * deletion.reference_std) @ (v.T @ u) @ (u / learned_std).T
    learned = u @ _mean_after(problem, schedule.step_size, learn, u.T @ problem.initial)
    target = v @ _mean_after(deletion.reference, schedule.step_size, schedule.horizon, v.T @ problem.initial)
    return matrix, target - matrix @ learned
