"""Hockey-stick divergences of many whitened pairs at once, and the epsilon that a delta allows each of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from linear import normal_shift
from linear.contour import Curve, Estimate
from linear.cumulant_rows import CumulantRows
from linear.divergences import curved_hockey_stick, nothing_left, within_tolerance
from linear.whitened import EPS, FloatArray, Whitened

_NEWTON_STEPS = 40  # then the bracket is halved
_STEPS = 100
_BLOCK = 2048  # pairs at once


class ManyPairs:
    """m pairs (P, Q), whitened by Q: one row each. ``reverse`` exchanges P and Q.

    What ``GaussianPair`` finds for one pair, by the same integrals along the same contours.
    """

    def __init__(self, whitened: Whitened) -> None:
        if whitened.excess.ndim != 2:
            raise ValueError(f"whitened has arrays of shape {whitened.excess.shape}: must be (pairs, directions)")
        self._laws = CumulantRows(whitened), CumulantRows(whitened.swapped())

    def __len__(self) -> int:
        return len(self._laws[0].excess)

    def log_hockey_stick(self, epsilon: float, reverse: bool = False) -> Estimate:
        """log H_{e^epsilon}(P||Q) of every pair, any epsilon, with an estimate of its absolute error."""
        each = np.full(len(self), abs(epsilon))
        if epsilon >= 0.0:
            return self._curve(each, reverse)
        rest = np.log(-np.expm1(epsilon))
        other = self._curve(each, not reverse, np.full(len(self), rest - epsilon + np.log(EPS)))
        carried = epsilon + other.value
        log = np.logaddexp(rest, carried)
        return Estimate(log, np.exp(carried - log) * other.error + 4.0 * EPS)

    def log_hockey_stick_each(self, epsilon: FloatArray, reverse: bool = False) -> Estimate:
        """The same at an epsilon >= 0 of its own for each pair, (m,); nan where that is not finite."""
        known = np.isfinite(epsilon)
        found = self._curve(np.where(known, epsilon, 0.0), reverse)
        return Estimate(np.where(known, found.value, np.nan), np.where(known, found.error, np.inf))

    def epsilon(self, delta: float) -> FloatArray:
        """The smallest epsilon >= 0 with both divergences at most delta, for every pair, rounded up by the error.

        Not finite where it was not found, or no epsilon will do.
        """
        found = np.zeros(len(self))
        if delta == 1.0:
            return found
        if delta == 0.0:
            return np.where(self._laws[0].equal_covariances & (self._laws[0].shift.sum(axis=1) == 0.0), 0.0, np.inf)
        with np.errstate(all="ignore"):
            for reverse in (False, True):
                found = self._raised(found, np.log(delta), reverse)
        return found

    def _curve(
        self, epsilon: FloatArray, reverse: bool, floor: FloatArray | None = None, rows: NDArray[np.intp] | None = None
    ) -> Curve:
        """At an epsilon >= 0 of its own for each of the rows (default: all)."""
        chosen = np.arange(len(self)) if rows is None else rows
        floors = np.full(epsilon.shape, -np.inf) if floor is None else floor
        pieces = [slice(begin, begin + _BLOCK) for begin in range(0, len(chosen), _BLOCK)]
        if not pieces:
            return nothing_left(epsilon)
        parts = [
            self._block(self._laws[reverse].rows(chosen[piece]), epsilon[piece], floors[piece]) for piece in pieces
        ]
        return Curve(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("value", "error", "slope")))

    @staticmethod
    def _block(laws: CumulantRows, epsilon: FloatArray, floor: FloatArray) -> Curve:
        result = nothing_left(epsilon)
        mu = np.sqrt(laws.shift.sum(axis=1))
        bent = ~laws.equal_covariances
        flat = ~bent & (mu > 0.0)
        if flat.any():
            error = EPS * mu[flat] + 0.5 * laws.rows(flat).shift_error.sum(axis=1) / mu[flat]
            _fill(result, flat, Curve(*normal_shift.log_hockey_stick(mu[flat], error, epsilon[flat])))
        if bent.any():
            with np.errstate(all="ignore"):
                curve = curved_hockey_stick(laws.rows(bent), epsilon[bent], floor[bent])
            _fill(result, bent, curve)
        return result

    def _raised(self, start: FloatArray, target: float, reverse: bool) -> FloatArray:
        """The smallest epsilons from start on where, in one direction, log H plus its error is at most the target.

        The search of ``GaussianPair``, all pairs abreast.
        """
        low, high, epsilon = start.copy(), np.full(len(self), np.inf), start.copy()
        mean, variance = self._laws[reverse].moments(0.0)
        typical = mean + np.sqrt(variance)
        rows = np.arange(len(self))
        for step in range(_STEPS):
            at = self._curve(epsilon[rows], reverse, np.full(len(rows), target), rows)
            excess = at.value + at.error - target
            enough = excess <= 0.0
            known = within_tolerance(at.value, at.error) | (at.error <= 1e-10 * epsilon[rows] * np.abs(at.slope))
            high[rows[enough]] = epsilon[rows[enough]]
            close = excess >= -3.0 * at.error - 4.0 * EPS * abs(target)
            done = enough & ((epsilon[rows] == start[rows]) | close)
            if not known.all():
                low[rows[~known]], high[rows[~known]] = np.inf, np.inf
            low[rows[~enough]] = epsilon[rows[~enough]]
            going = known & ~done
            newton = epsilon[rows] - np.where(at.slope < 0.0, (excess + at.error) / at.slope, np.nan)
            rows, newton = rows[going], newton[going]
            if not len(rows):
                break
            least, most = low[rows], high[rows]
            unbounded = ~np.isfinite(most)
            far = 8.0 * np.maximum(least, typical[rows])
            newton = np.where(unbounded, np.fmin(newton, far), newton)
            usable = (newton > least) & (newton < most) & (step < _NEWTON_STEPS)
            wide = 4.0 * least < most
            geometric = np.sqrt(np.maximum(least, 1e-6 * most)) * np.sqrt(most)
            halved = np.where(unbounded, far, np.where(wide, geometric, 0.5 * (least + most)))
            epsilon[rows] = np.where(usable, newton, halved)
            rows = rows[(epsilon[rows] != least) & (epsilon[rows] != most)]
        else:
            high[rows] = np.inf
        return high


def _fill(curve: Curve, rows: NDArray[np.bool_], part: Curve) -> None:
    for name in ("value", "error", "slope"):
        getattr(curve, name)[rows] = getattr(part, name)
