"""Gaussian differential privacy: a mechanism is mu-GDP when telling its two laws apart is no easier than telling
N(0, 1) from N(mu, 1).

Everything here is a function of that one pair, works elementwise on broadcast arrays, and returns a float for scalars.
Results are rounded so that a promise stays a promise:

- `delta`, `log_delta`, `epsilon`, `renyi`: never below the true value;
- `tradeoff` (a guaranteed error of the attacker): never above the true value;
- `mu` (the largest parameter a budget ALLOWS): never ABOVE the true value, so that noise = sensitivity / mu is never
  too small.

The curve is that of Dong, Roth, Su, *Gaussian differential privacy*, corollary 2.13:

    delta = Phi(a) - e^epsilon Phi(a - mu),   a = mu/2 - epsilon/mu.

It is evaluated together with a bound on its error, and every inversion is verified against that bound before it is
returned. The steps taken on top assume what the bound assumes: exp, log, log1p and expm1 within 4u and ndtri within
16u, relative, u = 2^-53.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri, ndtri_exp

from bounds import _gaussian_curve
from bounds._checks import FloatArray, array

Indices = NDArray[np.intp]

_U = 2.0**-53
_ROUND = 1.0  # multiplies every allowance for rounding; the tests set it to 0 and must see wrong sides
_LOG_ROOT_2PI = 0.5 * np.log(2.0 * np.pi)
_LOG_HALF = -np.log(2.0)
_LEAST_MU = 1e-300  # anything smaller is rounded down to 0
_MOST_MU = 1e150  # epsilon beyond that, about mu^2 / 2, is rounded up to infinity


def log_delta(mu: ArrayLike, epsilon: ArrayLike) -> FloatArray | float:
    """Natural log of `delta`: usable where delta itself underflows, and rounded up.

    Parameters
    ----------
    mu : nonnegative, infinity included.
    epsilon : any finite real; for a negative one, delta(epsilon) = 1 - e^epsilon + e^epsilon delta(-epsilon).

    Returns
    -------
    Above the truth by at most 3e-15 |log delta| + 1.2e-13 where delta <= 1/2, and by 1e-12 |log delta| where delta is
    larger (for mu up to 1e6; further out epsilon / mu is not resolved so well). Minus infinity where delta is exactly 0
    (mu = 0, epsilon >= 0).
    """
    mu_, epsilon_, shape = _pair("mu", mu, "[0, inf]", "epsilon", epsilon, "(-inf, inf)")
    return _shaped(_log_delta(mu_, epsilon_), shape)


def delta(mu: ArrayLike, epsilon: ArrayLike) -> FloatArray | float:
    """The hockey-stick divergence sup_S P(S) - e^epsilon Q(S) of N(mu, 1) from N(0, 1), rounded up.

    The smallest positive double, not 0, where the true value underflows. Arguments as in `log_delta`.
    """
    mu_, epsilon_, shape = _pair("mu", mu, "[0, inf]", "epsilon", epsilon, "(-inf, inf)")
    log = _log_delta(mu_, epsilon_)
    value = np.nextafter(np.exp(log) * (1.0 + 8.0 * _U * _ROUND), np.inf)
    return _shaped(np.where(np.isneginf(log), 0.0, np.minimum(value, 1.0)), shape)


def epsilon(mu: ArrayLike, delta: ArrayLike) -> FloatArray | float:
    """The smallest epsilon >= 0 at which a mu-GDP mechanism is (epsilon, delta)-DP, rounded up.

    Parameters
    ----------
    mu : nonnegative, infinity included.
    delta : in [0, 1]; with delta = 0 the answer is infinite unless mu = 0.

    Returns
    -------
    Within 1e-9 relative + 1e-12 min(1, mu) absolute of the truth; infinite for mu > 1e150.
    """
    return epsilon_from_log_delta(mu, _log_budget(delta))


def epsilon_from_log_delta(mu: ArrayLike, log_delta: ArrayLike) -> FloatArray | float:
    """`epsilon` for a budget given as log delta in [-inf, 0], which may lie below the range of doubles."""
    mu_, target, shape = _pair("mu", mu, "[0, inf]", "log_delta", log_delta, "[-inf, 0]")
    return _shaped(_solve_epsilon(mu_, target), shape)


def mu(epsilon: ArrayLike, delta: ArrayLike) -> FloatArray | float:
    """The largest mu for which mu-GDP implies (epsilon, delta)-DP, rounded DOWN.

    This is what a budget allows, not what a mechanism costs: the returned value is never above the true one, so a
    noise standard deviation of sensitivity / mu is never too small. (A mu that is *promised* by a mechanism has to
    be rounded the other way; the functions that compute such a mu do so.)

    Parameters
    ----------
    epsilon : any finite real.
    delta : in [0, 1]; 0 allows only mu = 0, and 1 allows mu = infinity.

    Returns
    -------
    Within 1e-9 relative of the truth for 0 <= epsilon <= 1e30; for epsilon < 0 too, unless delta nears 1 - e^epsilon,
    where the answer hangs on the last digits of the arguments.

    Raises
    ------
    ValueError : if epsilon < 0 and delta < 1 - e^epsilon, which no mechanism satisfies (or the two are too close to
        tell in double precision).
    """
    return mu_from_log_delta(epsilon, _log_budget(delta))


def mu_from_log_delta(epsilon: ArrayLike, log_delta: ArrayLike) -> FloatArray | float:
    """`mu` for a budget given as log delta in [-inf, 0], which may lie below the range of doubles."""
    epsilon_, target, shape = _pair("epsilon", epsilon, "(-inf, inf)", "log_delta", log_delta, "[-inf, 0]")
    return _shaped(_solve_mu(epsilon_, target), shape)


def tradeoff(mu: ArrayLike, alpha: ArrayLike) -> FloatArray | float:
    """The attacker's least type II error at type I error ``alpha``, Phi(Phi^-1(1 - alpha) - mu), rounded down.

    Parameters
    ----------
    mu : nonnegative, infinity included (nothing is guaranteed: 0).
    alpha : in [0, 1].
    """
    mu_, alpha_, shape = _pair("mu", mu, "[0, inf]", "alpha", alpha, "[0, 1]")
    mu_ = np.minimum(mu_, 1e100)
    quantile = -np.clip(ndtri(alpha_), -1e3, 1e3)
    argument = quantile - mu_
    # ndtri is within 16u and ndtr does not lose more than its argument's 3u; |d log Phi / dx| <= max(1, 1 - x).
    slope = np.maximum(1.0, 1.0 - argument)
    relative = _U * _ROUND * (20.0 * slope * (np.abs(quantile) + mu_) + 16.0 * slope + 16.0)
    value = np.maximum(ndtr(argument) * (1.0 - np.minimum(relative, 1.0)) - 1e-320 * _ROUND, 0.0)  # if subnormal
    return _shaped(np.where(alpha_ == 0.0, np.where(mu_ < 1e100, 1.0, 0.0), value), shape)


def renyi(mu: ArrayLike, order: ArrayLike) -> FloatArray | float:
    """The Renyi divergence of ``order`` > 0 between N(mu, 1) and N(0, 1), order mu^2 / 2, rounded up."""
    mu_, order_, shape = _pair("mu", mu, "[0, inf]", "order", order, "(0, inf)")
    with np.errstate(over="ignore"):
        value = 0.5 * order_ * mu_ * mu_
    return _shaped(np.where(mu_ == 0.0, 0.0, np.nextafter(value * (1.0 + 4.0 * _U * _ROUND), np.inf)), shape)


def _log_delta(mu: FloatArray, epsilon: FloatArray) -> FloatArray:
    """`log_delta` of flat arrays."""
    size = np.abs(epsilon)
    log = np.where(np.isinf(mu), 0.0, -np.inf)
    inside = np.flatnonzero((mu > 0.0) & np.isfinite(mu))
    if inside.size:
        curve = _gaussian_curve.curve(mu[inside], size[inside])
        log[inside] = np.minimum(curve.log + curve.error, 0.0)
    negative = np.flatnonzero(epsilon < 0.0)
    if negative.size:
        # 1 - e^epsilon (1 - delta(-epsilon)): from its complement if that is below 1/2, else as a sum of two
        # positive terms; either way rounded up through every step.
        up, tiny = 1.0 + 24.0 * _U * _ROUND, 1e-322 * _ROUND
        log_, size_ = log[negative], size[negative]
        rest = np.exp(-size_) * -np.expm1(log_)
        total = -np.expm1(-size_) + np.exp(log_) * np.exp(-size_)
        few = rest < 0.5
        complement = np.log1p(-np.where(few, np.maximum(rest * (2.0 - up) - tiny, 0.0), 0.0)) * (2.0 - up)
        direct = np.log(np.where(few, 1.0, np.minimum(total * up + tiny, 1.0)))
        log[negative] = np.where(few, complement, np.minimum(direct + 8.0 * _U * _ROUND * np.abs(direct), 0.0))
    return log + 0.0  # no negative zeros


def _log_budget(delta: ArrayLike) -> FloatArray:
    """log(delta), rounded down."""
    values = array("delta", delta, "[0, 1]")
    positive = values > 0.0
    log = np.log(np.where(positive, values, 1.0)) * (1.0 + 8.0 * _U * _ROUND)
    return np.where(positive, log, -np.inf)


def _solve_mu(epsilon: FloatArray, target: FloatArray) -> FloatArray:
    """The mu at which log delta meets the target, rounded down, for flat arrays."""
    target = _reflected(epsilon, target)
    solution = np.where(target == 0.0, np.inf, 0.0)
    inside = np.flatnonzero((target < 0.0) & np.isfinite(target))
    if not inside.size:
        return solution
    epsilon, target = np.abs(epsilon[inside]), target[inside]

    def step(mu: FloatArray, i: Indices) -> tuple[FloatArray, FloatArray]:
        # With t = log mu: da/dt = y, so the slope s = mu phi(a) / delta has ds/dt = s (1 - a y - s).
        curve = _gaussian_curve.curve(mu, epsilon[i])
        residual, move = _halley(curve, target[i], curve.slope, 1.0 - curve.a * curve.y)
        return residual, mu * np.expm1(np.clip(move, -1.0, 20.0))

    # Below the root, as delta <= Phi(a) and delta <= 2 Phi(mu/2) - 1 <= mu / sqrt(2 pi). From below, Newton's method
    # converges monotonically: log delta is concave in log mu (s >= 1 - a y by the addition theorem of arctan).
    z = ndtri_exp(target)
    middle = np.sqrt(2.0) * np.sqrt(epsilon)
    root = np.hypot(z, middle)
    start = np.where(z >= 0.0, root + z, middle * (middle / np.where(z >= 0.0, np.inf, root - z)))
    start = np.maximum(np.maximum(start, np.exp(target + _LOG_ROOT_2PI)), _LEAST_MU)
    mu = _newton(step, start, np.full_like(start, _LEAST_MU), np.full_like(start, np.inf), rising=True)

    unsafe, nudge = np.arange(mu.size), 8.0 * _U
    while unsafe.size:
        curve = _gaussian_curve.curve(mu[unsafe], epsilon[unsafe])
        unsafe = unsafe[curve.log + curve.error > target[unsafe]]
        mu[unsafe] *= 1.0 - nudge
        unsafe = unsafe[mu[unsafe] >= _LEAST_MU]
        nudge *= 4.0
    solution[inside] = np.where(mu >= _LEAST_MU, mu, 0.0)
    return solution


def _solve_epsilon(mu: FloatArray, target: FloatArray) -> FloatArray:
    """The epsilon >= 0 at which log delta meets the target, rounded up, for flat arrays."""
    solution = np.where((mu > 0.0) & (target < 0.0), np.inf, 0.0)
    inside = np.flatnonzero((solution > 0.0) & (mu <= _MOST_MU) & np.isfinite(target))
    curve = _gaussian_curve.curve(mu[inside], np.zeros(inside.size))
    met = curve.log + curve.error <= target[inside]
    solution[inside[met]] = 0.0
    inside = inside[~met]
    if not inside.size:
        return solution
    mu, target = mu[inside], target[inside]

    def step(ratio: FloatArray, i: Indices) -> tuple[FloatArray, FloatArray]:
        # With v = epsilon / mu: d delta / dv = -mu phi(a) m(y), and d log(phi(a) m(y)) / dv = mu - 1 / m(y).
        curve = _gaussian_curve.curve(mu[i], mu[i] * ratio)
        return _halley(curve, target[i], -curve.slope * curve.mills_y, mu[i] - 1.0 / curve.mills_y)

    # Above the root, as delta <= Phi(a), and delta <= mu phi(a) if a <= 0. From above, Newton's method converges
    # monotonically: log delta is concave in epsilon (a Gaussian smoothing of the log-concave 1 - e^-x).
    beyond = np.sqrt(2.0 * np.maximum(np.log(mu) - target - _LOG_ROOT_2PI, 0.0))
    start = 0.5 * mu + np.minimum(-ndtri_exp(target), beyond)
    start = np.maximum(start, 0.0)
    epsilon = mu * _newton(step, start, np.zeros_like(start), start, rising=False)

    unsafe, nudge = np.arange(mu.size), 8.0 * _U
    while unsafe.size:
        curve = _gaussian_curve.curve(mu[unsafe], epsilon[unsafe])
        unsafe = unsafe[curve.log + curve.error > target[unsafe]]
        with np.errstate(over="ignore"):
            epsilon[unsafe] += nudge * (epsilon[unsafe] + np.minimum(mu[unsafe], 2.0))
        unsafe = unsafe[np.isfinite(epsilon[unsafe])]
        nudge *= 4.0
    solution[inside] = epsilon
    return solution


def _newton(
    step: Callable[[FloatArray, Indices], tuple[FloatArray, FloatArray]],
    x: FloatArray,
    low: FloatArray,
    high: FloatArray,
    *,
    rising: bool,
) -> FloatArray:
    """A root in [low, high], by steps that fall back to bisection; ``step`` gives residuals and moves at x[i]."""
    x, low, high = x.copy(), low.copy(), high.copy()
    active = np.arange(x.size)
    for _ in range(200):
        here = x[active]
        residual, move = step(here, active)
        over = (residual > 0.0) == rising
        high[active] = np.where(over, np.minimum(high[active], here), high[active])
        low[active] = np.where(over, low[active], np.maximum(low[active], here))
        new = here + move
        outside = ~((new >= low[active]) & (new <= high[active]))
        middle = np.where(np.isinf(high[active]), 4.0 * here, 0.5 * (low[active] + high[active]))
        new = np.where(outside, middle, new)
        x[active] = new
        active = active[(outside | (np.abs(residual) > 1e-5)) & (np.abs(new - here) > 4.0 * _U * new)]
        if not active.size:
            break
    return x


def _halley(
    curve: _gaussian_curve.Curve, target: FloatArray, slope: FloatArray, bend: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Residual and third-order step towards the target, less 1.5 errors.

    ``slope`` is d log delta / dx, ``bend`` d log(d delta / dx) / dx. For delta > 1/2 the equation is solved in
    -log(1 - delta) instead of log delta, which is flat there.
    """
    goal = target - 1.5 * curve.error
    high = target > _LOG_HALF
    rest, rest_goal = -np.expm1(curve.log), -np.expm1(goal)
    rest, rest_goal = np.where(high, [rest, rest_goal], 1.0).clip(1e-300)
    residual = np.where(high, np.log(rest_goal) - np.log(rest), curve.log - goal)
    slope = np.where(high, slope * (np.exp(curve.log) / rest), slope)
    bend = np.where(high, bend + slope, bend - slope)
    with np.errstate(divide="ignore", invalid="ignore"):  # a flat slope: the caller bisects
        newton = -residual / slope
        return residual, newton / np.clip(1.0 + 0.5 * newton * bend, 0.5, 4.0)


def _reflected(epsilon: FloatArray, target: FloatArray) -> FloatArray:
    """Targets at -epsilon where epsilon < 0: delta' = 1 - (1 - delta) e^-epsilon, rounded down."""
    target = target.copy()
    i = np.flatnonzero((epsilon < 0.0) & (target < 0.0))
    if i.size:
        slack = _U * _ROUND
        log_rest = np.log(-np.expm1(target[i]))
        log_rest = log_rest - epsilon[i] + slack * (8.0 * np.abs(log_rest) - 2.0 * epsilon[i] + 16.0)
        if (log_rest >= 0.0).any():
            k = i[np.flatnonzero(log_rest >= 0.0)[0]]
            raise ValueError(
                f"delta = exp({target[k]}) at epsilon = {epsilon[k]}: must exceed 1 - e^epsilon = "
                f"{-np.expm1(epsilon[k])}, or no mu satisfies the budget"
            )
        low = log_rest < _LOG_HALF
        high_delta = np.log1p(-np.exp(np.where(low, log_rest, -np.inf))) * (1.0 + 16.0 * slack)
        low_delta = np.log(-np.expm1(np.where(low, -1.0, log_rest))) * (1.0 + 8.0 * slack) - 16.0 * slack
        target[i] = np.where(low, high_delta, low_delta)
    return target


def _pair(
    x_name: str, x: ArrayLike, x_interval: str, y_name: str, y: ArrayLike, y_interval: str
) -> tuple[FloatArray, FloatArray, tuple[int, ...]]:
    """Two arguments checked, broadcast and flattened, and the shape to return to."""
    x_, y_ = array(x_name, x, x_interval), array(y_name, y, y_interval)
    try:
        x_, y_ = np.broadcast_arrays(x_, y_)
    except ValueError:
        raise ValueError(f"{x_name} has shape {x_.shape}, {y_name} {y_.shape}: must broadcast together") from None
    return x_.ravel(), y_.ravel(), x_.shape


def _shaped(values: FloatArray, shape: tuple[int, ...]) -> FloatArray | float:
    return values.reshape(shape) if shape else float(values[0])
