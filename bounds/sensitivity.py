"""High-probability sensitivities of one training point under noisy gradient descent on a ridge problem.

A gradient step taken with and without the point (x, y) differs by the rank-one matrix ``step_size * x R'`` of
norm ``step_size * |x| |R|``, where R = W'x - y is the residual of the point. Along the chain R is Gaussian with
independent components of one variance, so a bound on |R| that holds with a chosen probability is a quantile of a
noncentral chi law, and a union bound over the steps that are random makes it hold at all steps at once.
"""

from functools import lru_cache
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, gammaln, log_ndtr, ndtri_exp

from bounds import _checks, _quantile_table
from bounds._tails import STEP, contour, increasing_root

Array = NDArray[np.float64]
Count = Literal["random", "steps", "listed"]

_ULP = 2.0**-52
_LOG_HALF = -np.log(2.0)
_CHUNK = 4096  # points handled at once, so that the temporaries stay in cache
_CLOSE = 1e-10  # spread of |R| over |m| below which the cap |m| + std * (sqrt C + sqrt(-2 log tail)) will do
_MANY = 8192  # quantiles at one tail from which a table is worth building
_COARSE = 1 / 4  # step of the contour while iterating: about 1e-6 in the logarithm
_ACCURACY = 1e-9  # promised, relative
_LOG_TAILS = "[-1e12, -1e-60]"


def residual_quantile(
    mean_norm: ArrayLike,
    std: ArrayLike,
    dof: ArrayLike,
    tail: ArrayLike | None = None,
    *,
    log_tail: ArrayLike | None = None,
) -> Array:
    """Upper-tail quantile r of a Gaussian norm: P(|R| > r) = tail for R ~ N(m, std^2 I_dof), |m| = mean_norm.

    Arguments broadcast; arrays of a million entries are fine (about 20 microseconds each, 1 where dof = 1).
    Rounded up: never below the quantile and at most 1e-9 above it, relatively (1e-12 measured). Where std = 0
    nothing is random and the result is mean_norm itself.

    Parameters
    ----------
    mean_norm, std : nonnegative and finite.
    dof : number of components of R, a positive integer.
    tail, log_tail : the tail probability in (0, 1), or its natural logarithm in [-1e12, -1e-60]; exactly one.

    Raises
    ------
    ValueError for arguments outside these ranges, FloatingPointError if the accuracy was not reached.

    Notes
    -----
    (R / std)^2 has the cumulant ncp z / (1 - 2z) - (C/2) log(1 - 2z); its tails are contour integrals, the upper one
    in use for tail <= 1/2 and the lower one, at 1 - tail, otherwise (dof = 1, tail <= 1/2: Phi(a-r) + Phi(-a-r)).
    Newton's method on the logarithm of the tail. The last step is taken further by the error of the logarithm
    (discretisation, rounding, inversion) divided by its slope.
    """
    mean_norm = _checks.array("mean_norm", mean_norm, "[0, inf)")
    std = _checks.array("std", std, "[0, inf)")
    dof = _checks.array("dof", dof, "[1, inf)")
    broken = dof != np.floor(dof)
    if broken.any():
        raise ValueError(f"dof = {float(dof[broken].flat[0])!r}: must be a positive integer")
    log_tail = _log_tail(tail, log_tail)
    mean_norm, std, dof, log_tail = np.broadcast_arrays(mean_norm, std, dof, log_tail)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = np.where(std > 0, mean_norm / std, np.inf)
    cap = np.sqrt(dof) + np.sqrt(-2 * log_tail)
    result = np.where(std > 0, _up(mean_norm + std * cap), mean_norm)
    near = np.flatnonzero(_CLOSE * ratio < cap)
    for start in range(0, near.size, _CHUNK):
        at = near[start : start + _CHUNK]
        standard = _standard_quantile(ratio.flat[at], dof.flat[at], log_tail.flat[at])
        result.flat[at] = _up(std.flat[at] * standard)
    return result[()]


def residual_quantiles(mean_norm: ArrayLike, std: ArrayLike, dof: int, *, log_tail: float) -> Array:
    """`residual_quantile` of many residuals at one tail and one dof, from a table: some 25 nanoseconds each.

    Rounded up: never below the quantile, because the quantile is convex in |m| / std with known slopes (see
    `bounds._quantile_table`), and at most 1e-9 above it, relatively (6e-11 measured). Few arguments, dof > 128, tails
    below e^-10000 and tails so near 1 that the table would be too long go to `residual_quantile`.
    """
    mean_norm = _checks.array("mean_norm", mean_norm, "[0, inf)")
    std = _checks.array("std", std, "[0, inf)")
    dof = _checks.count("dof", dof, least=1)
    log_tail = float(_log_tail(None, _checks.number("log_tail", log_tail, "(-inf, 0)")))
    size = np.broadcast(mean_norm, std).size
    if size >= _MANY and dof <= _quantile_table.MOST_DOF and log_tail >= _quantile_table.LEAST_LOG_TAIL:
        try:
            return _table(dof, log_tail)(mean_norm, std)
        except FloatingPointError:
            pass
    return residual_quantile(mean_norm, std, dof, log_tail=log_tail)


@lru_cache(maxsize=64)
def _table(dof: int, log_tail: float) -> _quantile_table.QuantileTable:
    return _quantile_table.table(dof, log_tail, lambda a: residual_quantile(a, 1.0, dof, log_tail=log_tail))


def central_radius(dof: ArrayLike, tail: ArrayLike | None = None, *, log_tail: ArrayLike | None = None) -> Array:
    """Upper-tail quantile of |Z|, Z ~ N(0, I_dof): `residual_quantile` at mean 0 and standard deviation 1."""
    return residual_quantile(0.0, 1.0, dof, tail, log_tail=log_tail)


def allocate_tail(delta_s: float, learn_steps: int, count: Count = "random") -> float:
    """Tail probability of each step in a union bound of total probability `delta_s`.

    Of the residuals at k = 0..T (T = `learn_steps`) the first is deterministic and the last enters no step: T - 1
    random ones remain, at k = 1..T-1, and ``count="random"`` shares `delta_s` among them. ``"steps"`` shares it among
    T and ``"listed"`` among T + 1, valid too and slightly worse. Where nothing is shared (T = 1, "random"; T = 0) the
    result is `delta_s`, and no step needs it.
    """
    delta_s = _checks.number("delta_s", delta_s, "(0, 1)")
    return delta_s / max(_events(learn_steps, count), 1)


def sensitivities(
    *,
    step_size: float,
    row_norm: ArrayLike,
    mean_norms: ArrayLike,
    variances: ArrayLike,
    dof: int,
    delta_s: float | None = None,
    log_delta_s: float | None = None,
    count: Count = "random",
) -> Array:
    """Sensitivities s_k that bound all the one-step differences |e_k| at once, with probability 1 - delta_s.

    e_k = -step_size * x R_k' with R_k ~ N(m_k, v_k I_C), k = 0..T-1, and ``s_k = step_size * |x| * r_k``, r_k the
    quantile of |R_k| at the tail of `allocate_tail`. By the union bound over the steps with v_k > 0,
    P(|e_k| <= s_k for all k) >= 1 - delta_s, whatever the dependence between steps. A step with v_k = 0 (k = 0 from a
    fixed start, every k without learning noise) is deterministic: r_k = |m_k|.

    Parameters
    ----------
    step_size, row_norm : eta, and |x| of shape (...) (one entry per training point).
    mean_norms, variances : |m_k| and v_k, shapes broadcasting to (..., T).
    dof : C, the number of outputs.
    delta_s, log_delta_s : total probability of failure in (0, 1), or its natural logarithm; exactly one.
    count : how many events share it, see `allocate_tail`.

    Returns
    -------
    (..., T) array, rounded up.

    Raises
    ------
    ValueError for bad arguments, and if more steps are random than `count` pays for.
    """
    step_size = _checks.number("step_size", step_size, "(0, inf)")
    row_norm = _checks.array("row_norm", row_norm, "[0, inf)")[..., None]
    mean_norms = _checks.array("mean_norms", mean_norms, "[0, inf)")
    variances = _checks.array("variances", variances, "[0, inf)")
    if mean_norms.ndim == 0 and variances.ndim == 0:
        raise ValueError("mean_norms, variances have shape (): the last axis must be the learning steps")
    mean_norms, variances = np.broadcast_arrays(mean_norms, variances)
    if (delta_s is None) == (log_delta_s is None):
        raise ValueError(f"delta_s = {delta_s!r}, log_delta_s = {log_delta_s!r}: give exactly one")
    if delta_s is not None:
        log_delta_s = np.log(_checks.number("delta_s", delta_s, "(0, 1)"))
    steps = mean_norms.shape[-1]
    events = _events(steps, count)
    random = int((variances > 0).sum(-1).max(initial=0))
    if random > events:
        raise ValueError(f"variances: {random} of {steps} steps are random, but count = {count!r} pays for {events}")
    log_tail = _checks.number("log_delta_s", log_delta_s, "(-inf, 0)") - np.log(max(events, 1))
    return _up(step_size * row_norm * residual_quantiles(mean_norms, np.sqrt(variances), dof, log_tail=log_tail))


def _events(learn_steps: int, count: Count) -> int:
    steps = _checks.count("learn_steps", learn_steps)
    events = {"random": max(steps - 1, 0), "steps": steps, "listed": steps + 1}
    return events[_checks.choice("count", count, get_args(Count))]


def _up(value: Array) -> Array:
    """Above the exact result of two or three rounded operations (square root, product, sum) that gave `value`."""
    return value * (1 + 2 * _ULP)


def _log_tail(tail: ArrayLike | None, log_tail: ArrayLike | None) -> Array:
    if (tail is None) == (log_tail is None):
        raise ValueError(f"tail = {tail!r}, log_tail = {log_tail!r}: give exactly one")
    if log_tail is not None:
        return _checks.array("log_tail", log_tail, _LOG_TAILS)
    tail = _checks.array("tail", tail, "(0, 1)")
    return np.where(tail > 0.5, np.log1p(np.maximum(tail, 0.5) - 1), np.log(tail))


def _standard_quantile(a: Array, dof: Array, log_tail: Array) -> Array:
    """The quantile for standard deviation 1 and mean of norm a, rounded up (1-d arrays)."""
    upper = log_tail <= _LOG_HALF
    target = np.where(upper, log_tail, np.log(-np.expm1(log_tail)))
    toward = np.where(upper, 1.0, -1.0)  # the direction in which r moves when the computed tail is too large
    r = _start(a, dof, log_tail, target)
    step = _COARSE
    for _ in range(12):
        now = _log_tails(a, r, dof, upper, step)
        excess = now.log - target
        resolution = 1e-11 * r * now.slope  # for huge arguments rounding alone moves the tail by more than 1e-6
        if step == STEP and np.all(np.abs(excess) <= 1e-6 + resolution):
            break
        r = r + toward * excess / now.slope
        step = STEP if np.all(np.abs(excess) <= 1e-3 + resolution) else _COARSE
    else:
        raise FloatingPointError("residual quantile: Newton's iteration did not settle")
    # Newton's remainder is |(log F)''| excess^2 / (2 slope^3), and -2 slope^2 < (log F)'' < 0 wherever F <= 1/2
    # (found -1.53 at least; a negative sign makes Newton overshoot to the safe side for the upper tail anyway).
    margin = (now.error + excess**2 + 4 * _ULP * np.abs(target)) / now.slope
    if not np.all(margin <= 0.4 * _ACCURACY * r):  # the rest is left to the table
        raise FloatingPointError("residual quantile: the contour integral is not accurate enough")
    return _up(r + toward * excess / now.slope + margin)


def _start(a: Array, dof: Array, log_tail: Array, target: Array) -> Array:
    """The quantile to a small fraction of a standard deviation, by Newton's method in log r on Barndorff-Nielsen's r*.

    That normal deviate needs the saddle point without the pole of the tail integral, which is explicit:
    w = (C + sqrt(C^2 + 4 a^2 r^2)) / (2 r^2), z = (1 - w) / 2. It increases with log r and bends upwards, so Newton
    goes down to the root from the right: from the cap a + sqrt C + sqrt(-2 log tail) (triangle inequality and the
    chi-square bound of Laurent and Massart) or, for tails near 1, from the r <= 1 that solves
    P(|R| <= r) >= exp(-(a^2 + r^2) / 2) (r^2 / 2)^(C/2) / Gamma(C/2 + 1). Only speed depends on any of this.
    """
    deviate = -ndtri_exp(log_tail)
    cap = np.log(a + np.sqrt(dof) + np.sqrt(-2 * log_tail))
    small = (target + 0.5 * a * a + gammaln(0.5 * dof + 1)) / dof + 0.5 * np.log(2.0) + 0.5
    log_r = np.where((log_tail > _LOG_HALF) & (small < 0), small, cap)
    for _ in range(30):
        r = np.exp(log_r)
        w = (dof / r + np.hypot(dof / r, 2 * a)) / (2 * r)
        z, root, shifted = 0.5 * (1 - w), np.sqrt(w), a * (a / w)
        deviation = np.sqrt(4 * shifted + 2 * dof)  # w times the square root of the cumulant's second derivative
        scaled = z * deviation / w
        central = np.abs(scaled) < 0.03  # r* is 0/0 at the mean: its expansion there
        half_square = 0.5 * (r - a) ** 2 - 0.5 * (a / root - r * root) ** 2 + 0.5 * dof * np.log(w)
        skew = (4 * shifted + dof * 4 / 3) / deviation**3
        signed = np.where(central, scaled * (1 + 2 * scaled * skew), np.sign(z) * np.sqrt(2 * np.abs(half_square)))
        safe = np.where(central, 1.0, signed)
        correction = np.where(central, skew, np.log(np.where(central, 1.0, scaled / safe)) / safe)
        slope = 2 * r * r * np.where(central, w / deviation, z / safe)
        move = np.clip((deviate - signed - correction) / slope, -2.0, 2.0)
        log_r = log_r + move
        if np.all(np.abs(move * slope) < 1e-3):
            break
    return np.exp(log_r)


class _Tail(NamedTuple):
    log: Array
    slope: Array  # |d log / dr|
    error: Array  # of log, absolute


def _log_tails(a: Array, r: Array, dof: Array, upper: NDArray[np.bool_], step: float) -> _Tail:
    """log P(|R| > r) where `upper` and log P(|R| <= r) elsewhere, for standard deviation 1."""
    closed = upper & (dof == 1)
    if closed.all():
        return _folded_normal(a, r)
    general = _contour_tails(a, r, dof, upper, step)
    if not closed.any():
        return general
    return _Tail(*(np.where(closed, x, y) for x, y in zip(_folded_normal(a, r), general, strict=True)))


def _folded_normal(a: Array, r: Array) -> _Tail:
    """dof = 1: P(|R| > r) = Phi(a - r) + Phi(-a - r)."""
    log = np.logaddexp(log_ndtr(a - r), log_ndtr(-a - r))
    density = np.logaddexp(-0.5 * (r - a) ** 2, -0.5 * (r + a) ** 2) - 0.5 * np.log(2 * np.pi)
    slope = np.exp(density - log)
    # log_ndtr is good to a few ulps of itself; a is a rounded quotient and moves the tail at most as fast as r does
    return _Tail(log, slope, 8 * _ULP * (1 + np.abs(log)) + _ULP * a * slope)


def _contour_tails(a: Array, r: Array, dof: Array, upper: NDArray[np.bool_], step: float) -> _Tail:
    """Both tails as (1 / 2 pi i) int exp(phi(w)) / |1 - w| dw, w = 1 - 2z, over a line Re w = w0.

    phi = (a^2 / w + r^2 w - a^2 - r^2) / 2 - (C/2) log w. The line is in (0, 1) for the upper tail and in (1, inf) for
    the lower one; it is bent to the left around 0, the singularity of phi. The slope in r of the integral is r times
    the integral without the pole, hence r times the mean distance to the pole.
    """
    side = np.where(upper, 1.0, -1.0)

    def place(x: Array) -> tuple[Array, Array]:
        """Distance to the pole and w, both to full relative accuracy."""
        distance = np.where(upper, expit(x), np.exp(x))
        return distance, np.where(upper, expit(-x), 1 + distance)

    def slope(x: Array) -> Array:
        distance, w = place(x)
        return -1 / distance - 0.5 * side * (r * r - (a / w) ** 2 - dof / w)

    distance, w = place(increasing_root(slope, np.full(r.shape, -400.0), np.full(r.shape, 400.0)))
    width = (1 / distance**2 + ((a / w) ** 2 + 0.5 * dof / w) / w) ** -0.5

    def ratio(shift: NDArray[np.complex128]) -> NDArray[np.complex128]:
        # exp(phi(w - shift) - phi(w)) in real arithmetic, 2.5 times as fast as in complex
        x, y = 1 - shift.real / w, -shift.imag / w
        modulus = x * x + y * y
        pull = (a / w) ** 2 / modulus
        real = 0.5 * (pull * (shift.real * x + shift.imag * y) - r * r * shift.real) - 0.25 * dof * np.log(modulus)
        angle = 0.5 * (pull * (shift.imag * x - shift.real * y) - r * r * shift.imag - dof * np.arctan2(y, x))
        size = np.exp(real)
        return (size * np.cos(angle) + 1j * (size * np.sin(angle))) / (1 + side * shift / distance)

    value = contour(ratio, distance=distance, width=width, singularity=w, around_pole=~upper, step=step)
    root = np.sqrt(w)
    spread, misfit = r - a, a / root - r * root
    log = 0.5 * (misfit**2 - spread**2) - 0.5 * dof * np.log(w) - np.log(distance) + value.log
    tail_slope = r * value.mean_distance
    # Every term of the exponent is good to a few ulps of itself, except the differences (misfit and, along the
    # contour, r^2 - a^2 / w^2), which carry ulps of what was subtracted. a is a rounded quotient: d log / da is at
    # most a + r for either tail, and at most the slope in r.
    parts = misfit**2 + spread**2 + dof * (1 + np.abs(np.log(w))) + np.abs(np.log(distance)) + w / distance
    parts = parts + r * root * np.abs(misfit) + r * r * width + 1
    error = value.error + 4 * _ULP * parts + _ULP * a * np.minimum(a + r, tail_slope)
    return _Tail(log, tail_slope, error)
