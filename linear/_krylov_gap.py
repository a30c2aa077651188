"""What each of many deletions leaves between its two laws, whitened, in the point's Krylov coordinates.

As `_gap` does it for one deletion in all p coordinates: the gap of the covariances through divided differences, that
of the means as -eta sum_k A^{T-1-k} x r_k' from the residual means r_k along the chain on all the data. Everything is
a function of H_ applied to x or a product of such, so a point needs only its own few coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from linear import _powers
from linear._gap import LARGEST_EXCESS_ERROR, rounding, unresolved
from linear.krylov import KrylovCoordinates
from linear.residuals import residual_means
from linear.ridge import RidgeProblem
from linear.schedule import Schedule
from linear.whitened import Whitened

Array = NDArray[np.float64]
_EPSILON = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Residuals:
    """Of some points: mean residuals along learning, the last step's first, (m, T, C), and their norms, (m, T); how far
    rounding may move each, (m,); |x|, (m,).
    """

    means: Array
    norms: Array
    error: Array
    row_norm: Array

    @classmethod
    def of(cls, problem: RidgeProblem, schedule: Schedule, chosen: NDArray[np.intp]) -> Residuals:
        """Those of the points `chosen`."""
        rows, targets = problem.features[chosen], problem.targets[chosen]
        rotated = rows @ problem.eigenvectors
        to_go = problem.eigenvectors.T @ (problem.initial - problem.minimiser)
        size = rows**2 @ problem.minimiser**2 + targets**2 + rotated**2 @ to_go**2
        unit = rounding(schedule.step_size * problem.eigenvalues, schedule.horizon)
        means = np.ascontiguousarray(residual_means(problem, schedule, chosen, rotated)[:, ::-1])
        return cls(
            means=means,
            norms=np.sqrt(np.einsum("mtc,mtc->mt", means, means)),
            error=unit * np.sqrt(size.sum(axis=1)),
            row_norm=np.linalg.norm(rows, axis=1),
        )

    def rows(self, part: NDArray[np.intp]) -> Residuals:
        """The same of some of the points."""
        return self if len(part) == len(self.error) else Residuals(*(one[part] for one in vars(self).values()))


def krylov_gap(
    problem: RidgeProblem,
    schedule: Schedule,
    points: KrylovCoordinates,
    residuals: Residuals,
    unlearn_noise: Array | None = None,
) -> tuple[Whitened, NDArray[np.bool_]]:
    """The pairs, one a row, most bent directions first, and which of them are resolved; the others are void.

    `unlearn_noise` (m,), all positive, takes the place of the schedule's: a noise of its own for every point. The errors
    are those of rounding, estimated like those of `_gap`; what the space misses is not among them.
    """
    eta, learn = schedule.step_size, schedule.learn_steps
    full, reference = eta * points.curvature, eta * points.reference_curvature
    spectrum = eta * problem.eigenvalues
    unit = rounding(spectrum, schedule.horizon)
    noise = np.array([[schedule.unlearn_noise]]) if unlearn_noise is None else unlearn_noise[:, None]
    heard = bool(np.all(noise > 0))
    weight = _weights(schedule, reference, noise)
    # A rate is known to a few eps of the step on the largest curvature, and a^K passes that on.
    kept = schedule.unlearn_steps if heard else 0
    blur = 1.0 + kept / np.maximum(np.abs(1.0 - reference), _EPSILON)
    weight_error = 4.0 * _EPSILON * blur * np.max(spectrum)
    in_error = 4.0 * _EPSILON * residuals.row_norm[:, None]

    powers = _powers_up_to(1.0 - reference, learn)
    drive = powers @ residuals.means
    if (reference > 1.0).any():
        np.abs(powers, out=powers)
    drive_size, sums = (powers @ residuals.norms[:, :, None])[:, :, 0], powers.sum(axis=2)
    gap = (-eta * weight * points.row)[:, :, None] * drive
    drive_error = unit * drive_size + sums * residuals.error[:, None] + weight_error * drive_size
    gap_error = np.abs(points.row) * drive_error + in_error * np.linalg.norm(drive, axis=2)
    shift_error = np.linalg.norm(eta * weight * gap_error, axis=1)

    gains = _powers.gain_differences(full, reference, learn)
    in_full = np.einsum("mjk,mj->mk", points.overlap, points.row)
    drive = (points.overlap * in_full[:, None, :]) @ gains
    scale = -eta * schedule.learn_noise**2 * weight[:, :, None] * weight[:, None, :]
    difference = scale * drive * points.row[:, None, :]
    difference = 0.5 * (difference + difference.transpose(0, 2, 1))
    drive_error = np.sqrt(points.overlap**2 @ gains**2) * in_error[:, :, None]
    difference_error = np.abs(scale) * (
        np.abs(drive) * in_error[:, :, None] + drive_error * np.abs(points.row)[:, None, :]
    )
    relative = unit + weight_error[:, :, None] + weight_error[:, None, :]
    difference_error = relative * np.abs(difference) + 0.5 * (difference_error + difference_error.transpose(0, 2, 1))
    sound = np.isfinite(difference).all(axis=(1, 2)) & np.isfinite(gap).all(axis=(1, 2))
    difference[~sound], gap[~sound] = 0.0, 0.0
    excess, directions = np.linalg.eigh(difference)
    turn = np.argsort(-np.abs(excess), axis=1, kind="stable")
    excess = np.take_along_axis(excess, turn, axis=1)
    directions = np.take_along_axis(directions, turn[:, None, :], axis=2)
    shape = np.abs(directions)
    error = np.einsum("mij,mij->mj", shape, difference_error @ shape)
    error += 16.0 * _EPSILON * np.max(np.abs(excess), axis=1)[:, None]

    # Learning with the row leaves at least 1/T of the variance without it: 1 + excess loses no more digits than T has.
    ratio = 1.0 + excess
    shift = np.linalg.norm(directions.transpose(0, 2, 1) @ gap, axis=2)
    shift_error = shift_error[:, None] * (2.0 * shift + shift_error[:, None])

    # Rank-deficient reference laws, and rows whose directions drown in the widest, are left to the dense path.
    sound &= np.isfinite(shift_error).all(axis=1) & (ratio > 0.0).all(axis=1)
    sound &= error.max(axis=1) <= LARGEST_EXCESS_ERROR
    if not heard and schedule.unlearn_steps > 0:
        sound &= np.min(np.abs(1.0 - reference), axis=1) > unresolved(spectrum)
    for values in (shift, excess, shift_error, error):
        values[~sound] = 0.0
    ratio[~sound] = 1.0
    return Whitened(shift**2, excess, ratio, problem.n_outputs, shift_error, error), sound


def _weights(schedule: Schedule, rate: Array, noise: Array) -> Array:
    """a^K / (standard deviation of Q), a = 1 - rate: takes a gap at the end of learning to a whitened gap at the end."""
    if schedule.unlearn_steps == 0 or not np.all(noise > 0):
        # a^K cancels; it may underflow by itself. Its sign only mirrors a coordinate.
        return 1.0 / (schedule.learn_noise * np.sqrt(_powers.noise_gain(rate, schedule.learn_steps)))
    return _powers.power(rate, schedule.unlearn_steps) / _reference_std(schedule, rate, noise)


def _reference_std(schedule: Schedule, rate: Array, noise: Array) -> Array:
    """Standard deviation of Q in a direction of this reference rate."""
    kept = np.abs(_powers.power(rate, schedule.unlearn_steps)) * np.sqrt(_powers.noise_gain(rate, schedule.learn_steps))
    added = np.sqrt(_powers.noise_gain(rate, schedule.unlearn_steps))
    return np.hypot(schedule.learn_noise * kept, noise * added)


def _powers_up_to(factor: Array, count: int) -> Array:
    """factor^k for k = 0..count-1, (m, k, count), by doubling."""
    powers = np.ones((*factor.shape, count))
    filled, step = 1, factor
    while filled < count:
        more = min(filled, count - filled)
        np.multiply(powers[:, :, :more], step[:, :, None], out=powers[:, :, filled : filled + more])
        filled, step = filled + more, step * step
    return powers
