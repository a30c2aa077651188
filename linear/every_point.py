"""The exact privacy of every training point: its deletion's divergences, or its epsilon, for whole data sets.

A deletion changes next to nothing outside a few dimensions (`krylov`), so each point's pair of laws is reduced to
these and all pairs are worked on together (`_krylov_gap`, `many_pairs`). What the reduction costs is seen by leaving
out the last dimensions: a point whose result still moves is done again with more, at last with all of them by the path
of `deletion_pair`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from linear import _checks, _gap, _powers
from linear._chunks import Arrays, digest, in_chunks
from linear._deletion import Deletion
from linear._krylov_gap import Residuals, krylov_gap
from linear.krylov import coordinates, tridiagonal
from linear.many_pairs import ManyPairs
from linear.residuals import Indices
from linear.ridge import RidgeProblem
from linear.schedule import Schedule
from linear.whitened import Whitened

Array = NDArray[np.float64]
DENSE = 0  # in place of a rank: all dimensions, by the path of `deletion_pair`
REFUSED = -1  # not even that one resolves the point

RANKS = (28, 48, 80)
_LEFT_OUT = 4  # the last dimensions, to see what the reduction costs
_MISSED = 1e-9  # of a power of A on the row; more is not called reduced, however little the result moves
_ABSOLUTE = 1e-8  # allowed error of a natural logarithm, or
_RELATIVE = 1e-11  # of it where that is more, by leaving out dimensions;
_ROUNDING = 1e-9  # by rounding, which is as large in all dimensions
_EPSILON_TOLERANCE = 1e-8  # relative
_BLOCK_ENTRIES = 1 << 24  # doubles in the largest temporary array: 128 MB
_FORMAT = 1  # of what is kept on disk


@dataclass(frozen=True, eq=False)
class DeletionProfile:
    """The exact hockey-stick divergences of m deletions at E values of epsilon.

    indices : (m,), the points; epsilon : (E,).
    log_forward, log_reverse : (m, E), natural logarithms, -inf where the divergence is zero; forward is the divergence
    of the unlearned law from the reference law. nan for a point that was refused.
    error : (m,), the largest estimated absolute error of a point's logarithms; inf for a refused one.
    rank : (m,), the dimensions used; 0 is the dense path, -1 says refused (nothing resolves that pair in doubles).
    """

    indices: NDArray[np.intp]
    epsilon: Array
    log_forward: Array
    log_reverse: Array
    error: Array
    rank: NDArray[np.intp]

    @property
    def log_delta(self) -> Array:
        """The larger of both directions, (m, E)."""
        return np.maximum(self.log_forward, self.log_reverse)


@dataclass(frozen=True, eq=False)
class DeletionEpsilons:
    """The exact two-sided epsilon of m deletions at D values of delta, (m, D), rounded up by its estimated error.

    inf where no epsilon will do, nan for a refused point; `rank` as in `DeletionProfile`.
    """

    indices: NDArray[np.intp]
    delta: Array
    epsilon: Array
    rank: NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class DeletionNeighbourhoods:
    """m deletions, each looked at around its own exact epsilon at one delta, where its divergence says something.

    epsilon : (m,), as in `DeletionEpsilons`; share : (S,); log_forward, log_reverse : (m, S), the natural logarithms of
    both divergences at share * epsilon. nan for a refused point; `rank` as in `DeletionProfile`.
    """

    indices: NDArray[np.intp]
    delta: float
    share: Array
    epsilon: Array
    log_forward: Array
    log_reverse: Array
    rank: NDArray[np.intp]

    @property
    def epsilons(self) -> Array:
        """share * epsilon, (m, S)."""
        return self.epsilon[:, None] * self.share


def deletion_profile(
    problem: RidgeProblem,
    schedule: Schedule,
    epsilon: ArrayLike,
    indices: Indices = None,
    *,
    chunk: int = 1000,
    workers: int | None = None,
    checkpoint: str | Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> DeletionProfile:
    """Exact hockey-stick divergences, both directions, of deleting each of the given points (default: all).

    Parameters
    ----------
    epsilon : one or several, any sign.
    chunk : points worked on and kept together.
    workers : processes, as joblib's n_jobs; None follows `joblib.parallel_config`.
    checkpoint : folder where finished chunks are kept and looked for. Files are named by a hash of all that enters.
    progress : called with the number of points of every finished chunk.

    Raises ValueError where no noise is ever added and FloatingPointError where the chain leaves the range of doubles.
    Errors are estimated, not proved. A point takes a longer path if the reduction may cost more than 1e-8 (1e-11 of the
    logarithm where that is more) or rounding more than 1e-8 (1e-9 of the logarithm).
    """
    epsilons = np.atleast_1d(_checks.real_array("epsilon", epsilon, dimensions=(0, 1)))
    measure = partial(_logarithms, epsilons=epsilons)
    allowed = partial(_allowed, absolute=_ABSOLUTE, relative=(_RELATIVE, _ROUNDING))
    run = _Run(problem, schedule, measure, allowed, 2 * len(epsilons), ("logarithms", epsilons))
    chosen, found = run.over(indices, chunk, workers, checkpoint, progress)
    half = len(epsilons)
    return DeletionProfile(
        indices=chosen,
        epsilon=epsilons,
        log_forward=found["values"][:, :half],
        log_reverse=found["values"][:, half:],
        error=found["error"].max(axis=1, initial=0.0),
        rank=found["rank"],
    )


def deletion_epsilons(
    problem: RidgeProblem,
    schedule: Schedule,
    delta: ArrayLike,
    indices: Indices = None,
    *,
    chunk: int = 1000,
    workers: int | None = None,
    checkpoint: str | Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> DeletionEpsilons:
    """The smallest epsilon >= 0 with both divergences at most delta, of deleting each of the given points.

    Options and errors like `deletion_profile`.
    """
    deltas = np.atleast_1d(_checks.real_array("delta", delta, dimensions=(0, 1)))
    outside = (deltas < 0.0) | (deltas > 1.0)
    if outside.any():
        raise ValueError(f"delta = {deltas[outside][0]}: must lie between 0 and 1")
    measure = partial(_epsilons, deltas=deltas)
    allowed = partial(_allowed, absolute=0.0, relative=(_EPSILON_TOLERANCE, _EPSILON_TOLERANCE))
    run = _Run(problem, schedule, measure, allowed, len(deltas), ("epsilons", deltas))
    chosen, found = run.over(indices, chunk, workers, checkpoint, progress)
    return DeletionEpsilons(chosen, deltas, found["values"] + found["error"], found["rank"])


def deletion_neighbourhoods(
    problem: RidgeProblem,
    schedule: Schedule,
    delta: float,
    share: ArrayLike,
    indices: Indices = None,
    *,
    chunk: int = 1000,
    workers: int | None = None,
    checkpoint: str | Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> DeletionNeighbourhoods:
    """The exact epsilon of each of the given points (default: all) at delta in (0, 1), and what the divergences are there.

    share : positive, one or several; the divergences are found at share * epsilon. Options and errors like
    `deletion_profile`.
    """
    allowed_delta = _checks.positive("delta", delta)
    if allowed_delta >= 1.0:
        raise ValueError(f"delta = {delta!r}: must lie strictly between 0 and 1")
    shares = np.atleast_1d(_checks.real_array("share", share, dimensions=(0, 1)))
    if (shares <= 0.0).any():
        raise ValueError(f"share holds {shares.min()}: every entry must be positive")
    measure = partial(_around, delta=allowed_delta, shares=shares)
    width = 1 + 2 * len(shares)
    run = _Run(problem, schedule, measure, _allowed_around, width, ("neighbourhoods", allowed_delta, shares))
    chosen, found = run.over(indices, chunk, workers, checkpoint, progress)
    values, half = found["values"], 1 + len(shares)
    return DeletionNeighbourhoods(
        indices=chosen,
        delta=allowed_delta,
        share=shares,
        epsilon=values[:, 0],
        log_forward=values[:, 1:half],
        log_reverse=values[:, half:],
        rank=found["rank"],
    )


def _around(pairs: ManyPairs, delta: float, shares: Array) -> tuple[Array, Array]:
    """epsilon, then forward and reverse logarithms at every share of it, (m, 1 + 2 S), and their errors."""
    epsilon = pairs.epsilon(delta)
    found = [pairs.log_hockey_stick_each(one * epsilon, reverse) for reverse in (False, True) for one in shares]
    values = np.stack([epsilon, *(one.value for one in found)], axis=1)
    return values, np.stack([np.zeros_like(epsilon), *(one.error for one in found)], axis=1)


def _allowed_around(values: Array) -> tuple[Array, Array]:
    logarithms = _allowed(values[:, 1:], absolute=_ABSOLUTE, relative=(_RELATIVE, _ROUNDING))
    epsilon = _allowed(values[:, :1], absolute=0.0, relative=(_EPSILON_TOLERANCE, _EPSILON_TOLERANCE))
    reduction, rounding = (np.hstack(parts) for parts in zip(epsilon, logarithms, strict=True))
    return reduction, rounding


def _logarithms(pairs: ManyPairs, epsilons: Array) -> tuple[Array, Array]:
    """Forward then reverse at every epsilon, (m, 2 E), and their errors."""
    found = [pairs.log_hockey_stick(float(one), reverse) for reverse in (False, True) for one in epsilons]
    if not found:
        return np.zeros((len(pairs), 0)), np.zeros((len(pairs), 0))
    return np.stack([one.value for one in found], axis=1), np.stack([one.error for one in found], axis=1)


def _epsilons(pairs: ManyPairs, deltas: Array) -> tuple[Array, Array]:
    found = np.array([pairs.epsilon(float(one)) for one in deltas]).reshape(len(deltas), len(pairs)).T
    return found, np.zeros_like(found)


def _allowed(values: Array, *, absolute: float, relative: tuple[float, float]) -> tuple[Array, Array]:
    size = np.where(np.isfinite(values), np.abs(values), 0.0)
    return np.maximum(absolute, relative[0] * size), np.maximum(absolute, relative[1] * size)


def _refuse_silence(schedule: Schedule) -> None:
    """ValueError if no noise is ever added."""
    learned = schedule.learn_noise > 0 and schedule.learn_steps > 0
    unlearned = schedule.unlearn_noise > 0 and schedule.unlearn_steps > 0
    if not (learned or unlearned):
        raise ValueError(
            f"learn_noise = {schedule.learn_noise!r} in {schedule.learn_steps} steps, unlearn_noise = "
            f"{schedule.unlearn_noise!r} in {schedule.unlearn_steps}: no noise is ever added, the laws are points"
        )


@dataclass(frozen=True)
class _Run:
    """One measure of many deletions: `measure` of pairs gives values and errors of rounding, (m, width).

    `allowed` says what the reduction and what rounding may cost.
    """

    problem: RidgeProblem
    schedule: Schedule
    measure: Callable[[ManyPairs], tuple[Array, Array]]
    allowed: Callable[[Array], tuple[Array, Array]]
    width: int
    name: tuple[Any, ...]

    def over(
        self,
        indices: Indices,
        chunk: int,
        workers: int | None,
        checkpoint: str | Path | None,
        progress: Callable[[int], None] | None,
    ) -> tuple[NDArray[np.intp], Arrays]:
        problem, schedule = self.problem, self.schedule
        chosen = _checks.positions("indices", indices, problem.n_points)
        size = _checks.integer("chunk", chunk, minimum=1)
        _refuse_silence(schedule)
        _powers.refuse_overflow(schedule.step_size * problem.eigenvalues, schedule.horizon)
        _ = problem.minimiser  # so that every worker is given it
        pieces = [chosen[begin : begin + size] for begin in range(0, len(chosen), size)] or [chosen]
        names = [""] * len(pieces)
        if checkpoint is not None:
            data = (problem.features, problem.targets, problem.initial, problem.ridge)
            inputs = digest(_FORMAT, *data, schedule, *self.name)
            names = [digest(inputs, piece) for piece in pieces]

        def finished(position: int) -> None:
            if progress is not None:
                progress(len(pieces[position]))

        folder = None if checkpoint is None else Path(checkpoint)
        parts = in_chunks(self.chunk, pieces, names, folder=folder, workers=workers, finished=finished)
        return chosen, {name: np.concatenate([part[name] for part in parts]) for name in ("values", "error", "rank")}

    def chunk(self, chosen: NDArray[np.intp]) -> Arrays:
        """values and error, (m, width), and rank, (m,), of some points."""
        entries = self.schedule.learn_steps * (self.problem.n_outputs + max(RANKS)) + self.problem.n_features
        size = max(1, _BLOCK_ENTRIES // entries)
        blocks = [self._block(chosen[begin : begin + size]) for begin in range(0, max(len(chosen), 1), size)]
        return {name: np.concatenate([block[name] for block in blocks]) for name in ("values", "error", "rank")}

    def _block(self, chosen: NDArray[np.intp]) -> Arrays:
        values, error = np.full((len(chosen), self.width), np.nan), np.full((len(chosen), self.width), np.inf)
        ranks = np.full(len(chosen), REFUSED, dtype=np.intp)
        residuals = Residuals.of(self.problem, self.schedule, chosen)
        left = np.arange(len(chosen))
        for rank in sorted({min(rank, self.problem.n_features) for rank in RANKS}):
            if not len(left):
                break
            result, off, good = self._reduced(chosen[left], residuals.rows(left), rank)
            done = left[good]
            values[done], error[done], ranks[done] = result[good], off[good], rank
            left = left[~good]
        for k in left:
            alone = self._dense(int(chosen[k]))
            if alone is not None:
                values[k], error[k], ranks[k] = *alone, DENSE
        return {"values": values, "error": error, "rank": ranks}

    def _reduced(
        self, chosen: NDArray[np.intp], residuals: Residuals, rank: int
    ) -> tuple[Array, Array, NDArray[np.bool_]]:
        """values, errors, and which points are good enough, in Krylov spaces of this rank."""
        problem, schedule = self.problem, self.schedule
        norm, diagonal, off = tridiagonal(problem, chosen, rank)
        points = coordinates(problem.ridge, chosen, norm, diagonal, off)
        pairs, sound = krylov_gap(problem, schedule, points, residuals)
        values, error = self.measure(ManyPairs(pairs))
        moved = np.zeros_like(values)
        exhausted = ~np.any(points.leak, axis=1)
        if not exhausted.all():
            short = max(rank - _LEFT_OUT, 1)
            points = coordinates(problem.ridge, chosen, norm, diagonal[:, :short], off[:, :short])
            pairs, other_sound = krylov_gap(problem, schedule, points, residuals)
            other, _ = self.measure(ManyPairs(pairs))
            with np.errstate(invalid="ignore"):
                moved = np.where((values == other) | exhausted[:, None], 0.0, np.abs(values - other))
            resolved = other_sound & (points.missed(schedule.step_size, schedule.horizon) <= _MISSED)
            sound = sound & (exhausted | resolved)
        most_moved, most_rounded = self.allowed(values)
        good = np.isfinite(error) & (error <= most_rounded) & (moved <= most_moved)
        return values, error + moved, sound & good.all(axis=1)

    def _dense(self, index: int) -> tuple[Array, Array] | None:
        """values and errors in all dimensions, of one point; None where whitening refuses or there is no result."""
        try:
            whitened = _gap.whitened_gap(Deletion.of(self.problem, self.schedule, index))
        except (ValueError, FloatingPointError):
            return None
        shift_error, excess_error = whitened.errors
        row = Whitened(
            whitened.shift_squared[None],
            whitened.excess[None],
            whitened.ratio[None],
            whitened.columns,
            shift_error[None],
            excess_error[None],
        )
        values, error = self.measure(ManyPairs(row))
        known = np.isfinite(error).all() and not np.isnan(values).any()
        return (values[0], error[0]) if known else None
