"""Hockey-stick divergences of two Gaussian laws known through their likelihood ratio: Chernoff and contour integral.

Where Q is standard and P = N(d, 1 + x) coordinate by coordinate, C columns sharing the variances, L = log dP/dQ has, with
n_j = sum_c d_jc^2, g_j = 1 + x_j and v_j = 1 - w x_j,

    K(w) = log E_P e^{wL} = sum_j (1+w) w n_j / (2 v_j) - (C/2) (log v_j + w log g_j),    while all v_j > 0,

and H_{e^eps}(P||Q) = (1 / 2 pi i) int exp(K(w) - w eps) / (w (1+w)) dw over a line 0 < Re w (Mellin inversion of
(1 - e^{eps-L})_+). Chernoff: (1 - e^{-u})_+ <= e^{wu} w^w / (1+w)^{1+w}, so H <= exp(K(w) - w eps) w^w / (1+w)^{1+w}.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bounds import gaussian_dp
from bounds._tails import STEP, contour, increasing_root

Array = NDArray[np.float64]

_ULP = 2.0**-52
_TIGHT = 3e-7  # relative error of an integral above which another contour or a finer step is tried
_REFUSED = 1e-6  # and above which Chernoff's bound stands
_RANGE = 300.0  # of log w
_ELEMENTS = 2**13  # points times coordinates handled at once, so that the temporaries stay in cache


@dataclass(frozen=True)
class GaussianRatio:
    """m pairs of laws: `shift` (m, r), n_j; `excess` (m, r), x_j > -1; `plain` (m,), n of equal variances; `columns`."""

    shift: Array
    excess: Array
    plain: Array
    columns: int

    def __len__(self) -> int:
        return len(self.plain)

    def __getitem__(self, rows: NDArray[np.intp] | slice) -> GaussianRatio:
        return replace(self, shift=self.shift[rows], excess=self.excess[rows], plain=self.plain[rows])

    def swapped(self) -> GaussianRatio:
        """The laws exchanged: whitened by P instead of Q."""
        g = 1 + self.excess
        return replace(self, shift=self.shift / g, excess=-self.excess / g)

    def log_moment(self, w: Array) -> Array:
        """K(w), (m,); infinite where the moment is."""
        v = 1 - w[:, None] * self.excess
        inside = np.all(v > 0, axis=1)
        v = np.where(inside[:, None], v, 1.0)
        pulled = (0.5 * (w * (1 + w)))[:, None] * self.shift / v
        logs = np.log(v) + w[:, None] * np.log1p(self.excess)
        total = pulled.sum(1) + 0.5 * w * (1 + w) * self.plain - 0.5 * self.columns * logs.sum(1)
        return np.where(inside, total, np.inf)

    def slope(self, w: Array) -> Array:
        """K'(w); infinite where K is."""
        x, n = self.excess, self.shift
        v = 1 - w[:, None] * x
        inside = np.all(v > 0, axis=1)
        v = np.where(inside[:, None], v, 1.0)
        terms = (0.5 + w)[:, None] * n / v + (0.5 * w * (1 + w))[:, None] * n * x / v**2
        terms = terms + 0.5 * self.columns * (x / v - np.log1p(x))
        return np.where(inside, terms.sum(1) + (0.5 + w) * self.plain, np.inf)

    def rounding(self, w: Array) -> Array:
        """A bound on the rounding of K(w): a few ulps of every term, v carrying those of what was taken from 1."""
        v = 1 - w[:, None] * self.excess
        carried = (1 + np.abs(w[:, None] * self.excess)) / v
        pulled = (0.5 * (w * (1 + w)))[:, None] * self.shift / v
        logs = np.abs(np.log(v)) + np.abs(w[:, None] * np.log1p(self.excess))
        parts = ((pulled + 0.5 * self.columns * np.minimum(np.abs(w[:, None] * self.excess), 1)) * carried).sum(1)
        parts = parts + 0.5 * self.columns * logs.sum(1) + 0.5 * w * (1 + w) * self.plain
        total: Array = 8 * _ULP * (1 + parts)
        return total


def _log_half_plane(w: Array) -> Array:
    """log w^w / (1+w)^{1+w}, for w > 0."""
    total: Array = -np.log1p(w) - w * np.log1p(1 / w)
    return total


def chernoff(law: GaussianRatio, epsilon: Array) -> Array:
    """Upper bound on log H_{e^epsilon}(P||Q), (m,), guaranteed up to float rounding, which is added."""
    return _in_blocks(law, epsilon, _chernoff)


def _chernoff(law: GaussianRatio, epsilon: Array) -> Array:
    def slope(t: Array) -> Array:
        w = np.exp(t)
        return law.slope(w) - epsilon - np.log1p(1 / w)

    return _tilted(law, epsilon, _inside(law, np.exp(_root(slope, len(law)))))


def _tilted(law: GaussianRatio, epsilon: Array, w: Array) -> Array:
    """Chernoff's bound with the exponent w, any positive one."""
    log = law.log_moment(w) - w * epsilon + _log_half_plane(w)
    rounding = law.rounding(w) + 4 * _ULP * (np.abs(w * epsilon) + 1 + np.abs(log))
    return np.where(_separate(law), np.minimum(log + rounding, 0.0), -np.inf)


def chernoff_epsilon(law: GaussianRatio, log_delta: Array) -> Array:
    """The smallest epsilon >= 0 at which Chernoff's bound is at most log_delta, rounded up; (m,)."""
    return _in_blocks(law, log_delta, _chernoff_epsilon, np.inf)


def _chernoff_epsilon(law: GaussianRatio, log_delta: Array) -> Array:
    def slope(t: Array) -> Array:
        w = np.exp(t)
        tilt = law.slope(w)
        finite = np.isfinite(tilt)
        moment = np.where(finite, law.log_moment(w), 0.0)
        return np.where(finite, w * np.where(finite, tilt, 0.0) - moment + np.log1p(w) + log_delta, np.inf)

    w = _inside(law, np.exp(_root(slope, len(law))))
    moment = law.log_moment(w)
    rounding = law.rounding(w) + 4 * _ULP * (1 + np.abs(log_delta) + np.abs(moment))
    epsilon = (moment + rounding + _log_half_plane(w) - log_delta) / w
    epsilon = np.maximum(epsilon * (1 + 4 * _ULP), 0.0)
    return np.where(_separate(law), epsilon, 0.0)


def log_hockey_stick(law: GaussianRatio, epsilon: Array) -> Array:
    """log H_{e^epsilon}(P||Q) at epsilon >= 0, (m,), on the safe side: the contour integral plus its error.

    The error is estimated (see `bounds._tails.contour`), with a margin and without proof; where it exceeds 1e-6, and
    wherever Chernoff's bound is lower, that bound is returned.
    """
    if law.shift.shape[1] == 0:  # a Gaussian shift, in closed form
        return np.asarray(gaussian_dp.log_delta(np.sqrt(law.plain), epsilon), dtype=float)
    return _in_blocks(law, epsilon, lambda part, at: _sharp(part, at)[0])


def epsilon_for(law: GaussianRatio, log_delta: Array) -> Array:
    """The smallest epsilon >= 0, to 1e-7 relative, with log_hockey_stick(epsilon) <= log_delta, evaluated there."""
    if law.shift.shape[1] == 0:  # a Gaussian shift, in closed form
        return np.asarray(gaussian_dp.epsilon_from_log_delta(np.sqrt(law.plain), log_delta), dtype=float)
    return _in_blocks(law, log_delta, _solve, np.inf)


def _solve(law: GaussianRatio, log_delta: Array) -> Array:
    upper = _chernoff_epsilon(law, log_delta)
    lower = np.zeros(len(law))
    # Chernoff's bound at 0 is within a small factor of the truth, so it says where 0 may be the answer.
    maybe = np.flatnonzero(_chernoff(law, lower) <= log_delta + 4)
    if maybe.size:
        upper[maybe] = np.where(_sharp(law[maybe], lower[maybe])[0] <= log_delta[maybe], 0.0, upper[maybe])
    x = upper.copy()
    for _ in range(60):
        wide = np.flatnonzero((upper - lower > 1e-7 * upper) & np.isfinite(upper))
        if not wide.size:
            break
        log, rate = _sharp(law[wide], x[wide])
        excess = log - log_delta[wide]
        at = x[wide]
        lower[wide] = np.where(excess > 0, at, lower[wide])
        upper[wide] = np.where(excess > 0, upper[wide], at)
        with np.errstate(divide="ignore", invalid="ignore"):
            newton = at + excess / rate
        newton = newton + np.where(excess > 0, 4e-8, -4e-8) * at
        good = (newton > lower[wide]) & (newton < upper[wide])
        x[wide] = np.where(good, newton, 0.5 * (lower[wide] + upper[wide]))
    return upper


def _sharp(law: GaussianRatio, epsilon: Array) -> tuple[Array, Array]:
    """(log H rounded up, minus its derivative)."""
    w = _saddle(law, epsilon)
    bound = _tilted(law, epsilon, w)
    result, rate, error = bound.copy(), np.ones(len(law)), np.full(len(law), np.inf)
    at = np.flatnonzero(_separate(law))
    side = np.where(_third(law, w) >= 0, 1.0, -1.0)
    for step, turn in ((2 * STEP, 1), (STEP, 1), (STEP, -1), (STEP / 4, 1), (STEP / 4, -1)):
        if not at.size:
            break
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):  # all end as an error that is not small
            log, distance, found = _integral(law[at], epsilon[at], w[at], turn * side[at], step)
        better = found < error[at]
        rows = at[better]
        error[rows], rate[rows] = found[better], distance[better]
        result[rows] = np.where(found[better] <= _REFUSED, log[better] + found[better], bound[rows])
        at = at[~(error[at] <= _TIGHT)]
    return np.minimum(np.minimum(result, bound), 0.0), np.maximum(rate, 1e-300)


def _saddle(law: GaussianRatio, epsilon: Array) -> Array:
    def slope(t: Array) -> Array:
        w = np.exp(t)
        return law.slope(w) - epsilon - 1 / w - 1 / (1 + w)

    return _inside(law, np.exp(_root(slope, len(law))))


def _third(law: GaussianRatio, w: Array) -> Array:
    """Third derivative of the integrand's logarithm at w."""
    x, n = law.excess, law.shift
    r = x / (1 - w[:, None] * x)
    v = 1 - w[:, None] * x
    terms = 3 * n * x / v**2 + 3 * (1 + 2 * w)[:, None] * n * r**2 / v + 3 * (w * (1 + w))[:, None] * n * r**3 / v
    with np.errstate(over="ignore"):
        total: Array = (terms + law.columns * r**3).sum(1) - 2 / w**3 - 2 / (1 + w) ** 3
    return total


def _integral(law: GaussianRatio, epsilon: Array, w: Array, side: Array, step: float) -> tuple[Array, Array, Array]:
    """(log of the integral, mean distance to the pole, relative error); the contour bends to `side`."""
    x, n, half = law.excess, law.shift, 0.5 * law.columns
    v = 1 - w[:, None] * x
    r = x / v
    curvature = law.plain + (n / v + (1 + 2 * w)[:, None] * n * r / v + (w * (1 + w))[:, None] * n * r**2 / v).sum(1)
    curvature = curvature + half * (r**2).sum(1)
    third = np.abs(_third(law, w))
    width = (curvature + 1 / w**2 + 1 / (1 + w) ** 2) ** -0.5
    drift = law.slope(w) - epsilon
    # K(w+s) - K(w), term by term: with v(w+s) = v (1 - s r), no large numbers are subtracted
    weight = 0.5 * n / v
    level = (1 + 2 * w)[:, None] + (w * (1 + w))[:, None] * r

    def ratio(moved: NDArray[np.complex128]) -> NDArray[np.complex128]:
        s = side * moved
        factor = 1 - s[..., None] * r
        change = s[..., None] * (level + s[..., None]) / factor
        exponent = (weight * change - half * np.log(factor)).sum(-1)
        exponent = exponent + s * (linear + 0.5 * s * law.plain)
        return np.exp(exponent) / ((1 + s / w) * (1 + s / (1 + w)))

    linear = (0.5 + w) * law.plain - half * np.log1p(x).sum(1) - epsilon
    value = contour(
        ratio,
        distance=w,
        width=width,
        singularity=np.maximum(2 * (curvature + 1 / w**2) / np.maximum(third, 1e-300), width),
        around_pole=side < 0,
        step=step,
    )
    log = law.log_moment(w) - w * epsilon - np.log(w) - np.log1p(w) + value.log
    rounding = law.rounding(w) + 4 * _ULP * (np.abs(w * epsilon) + np.abs(np.log(w)) + np.log1p(w) + 1)
    rounding = rounding + 8 * _ULP * width * np.abs(drift)
    error = np.where(np.isfinite(log), value.error + rounding, np.inf)
    return log, value.mean_distance, error


def _separate(law: GaussianRatio) -> NDArray[np.bool_]:
    """Whether the two laws differ at all."""
    return np.any((law.shift > 0) | (law.excess != 0), axis=1) | (law.plain > 0)


def _root(slope: Callable[[Array], Array], size: int) -> Array:
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        return increasing_root(slope, np.full(size, -_RANGE), np.full(size, _RANGE), halvings=32)


def _inside(law: GaussianRatio, w: Array) -> Array:
    """w moved, if need be, to where the moment is finite."""
    largest = np.max(law.excess, axis=1, initial=0.0)
    limit: Array = np.where(largest > 0, (1 - 1e-9) / np.where(largest > 0, largest, 1.0), np.inf)
    return np.minimum(w, limit)


def _in_blocks(
    law: GaussianRatio, value: Array, function: Callable[[GaussianRatio, Array], Array], hopeless: float = 0.0
) -> Array:
    """function(law, value) on the pairs that overlap, block by block; `hopeless` where they do not."""
    value = np.broadcast_to(np.asarray(value, dtype=float), (len(law),))
    result = np.full(len(law), hopeless)
    overlapping = np.flatnonzero(np.isfinite(law.plain))
    rows = max(1, _ELEMENTS // max(1, law.shift.shape[1]))
    for begin in range(0, overlapping.size, rows):
        at = overlapping[begin : begin + rows]
        result[at] = function(law[at], value[at])
    return result
