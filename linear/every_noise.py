"""The least unlearning noise with which the two exact laws of a deletion are (epsilon, delta)-close, for every point.

No certificate can ask for less: this is what certified noises are measured against. Nothing here is rounded to a safe
side beyond the estimated errors of the divergences.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from linear import _checks, _powers
from linear._krylov_gap import Residuals, krylov_gap
from linear.krylov import KrylovCoordinates, krylov_coordinates
from linear.langevin import deletion_pair
from linear.many_pairs import ManyPairs
from linear.residuals import Indices
from linear.ridge import RidgeProblem
from linear.schedule import Schedule

Array = NDArray[np.float64]
RANKS = (28, 48, 80)
_BLOCK = 256  # points at once
_MISSED = 1e-11  # of a power of A on the row; with more the next rank is taken
_ACCURACY = 1e-8  # of a noise, relative
_LARGEST, _SMALLEST = 1e30, 1e-30  # noises
_STEPS = 200


def deletion_noises(
    problem: RidgeProblem,
    schedule: Schedule,
    *,
    epsilon: float,
    delta: float,
    indices: Indices = None,
    progress: Callable[[int], None] | None = None,
) -> Array:
    """Injected unlearning noise at which both exact divergences at `epsilon` are at most `delta`, (m,).

    The schedule's own unlearn_noise is ignored. 0 where the learning noise alone suffices; inf where no noise up to 1e30
    does; to 1e-8 relative otherwise, and 1e-30 stands for anything below it. progress(points) is called after every
    block of points.

    Raises ValueError for epsilon < 0, delta outside (0, 1), or no unlearning step.
    """
    epsilon = _checks.nonnegative("epsilon", epsilon)
    if not 0.0 < _checks.finite("delta", delta) < 1.0:
        raise ValueError(f"delta = {delta!r}: must lie strictly between 0 and 1")
    if schedule.unlearn_steps == 0:
        raise ValueError("unlearn_steps = 0: without an unlearning step there is no noise to find")
    chosen = _checks.positions("indices", indices, problem.n_points)
    _powers.refuse_overflow(schedule.step_size * problem.eigenvalues, schedule.horizon)
    found = np.empty(len(chosen))
    for begin in range(0, len(chosen), _BLOCK):
        part = slice(begin, begin + _BLOCK)
        found[part] = _block(problem, schedule, chosen[part], epsilon, math.log(delta))
        if progress is not None:
            progress(len(chosen[part]))
    return found


def _block(problem: RidgeProblem, schedule: Schedule, chosen: NDArray[np.intp], epsilon: float, target: float) -> Array:
    found = np.full(len(chosen), np.nan)
    residuals = Residuals.of(problem, schedule, chosen)
    left = np.arange(len(chosen))
    for rank in sorted({min(rank, problem.n_features) for rank in RANKS}):
        points = krylov_coordinates(problem, chosen[left], rank=rank)
        enough = points.missed(schedule.step_size, schedule.horizon) <= _MISSED
        if rank == problem.n_features:
            enough[:] = True
        at = left[enough]
        if at.size:
            found[at] = _least(_Excess(problem, schedule, points.rows(enough), residuals.rows(at), epsilon, target))
        left = left[~enough]
        if not left.size:
            break
    for k in np.flatnonzero(np.isnan(found)):
        found[k] = _least(_DenseExcess(problem, schedule, int(chosen[k]), epsilon, target))[0]
    return found


class _Excess:
    """The larger exact log divergence of each of some points, plus its error, less the target, at noises of their own.

    nan where a pair is not resolved.
    """

    def __init__(
        self,
        problem: RidgeProblem,
        schedule: Schedule,
        points: KrylovCoordinates,
        residuals: Residuals,
        epsilon: float,
        target: float,
    ) -> None:
        self.problem, self.points, self.residuals = problem, points, residuals
        self.schedule = replace(schedule, unlearn_noise=0.0)
        self.epsilon, self.target = epsilon, target

    def __len__(self) -> int:
        return len(self.points.row)

    def __call__(self, noise: Array, rows: NDArray[np.intp]) -> Array:
        """At noises (r,) of the points `rows`, all positive or all zero."""
        silent = not np.any(noise > 0)
        if silent and (self.schedule.learn_noise == 0 or self.schedule.learn_steps == 0):
            return np.full(len(rows), np.inf)
        pairs, sound = krylov_gap(
            self.problem,
            self.schedule,
            self.points.rows(rows),
            self.residuals.rows(rows),
            None if silent else noise,
        )
        laws = ManyPairs(pairs)
        both = [laws.log_hockey_stick(self.epsilon, reverse) for reverse in (False, True)]
        with np.errstate(invalid="ignore"):
            larger = np.maximum(*(one.value + np.where(np.isfinite(one.value), one.error, 0.0) for one in both))
        return np.where(sound, larger - self.target, np.nan)


class _DenseExcess:
    """The same of one point in all its dimensions."""

    def __init__(self, problem: RidgeProblem, schedule: Schedule, index: int, epsilon: float, target: float) -> None:
        self.problem, self.schedule, self.index = problem, schedule, index
        self.epsilon, self.target = epsilon, target

    def __len__(self) -> int:
        return 1

    def __call__(self, noise: Array, rows: NDArray[np.intp]) -> Array:
        try:
            pair = deletion_pair(self.problem, self.schedule.with_unlearn_noise(float(noise[0])), self.index)
            found = max(pair.log_hockey_stick(self.epsilon, reverse=reverse) for reverse in (False, True))
        except (ValueError, FloatingPointError):
            return np.array([np.nan if noise[0] > 0 else np.inf])
        return np.array([float(found) - self.target])


def _least(excess: _Excess | _DenseExcess) -> Array:
    """The smallest noises with an excess of at most zero, (m,); nan where a pair was not resolved on the way.

    In the logarithm of the noise: a bracket by factors of 8, then regula falsi with the weight of a kept end halved.
    """
    count = len(excess)
    every = np.arange(count)
    at_zero = excess(np.zeros(count), every)
    result = np.where(at_zero <= 0, 0.0, np.nan)
    rows = every[~(at_zero <= 0)]
    scale = np.log(excess.schedule.learn_noise or 1e-3)
    low, high = np.full(count, -np.inf), np.full(count, np.inf)
    above, below = np.full(count, np.nan), np.full(count, np.nan)
    trial = np.full(count, scale)
    for step in range(_STEPS):
        if not rows.size:
            break
        value = excess(np.exp(trial[rows]), rows)
        over = value > 0
        lost = np.isnan(value)
        value = np.clip(value, -1e3, 1e3)
        kept_high, kept_low = rows[over & np.isfinite(high[rows])], rows[~over & ~lost & np.isfinite(low[rows])]
        low[rows[over]], above[rows[over]] = trial[rows[over]], value[over]
        good = ~over & ~lost
        high[rows[good]], below[rows[good]] = trial[rows[good]], value[good]
        if step > 0:
            below[kept_high] *= 0.5
            above[kept_low] *= 0.5
        rows = rows[~lost]
        closed = high[rows] - low[rows] <= _ACCURACY
        result[rows[closed]] = np.exp(high[rows[closed]])
        result[rows[low[rows] > math.log(_LARGEST)]] = np.inf
        result[rows[high[rows] < math.log(_SMALLEST)]] = _SMALLEST
        rows = rows[np.isnan(result[rows])]
        span = high[rows] - low[rows]
        with np.errstate(invalid="ignore", divide="ignore"):
            share = above[rows] / (above[rows] - below[rows])
            least = np.minimum(0.3 * _ACCURACY / span, 0.5)
            inner = low[rows] + span * np.clip(share, least, 1 - least)
        inner = np.where(step % 4 == 3, 0.5 * (low[rows] + high[rows]), inner)
        outer = np.where(np.isinf(high[rows]), low[rows] + math.log(8.0), high[rows] - math.log(8.0))
        trial[rows] = np.where(np.isfinite(span), inner, outer)
    return result
