"""The cumulant function of the log-likelihood ratio of two Gaussian laws, and the saddles on its real axis.

With ``L = log dP/dQ``, ``w = z - 1``, ``x_j = g_j - 1`` the excess variance and ``v_j = 1 - w x_j``,

    K(w) = log E_P e^(wL) = log E_Q e^(zL) = sum_j z w n2_j / (2 v_j) - (C/2) (log v_j + w log g_j),

which is finite where all ``v_j > 0``. Nearly equal laws lose no digit in these variables: for ``w > 0`` all terms of
``K`` and ``K'`` are positive once ``log1p(x) - x`` is one function.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from linear.whitened import EPS, FloatArray, Whitened

Part = slice | NDArray[np.bool_] | NDArray[np.intp]

ROUNDING = 32 * EPS  # per term: a handful of operations and a pairwise sum
_SMALL = 0.5  # |x| up to which log1p(x) - x is formed as one function
_NEAR = 1e-3  # how near its minimum w0 has to be, in units of the width; the slope left over is kept
_SEARCH = 700.0  # the search variable stays where its exponential is a number
_ITERATIONS = 120
KNOWN = 0.01  # relative error of every v_j where an upper bound is taken


def log1p_minus(x: FloatArray) -> FloatArray:
    """log(1 + x) - x with full relative accuracy, for x > -1.

    With r = x / (2 + x), log(1 + x) = 2 artanh(r) and x = 2 r + r x, so the difference is
    r (2 (r^2/3 + r^4/5 + ...) - x), where x dominates.
    """
    near = np.abs(x) < 0.4
    inner = np.where(near, x, 0.0)
    r = inner / (2.0 + inner)
    square = r * r
    series = np.zeros_like(r)
    for odd in range(23, 1, -2):
        series = (series + 1.0 / odd) * square
    return np.where(near, r * (2.0 * series - inner), np.log1p(x) - x)


@dataclass(frozen=True)
class Saddle:
    """Points on the real axis, shape (m,), with everything that would cancel carried along."""

    w: FloatArray
    z: FloatArray
    v: FloatArray  # (m, directions)
    speed: FloatArray  # dw/dy of the search variable y

    def distance(self, pole: float) -> FloatArray:
        """w - pole for a pole at 0 or -1."""
        return self.w if pole == 0.0 else self.z


class Law:
    """The formulas that hold for one pair, arrays of shape (d,), and for many, one a row, (m, d).

    ``largest`` is the largest excess or 0 if all are negative, a float or (m,).
    """

    columns: int
    shift: FloatArray
    excess: FloatArray
    ratio: FloatArray
    shift_error: FloatArray
    excess_error: FloatArray
    largest: Any

    def _derive(self) -> None:
        self.small = np.abs(self.excess) <= _SMALL
        inner = np.where(self.small, self.excess, 0.0)
        self.log_ratio = np.where(self.small, np.log1p(inner), np.log(self.ratio))
        self.curl = log1p_minus(inner)

    @property
    def size(self) -> int:
        """Number of directions."""
        return self.excess.shape[-1]

    def rows(self, part: Part) -> Law:
        """The law, or laws, that this part of the points belongs to."""
        raise NotImplementedError

    def from_p(self, y: FloatArray) -> Saddle:
        """w in (0, end of the strip), from its logit; from its logarithm where there is no end."""
        raise NotImplementedError

    def from_q(self, y: FloatArray) -> Saddle:
        """z in (0, end of the strip), from its logit or logarithm; v_j = g_j - z x_j."""
        raise NotImplementedError

    def supremum(self) -> tuple[Any, Any]:
        """An interval for the least upper bound of L; its ends are inf where L has none."""
        raise NotImplementedError

    def ceiling(self, threshold: FloatArray) -> FloatArray:
        """An upper bound on log P(L > t), Chernoff's, where the errors of the whitened numbers cannot matter."""
        raise NotImplementedError

    def halfway(self) -> Any:
        """An upper bound on K(-1/2), minus the Bhattacharyya distance."""
        raise NotImplementedError

    def moments(self, w: float) -> tuple[Any, Any]:
        """Mean and variance of L under P (w = 0) or Q (w = -1)."""
        raise NotImplementedError

    def between(self, y: FloatArray) -> Saddle:
        """w in (-1, 0), from the logit of z; v_j = z - w g_j."""
        z, w = expit(y), -expit(-y)
        return Saddle(w, z, z[:, None] - w[:, None] * self.ratio, -z * w)

    def derivatives(self, at: Saddle) -> tuple[FloatArray, FloatArray]:
        """K' and K'' in w."""
        w, z, v = at.w[:, None], at.z[:, None], at.v
        inverse = 1.0 / v
        bent = w * self.excess * self.excess * inverse - self.curl
        spread = np.where(self.small, bent, self.excess * inverse - self.log_ratio)
        half = 0.5 * self.columns
        first = 0.5 * np.sum(self.shift * (z + w * v) * inverse * inverse, axis=1) + half * spread.sum(axis=1)
        flat = self.shift * self.ratio * inverse + half * self.excess * self.excess
        return first, np.sum(flat * inverse * inverse, axis=1)

    def value(self, at: Saddle) -> tuple[FloatArray, FloatArray]:
        """K and an estimate of its error: rounding, and to first order what the errors of the whitened numbers make.

        dK/dn2 = w z / (2 v) and dK/dx = w^2 z n2 / (2 v^2) + (C/2) w z x / (v g), with g moving along with x.
        """
        w, z, v = at.w[:, None], at.z[:, None], at.v
        half = 0.5 * self.columns
        product = np.abs(w * z)
        shift = 0.5 * w * z * (self.shift / v)
        bent = np.where(self.small, log1p_minus(np.where(self.small, -w * self.excess, 0.0)), np.log(v))
        straight = w * np.where(self.small, self.curl, self.log_ratio)
        value = shift.sum(axis=1) - half * (bent + straight).sum(axis=1)
        terms = np.abs(shift).sum(axis=1) + half * (np.abs(bent) + np.abs(straight)).sum(axis=1)
        # The excess may be all error; then the second order is what counts.
        steep = 0.5 * self.shift * np.abs(w) / v + half * (np.abs(self.excess) + self.excess_error) / self.ratio
        by_shift = root_of_squares(product / v * (0.5 * self.shift_error))
        by_excess = np.sum(product / v * (self.excess_error * steep), axis=1)
        return value, ROUNDING * terms + by_shift + by_excess


class Cumulant(Law):
    """K of one whitened pair. Directions without excess act as one, void ones not at all."""

    largest: float

    def __init__(self, pair: Whitened) -> None:
        shift_error, excess_error = pair.errors
        bent = (pair.excess != 0.0) | (excess_error > 0.0)
        flat_shift = pair.shift_squared[~bent].sum()

        def gathered(values: FloatArray, flat: float) -> FloatArray:
            return np.append(values[bent], flat) if flat_shift > 0.0 else values[bent]

        self.columns = pair.columns
        self.shift = gathered(pair.shift_squared, flat_shift)
        self.excess = gathered(pair.excess, 0.0)
        self.ratio = gathered(pair.ratio, 1.0)
        self.shift_error = gathered(shift_error, float(root_of_squares(shift_error[~bent])))
        self.excess_error = gathered(excess_error, 0.0)
        self.largest = float(self.excess.max(initial=0.0))
        self._derive()

    def rows(self, part: Part) -> Cumulant:
        return self

    @property
    def equal_covariances(self) -> bool:
        return not (self.excess.any() or self.excess_error.any())

    def from_p(self, y: FloatArray) -> Saddle:
        if self.largest > 0.0:
            inside, left = expit(y), expit(-y)
            w = inside / self.largest
            gap = (self.largest - self.excess) / self.largest
            return Saddle(w, 1.0 + w, left[:, None] + inside[:, None] * gap, w * left)
        w = np.exp(y)
        return Saddle(w, 1.0 + w, 1.0 - w[:, None] * self.excess, w)

    def from_q(self, y: FloatArray) -> Saddle:
        if self.largest > 0.0:
            inside, left = expit(y), expit(-y)
            relative = self.excess / self.ratio
            steepest = float(relative.max())
            z = inside / steepest
            gap = (steepest - relative) / steepest
            return Saddle(z - 1.0, z, self.ratio * (left[:, None] + inside[:, None] * gap), z * left)
        z = np.exp(y)
        return Saddle(z - 1.0, z, self.ratio - z[:, None] * self.excess, z)

    def in_strip(self, z: FloatArray) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Whether K is finite at z > 0, and where that is within rounding of changing (then the answer is no)."""
        steepest = int(np.argmax(self.excess))
        excess, error = self.excess[steepest], self.excess_error[steepest]
        margin = 1.0 - (z - 1.0) * excess
        blur = np.abs(z - 1.0) * error + 4.0 * EPS
        unclear = np.abs(margin) <= blur
        if error == 0.0:
            for k in np.flatnonzero(unclear):
                unclear[k] = (Fraction(z[k]) - 1) * Fraction(excess) < 1
        return margin > blur, unclear

    def supremum(self) -> tuple[float, float]:
        def bound(side: float) -> float:
            steep = -(self.excess + side * self.excess_error)
            if (steep <= 0.0).any():
                return np.inf
            ratios = self.log_ratio - side * self.excess_error / self.ratio
            middle = float(np.sum(self.shift / (2.0 * steep)) - 0.5 * self.columns * ratios.sum())
            blur = float(root_of_squares(self.shift_error / (2.0 * steep)))
            return middle + side * (blur + ROUNDING * abs(middle))

        return bound(-1.0), bound(1.0)

    def ceiling(self, threshold: FloatArray) -> FloatArray:
        w = min(KNOWN / max(float(self.excess_error.max(initial=0.0)), EPS), 0.5 / max(self.largest, EPS))
        points = w * 0.5 ** np.arange(0.0, 60.0)
        value, error = self.value(Saddle(points, 1.0 + points, 1.0 - points[:, None] * self.excess, points))
        return np.min(value + error - np.multiply.outer(threshold, points), axis=1)

    def halfway(self) -> float:
        value, error = self.value(self.between(np.zeros(1)))
        return float(value[0] + error[0])

    def moments(self, w: float) -> tuple[float, float]:
        v = np.ones((1, self.size)) if w == 0.0 else self.ratio[None, :]
        point = np.array([w])
        mean, variance = self.derivatives(Saddle(point, 1.0 + point, v, point))
        return float(mean[0]), float(variance[0])


def root_of_squares(errors: FloatArray) -> FloatArray:
    """Of errors that come from one vector's, along the last axis."""
    return np.sqrt(np.sum(errors * errors, axis=-1))


def find_saddle(
    law: Law, poles: tuple[float, ...], place: Callable[[FloatArray], Saddle], y: FloatArray, threshold: FloatArray
) -> tuple[Saddle, FloatArray, NDArray[np.bool_]]:
    """The minimum of ``K(w) - w t - sum log|w - pole|`` on the interval that ``place`` runs through.

    Returns the points, the slope left there (small in units of the width, and kept by the caller), and whether the
    search succeeded. Newton in y from the given start, inside a bracket.
    """
    low, high = np.full(y.shape, -_SEARCH), np.full(y.shape, _SEARCH)
    for _ in range(_ITERATIONS):
        at = place(y)
        tilt, curvature = law.derivatives(at)
        slope = tilt - threshold
        for pole in poles:
            slope = slope - 1.0 / at.distance(pole)
            curvature = curvature + at.distance(pole) ** -2.0
        noise = ROUNDING * (np.abs(tilt) + np.abs(threshold))
        found = np.abs(slope) <= np.maximum(_NEAR * np.sqrt(curvature), noise)
        if found.all():
            break
        low = np.where(slope < 0.0, y, low)
        high = np.where(slope > 0.0, y, high)
        newton = y - np.clip(slope / (curvature * at.speed), -4.0, 4.0)
        inside = (newton > low) & (newton < high)
        y = np.where(found, y, np.where(inside, newton, 0.5 * (low + high)))
    # A slope within rounding belongs to a threshold as good as the one given.
    return at, np.where(np.abs(slope) <= noise, 0.0, slope), found


def normal_start(law: Law, pole: float, threshold: FloatArray) -> FloatArray:
    """Where the search from a pole (0: ``from_p``, -1: ``from_q``) starts: the saddle if L were normal."""
    mean, variance = law.moments(pole)
    behind = threshold - mean
    root = np.hypot(behind, 2.0 * np.sqrt(variance))
    distance = np.where(
        behind > 0.0, (np.maximum(behind, 0.0) + root) / (2.0 * variance), 2.0 / (root - np.minimum(behind, 0.0))
    )
    distance = np.where(law.largest > 0.0, distance * law.largest, distance)
    return np.clip(np.log(distance), -0.9 * _SEARCH, 0.9 * _SEARCH)
