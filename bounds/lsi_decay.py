"""Decay of a Rényi divergence when both laws take the same noisy steps, through log-Sobolev constants.

A law has constant C when Ent(f^2) <= 2 C E|grad f|^2 (N(m, s^2 I) has C = s^2). An l-Lipschitz map turns C into l^2 C,
independent noise N(0, t I) turns it into C + t. Let P, Q be smoothed by the same noise of variance t, C the constant of
Q before. With the log-Sobolev inequality at f = (dP/dQ)^(a/2),

    dD_a/dt <= -(D_a + a (a-1) dD_a/da) / (a (C + t)).

Dropping the second term, nonnegative, gives D_a(t) <= (1 + t/C)^(-1/a) D_a(0): `unlearning_bound`. Moving the order
along with da/dt = (a-1)/(C+t) cancels it instead and gives D_a(t) <= (a/b) e^-R D_b(0), R = log(1 + t/C) and
b = 1 + (a-1) e^-R <= a: `hypercontractive_bound`, which needs the divergence at a smaller order and loses no 1/a in the
rate. It is never the larger of the two (D_b <= D_a, and (1/a) 1 + (1 - 1/a) e^-R >= e^(-R (1-1/a))), and is attained by
Gaussians of one covariance. All derived here; the first is the decay of Chien et al. (2024).

A step is theta -> map(theta) + sqrt(2 step_size) temperature W, W standard normal; `contraction` is the Lipschitz
factor of its map, at or above 1 where it does not contract. Bounds and constants are rounded up, rates down.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate, repeat

import numpy as np
from numpy.typing import ArrayLike

from bounds._checks import FloatArray, array, count, number
from bounds._outward import EPS, TINY, allowance, decayed, down, shaped, up


def step_contraction(
    *, step_size: float, smoothness: float, strong_convexity: float = 0.0, convex: bool = True
) -> float:
    """Lipschitz factor of one gradient step: max(|1 - step_size m|, |1 - step_size L|), or 1 + step_size L.

    The second when the loss is not convex. Rounded up; above 1 where the step is too long to contract.
    """
    step_size, smoothness = number("step_size", step_size, "(0, inf)"), number("smoothness", smoothness, "(0, inf)")
    strong_convexity = number("strong_convexity", strong_convexity, "[0, inf)")
    if strong_convexity > smoothness:
        raise ValueError(f"strong_convexity = {strong_convexity!r}: must not exceed smoothness = {smoothness!r}")
    if not convex:
        return float(up(1 + step_size * smoothness, 2))
    factor = max(abs(1 - step_size * strong_convexity), abs(1 - step_size * smoothness))
    return factor + float(allowance(1 + step_size * smoothness, 2)) if strong_convexity or factor > 1 else factor


def strongly_convex_rate(*, step_size: float, strong_convexity: float, smoothness: float) -> float:
    """The published rate per step, step_size * strong_convexity, at most `decay_rate` at `strongly_convex_constant`.

    Chien et al. (2024), released code. ValueError unless step_size (smoothness + strong_convexity) <= 2, the condition
    under which the step contracts by 1 - step_size m >= 0; the usual step_size <= 1/L implies it.
    """
    step_size, smoothness = number("step_size", step_size, "(0, inf)"), number("smoothness", smoothness, "(0, inf)")
    strong_convexity = number("strong_convexity", strong_convexity, "(0, inf)")
    if strong_convexity > smoothness * (1 + 4 * EPS):
        raise ValueError(f"strong_convexity = {strong_convexity!r}: must not exceed smoothness = {smoothness!r}")
    if step_size * (smoothness + strong_convexity) > 2 * (1 + 4 * EPS):
        raise ValueError(
            f"step_size = {step_size!r}: no contraction by 1 - step_size m, which needs step_size (L + m) <= 2; "
            f"take at most {2 / (smoothness + strong_convexity)!r}"
        )
    rate = float(down(step_size * strong_convexity, 8))
    if rate == 0:
        raise ValueError(f"strong_convexity = {strong_convexity!r}: step_size m underflows")
    return rate


def strongly_convex_constant(*, temperature: float, strong_convexity: float) -> float:
    """2 temperature^2 / m: a law with at most this constant keeps it, step by step, while step_size m <= 1.

    (1-x)^2 C + 2 step_size temperature^2 <= C at this C, x = step_size m, means (1-x)^2 + x <= 1, that is x <= 1.
    """
    temperature = number("temperature", temperature, "(0, inf)")
    strong_convexity = number("strong_convexity", strong_convexity, "(0, inf)")
    return float(up(2 * temperature * temperature / strong_convexity, 4))


def ball_constant(*, radius: float, step_size: float, temperature: float, lipschitz: float) -> float:
    """Constant of the law after one step from anywhere in a ball, convex or not; +inf when it overflows.

    6 (4 r^2 + t) e^(4 r^2 / t), r = radius + step_size lipschitz, t = 2 step_size temperature^2: a law on a ball of
    radius r smoothed by variance t (Chen, Chewi, Niles-Weed 2021; as used by Chien et al. 2024; from memory).
    Projecting back onto the ball does not raise it.
    """
    step_size = number("step_size", step_size, "(0, inf)")
    reach = number("radius", radius, "[0, inf)") + step_size * number("lipschitz", lipschitz, "[0, inf)")
    noise = _noise_variance(step_size, temperature)
    with np.errstate(over="ignore"):
        exponent = up(4 * np.square(reach) / noise, 8)
        return float(up(6 * (4 * np.square(reach) + noise) * np.exp(exponent), 12))


def lsi_evolution(
    *, constant: float, contraction: float, step_size: float, temperature: float, steps: int
) -> FloatArray:
    """Constants after 0, 1, ..., `steps` steps, (steps + 1,): C -> contraction^2 C + 2 step_size temperature^2."""
    constant, contraction = number("constant", constant, "[0, inf)"), number("contraction", contraction, "[0, inf)")
    noise = _noise_variance(step_size, temperature)
    steps = count("steps", steps)
    values = accumulate(
        repeat(0.0, steps), lambda current, _: contraction * (contraction * current) + noise, initial=constant
    )
    result = np.fromiter(values, dtype=float, count=steps + 1)
    result[1:] = up(result[1:], 4 * np.arange(1, steps + 1) + 4)
    return result


def decay_rate(*, constant: ArrayLike, contraction: float, step_size: float, temperature: float) -> FloatArray | float:
    """R = log(1 + 2 step_size temperature^2 / (contraction^2 C)) of one step; rounded down, +inf where C or l is 0.

    `constant` is C of the reference law (the second argument) before the step, one or many (`lsi_evolution` without
    its last entry); +inf is allowed and decays nothing.
    """
    constant = array("constant", constant, "[0, inf]")
    contraction = number("contraction", contraction, "[0, inf)")
    noise = _noise_variance(step_size, temperature)
    with np.errstate(divide="ignore", over="ignore"):
        mapped = contraction * (contraction * constant) if contraction else np.zeros_like(constant)
        return shaped(down(np.log1p(noise / mapped), 12))


def unlearning_bound(
    *, order: ArrayLike, initial: ArrayLike, rate: ArrayLike, unlearn_steps: int
) -> FloatArray | float:
    """initial * exp(-(sum of rates) / order): D_order after `unlearn_steps` common steps from D_order = initial.

    Parameters
    ----------
    initial : divergence at the same order before the first step; +inf stays +inf.
    rate : of one step, or of each (unlearn_steps,); from `decay_rate` or `strongly_convex_rate`.

    The factor 1/order is needed when nothing but D_order is known: a narrow law far from a stationary Gaussian decays
    that slowly.
    """
    order, initial = array("order", order, "(1, inf)"), array("initial", initial, "[0, inf]")
    return _decayed_bound(initial, _total_rate(rate, unlearn_steps) / order)


def hypercontractive_bound(
    *, order: float, initial: Callable[[float], float], rate: ArrayLike, unlearn_steps: int
) -> float:
    """(a/b) e^-R initial(b), b = 1 + (a-1) e^-R, R the sum of the rates: `unlearning_bound` without the 1/order.

    `initial` is a function: a bound on the divergence before the first step at any order up to `order`. Where it is
    proportional to the order the bound is initial(order) e^-R.
    """
    order = number("order", order, "(1, inf)")
    left = float(decayed(_total_rate(rate, unlearn_steps)))
    smaller = (order - 1) * left
    # Divergences grow with the order, so an order a little above b will do; the ratio a e^-R / b grows with e^-R.
    start = min(max(float(up(1 + smaller, 4)), 1 + 2.0**-40), order)
    divergence = number("initial", initial(start), "[0, inf]")
    if divergence == 0:
        return 0.0
    return float(up(order * left / (1 + smaller) * divergence, 12))


def _total_rate(rate: ArrayLike, unlearn_steps: int) -> FloatArray:
    """A lower bound on the sum of the rates of all steps."""
    steps = count("unlearn_steps", unlearn_steps)
    rates = array("rate", rate, "[0, inf]")
    if steps == 0:
        return np.zeros(())
    if rates.ndim == 0:
        return down(rates * steps, 2)
    return down(array("rate", rates, "[0, inf]", length=steps).sum(), steps)


def _decayed_bound(initial: FloatArray, exponent: FloatArray) -> FloatArray | float:
    left = decayed(down(exponent, 2))
    with np.errstate(invalid="ignore"):
        value = up(initial * left, 2)
    return shaped(np.where(initial == 0, 0.0, np.where(np.isinf(initial), np.inf, value)))


def _noise_variance(step_size: float, temperature: float) -> float:
    step_size, temperature = number("step_size", step_size, "(0, inf)"), number("temperature", temperature, "(0, inf)")
    variance = 2 * step_size * temperature * temperature
    if not TINY <= variance < np.inf:
        raise ValueError(
            f"temperature = {temperature!r}: the noise variance 2 step_size temperature^2 leaves the doubles"
        )
    return variance
