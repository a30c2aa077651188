"""The coupling certificate: a Gaussian-DP profile averaged over a Gaussian distance.

Run the chain to be unlearned and its reference with the same noise while they learn. They end a random distance apart;
given that distance the noise of unlearning makes the two nu-Gaussian-DP, and the hockey-stick divergence is jointly
convex, so in both directions H <= E d_nu(epsilon), with no event to exclude, no delta_s and no contraction factor.

Derived here. By Mellin inversion of (e^L - e^epsilon)_+ with L ~ N(-nu^2/2, nu^2), for c > 1,

    d_nu(epsilon) = (1 / 2 pi i) int_{Re z = c} exp(s nu^2 - (z-1) epsilon) / (z (z-1)) dz,    s = z (z-1) / 2.

For nu^2 = |Z|^2, Z a (d, C) Gaussian matrix with independent entries Z_jc ~ N(b_jc, theta_j), Fubini gives

    E d_nu(epsilon) = (1 / 2 pi i) int exp(K(z) - (z-1) epsilon) / (z (z-1)) dz,
    K(z) = sum_j s n_j / (1 - 2 s theta_j) - (C/2) log(1 - 2 s theta_j),    n_j = sum_c b_jc^2,

while c (c-1) max theta < 1. The same integral over a line with 0 < c < 1 is E d_nu(epsilon) - 1.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bounds import _checks
from bounds._tails import STEP, contour, increasing_root

Array = NDArray[np.float64]

_ULP = 2.0**-52
_TIGHT = 1e-12  # relative error of an integral above which it is computed again with a finer step
_REFUSED = 1e-9  # and above which, even so, it is refused
_ELEMENTS = 2**13  # points times dimensions handled at once, so that the temporaries stay in cache
_REMOTE = -1e10  # logarithm below which Chernoff's bound may stand in for the integral
_CERTAIN = -40.0  # logarithm of 1 - E d_nu below which E d_nu is taken for 1
_RANGE = 340.0  # of the logarithm of the distance from the line to the pole
_HAIR = 1e-11  # relative width of the bracket in which epsilon_for ends


def log_expected_delta(shift_squared: ArrayLike, variances: ArrayLike, columns: int, epsilon: ArrayLike) -> Array:
    """log E d_nu(epsilon) for nu^2 = |Z|_F^2, Z a (d, C) Gaussian matrix with independent entries.

    Columns with one covariance become such a Z in its eigenbasis, which leaves nu as it is.

    Parameters
    ----------
    shift_squared : (..., d), n_j, the squared mean of row j summed over the columns.
    variances : (..., d), theta_j, the variance of each entry of row j; zeros allowed.
    columns : C.
    epsilon : broadcast against the leading axes; any finite real.

    Returns
    -------
    Natural logarithms, rounded up: never below the truth and at most 1e-9 + 1e-12 |log| above it (measured: 1e-12
    where |log| < 1000), or 1e-8 |log| where |log| > 1e10. Minus infinity where E d_nu(epsilon) = 0, that is nu = 0
    and epsilon >= 0. It increases with the shifts, but not always with the variances.

    Raises
    ------
    ValueError or TypeError for bad arguments; FloatingPointError where doubles do not reach that accuracy.
    """
    shift, theta, columns, epsilon = _broadcast(shift_squared, variances, columns, "epsilon", epsilon)
    shape, epsilon = epsilon.shape, epsilon.ravel()
    log = _profile(shift, theta, columns, np.abs(epsilon)).log
    # d(epsilon) = 1 - e^epsilon + e^epsilon d(-epsilon): the two laws behind d_nu are mirror images of each other
    negative = epsilon < 0
    below = epsilon[negative]
    mirrored = np.logaddexp(np.log(-np.expm1(below)), below + log[negative])
    log[negative] = np.minimum(mirrored + 4 * _ULP * (1 + np.abs(mirrored)), 0.0)
    return log.reshape(shape)[()]


def epsilon_for(shift_squared: ArrayLike, variances: ArrayLike, columns: int, log_delta: ArrayLike) -> Array:
    """The smallest epsilon >= 0 with log E d_nu(epsilon) <= log_delta, rounded up.

    Arguments as in `log_expected_delta`, and log_delta in [-inf, 0]. `log_expected_delta` was evaluated at the result
    and is at most log_delta there; the result is above the root by at most 1e-9 relative + 1e-9 min(1, rms nu).
    Infinite for log_delta = -inf, unless nu = 0.
    """
    shift, theta, columns, target = _broadcast(shift_squared, variances, columns, "log_delta", log_delta)
    shape, target = target.shape, target.ravel()
    at_zero = _profile(shift, theta, columns, np.zeros(target.size)).log
    result = np.where(at_zero <= target, 0.0, np.inf)
    left = np.flatnonzero((at_zero > target) & (target > -np.inf))
    if left.size:
        result[left] = _solve(shift[left], theta[left], columns, target[left])
    return result.reshape(shape)[()]


class _Profile(NamedTuple):
    log: Array  # of E d_nu(epsilon), rounded up
    slope: Array  # its derivative in epsilon
    error: Array  # of the contour integral, relative


def _broadcast(
    shift_squared: ArrayLike, variances: ArrayLike, columns: int, name: str, value: ArrayLike
) -> tuple[Array, Array, int, Array]:
    """Checked arguments: shift and theta as (points, d) arrays, and the other argument in the shape of the result."""
    shift = _checks.array("shift_squared", shift_squared, "[0, inf)")
    theta = _checks.array("variances", variances, "[0, inf)")
    columns = _checks.count("columns", columns, least=1)
    value = _checks.array(name, value, {"epsilon": "(-inf, inf)", "log_delta": "[-inf, 0]"}[name])
    if shift.ndim == 0 or theta.ndim == 0 or shift.shape[-1] != theta.shape[-1]:
        raise ValueError(
            f"shift_squared, variances have shapes {shift.shape}, {theta.shape}: need a last axis of one length"
        )
    shape = np.broadcast_shapes(shift.shape[:-1], theta.shape[:-1], value.shape)
    full = (*shape, shift.shape[-1])
    flat = (int(np.prod(shape)), shift.shape[-1])
    shift, theta = (np.broadcast_to(part, full).reshape(flat) for part in (shift, theta))
    return shift, theta, columns, np.broadcast_to(value, shape)


def _profile(shift: Array, theta: Array, columns: int, epsilon: Array) -> _Profile:
    """log E d_nu(epsilon) and its slope, epsilon >= 0, block by block."""
    result = _Profile(np.full(epsilon.size, -np.inf), np.zeros(epsilon.size), np.zeros(epsilon.size))
    # 1 - H = int min(p, e^epsilon q) <= int (p e^epsilon q)^(1/2), the value of the integrand's exponent at z = 1/2
    affinity = (-0.125 * shift / (1 + 0.25 * theta) - 0.5 * columns * np.log1p(0.25 * theta)).sum(-1) + 0.5 * epsilon
    certain = affinity < _CERTAIN
    result.log[certain] = 0.0
    random = np.flatnonzero(np.any((shift > 0) | (theta > 0), axis=-1) & ~certain)
    block = max(1, _ELEMENTS // max(1, shift.shape[-1]))
    for start in range(0, random.size, block):
        at = random[start : start + block]
        for step in (STEP, STEP / 4, STEP / 16):
            with np.errstate(over="ignore", divide="ignore", invalid="ignore"):  # all end as an error that is not small
                part = _integral(shift[at], theta[at], columns, epsilon[at], step)
            for whole, piece in zip(result, part, strict=True):
                whole[at] = piece
            at = at[~(part.error <= _TIGHT)]
            if not at.size:
                break
    refused = ~(result.error <= _REFUSED)
    if refused.any():
        raise FloatingPointError(
            f"coupling certificate at epsilon = {float(epsilon[refused][0])!r}: the contour integral is not accurate"
        )
    return result


def _integral(shift: Array, theta: Array, columns: int, epsilon: Array, step: float) -> _Profile:
    """E d_nu(epsilon), epsilon >= 0, over a line right of the pole z = 1, or from its complement over one left of it.

    The complement serves where the privacy loss mostly exceeds epsilon: its mean K'(1) does by half its deviation or
    more. Then E d > 0.01 by Cantelli's inequality, and nothing is lost in 1 - (1 - E d). y is |z - 1|.
    """
    half = 0.5 * columns
    mean = 0.5 * (shift + columns * theta).sum(-1)
    variance = 2 * mean + ((shift + half * theta) * theta).sum(-1)
    below = mean - epsilon > 0.5 * np.sqrt(variance)
    side = np.where(below, -1.0, 1.0)

    def place(x: Array) -> tuple[Array, Array]:
        y = np.where(below, 1 / (1 + np.exp(-x)), np.exp(x))
        return y, np.where(below, 1 / (1 + np.exp(x)), 1 + y)

    def slope(x: Array) -> Array:
        y, z = place(x)
        v = 1 - (side * y * z)[:, None] * theta
        inside = np.all(v > 0, axis=-1)
        v = np.where(inside[:, None], v, 1.0)
        derivative = (z - 0.5) * ((shift / v + columns * theta) / v).sum(-1) - epsilon
        return np.where(inside, side * (derivative - 1 / z) - 1 / y, np.inf)

    y, z = place(increasing_root(slope, np.full(epsilon.shape, -_RANGE), np.full(epsilon.shape, _RANGE)))
    branch = _branch(theta.max(-1))
    clear = np.minimum(y, branch * (1 - 1e-12))  # as near to the branch point as 1 - 2 s theta stays positive
    y, z = np.where(below, y, clear), np.where(below, z, 1 + clear)
    s, middle = 0.5 * side * y * z, z - 0.5
    v = 1 - 2 * s[:, None] * theta
    relative = theta / v
    first = ((shift / v + columns * theta) / v).sum(-1)
    second = ((4 * shift / v + 2 * columns * theta) * relative / v).sum(-1)
    third = ((24 * shift / v + 8 * columns * theta) * relative**2 / v).sum(-1)
    curvature = first + second * middle**2
    width = (curvature + 1 / y**2 + 1 / z**2) ** -0.5
    weight, doubled = shift / v**2, 2 * relative

    def ratio(moved: NDArray[np.complex128]) -> NDArray[np.complex128]:
        change = (0.5 * moved * (moved + 2 * middle))[..., None]
        factor = 1 - change * doubled
        exponent = (change * (weight / factor) - half * np.log(factor)).sum(-1) - moved * epsilon
        return np.exp(exponent) / ((1 + side * moved / y) * (1 + moved / z))

    value = contour(
        ratio,
        distance=y,
        width=width,
        singularity=_bending(branch - side * y, curvature, (third * middle**2 + 3 * second) * middle),
        around_pole=below,
        step=step,
    )
    pulled = s[:, None] * shift / v
    chernoff = (pulled - half * np.log(v)).sum(-1) - side * y * epsilon
    # Rounding: a few ulps of every term; v also carries those of the 2 s theta that was subtracted from 1.
    carried = (1 + np.abs(2 * s[:, None] * theta)) / v
    parts = ((np.abs(pulled) + half) * carried + half * np.abs(np.log(v))).sum(-1)
    rounding = 4 * _ULP * (parts + y * epsilon + np.abs(np.log(y)) + np.abs(np.log(z)) + 1)
    error = value.error + rounding
    log = chernoff - np.log(y) - np.log(z) + value.log
    exact_enough = rounding <= _REFUSED + 1e-12 * np.abs(log)
    # Out of reach, rounding spoils the contour; (e^L - e^epsilon)_+ <= exp(z L - (z-1) epsilon) is then close enough.
    spoilt = ~exact_enough | ~(value.error <= _REFUSED)
    remote = spoilt & ~below & (chernoff < _REMOTE) & (np.log(y) < 0.99 * _RANGE)
    complement = np.where(below, np.exp(np.where(below, log - error, 0.0)), 0.0)
    upper = np.where(below, np.log1p(-complement), np.where(remote, chernoff + rounding, log + error))
    upper = np.minimum(upper + 2 * _ULP * np.abs(upper), 0.0)
    rate = np.where(below, complement / (1 - complement), 1.0) * np.where(remote, y, value.mean_distance)
    return _Profile(upper, -rate, np.where(remote, 0.0, np.where(exact_enough, value.error, np.inf)))


def _branch(theta: Array) -> Array:
    """Distance from z = 1 to the branch point z = 1/2 + sqrt(1/4 + 1 / theta)."""
    with np.errstate(divide="ignore"):
        return 1 / (np.sqrt(theta) * np.sqrt(0.25 * theta + 1) + 0.5 * theta)


def _bending(to_branch: Array, curvature: Array, skew: Array) -> Array:
    """Effective distance to the singularity that decides how far the contour bends.

    The geometric mean of the distance to the nearest branch point and of twice K" / K"', which is that distance where
    one branch point makes all of K and far more where it hardly matters. Every choice is right; this one keeps the
    discretisation error small.
    """
    with np.errstate(divide="ignore", over="ignore"):
        return np.sqrt(np.maximum(to_branch, 0.0)) * np.sqrt(2 * curvature / np.abs(skew))


def _solve(shift: Array, theta: Array, columns: int, target: Array) -> Array:
    """The root in epsilon, from above: Newton's method in a bracket that it closes from both sides."""
    mean = 0.5 * (shift + columns * theta).sum(-1)
    y = np.minimum(0.5 * _branch(theta.max(-1)), np.sqrt(np.maximum(-target, 1.0) / mean))
    v = 1 - (y * (1 + y))[:, None] * theta
    exponent = 0.5 * (y * (1 + y))[:, None] * shift / v - 0.5 * columns * np.log(v)
    # Chernoff: (e^L - e^epsilon)_+ <= exp((1 + y) L - y epsilon)
    upper = 2 * (exponent.sum(-1) - target) / y
    lower, x = np.zeros(upper.shape), upper.copy()
    resolution = 1e-12 * np.minimum(1.0, np.sqrt(2 * mean))
    for _ in range(100):
        wide = np.flatnonzero(upper - lower > _HAIR * upper + resolution)
        if not wide.size:
            break
        at = x[wide]
        now = _profile(shift[wide], theta[wide], columns, at)
        excess = now.log - target[wide]
        lower[wide] = np.where(excess > 0, at, lower[wide])
        upper[wide] = np.where(excess > 0, upper[wide], at)
        hair = 0.4 * (_HAIR * at + resolution[wide])
        with np.errstate(divide="ignore", invalid="ignore"):  # the profile is flat where it was rounded to 1
            newton = at - excess / now.slope + np.where(excess > 0, hair, -hair)
        inside = (newton > lower[wide]) & (newton < upper[wide])
        x[wide] = np.where(inside, newton, 0.5 * (lower[wide] + upper[wide]))
    return upper
