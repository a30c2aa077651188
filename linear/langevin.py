"""Exact laws after learning and unlearning, and what one deletion leaves between them.

Write M = I - eta H for a step on all the data and A = I - eta H_ for a step without row i = (x, y): M = A - eta x x'.
The unlearned chain makes T noisy steps with M and K with A, the reference chain makes all T + K with A. The noise is
the same for every output column, so the laws are Gaussian with a mean per column and one covariance.

Both laws are diagonalised by H = U diag U' and H_ = V diag V'. What a deletion changes is small, so it is never found
by subtracting the two laws: for a function f,

    f(M) - f(A) = U [ f[m, a] o (-eta (U'x)(V'x)') ] V',

o the entrywise product, f[m, a] the divided differences at the eigenvalues m of M and a of A. (Derived here: entry
j, k of U'(f(M) - f(A))V is (f(m_j) - f(a_k)) (U'V)_jk, and for f(t) = t it is (m_j - a_k) (U'V)_jk.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from linear import _checks, _powers
from linear.gaussian_pair import GaussianPair
from linear.residuals import reference_residual_moments, residual_moments
from linear.ridge import RidgeProblem
from linear.schedule import Schedule
from linear.whitened import Whitened

__all__ = [
    "ExactLaws",
    "Schedule",
    "deletion_pair",
    "exact_law_map",
    "exact_laws",
    "reference_residual_moments",
    "residual_moments",
]

Array = NDArray[np.float64]
_EPSILON = float(np.finfo(np.float64).eps)
_LARGEST_EXCESS_ERROR = 1e-6


class ExactLaws(NamedTuple):
    """P, unlearned, and Q, reference: means (p, C), covariances (p, p) shared by the columns."""

    mean_p: Array
    cov_p: Array
    mean_q: Array
    cov_q: Array


@dataclass(frozen=True)
class _Deletion:
    """The two dynamics of one deletion, in their eigenbases."""

    problem: RidgeProblem
    reference: RidgeProblem
    schedule: Schedule
    index: int

    @classmethod
    def of(cls, problem: RidgeProblem, schedule: Schedule, index: int) -> _Deletion:
        index = _checks.position("index", index, problem.n_points)
        deletion = cls(problem, problem.without(index), schedule, index)
        _powers.refuse_overflow(deletion.rate, schedule.horizon)
        return deletion

    @property
    def rate(self) -> Array:
        return self.schedule.step_size * self.problem.eigenvalues

    @property
    def reference_rate(self) -> Array:
        return self.schedule.step_size * self.reference.eigenvalues

    @property
    def reference_std(self) -> Array:
        """Standard deviations of Q along the columns of V."""
        schedule, rate = self.schedule, self.reference_rate
        kept = np.abs(_powers.power(rate, schedule.unlearn_steps)) * np.sqrt(
            _powers.noise_gain(rate, schedule.learn_steps)
        )
        added = np.sqrt(_powers.noise_gain(rate, schedule.unlearn_steps))
        return np.hypot(schedule.learn_noise * kept, schedule.unlearn_noise * added)


def _mean_after(problem: RidgeProblem, step_size: float, steps: int, start: Array) -> Array:
    """Mean after `steps` steps from mean `start`, both in the eigenbasis of the problem's Hessian."""
    rate = step_size * problem.eigenvalues
    pull = step_size * _powers.geometric_sum(rate, steps)
    return _powers.power(rate, steps)[:, None] * start + pull[:, None] * (problem.eigenvectors.T @ problem.cross)


def exact_laws(problem: RidgeProblem, schedule: Schedule, index: int) -> ExactLaws:
    """Exact laws of the parameters after learning with and without row `index`, then unlearning it.

    Raises FloatingPointError where the steps are so long that the chain leaves the range of doubles.
    Derived here; each column of the weights is an independent linear recursion with Gaussian noise.
    """
    deletion = _Deletion.of(problem, schedule, index)
    reference, eta = deletion.reference, schedule.step_size
    learn, unlearn = schedule.learn_steps, schedule.unlearn_steps
    u, v = problem.eigenvectors, reference.eigenvectors
    mean_p = v.T @ (u @ _mean_after(problem, eta, learn, u.T @ problem.initial))
    mean_p = v @ _mean_after(reference, eta, unlearn, mean_p)
    mean_q = v @ _mean_after(reference, eta, schedule.horizon, v.T @ problem.initial)

    kept = _powers.power(deletion.reference_rate, unlearn)[:, None] * (v.T @ u)
    kept = schedule.learn_noise * kept * np.sqrt(_powers.noise_gain(deletion.rate, learn))
    added = schedule.unlearn_noise * np.sqrt(_powers.noise_gain(deletion.reference_rate, unlearn))
    factor_p = v @ np.hstack([kept, np.diag(added)])
    factor_q = v * deletion.reference_std
    return ExactLaws(mean_p, factor_p @ factor_p.T, mean_q, factor_q @ factor_q.T)


def deletion_pair(problem: RidgeProblem, schedule: Schedule, index: int) -> GaussianPair:
    """The unlearned law P against the reference law Q, ready for exact divergences.

    P: learn on all rows, then unlearn row `index` by steps without it. Q: the same steps and the same noise levels,
    all without the row. The whitened gap is computed as such and not by subtraction, so divergences keep their
    relative accuracy however small the gap.

    Raises
    ------
    ValueError : Q is degenerate (no noise ever enters some direction, or what enters is forgotten entirely).
    FloatingPointError : the steps are so long that the chain leaves the range of doubles, or that P is so much wider
        than Q in one direction that the others drown in its rounding.
    """
    deletion = _Deletion.of(problem, schedule, index)
    _refuse_degenerate(deletion)
    return GaussianPair.from_whitened(_whitened(deletion), *exact_laws(problem, schedule, index))


def _whitened(deletion: _Deletion) -> Whitened:
    """The pair where Q is standard and P diagonal, with estimates of its errors.

    The estimates are first-order with a margin, and no proof (the tests compare them with 50 digits). Each is `unit`
    times what was summed, for roundings that add up like a random walk, plus a few eps |x| for the coordinates of the
    deleted row, which is what counts where these are small. `excess_error` bounds the norm by which P's covariance
    may differ from diagonal in the basis found, so close or equal excesses do no harm.
    """
    schedule, unit = deletion.schedule, _rounding(deletion)
    weight = _gap_weights(deletion)
    gap, gap_error = (weight[:, None] * part for part in _learned_mean_gap(deletion, unit))
    scale = schedule.learn_noise**2 * weight[:, None] * weight[None, :]
    difference, difference_error = (scale * part for part in _learned_gain_gap(deletion))
    excess, directions = np.linalg.eigh(difference)
    squares = directions**2
    error = np.sum(squares * ((unit * np.abs(difference) + difference_error) ** 2 @ squares), axis=0) ** 0.5
    error += 16.0 * _EPSILON * np.max(np.abs(excess))
    if np.max(error) > _LARGEST_EXCESS_ERROR:
        raise FloatingPointError(
            f"variance ratio {1 + np.max(excess):.3g} of the unlearned to the reference law in one direction: "
            f"step_size * smoothness = {np.max(deletion.rate):.6g} is too long to resolve the other directions"
        )
    ratio = 1.0 + excess
    small = excess < -0.5
    ratio[small] = _small_ratios(deletion, weight, directions[:, small])
    excess[small] = ratio[small] - 1.0
    # Sums of squares of coordinates that are right to `error` of the largest.
    error[small] *= 2.0 * np.sqrt(ratio[small]) + error[small]

    shift = np.linalg.norm(directions.T @ gap, axis=1)
    shift_error = np.linalg.norm(gap_error)
    return Whitened(
        shift_squared=shift**2,
        excess=excess,
        ratio=ratio,
        columns=deletion.problem.n_outputs,
        shift_error=shift_error * (2.0 * shift + shift_error),
        excess_error=error,
    )


def _rounding(deletion: _Deletion) -> float:
    """Relative rounding of a sum over the spectrum: a random walk over p + N terms, and growth of an error in a rate.

    A rate beyond 1 is known to a few eps of itself, and |t|^N passes that on min(N, 1 / (1 - |t|))-fold.
    """
    rate, horizon = deletion.rate, deletion.schedule.horizon
    left = np.maximum(-_powers.log_magnitude(rate), 1.0 / horizon)
    growth = 4.0 * np.max(np.where(rate > 1.0, rate / left, 0.0))
    return float(_EPSILON * (4.0 * np.sqrt(len(rate) + horizon) + growth))


def _refuse_degenerate(deletion: _Deletion) -> None:
    """ValueError unless Q has positive variance in every direction."""
    schedule, rate = deletion.schedule, deletion.reference_rate
    if schedule.unlearn_noise > 0 and schedule.unlearn_steps > 0:
        return
    if schedule.learn_noise == 0 or schedule.learn_steps == 0:
        raise ValueError(
            f"learn_noise = {schedule.learn_noise!r} in {schedule.learn_steps} steps, unlearn_noise = "
            f"{schedule.unlearn_noise!r} in {schedule.unlearn_steps}: no noise is ever added, the laws are points"
        )
    # An eigenvalue is known to about p eps of the largest, so a smaller |1 - rate| cannot be told from zero.
    unresolved = len(rate) * _EPSILON * max(1.0, float(np.max(rate)))
    if schedule.unlearn_steps > 0 and np.min(np.abs(1.0 - rate)) <= unresolved:
        raise ValueError(
            f"unlearn_noise = 0 and step_size = {schedule.step_size!r}: step_size * eigenvalue = 1 for an eigenvalue "
            "of the reference Hessian, so one unlearning step wipes out that direction and the reference law is "
            "degenerate; add unlearn_noise or change step_size"
        )


def _gap_weights(deletion: _Deletion) -> Array:
    """a^K / (standard deviation of Q) along V: takes a gap at the end of learning to a whitened gap at the end."""
    schedule, rate = deletion.schedule, deletion.reference_rate
    if schedule.unlearn_steps == 0 or schedule.unlearn_noise == 0:
        # a^K cancels; it may underflow by itself. Its sign only mirrors a coordinate.
        return 1.0 / (schedule.learn_noise * np.sqrt(_powers.noise_gain(rate, schedule.learn_steps)))
    return _powers.power(rate, schedule.unlearn_steps) / deletion.reference_std


def _learned_mean_gap(deletion: _Deletion, unit: float) -> tuple[Array, Array]:
    """E W_T - E W'_T after learning with and without the row, in the basis V, (p, C), and its error.

    It is (I - A^T)(W* - W*_) + (M^T - A^T)(W_0 - W*), where W* - W*_ = -H_^{-1} x r' with r the residual x'W* - y =
    (x'W*_ - y) / (1 + x'H_^{-1}x). No term is the difference of two nearly equal ones.
    """
    problem, reference = deletion.problem, deletion.reference
    eta, learn = deletion.schedule.step_size, deletion.schedule.learn_steps
    x, y = problem.features[deletion.index], problem.targets[deletion.index]
    in_u, in_v, in_error = _coordinates(deletion)
    pull = in_v / reference.eigenvalues  # H_^{-1} x
    spared = 1.0 + in_v @ pull
    residual = (x @ reference.minimiser - y) / spared
    # Not problem.minimiser, whose rounding in directions of little curvature would not cancel that of `residual`.
    minimiser = reference.minimiser - reference.eigenvectors @ (pull[:, None] * residual)
    to_go = problem.eigenvectors.T @ (problem.initial - minimiser)
    differences = _powers.power_differences(deletion.reference_rate, deletion.rate, learn)
    sums = _powers.geometric_sum(deletion.reference_rate, learn)[:, None]
    drive = sums * residual + differences @ (in_u[:, None] * to_go)

    residual_error = unit * np.sqrt(x**2 @ reference.minimiser**2 + y**2) / spared
    drive_variance = (sums * residual_error) ** 2
    drive_variance += differences**2 @ (((unit * in_u) ** 2 + in_error**2)[:, None] * to_go**2)
    error = eta * (np.abs(in_v)[:, None] * np.sqrt(drive_variance) + in_error * np.abs(drive))
    return -eta * in_v[:, None] * drive, error


def _learned_gain_gap(deletion: _Deletion) -> tuple[Array, Array]:
    """g_T(M) - g_T(A) in the basis V, (p, p), symmetric, and what the rounding of the coordinates of x does to it."""
    problem, reference = deletion.problem, deletion.reference
    in_u, in_v, in_error = _coordinates(deletion)
    differences = _powers.gain_differences(deletion.rate, deletion.reference_rate, deletion.schedule.learn_steps)
    rotation = reference.eigenvectors.T @ problem.eigenvectors
    drive = (rotation * in_u) @ differences
    gap = -deletion.schedule.step_size * drive * in_v
    drive_error = np.sqrt(rotation**2 @ differences**2) * in_error
    error = deletion.schedule.step_size * (np.abs(drive) * in_error + drive_error * np.abs(in_v))
    return 0.5 * (gap + gap.T), 0.5 * (error + error.T)


def _coordinates(deletion: _Deletion) -> tuple[Array, Array, float]:
    """The deleted row in the bases U and V, and the error of every coordinate."""
    x = deletion.problem.features[deletion.index]
    return (
        deletion.problem.eigenvectors.T @ x,
        deletion.reference.eigenvectors.T @ x,
        4.0 * _EPSILON * float(np.linalg.norm(x)),
    )


def _small_ratios(deletion: _Deletion, weight: Array, directions: Array) -> Array:
    """Variance of whitened P along the given unit columns, as a sum of squares (1 + excess would cancel)."""
    schedule = deletion.schedule
    rotation = deletion.problem.eigenvectors.T @ deletion.reference.eigenvectors
    learned = np.sqrt(_powers.noise_gain(deletion.rate, schedule.learn_steps))[:, None] * (
        rotation @ (weight[:, None] * directions)
    )
    total = schedule.learn_noise**2 * np.sum(learned**2, axis=0)
    if schedule.unlearn_steps and schedule.unlearn_noise:
        added = np.sqrt(_powers.noise_gain(deletion.reference_rate, schedule.unlearn_steps)) / deletion.reference_std
        total += schedule.unlearn_noise**2 * np.sum((added[:, None] * directions) ** 2, axis=0)
    return total


def exact_law_map(problem: RidgeProblem, schedule: Schedule, index: int) -> tuple[Array, Array]:
    """The affine map W -> matrix @ W + offset that takes the *learned* law exactly to the reference law.

    With (mu, S) the law after `learn_steps` on all the data and (m', S') the reference law after the whole
    horizon, it is W -> m' + S'^{1/2} S^{-1/2} (W - mu), so unlearning by it is perfect: epsilon = 0. It is the
    statement on laws that goes with the exact move of the minimiser in Benarroch, Atif, Cappe 2026, Remark 4.5
    (derived here).

    Returns matrix (p, p) and offset (p, C). Raises ValueError where learning adds no noise.
    """
    deletion = _Deletion.of(problem, schedule, index)
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
