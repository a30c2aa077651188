"""What deletions leave between the two laws, whitened, to full relative accuracy.

What a deletion changes is small, so it is never found by subtracting the two laws. With M = I - eta H and
A = I - eta H_ = M + eta X_S'X_S (X_S the rows that only M has), H = U diag U' and H_ = V diag V', for a function f

    f(M) - f(A) = U [ f[m, a] o (-eta (U'X_S')(V'X_S')') ] V',

o the entrywise product, f[m, a] the divided differences at the eigenvalues m of M and a of A. (Derived here: entry
j, k of U'(f(M) - f(A))V is (f(m_j) - f(a_k)) (U'V)_jk, and for f(t) = t it is (m_j - a_k) (U'V)_jk.)

Over several phases the gap is carried, not recomputed. With E = M^n - A^n, a phase of n steps takes the gap D of the
covariances (that of P being S) and the gap d of the means (that of P being w) to

    A^n D A^n + E S A^n + A^n S E' + E S E' + noise^2 (g_n(M) - g_n(A)),
    A^n d + E (w - W*) + (I - A^n)(W* - W*_),

W* and W*_ the minimisers with and without the rows: sums of small terms.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from linear import _powers
from linear._deletion import Deletion, Phase
from linear.whitened import Whitened

Array = NDArray[np.float64]
_EPSILON = float(np.finfo(np.float64).eps)
LARGEST_EXCESS_ERROR = 1e-6  # absolute


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
    unit, weight = rounding(deletion.rate, deletion.horizon), _gap_weights(deletion)
    blur = _weight_error(deletion)
    carried = _carried(deletion, unit)
    gap, gap_error = (weight[:, None] * part for part in carried.mean)
    gap_error += blur[:, None] * np.abs(gap)
    scale = weight[:, None] * weight[None, :]
    difference, difference_error = (scale * part for part in carried.covariance)
    excess, directions = np.linalg.eigh(difference)
    # An eigenvalue moves by z'Ez; E is entry by entry in proportion to what it rounds, and normwise in the eigensolver.
    size = np.abs(directions)
    relative = unit + blur[:, None] + blur
    error = np.sum(size * ((relative * np.abs(difference) + difference_error) @ size), axis=0)
    error += 16.0 * _EPSILON * np.max(np.abs(excess))
    if np.max(error) > LARGEST_EXCESS_ERROR:
        raise FloatingPointError(
            f"variance ratio {1 + np.max(excess):.3g} of the unlearned to the reference law in one direction: "
            f"step_size * smoothness = {np.max(deletion.rate):.6g} is too long to resolve the other directions"
        )
    ratio = 1.0 + excess
    small = excess < -0.5
    ratio[small] = _small_ratios(deletion, carried.factor, weight, directions[:, small])
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


def rounding(rate: Array, horizon: int) -> float:
    """Relative rounding of a sum over the spectrum: a random walk over p + N terms, and growth of an error in a rate.

    A rate beyond 1 is known to a few eps of itself, and |t|^N passes that on min(N, 1 / (1 - |t|))-fold.
    """
    left = np.maximum(-_powers.log_magnitude(rate), 1.0 / horizon)
    growth = 4.0 * np.max(np.where(rate > 1.0, rate / left, 0.0))
    return float(_EPSILON * (16.0 * np.sqrt(len(rate) + horizon) + growth))


def _refuse_degenerate(deletion: Deletion) -> None:
    """ValueError unless Q has positive variance in every direction."""
    rate, phases = deletion.reference_rate, deletion.phases
    noisy = [place for place, phase in enumerate(phases) if phase.noise > 0 and phase.steps > 0]
    if not noisy:
        learning, *unlearning = phases
        later = ", ".join(f"unlearn_noise = {phase.noise!r} in {phase.steps}" for phase in unlearning)
        raise ValueError(
            f"learn_noise = {learning.noise!r} in {learning.steps} steps, {later}: no noise is ever added, the laws "
            "are points"
        )
    if not any(phase.steps for phase in phases[noisy[-1] + 1 :]):
        return
    if np.min(np.abs(1.0 - rate)) <= unresolved(rate):
        raise ValueError(
            f"unlearn_noise = 0 and step_size = {deletion.schedule.step_size!r}: step_size * eigenvalue = 1 for an "
            "eigenvalue of the reference Hessian, so one unlearning step wipes out that direction and the reference "
            "law is degenerate; add unlearn_noise or change step_size"
        )


def unresolved(rate: Array) -> float:
    """|1 - rate| up to which it cannot be told from zero: an eigenvalue is known to about p eps of the largest."""
    return len(rate) * _EPSILON * max(1.0, float(np.max(rate)))


def _gap_weights(deletion: Deletion) -> Array:
    """a^K / (standard deviation of Q) along V: takes a gap before the last phase to a whitened gap at the end."""
    last = deletion.phases[-1]
    if last.steps == 0 or last.noise == 0:
        # a^K cancels; it may underflow by itself. Its sign only mirrors a coordinate.
        return 1.0 / deletion.reference_std_after(len(deletion.phases) - 1)
    return _powers.power(deletion.reference_rate, last.steps) / deletion.reference_std


def _weight_error(deletion: Deletion) -> Array:
    """Relative error of the weights: 1 - rate is rounded like rate, and a^K passes on what that is of 1 - rate."""
    last, rate = deletion.phases[-1], deletion.reference_rate
    if last.steps == 0 or last.noise == 0:
        return np.zeros_like(rate)
    return 4.0 * _EPSILON * last.steps * rate / np.maximum(np.abs(1.0 - rate), _EPSILON)


class _Known(NamedTuple):
    """An array and an estimate of the error of every entry."""

    value: Array
    error: Array

    def times(self, other: _Known, unit: float) -> _Known:
        """The product of two matrices."""
        size, other_size = np.abs(self.value), np.abs(other.value)
        error = self.error @ other_size + size @ other.error + unit * (size @ other_size)
        return _Known(self.value @ other.value, error)

    @property
    def transposed(self) -> _Known:
        return _Known(self.value.T, self.error.T)


class _Carried(NamedTuple):
    """Before the last phase, in the basis V: the gaps P - Q of the means (p, C) and of the covariances (p, p), and a
    factor (p, m) of the covariance of P."""

    mean: _Known
    covariance: _Known
    factor: Array


def _carried(deletion: Deletion, unit: float) -> _Carried:
    rate, vectors = deletion.reference_rate, deletion.reference.eigenvectors
    size, outputs = len(rate), deletion.problem.n_outputs
    mean = _Known(np.zeros((size, outputs)), np.zeros((size, outputs)))
    covariance = _Known(np.zeros((size, size)), np.zeros((size, size)))
    factor = np.zeros((size, 0))
    start = vectors.T @ deletion.problem.initial
    for place, phase in enumerate(deletion.phases[:-1]):
        change = Change(deletion, phase)
        moved = change.mean_gap(vectors @ start, unit)
        gained = change.gain_gap()
        added = _Known(phase.noise**2 * gained.value, phase.noise**2 * gained.error)
        if place:
            kept = _powers.power(rate, phase.steps)
            scale = np.abs(kept)
            both, both_size = kept[:, None] * kept, scale[:, None] * scale
            spread = factor @ factor.T
            power_gap = change.power_gap()
            driven = power_gap.times(_Known(spread, unit * np.abs(spread)), unit)
            twice = driven.times(power_gap.transposed, unit)
            once, once_error = driven.value * kept, driven.error * scale
            mean = _Known(kept[:, None] * mean.value + moved.value, scale[:, None] * mean.error + moved.error)
            covariance = _Known(
                both * covariance.value + (once + once.T) + 0.5 * (twice.value + twice.value.T) + added.value,
                both_size * covariance.error + once_error + once_error.T + twice.error + added.error,
            )
        else:
            mean, covariance = moved, added
        factor = change.spread_after(factor)
        start = change.mean_after(start)
    return _Carried(mean, covariance, factor)


class Change:
    """What the rows of one phase change: H = U diag U' with them, H_ = V diag V' without."""

    def __init__(self, deletion: Deletion, phase: Phase) -> None:
        self.phase, self.reference = phase, deletion.reference
        self.step_size = deletion.schedule.step_size
        self.rate, self.reference_rate = self.step_size * phase.problem.eigenvalues, deletion.reference_rate
        self.rotation = self.reference.eigenvectors.T @ phase.problem.eigenvectors  # V'U
        # The rows in both bases, in columns (p, s), and the error of every coordinate of each.
        self.in_u = phase.problem.eigenvectors.T @ phase.features.T
        self.in_v = self.reference.eigenvectors.T @ phase.features.T
        self.in_error = 4.0 * _EPSILON * np.linalg.norm(phase.features, axis=1)

    def mean_gap(self, start: Array, unit: float) -> _Known:
        """The gap of the means after the phase, both chains starting it at `start` (p, C), in the basis V.

        It is (I - A^n)(W* - W*_) + (M^n - A^n)(start - W*), where W* - W*_ = -H_^{-1} X_S'R with R the residuals
        X_S W* - Y_S = (I + X_S H_^{-1} X_S')^{-1} (X_S W*_ - Y_S). No term is the difference of two nearly equal ones.
        """
        phase, reference, eta = self.phase, self.reference, self.step_size
        pull = self.in_v / reference.eigenvalues[:, None]  # H_^{-1} X_S'
        spared = np.eye(len(phase.rows)) + self.in_v.T @ pull
        solve = np.linalg.inv(spared)
        residual = solve @ (phase.features @ reference.minimiser - phase.targets)
        # Not problem.minimiser, whose rounding in directions of little curvature would not cancel that of `residual`.
        minimiser = reference.minimiser - reference.eigenvectors @ (pull @ residual)
        to_go = phase.problem.eigenvectors.T @ (start - minimiser)
        differences = _powers.power_differences(self.reference_rate, self.rate, phase.steps)
        sums = _powers.geometric_sum(self.reference_rate, phase.steps)[:, None]
        squares, to_go_squared = differences**2, to_go**2

        # The first-order error of a solve is that of its right side and that of its matrix.
        reach = np.abs(solve)
        residual_error = unit * reach @ np.sqrt(phase.features**2 @ reference.minimiser**2 + phase.targets**2)
        if len(phase.rows) > 1:
            residual_error += unit * (reach @ (np.abs(spared) @ np.abs(residual)))
        total, error = np.zeros_like(to_go), np.zeros_like(to_go)
        for row in range(len(phase.rows)):
            in_u, in_v, in_error = self.in_u[:, row], self.in_v[:, row], self.in_error[row]
            drive = sums * residual[row] + differences @ (in_u[:, None] * to_go)
            drive_variance = (sums * residual_error[row]) ** 2
            drive_variance += squares @ (((unit * in_u) ** 2 + in_error**2)[:, None] * to_go_squared)
            error += eta * (np.abs(in_v)[:, None] * np.sqrt(drive_variance) + in_error * np.abs(drive))
            total -= eta * in_v[:, None] * drive
        return _Known(total, error)

    def gain_gap(self) -> _Known:
        """g_n(M) - g_n(A) in the basis V, (p, p), symmetric, and what rounding of the rows' coordinates does to it."""
        differences = _powers.gain_differences(self.rate, self.reference_rate, self.phase.steps)
        gap, error = self._rank_few(differences)
        return _Known(0.5 * (gap + gap.T), 0.5 * (error + error.T))

    def power_gap(self) -> _Known:
        """M^n - A^n in the basis V, (p, p)."""
        differences = _powers.power_differences(self.rate, self.reference_rate, self.phase.steps)
        gap, error = self._rank_few(differences)
        return _Known(0.5 * (gap + gap.T), 0.5 * (error + error.T))

    def _rank_few(self, differences: Array) -> tuple[Array, Array]:
        """V'(f(M) - f(A))V from the divided differences f[m, a] on the grid (rate, reference_rate)."""
        gap, error = np.zeros(differences.shape), np.zeros(differences.shape)
        spread = self.rotation**2 @ differences**2
        for row in range(len(self.phase.rows)):
            in_u, in_v, in_error = self.in_u[:, row], self.in_v[:, row], self.in_error[row]
            drive = (self.rotation * in_u) @ differences
            gap -= self.step_size * drive * in_v
            error += self.step_size * (np.abs(drive) * in_error + np.sqrt(spread) * in_error * np.abs(in_v))
        return gap, error

    def mean_after(self, start: Array) -> Array:
        """The mean of P after the phase, from `start` in the basis V to the basis V."""
        phase = self.phase
        pull = self.step_size * _powers.geometric_sum(self.rate, phase.steps)[:, None]
        driven = pull * (phase.problem.eigenvectors.T @ phase.problem.cross)
        return self.rotation @ (_powers.power(self.rate, phase.steps)[:, None] * (self.rotation.T @ start) + driven)

    def spread_after(self, factor: Array) -> Array:
        """A factor of the covariance of P after the phase, from one before it, both in the basis V."""
        kept = self.rotation @ (_powers.power(self.rate, self.phase.steps)[:, None] * (self.rotation.T @ factor))
        added = self.phase.noise * np.sqrt(_powers.noise_gain(self.rate, self.phase.steps))
        return np.hstack([kept, self.rotation * added])


def _small_ratios(deletion: Deletion, factor: Array, weight: Array, directions: Array) -> Array:
    """Variance of whitened P along the given unit columns, as a sum of squares (1 + excess would cancel)."""
    total = np.sum((factor.T @ (weight[:, None] * directions)) ** 2, axis=0)
    last = deletion.phases[-1]
    if last.steps and last.noise:
        added = last.noise * np.sqrt(_powers.noise_gain(deletion.reference_rate, last.steps)) / deletion.reference_std
        total += np.sum((added[:, None] * directions) ** 2, axis=0)
    return total
