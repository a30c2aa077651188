"""Tail probabilities and hockey-stick divergences of two Gaussian laws, from one contour integral each.

Every probability of interest is ``(1 / 2 pi i) int exp(K(w) - w t) / prod (w - pole) dw`` along a line parallel to
the imaginary axis, with K the cumulant function of ``L = log dP/dQ`` (Mellin-Barnes). The poles, and the side on
which the line passes them, decide which:

    w (w + 1),  w > 0         H_{e^t}(P||Q) = E_P (1 - e^(t-L))_+
    w (w + 1),  -1 < w < 0    H_{e^t}(P||Q) - 1
    w,          w > 0         P(L > t)
    w + 1,      w > -1        e^t Q(L > t)

The line passes the real axis where the integrand is smallest there, at ``w0``. There its logarithm ``f`` is convex;
with ``W = f''(w0)^(-1/2)`` and ``w = w0 + W s`` the exponent relative to ``w0`` is (partial fractions)

    E(s) = f'(w0) W s + sum_j A_j s^2 / (2 (1 - s Y_j)) - sum_j c_j (log(1 - s Y_j) + s Y_j),

``Y_j = W x_j / v_j``, ``A_j = W^2 n2_j g_j / v_j^3`` and ``c_j = C/2`` for a direction, ``Y = -W / (w0 - p)`` and
``c = 1`` for a pole p, so that ``sum_j A_j + c_j Y_j^2 = 1``: no large number is left, whatever the laws. The
trapezoid rule in ``u`` on the hyperbola ``s = b (cosh u - 1) + i sinh u`` converges doubly exponentially when the
hyperbola bends to the side where the integrand falls.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from linear.cumulant import ROUNDING, Law, Saddle, find_saddle, normal_start
from linear.whitened import EPS, FloatArray

_BLOCK = 2**17  # numbers worked on at once
_DECAYED = -47.0  # log of what is left out of the integral, relative to its largest value
_SHELLS = 100  # the slowest integrand, e^(-u/2), has decayed by then
_NODES = 8  # per unit of u, before any halving
_HALVINGS = 5
_QUADRATURE = 1e-12  # change at which the step is not halved any more; the error is then far smaller
_POOR = 1e-9  # error from which other contours are tried
_FOLD = 0.25  # directions with |s Y| up to this are summed as one power series


@dataclass(frozen=True)
class Kernel:
    """Which probability the integral is: the poles in w, and whether the line runs between them."""

    poles: tuple[float, ...]
    between: bool = False


HOCKEY_STICK = Kernel(poles=(0.0, -1.0))
SHORTFALL = Kernel(poles=(0.0, -1.0), between=True)  # 1 - H
UPPER_P = Kernel(poles=(0.0,))
UPPER_Q = Kernel(poles=(-1.0,))  # e^t Q(L > t)


@dataclass(frozen=True)
class Estimate:
    """Values and estimates of their absolute errors; where the error is infinite the value means nothing."""

    value: FloatArray
    error: FloatArray


@dataclass(frozen=True)
class Curve(Estimate):
    """The same with the derivatives of the values in the argument (not of privacy-grade accuracy)."""

    slope: FloatArray


def integral(law: Law, kernel: Kernel, threshold: FloatArray) -> Curve:
    """log of the kernel's integral at every threshold, shape (m,), with its slope. The law must have a direction.

    The law is one for all thresholds or, with ``CumulantRows``, one for each.
    """

    def block(law: Law, part: FloatArray) -> Curve:
        if kernel.between:
            start, place = np.zeros(part.shape), law.between
        else:
            start = normal_start(law, kernel.poles[0], part)
            place = law.from_p if kernel.poles[0] == 0.0 else law.from_q
        at, slope, found = find_saddle(law, kernel.poles, place, start, part)
        result = integral_through(law, kernel, at, part, slope)
        return Curve(result.value, np.where(found, result.error, np.inf), result.slope)

    rows = max(1, _BLOCK // (_NODES * (law.size + 2)))
    with np.errstate(all="ignore"):
        pieces = [slice(begin, begin + rows) for begin in range(0, len(threshold), rows)]
        parts = [block(law.rows(piece), threshold[piece]) for piece in pieces]
    return Curve(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("value", "error", "slope")))


def integral_through(law: Law, kernel: Kernel, at: Saddle, threshold: FloatArray, slope: FloatArray) -> Curve:
    """The same on contours through given points, where f' = slope."""
    tilt, curvature = law.derivatives(at)
    inverse = [1.0 / at.distance(pole) for pole in kernel.poles]
    logs = [np.log(np.abs(at.distance(pole))) for pole in kernel.poles]
    width = 1.0 / np.sqrt(curvature + sum(item * item for item in inverse))
    value, error = law.value(at)
    relative = width[:, None] / at.v
    path = _Path(
        shift=relative * relative * law.shift * law.ratio / at.v,
        pull=np.column_stack([relative * law.excess, *(-width * item for item in inverse)]),
        weight=np.append(np.full(law.size, 0.5 * law.columns), np.ones(len(kernel.poles))),
        slope=slope * width,
    )
    log, quadrature_error, mean = path.integrate()
    log = value - at.w * threshold - sum(logs) + np.log(width) + log
    rounded = np.abs(at.w * threshold) + sum(np.abs(item) for item in logs) + 4.0
    rounded = rounded + width * (np.abs(tilt) + np.abs(threshold) + sum(np.abs(item) for item in inverse))
    error = error + ROUNDING * rounded + quadrature_error
    return Curve(log, np.where(np.isfinite(log + error), error, np.inf), -(at.w + width * mean))


@dataclass(frozen=True)
class _Folded:
    """What the nodes of one unit of u share: directions summed as a series, and its coefficients per row."""

    inner: NDArray[np.bool_]
    coefficients: FloatArray


class _Path:
    """The scaled integrals of some thresholds: one row each, the directions and poles along the other axis."""

    def __init__(
        self,
        shift: FloatArray,
        pull: FloatArray,
        weight: FloatArray,
        slope: FloatArray,
        bend: FloatArray | None = None,
    ) -> None:
        self.shift = np.pad(shift, ((0, 0), (0, pull.shape[1] - shift.shape[1])))
        self.pull = pull
        self.weight = weight
        self.slope = slope
        self.bend = self._choose_bend() if bend is None else bend
        self.folded: list[_Folded] = []

    def _choose_bend(self) -> FloatArray:
        """b of each row's hyperbola.

        On the line s = iR the modulus only falls. Its derivative to the right, at the last R where the integrand
        still counts, says on which side it falls faster; to first order, bending by b adds b R times that derivative
        to the exponent. The path of steepest descent starts with b = f''' W^3 / 3: that much (within limits) is best
        if the two agree. Halved while any of it would let the integrand grow.
        """
        rows = np.arange(len(self.pull))
        level, drift, height = [], [], 0.5
        while True:
            q = (height * self.pull) ** 2
            quadratic = height**2 * self.shift / (1.0 + q)
            level.append(-0.5 * np.sum(quadratic + self.weight * np.log1p(q), axis=1))
            bent = self.pull * (0.5 * quadratic * (3.0 + q) + self.weight * q) / (1.0 + q)
            drift.append(height * (self.slope - bent.sum(axis=1)))
            if height > 1e43 or not (level[-1] > -60.0).any():
                break
            height *= 2.0
        levels, drifts = np.array(level), np.array(drift)
        last = np.maximum(np.count_nonzero(levels > _DECAYED, axis=0) - 1, 0)
        side = -np.sign(drifts[last, rows])
        third = np.sum(self.shift * self.pull + (2.0 / 3.0) * self.weight * self.pull**3, axis=1)
        bend = side * np.clip(third * side, 0.3, 0.7)
        for _ in range(6):
            grows = (levels > -60.0) & (levels + bend * drifts > 0.5)
            bend = np.where(grows.any(axis=0), 0.5 * bend, bend)
        return bend

    def integrate(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """log of (1 / 2 pi i) int e^E ds, the estimated error of that, and the mean of s under this weight.

        Where the bend turns out badly, bends to the other side and none at all are tried.
        """
        log, error, mean = self._along_hyperbola()
        for factor in (-1.0, 0.0):
            poor = np.flatnonzero(~(error < _POOR))
            if not len(poor):
                break
            other = _Path(self.shift[poor], self.pull[poor], self.weight, self.slope[poor], factor * self.bend[poor])
            new_log, new_error, new_mean = other._along_hyperbola()
            better = new_error < error[poor]
            rows = poor[better]
            log[rows], error[rows], mean[rows] = new_log[better], new_error[better], new_mean[better]
        return log, error, mean

    def _along_hyperbola(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        rows = len(self.pull)
        half = np.full(rows, 0.5)
        fine, coarse, modulus, moment = half.copy(), half.copy(), half.copy(), np.zeros(rows)
        shells = np.zeros(rows, dtype=np.intp)
        alive = np.arange(rows)
        for shell in range(_SHELLS):
            u = shell + np.arange(1, _NODES + 1) / _NODES
            self.folded.append(self._fold(alive, u[-1]))
            term, first, rest = self._terms(shell, alive, u)
            fine[alive] += term.real.sum(axis=1)
            coarse[alive] += term.real[:, 1::2].sum(axis=1)
            modulus[alive] += np.abs(term).sum(axis=1)
            moment[alive] += first.sum(axis=1)
            shells[alive] += 1
            alive = alive[rest > _DECAYED]
            if not len(alive):
                break
        step = 1.0 / _NODES
        fine, coarse, modulus, moment = fine * step, coarse * 2.0 * step, modulus * step, moment * step
        error = np.abs(fine - coarse)
        error[alive] = np.inf
        for _ in range(_HALVINGS):
            again = np.flatnonzero((error > _QUADRATURE * fine) & np.isfinite(error))
            if not len(again):
                break
            middle, middle_moment = np.zeros(len(again)), np.zeros(len(again))
            for shell in range(int(shells[again].max())):
                here = np.flatnonzero(shells[again] > shell)
                u = shell + np.arange(0.5 * step, 1.0, step)
                term, first, _ = self._terms(shell, again[here], u)
                middle[here] += term.real.sum(axis=1)
                middle_moment[here] += first.sum(axis=1)
            better = 0.5 * (fine[again] + step * middle)
            error[again] = np.abs(better - fine[again])
            fine[again] = better
            moment[again] = 0.5 * (moment[again] + step * middle_moment)
            step *= 0.5
        operations = 4.0 + np.sum(self.weight * np.minimum(1.0, 8.0 * np.abs(self.pull)), axis=1)
        error = np.where(fine > 0.0, (error + ROUNDING * operations * modulus) / fine, np.inf)
        return np.log(fine / np.pi), error, moment / fine

    def _fold(self, rows: NDArray[np.intp], u: float) -> _Folded:
        """sum_j A_j s^2 / (2 (1 - s Y_j)) - c_j (log(1 - s Y_j) + s Y_j) = sum_k s^(k+2) (...), where |s Y| <= 1/4."""
        pull = self.pull[rows]
        reach = np.abs(self._position(rows, np.array([u]))[:, :1])
        size = np.max(np.abs(pull) * reach, axis=0)
        inner = size <= _FOLD
        largest = max(float(size[inner].max(initial=0.0)), EPS)
        terms = max(1, int(np.ceil(np.log(EPS) / np.log(largest))))
        pull, shift = pull[:, inner], 0.5 * self.shift[np.ix_(rows, inner)]
        spread = self.weight[inner] * pull * pull
        power = np.ones_like(pull)
        coefficients = np.zeros((len(self.pull), terms))
        for k in range(terms):
            coefficients[rows, k] = np.einsum("ij,ij->i", power, shift + spread / (k + 2))
            power = power * pull
        return _Folded(inner, coefficients)

    def _position(self, rows: NDArray[np.intp], u: FloatArray) -> NDArray[np.complex128]:
        return self.bend[rows, None] * (2.0 * np.sinh(0.5 * u) ** 2) + 1j * np.sinh(u)

    def _terms(
        self, shell: int, rows: NDArray[np.intp], u: FloatArray
    ) -> tuple[NDArray[np.complex128], FloatArray, FloatArray]:
        """e^E ds / (i du) at the nodes, the real part of s times it, and the log of what lies beyond the last node.

        Beyond it the path may run straight up. There |e^E| falls, except for shifts whose singularity it has passed on
        the far side (Re s Y > 1). Those let it grow by a factor of exp(0.18 A/Y^2) at most (as |b| <= 0.7), but have
        brought it below exp(-A/Y^2) for good: so e^-47 (``_DECAYED``) may become e^-40, no more.
        """
        s = self._position(rows, u)
        folded = self.folded[shell]
        exponent = np.zeros_like(s)
        for k in range(folded.coefficients.shape[1] - 1, -1, -1):
            exponent = exponent * s + folded.coefficients[rows, k, None]
        exponent = (exponent * s + self.slope[rows, None]) * s
        if not folded.inner.all():
            outer = ~folded.inner
            y, a = self.pull[np.ix_(rows, outer)][:, None], self.shift[np.ix_(rows, outer)][:, None]
            c = self.weight[outer]
            ahead, aside = 1.0 - s.real[:, :, None] * y, s.imag[:, :, None] * y
            square = ahead * ahead + aside * aside
            fraction = np.sum(a * ahead / square, axis=2) + 1j * np.sum(a * aside / square, axis=2)
            logs = np.log(square) @ (0.5 * c) - 1j * (np.arctan2(aside, ahead) @ c)
            exponent += 0.5 * s * s * fraction - logs - s * (y @ c)
        rest = exponent.real[:, -1] + u[-1]
        exponent.real = np.minimum(exponent.real, 300.0)
        term = np.exp(exponent) * (np.cosh(u) - 1j * self.bend[rows, None] * np.sinh(u))
        return term, (term * s).real, rest
