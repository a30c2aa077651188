"""The divergences of one whitened pair of Gaussian laws, each with an estimate of its error."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from linear import normal_shift
from linear.contour import HOCKEY_STICK, SHORTFALL, Curve, Estimate, integral
from linear.cumulant import ROUNDING, Cumulant, Law, Saddle
from linear.tradeoff import log_tradeoff
from linear.whitened import EPS, FloatArray, Whitened

ABSOLUTE_TOLERANCE = 1e-9  # of a natural logarithm or a Rényi divergence
RELATIVE_TOLERANCE = 1e-12
_UNDERFLOW = -750.0  # its exponential is zero


class Divergences:
    """Both directions; ``reverse`` exchanges P and Q. Arrays of arguments have shape (m,), and so have results.

    ``swapped`` is the pair (Q, P) where that is better known than ``whitened.swapped()``.
    """

    def __init__(self, whitened: Whitened, swapped: Whitened | None = None) -> None:
        self._laws = Cumulant(whitened), Cumulant(swapped or whitened.swapped())

    @property
    def equal(self) -> bool:
        """P = Q."""
        return self._laws[0].size == 0

    def supremum(self, reverse: bool) -> Estimate:
        """The max-divergence: the least upper bound of ``log dP/dQ``, inf when there is none; shape (1,)."""
        low, high = self._laws[reverse].supremum()
        if np.isinf(low):
            return Estimate(np.array([np.inf]), np.array([0.0]))
        return Estimate(np.array([0.5 * (low + high)]), np.array([0.5 * (high - low)]))

    def typical(self, reverse: bool) -> float:
        """The size of log dP/dQ under P."""
        mean, variance = self._laws[reverse].moments(0.0)
        return float(mean + np.sqrt(variance))

    def hockey_stick(self, epsilon: FloatArray, reverse: bool, floor: FloatArray | float = -np.inf) -> Curve:
        """log H_{e^epsilon}(P||Q) for epsilon >= 0; -inf for one not known to tolerance, but to be below the floor."""
        law = self._laws[reverse]
        if law.size == 0:
            return nothing_left(epsilon)
        if law.equal_covariances:
            return Curve(*normal_shift.log_hockey_stick(*_distance(law), epsilon))
        return curved_hockey_stick(law, epsilon, floor)

    def log_hockey_stick(self, epsilon: FloatArray, reverse: bool, floor: FloatArray | float = -np.inf) -> Estimate:
        """The same for any epsilon: H_{e^epsilon}(P||Q) = 1 - e^epsilon + e^epsilon H_{e^-epsilon}(Q||P)."""
        log, error = np.empty(epsilon.shape), np.empty(epsilon.shape)
        below = epsilon < 0.0
        floors = np.broadcast_to(floor, epsilon.shape)
        if not below.all():
            above = self.hockey_stick(epsilon[~below], reverse, floors[~below])
            log[~below], error[~below] = above.value, above.error
        if below.any():
            # What is added to 1 - e^epsilon counts only down to the rounding of that.
            rest = np.log(-np.expm1(epsilon[below]))
            other = self.hockey_stick(-epsilon[below], not reverse, rest - epsilon[below] + np.log(EPS))
            carried = epsilon[below] + other.value
            log[below] = np.logaddexp(rest, carried)
            error[below] = np.exp(carried - log[below]) * other.error + 4.0 * EPS
        return Estimate(log, error)

    def log_delta(self, epsilon: FloatArray) -> Estimate:
        """The larger of both directions; one that is not known to tolerance may be known to be the smaller."""
        nothing = np.full(epsilon.shape, _UNDERFLOW)
        forward = self.log_hockey_stick(epsilon, False, nothing)
        reverse = self.log_hockey_stick(epsilon, True, _known(forward, nothing))
        if not within_tolerance(forward.value, forward.error).all():
            forward = self.log_hockey_stick(epsilon, False, _known(reverse, nothing))
        values, errors = np.stack([forward.value, reverse.value]), np.stack([forward.error, reverse.error])
        known = np.isfinite(errors)
        largest = np.max(values, axis=0, initial=-np.inf, where=known)
        highest = np.max(np.where(known, values + errors, np.inf), axis=0)
        error = np.subtract(highest, largest, out=np.zeros(epsilon.shape), where=highest > largest)
        return Estimate(largest, error)

    def renyi(self, order: FloatArray, reverse: bool) -> Estimate:
        """K(order - 1) / (order - 1): its limits K'(0) at order 1 and sup L at infinity; inf outside the strip."""
        law = self._laws[reverse]
        value, error = np.full(order.shape, np.inf), np.zeros(order.shape)
        if law.size == 0:
            return Estimate(np.zeros(order.shape), error)
        endless = np.isposinf(order)
        if endless.any():
            most = self.supremum(reverse)
            value[endless], error[endless] = most.value, most.error
        strip, unclear = law.in_strip(np.where(endless, 1.0, order))
        error[unclear] = np.inf
        inside = ~endless & strip
        w, z = order[inside] - 1.0, order[inside]
        v = np.where(w[:, None] > 0.0, 1.0 - w[:, None] * law.excess, z[:, None] - w[:, None] * law.ratio)
        at = Saddle(w, z, v, w)
        slope, _ = law.derivatives(at)
        cumulant, cumulant_error = law.value(at)
        one = w == 0.0
        divisor = np.where(one, 1.0, w)
        value[inside] = np.where(one, slope, cumulant / divisor)
        spread = law.columns * np.abs(law.excess) / law.ratio * law.excess_error
        at_one = ROUNDING * slope + 0.5 * np.sum(law.shift_error + spread)
        error[inside] = np.where(one, at_one, cumulant_error / np.abs(divisor))
        return Estimate(value, error)

    def log_tradeoff(self, alpha: FloatArray, reverse: bool) -> Estimate:
        """log T(P, Q)(alpha) for alpha in [0, 1]; T(P, P)(alpha) = 1 - alpha."""
        law = self._laws[reverse]
        value, error = np.where(alpha > 0.0, -np.inf, 0.0), np.zeros(alpha.shape)
        inside = (alpha > 0.0) & (alpha < 1.0)
        if not inside.any():
            return Estimate(value, error)
        if law.size == 0:
            value[inside] = np.log1p(-alpha[inside])
        elif law.equal_covariances:
            value[inside], error[inside] = normal_shift.log_tradeoff(*_distance(law), alpha[inside])
        else:
            value[inside], error[inside] = log_tradeoff(law, self._laws[not reverse], alpha[inside])
        # beta itself is wanted, and zero there.
        nothing = value + error < _UNDERFLOW
        return Estimate(np.where(nothing, -np.inf, value), np.where(nothing, 0.0, error))


def nothing_left(epsilon: FloatArray) -> Curve:
    """log H of equal laws, or beyond the supremum: of zero."""
    return Curve(np.full(epsilon.shape, -np.inf), np.zeros(epsilon.shape), np.zeros(epsilon.shape))


def curved_hockey_stick(law: Law, epsilon: FloatArray, floor: FloatArray | float = -np.inf) -> Curve:
    """``Divergences.hockey_stick`` of laws whose covariances differ: one for all epsilons or one for each."""
    curve = nothing_left(epsilon)
    log, error, slope = curve.value, curve.error, curve.slope
    rest = epsilon < law.supremum()[1]
    # Deep inside, where H is near 1, the integral of 1 - H has the shorter contour.
    mean, variance = law.moments(0.0)
    deep = rest & (mean - epsilon > 2.0 * np.sqrt(variance))
    if deep.any():
        inside = law.rows(deep)
        short = integral(inside, SHORTFALL, epsilon[deep])
        log[deep] = np.log1p(-np.exp(np.minimum(short.value, -EPS)))
        odds = np.exp(short.value - log[deep])
        error[deep], slope[deep] = odds * short.error, -odds * short.slope
        # 1 - H = E_P min(1, e^(epsilon - L)) <= exp(K(-1/2) + epsilon/2): if that is nothing, nothing else matters.
        most = np.exp(np.minimum(inside.halfway() + 0.5 * epsilon[deep], 0.0))
        sure = most < EPS
        log[deep], error[deep] = np.where(sure, -0.5 * most, log[deep]), np.where(sure, most, error[deep])
    rest &= ~deep
    if rest.any():
        direct = integral(law.rows(rest), HOCKEY_STICK, epsilon[rest])
        log[rest], error[rest], slope[rest] = np.minimum(direct.value, 0.0), direct.error, direct.slope
    poor = ~within_tolerance(log, error)
    if poor.any() and np.max(floor) > -np.inf:
        floors = np.broadcast_to(floor, epsilon.shape)
        below = np.flatnonzero(poor)[law.rows(poor).ceiling(epsilon[poor]) < floors[poor]]
        log[below], error[below], slope[below] = -np.inf, 0.0, 0.0
    return Curve(log, error, slope)


def within_tolerance(value: FloatArray, error: FloatArray) -> NDArray[np.bool_]:
    """Whether an error is at most 1e-9, or 1e-12 of the value where that is more."""
    allowed = np.maximum(ABSOLUTE_TOLERANCE, RELATIVE_TOLERANCE * np.abs(value))
    return np.isfinite(error) & (error <= allowed)


def _known(estimate: Estimate, otherwise: FloatArray) -> FloatArray:
    """The values within tolerance, as far as they are above what counts as nothing."""
    good = within_tolerance(estimate.value, estimate.error)
    return np.where(good, np.maximum(estimate.value, otherwise), otherwise)


def _distance(law: Cumulant) -> tuple[float, float]:
    """mu of two laws with one covariance, and its error."""
    mu = float(np.sqrt(law.shift[0]))
    return mu, EPS * mu + 0.5 * float(law.shift_error[0]) / mu
