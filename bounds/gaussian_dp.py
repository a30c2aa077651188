"""Gaussian differential privacy: a mechanism is mu-GDP when telling its two laws apart is no easier than telling
N(0, 1) from N(mu, 1).

Everything here is a function of that one pair, works elementwise on broadcast arrays, and returns a float for scalars.
Results are rounded so that a promise stays a promise:

- `delta`, `log_delta`, `epsilon`, `renyi`: never below the true value;
- `tradeoff` (a guaranteed error of the attacker): never above the true value;
- `mu` (the largest parameter a budget ALLOWS): never ABOVE the true value, so that noise = sensitivity / mu is never
  too small.

The curve (Dong, Roth, Su, *Gaussian differential privacy*, corollary 2.13), with a = mu/2 - epsilon/mu:

    delta = Phi(a) - e^epsilon Phi(a - mu)

is evaluated without cancellation from m(x) = (1 - Phi(x)) / phi(x), Mills' ratio: as e^epsilon phi(a - mu) = phi(a),

    delta     = phi(a) [m(-a) - m(mu - a)] = phi(a) * integral of 1 - t m(t) over t from -a to mu - a,
    1 - delta = phi(a) [m(a) + m(mu - a)].

Rounding. Throughout, u = 2^-53. exp, log, log1p and expm1 are taken to be within 4u and erfcx and ndtri within 16u,
relative (against Arb the tests measure about 1u and 10u); `_curve` bounds its own error from these, and every
inversion is verified against that bound before it is returned.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import erfcx, ndtr, ndtri, ndtri_exp

from bounds._checks import FloatArray, array

Indices = NDArray[np.intp]

_U = 2.0**-53
_ROUND = 1.0  # multiplies every allowance for rounding; the tests set it to 0 and must see wrong sides
_ROOT_HALF = np.sqrt(0.5)
_ROOT_HALF_PI = np.sqrt(0.5 * np.pi)
_LOG_ROOT_2PI = 0.5 * np.log(2.0 * np.pi)
_LOG_HALF = -np.log(2.0)
_LEAST_MU = 1e-300  # anything smaller is rounded down to 0
_MOST_MU = 1e150  # epsilon beyond that, about mu^2 / 2, is rounded up to infinity
_LARGEST = np.finfo(np.float64).max
_FEW, _MANY = (np.polynomial.legendre.leggauss(nodes) for nodes in (3, 8))
_FRACTION_FROM, _FRACTION_DEPTH = 4.0, 25


def log_delta(mu: ArrayLike, epsilon: ArrayLike) -> FloatArray | float:
    """Natural log of `delta`: usable where delta itself underflows, and rounded up.

    Parameters
    ----------
    mu : nonnegative, infinity included.
    epsilon : any finite real; for a negative one, delta(epsilon) = 1 - e^epsilon + e^epsilon delta(-epsilon).

    Returns
    -------
    Above the truth by at most 3e-15 |log delta| + 1.2e-13 where delta <= 1/2, and by a factor 1 +- 1e-12 where delta
    is larger. Minus infinity where delta is exactly 0 (mu = 0, epsilon >= 0).
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
    Within 1e-9 relative + 1e-12 min(1, mu) absolute of the truth (the curve is flat in ratio near epsilon = 0).
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
    value = ndtr(argument) * np.maximum(0.0, 1.0 - relative)
    return _shaped(np.where(alpha_ == 0.0, np.where(mu_ < 1e100, 1.0, 0.0), value), shape)


def renyi(mu: ArrayLike, order: ArrayLike) -> FloatArray | float:
    """The Renyi divergence of ``order`` > 0 between N(mu, 1) and N(0, 1), order mu^2 / 2, rounded up."""
    mu_, order_, shape = _pair("mu", mu, "[0, inf]", "order", order, "(0, inf)")
    with np.errstate(over="ignore"):
        value = 0.5 * order_ * mu_ * mu_
    return _shaped(np.where(mu_ == 0.0, 0.0, np.nextafter(value * (1.0 + 4.0 * _U * _ROUND), np.inf)), shape)


class _Curve(NamedTuple):
    """log delta at 0 < mu < inf, epsilon >= 0, with a bound on its error and what its derivatives need."""

    log: FloatArray  # nearest
    error: FloatArray  # |log - truth| is at most this
    slope: FloatArray  # d log delta / d log mu = mu phi(a) / delta
    a: FloatArray
    y: FloatArray  # mu - a
    mills_y: FloatArray


def _curve(mu: FloatArray, epsilon: FloatArray) -> _Curve:
    # mu/2 - epsilon/mu cancels when epsilon is near mu^2/2, so the quotient is taken in two doubles. That leaves a
    # relative error of 2u and at most 8u^2 * ratio, which moves log delta and log(1 - delta) by at most |a| + 3 times
    # as much and matters for wild ratios only.
    ratio, ratio_low = _quotient(epsilon, mu)
    a, a_low = _two_sum(0.5 * mu, -ratio)
    a = np.minimum(a + (a_low - ratio_low), 1e3)  # from there on 1 - delta is 0
    y = np.minimum(0.5 * mu + ratio, 1e300)
    moved = 8.0 * _U * _U * ratio * (np.abs(a) + 3.0)
    mills_y = _mills(y)
    log_phi = -0.5 * a * a - _LOG_ROOT_2PI

    log, error, slope = np.empty_like(a), np.empty_like(a), np.empty_like(a)
    small = a <= 0.0
    if not small.all():
        # If delta >= 1/2, from 1 - delta: the exponent is off by (2.5 a^2 + 1)u, each Mills ratio by 24u, the rest
        # by 8u, and |d log log1p(-x) / d log x| < 1.45 for x <= 1/2. 1e-320 is for the spacing of tiny doubles.
        i = np.flatnonzero(~small)
        width = _mills(a[i]) + mills_y[i]
        rest = np.exp(log_phi[i]) * width
        small[i] = rest > 0.5
        rest = np.minimum(rest, 0.5)
        log[i] = np.log1p(-rest)
        error[i] = (_U * (4.0 * a[i] * a[i] + 60.0) + 1.5 * moved[i]) * -log[i] + 1e-320
        slope[i] = mu[i] * (rest / (1.0 - rest)) / width
    if small.any():
        # If delta < 1/2, then a < 0.68 (as epsilon >= 0, delta >= 2 Phi(a) - 1) and J = drop * mu < m(-0.68) < 2.4, so
        # a^2/2 and -log J are at most |log delta|: six roundings at that scale (two from a), and 4u of both
        # logarithms, which add up to at most |log delta| + 2 max(log mu, 0) + 2.
        i = np.flatnonzero(small)
        drop, relative = _mean_drop(-a[i], mu[i], y[i], mills_y[i])
        log_mu = np.log(mu[i])
        log[i] = log_phi[i] + (np.log(drop) + log_mu)
        error[i] = _U * (10.0 * (np.abs(log[i]) + np.maximum(log_mu, 0.0)) + relative + 16.0) + moved[i]
        slope[i] = 1.0 / drop
    return _Curve(log, error * _ROUND, slope, a, y, mills_y)


def _mean_drop(x: FloatArray, width: FloatArray, y: FloatArray, mills_y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """[m(x) - m(y)] / width for y = x + width, x > -0.7, and its relative error in units of u."""
    mills_x = _mills(x)
    near = mills_y > 0.7 * mills_x
    drop = (mills_x - mills_y) / width
    relative = np.full_like(drop, 140.0)  # 24u on each term, amplified by at most (1 + 0.7) / (1 - 0.7)
    if near.any():
        # -m'(t) = 1 - t m(t) is positive and smooth: eight Gauss-Legendre nodes err by less than 6u up to this ratio,
        # three by less than u on a narrow interval. 1 - t m(t) >= 1 / (t^2 + 3), so computed as it stands it is off
        # by at most 22u (t^2 + 3).
        narrow = width < 0.003 * np.maximum(x, 1.0)
        for (nodes, weights), rows in ((_FEW, near & narrow), (_MANY, near & ~narrow)):
            i = np.flatnonzero(rows)
            if i.size:
                points = np.multiply.outer(0.5 + 0.5 * nodes, width[i]) + x[i]
                drop[i] = (0.5 * weights) @ _mills_descent(points)
                relative[i] = 22.0 * np.minimum(y[i], _FRACTION_FROM) ** 2 + 100.0
    return drop, relative


def _mills(x: FloatArray) -> FloatArray:
    """Mills' ratio (1 - Phi(x)) / phi(x)."""
    return _ROOT_HALF_PI * erfcx(_ROOT_HALF * x)


def _mills_descent(t: FloatArray) -> FloatArray:
    """1 - t m(t) = -m'(t): as it stands for small t, else m(t) / (t + 2/(t + 3/(t + ...))), free of cancellation."""
    mills = _mills(t)
    descent = 1.0 - t * mills
    far = t >= _FRACTION_FROM
    if far.any():
        z = t[far]
        fraction = 0.5 * (z + np.sqrt(z * z + (4.0 * _FRACTION_DEPTH + 2.0)))
        for j in range(_FRACTION_DEPTH, 1, -1):
            np.divide(j, fraction, out=fraction)
            fraction += z
        descent[far] = mills[far] / fraction
    return descent


def _quotient(numerator: FloatArray, denominator: FloatArray) -> tuple[FloatArray, FloatArray]:
    """numerator / denominator in two doubles, capped at 2^500; exact scaling keeps every product in range."""
    top, top_power = np.frexp(numerator)
    bottom, bottom_power = np.frexp(denominator)
    ratio = top / bottom
    product, product_low = _two_product(ratio, bottom)
    remainder = (top - product) - product_low
    power = np.minimum(top_power - bottom_power, 501)
    return np.minimum(np.ldexp(ratio, power), 2.0**500), np.ldexp(remainder / bottom, power)


def _two_sum(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    total = x + y
    moved = total - x
    return total, (x - (total - moved)) + (y - moved)


def _two_product(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    product = x * y
    x_high, y_high = x * 134217729.0, y * 134217729.0
    x_high, y_high = x_high - (x_high - x), y_high - (y_high - y)
    x_low, y_low = x - x_high, y - y_high
    return product, ((x_high * y_high - product) + x_high * y_low + x_low * y_high) + x_low * y_low


def _log_delta(mu: FloatArray, epsilon: FloatArray) -> FloatArray:
    """`log_delta` of flat arrays."""
    size = np.abs(epsilon)
    log = np.where(np.isinf(mu), 0.0, -np.inf)
    inside = np.flatnonzero((mu > 0.0) & np.isfinite(mu))
    if inside.size:
        curve = _curve(mu[inside], size[inside])
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
        curve = _curve(mu, epsilon[i])
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

    nudge = 8.0 * _U
    while True:
        curve = _curve(np.maximum(mu, _LEAST_MU), epsilon)
        unsafe = (curve.log + curve.error > target) & (mu >= _LEAST_MU)
        if not unsafe.any():
            break
        mu = np.where(unsafe, mu * (1.0 - nudge), mu)
        nudge *= 4.0
    solution[inside] = np.where(mu >= _LEAST_MU, mu, 0.0)
    return solution


def _solve_epsilon(mu: FloatArray, target: FloatArray) -> FloatArray:
    """The epsilon >= 0 at which log delta meets the target, rounded up, for flat arrays."""
    solution = np.where((mu > 0.0) & (target < 0.0), np.inf, 0.0)
    inside = np.flatnonzero((solution > 0.0) & (mu <= _MOST_MU) & np.isfinite(target))
    curve = _curve(mu[inside], np.zeros(inside.size))
    met = curve.log + curve.error <= target[inside]
    solution[inside[met]] = 0.0
    inside = inside[~met]
    if not inside.size:
        return solution
    mu, target = mu[inside], target[inside]

    def step(ratio: FloatArray, i: Indices) -> tuple[FloatArray, FloatArray]:
        # With v = epsilon / mu: d delta / dv = -mu phi(a) m(y), and d log(phi(a) m(y)) / dv = mu - 1 / m(y).
        curve = _curve(mu[i], mu[i] * ratio)
        return _halley(curve, target[i], -curve.slope * curve.mills_y, mu[i] - 1.0 / curve.mills_y)

    # Above the root, as delta <= Phi(a), and delta <= mu phi(a) if a <= 0. From above, Newton's method converges
    # monotonically: log delta is concave in epsilon (a Gaussian smoothing of the log-concave 1 - e^-x).
    beyond = np.sqrt(2.0 * np.maximum(np.log(mu) - target - _LOG_ROOT_2PI, 0.0))
    start = 0.5 * mu + np.minimum(-ndtri_exp(target), beyond)
    start = np.maximum(start, 0.0)
    epsilon = mu * _newton(step, start, np.zeros_like(start), start, rising=False)

    nudge = 8.0 * _U
    while True:
        curve = _curve(mu, np.minimum(epsilon, _LARGEST))
        unsafe = (curve.log + curve.error > target) & (epsilon <= _LARGEST)
        if not unsafe.any():
            break
        with np.errstate(over="ignore"):
            epsilon = np.where(unsafe, epsilon + nudge * (epsilon + np.minimum(mu, 2.0)), epsilon)
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


def _halley(curve: _Curve, target: FloatArray, slope: FloatArray, bend: FloatArray) -> tuple[FloatArray, FloatArray]:
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
