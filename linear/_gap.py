"""What one deletion leaves between the two laws, whitened, to full relative accuracy.

What a deletion changes is small, so it is never found by subtracting the two laws. With M = I - eta H and
A = I - eta H_ = M + eta x x', H = U diag U' and H_ = V diag V', for a function f

    f(M) - f(A) = U [ f[m, a] o (-eta (U'x)(V'x)') ] V',

o the entrywise product, f[m, a] the divided differences at the eigenvalues m of M and a of A. (Derived here: entry
j, k of U'(f(M) - f(A))V is (f(m_j) - f(a_k)) (U'V)_jk, and for f(t) = t it is (m_j - a_k) (U'V)_jk.)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from linear import _powers
from linear._deletion import Deletion
from linear.whitened import Whitened

Array = NDArray[np.float64]
_EPSILON = float(np.finfo(np.float64).eps)
_LARGEST_EXCESS_ERROR = 1e-6  # absolute


def whitened_gap(deletion: Deletion) -> Whitened:
    """The pair where Q is standard and P diagonal, with estimates of its errors.

    Raises ValueError where Q is degenerate and FloatingPointError where P is too much wider than Q in one direction for
    the others to be resolved.

    The estimates are first-order with a margin, and no proof (the tests compare them with 50 digits). Each is `unit`
    times what was summed, for roundings that add up like a random walk, plus a few eps |x| for the coordinates of the
    deleted row, which is what counts where these are small. `excess_error` bounds the norm by which P's covariance
    may differ from diagonal in the basis found, so close or equal excesses do no harm.
    """
    _refuse_degenerate(deletion)
    schedule, unit = deletion.schedule, _rounding(deletion)
    weight = _gap_weights(deletion)
    gap, gap_error = (weight[:, None] * part for part in _learned_mean_gap(deletion, unit))
    scale = schedule.learn_noise**2 * weight[:, None] * weight[None, :]
    difference, difference_error = (scale * part for part in _learned_gain_gap(deletion))
    excess, directions = np.linalg.eigh(difference)
    # An eigenvalue moves by z'Ez; E is entry by entry in proportion to what it rounds, and normwise in the eigensolver.
    size = np.abs(directions)
    error = np.sum(size * ((unit * np.abs(difference) + difference_error) @ size), axis=0)
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


def _rounding(deletion: Deletion) -> float:
    """Relative rounding of a sum over the spectrum: a random walk over p + N terms, and growth of an error in a rate.

    A rate beyond 1 is known to a few eps of itself, and |t|^N passes that on min(N, 1 / (1 - |t|))-fold.
    """
    rate, horizon = deletion.rate, deletion.schedule.horizon
    left = np.maximum(-_powers.log_magnitude(rate), 1.0 / horizon)
    growth = 4.0 * np.max(np.where(rate > 1.0, rate / left, 0.0))
    return float(_EPSILON * (16.0 * np.sqrt(len(rate) + horizon) + growth))


def _refuse_degenerate(deletion: Deletion) -> None:
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


def _gap_weights(deletion: Deletion) -> Array:
    """a^K / (standard deviation of Q) along V: takes a gap at the end of learning to a whitened gap at the end."""
    schedule, rate = deletion.schedule, deletion.reference_rate
    if schedule.unlearn_steps == 0 or schedule.unlearn_noise == 0:
        # a^K cancels; it may underflow by itself. Its sign only mirrors a coordinate.
        return 1.0 / (schedule.learn_noise * np.sqrt(_powers.noise_gain(rate, schedule.learn_steps)))
    return _powers.power(rate, schedule.unlearn_steps) / deletion.reference_std


def _learned_mean_gap(deletion: Deletion, unit: float) -> tuple[Array, Array]:
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


def _learned_gain_gap(deletion: Deletion) -> tuple[Array, Array]:
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


def _coordinates(deletion: Deletion) -> tuple[Array, Array, float]:
    """The deleted row in the bases U and V, and the error of every coordinate."""
    x = deletion.problem.features[deletion.index]
    return (
        deletion.problem.eigenvectors.T @ x,
        deletion.reference.eigenvectors.T @ x,
        4.0 * _EPSILON * float(np.linalg.norm(x)),
    )


def _small_ratios(deletion: Deletion, weight: Array, directions: Array) -> Array:
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
