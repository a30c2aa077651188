"""Rényi divergences as a currency of privacy: triangles, conversion to (epsilon, delta), composition over steps.

D_a(P || Q) = log E_Q[(dP/dQ)^a] / (a - 1), of order a > 1, never decreases in a. Everything returned is an upper
bound rounded up, so that float arithmetic never turns a promise false (checked against 50-digit arithmetic); it may be
+inf, and is never NaN. The steps themselves (`sum_rule`, `mean_rule`, `log_square_moment`) are in `bounds.renyi_step`
and can be had from here.

References: Mironov, *Rényi Differential Privacy* (2017); Canonne, Kamath, Steinke, *The Discrete Gaussian for
Differential Privacy* (2020); Thudi et al., *Gradients Look Alike* (2024), read from its released code, since its text
was not available.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from bounds._checks import FloatArray, array, choice, count, number
from bounds._outward import allowance, shaped, up
from bounds.renyi_step import log_square_moment, mean_rule, sum_rule

__all__ = [
    "compose",
    "epsilon_improved",
    "epsilon_simple",
    "holder_orders",
    "log_square_moment",
    "mean_rule",
    "plain_sum",
    "sum_rule",
    "symmetric_triangle",
    "triangle_orders",
    "weak_triangle",
]

Placement = Literal["end", "start"]
OrderMap = Literal["holder", "released"]
# log E exp(exponent * D_step(order | theta)) over the law of the position before that step, for (step, order, exponent)
LogMoment = Callable[[int, float, float], ArrayLike]


def triangle_orders(*, order: ArrayLike, split: float = 2.0) -> tuple[FloatArray | float, FloatArray | float]:
    """Orders at which `weak_triangle` needs D(P || R) and D(R || Q): split * order and w (order - 1) + 1.

    1/split + 1/w = 1; with the even split 2 they are 2 order and 2 order - 1. Rounded up.
    """
    order = array("order", order, "(1, inf)")
    split = number("split", split, "(1, inf)")
    # 1 + x rounds to above 1 only when x counts; one ulp more keeps an order that must exceed 1 above it.
    return shaped(up(split * order, 2)), shaped(up(1 + split / (split - 1) * (order - 1), 6))


def weak_triangle(*, order: ArrayLike, first: ArrayLike, second: ArrayLike, split: float = 2.0) -> FloatArray | float:
    """D_order(P || Q) through a third law R, given the divergences at `triangle_orders`.

    Parameters
    ----------
    first, second : D(P || R) and D(R || Q), nonnegative or +inf.
    split : u > 1, the Hölder exponent of the first factor.

    Mironov 2017, proposition 11 (wording from memory): Hölder's inequality on E_R[(P/R)^a (R/Q)^(a-1)] gives
    D_a(P || Q) <= (a - 1/u)/(a - 1) D_ua(P || R) + D_(w(a-1)+1)(R || Q). Tight for three Gaussians of one
    covariance with R's mean at the fraction (a-1)/(2a-1) of the way from P to Q (u = 2).
    """
    order, first, second = _triangle_arguments(order, first, second)
    split = number("split", split, "(1, inf)")
    # (a - 1/u)/(a - 1) without cancellation when a and u are near 1
    return shaped(up((1 + (split - 1) / split / (order - 1)) * first + second, 10))


def symmetric_triangle(*, order: ArrayLike, first: ArrayLike, second: ArrayLike) -> FloatArray | float:
    """Weak triangle for two-sided divergences: (a - 1/2)/(a - 1) (first + second), both at order 2 a.

    The form of the released code of Chien et al. (2024). The factor stands before both terms because in the two
    directions R is met in opposite roles; it follows from `weak_triangle` in each direction.
    """
    order, first, second = _triangle_arguments(order, first, second)
    return shaped(up((order - 0.5) / (order - 1) * (first + second), 8))


def epsilon_simple(*, order: ArrayLike, divergence: ArrayLike, delta: ArrayLike) -> FloatArray | float:
    """(epsilon, delta)-DP from a Rényi divergence: divergence + log(1/delta) / (order - 1). Mironov 2017, prop. 3."""
    order, divergence, delta = _conversion_arguments(order, divergence, delta)
    return shaped(up(divergence + _log_inverse(delta) / (order - 1), 8))


def epsilon_improved(*, order: ArrayLike, divergence: ArrayLike, delta: ArrayLike) -> FloatArray | float:
    """The best (epsilon, delta)-DP from a Rényi divergence at one order; tight on some two-point laws.

    divergence + log((a-1)/a) - (log delta + log a)/(a-1), and 0 below 0. Canonne, Kamath and Steinke 2020,
    proposition 12 (wording from memory). It follows from 1 - e^-y <= e^((a-1)y) (1-1/a)^a / (a-1), y the excess of
    the privacy loss over epsilon.
    """
    order, divergence, delta = _conversion_arguments(order, divergence, delta)
    shrink = np.log1p(1 / (order - 1)) + np.log(order) / (order - 1)
    price = _log_inverse(delta) / (order - 1)
    value = divergence + price - shrink + allowance(divergence + price + shrink, 12)
    return shaped(np.maximum(value, 0.0))


def holder_orders(
    *,
    order: float,
    steps: int,
    power: float,
    placement: Placement = "end",
    order_map: OrderMap = "holder",
    rounded: bool = False,
) -> FloatArray:
    """Order at which each step's divergence enters `compose`, in time order, shape (steps,); rounded up.

    Parameters
    ----------
    power : Hölder exponent p > 1; +inf leaves all orders equal.
    placement : "end" (derived here): the last step has order a and earlier ones grow, a_i = 1 + (a-1) (p/(p-1))^i with
        i counted from the end. "start": i counted from the start, as in the released code of Thudi et al.; the
        composition is then FALSE in general.
    order_map : "holder", as above; "released": b -> p/(p-1) b - 1/p repeated, the released code's, which is larger.
    rounded : round up to integers.
    """
    order, power = number("order", order, "(1, inf)"), number("power", power, "(1, inf]")
    index = _index(count("steps", steps, least=1), placement)
    if math.isinf(power):
        return np.full(steps, math.ceil(order) if rounded else order)
    exponents = -index * math.log1p(-1 / power)
    if exponents.max() + math.log(order) > 700:
        raise ValueError(f"power = {power!r}: over {steps} steps the orders overflow; take it larger")
    growth = np.exp(exponents)
    # The released map has the fixed point 1 - 1/p where Hölder's has 1.
    fixed = 1.0 if choice("order_map", order_map, ("holder", "released")) == "holder" else 1 - 1 / power
    orders = np.where(index == 0, order, up(fixed + (order - fixed) * growth, 8 + 4 * exponents))
    return np.ceil(orders) if rounded else orders


def compose(
    log_moment: LogMoment,
    *,
    order: float,
    steps: int,
    power: float,
    placement: Placement = "end",
    order_map: OrderMap = "holder",
    rounded: bool = False,
) -> FloatArray | float:
    """Divergence of the joint path of `steps` adaptive steps from per-step moments instead of suprema.

    Parameters
    ----------
    log_moment : function of (step, order, exponent), step = 0 .. steps-1 in time, returning
        log E exp(exponent * D_step(order | theta)), theta the position before that step under the FIRST law and
        exponent = power * (order - 1). Any shape, all the same; nonnegative up to rounding, or +inf. For a divergence
        that does not depend on theta it is exponent * D_step(order).
    power, placement, order_map, rounded : as in `holder_orders`; power finite.

    Returns
    -------
    The bound (a-1) D_a(P || Q) <= sum_i ((p-1)^i / p^(i+1)) log E exp(p (a_i - 1) D(a_i | theta)), i counted from the
    end, divided by a-1. With placement "start" what the released code of Thudi et al. computes (weights included),
    which is not a bound.

    Derived here. Conditioning on the last step, E_Q[(P/Q)^a] = E_P[(P/Q)^(a-1) e^((a-1) D_last)] over the path
    before it; Hölder with exponents p/(p-1) and p, and again for the shorter path at order a_1. As the weight
    (1-1/p)^i times (a_i - 1) is a-1 for every i, the bound is the plain sum of the steps' soft suprema
    log E exp(c D) / c, c = p (a_i - 1). Every power gives a bound, and so does the sum of the suprema at order a (the
    limit p -> inf); none is always best.
    """
    power = number("power", power, "(1, inf)")
    orders = holder_orders(
        order=order, steps=steps, power=power, placement=placement, order_map=order_map, rounded=rounded
    )
    index = _index(steps, placement)
    weights = up(np.exp(index * math.log1p(-1 / power)) / (power * (order - 1)), 0)  # never 0, for infinite moments
    total: FloatArray = np.zeros(())
    for step, (step_order, weight) in enumerate(zip(orders, weights, strict=True)):
        moment = log_moment(step, float(step_order), float(up(power * (step_order - 1), 4)))
        total = total + weight * np.maximum(array("log_moment", moment, "[-1e-9, inf]"), 0.0)
    return shaped(up(total, steps + 12 - 4 * steps * math.log1p(-1 / power)))


def plain_sum(
    *,
    gradient_norm: ArrayLike,
    order: float,
    noise_std: ArrayLike,
    rate: float = 1.0,
    power: float = math.inf,
    placement: Placement = "end",
    order_map: OrderMap = "holder",
    rounded: bool = False,
) -> FloatArray | float:
    """The per-instance privacy loss of one run: the sum over its steps of `sum_rule` at the orders of `holder_orders`.

    Parameters
    ----------
    gradient_norm : (steps, ...); e.g. (steps, points), norms along one training run.
    noise_std : one number, or one per step (steps,).
    power : +inf (the default) takes every step at `order`.

    Returns
    -------
    One loss per point. When the norms do not depend on the run (or are suprema) this is a bound. Along one run it is
    an ESTIMATE of the bound of `compose`: its log moments, with one sample each, biased low. Averaged over runs it is
    still no bound.
    """
    norms = array("gradient_norm", gradient_norm, "[0, inf)")
    if norms.ndim == 0 or norms.shape[0] == 0:
        raise ValueError(f"gradient_norm has shape {norms.shape}: the first axis must hold the steps")
    steps = norms.shape[0]
    std = array("noise_std", noise_std, "(0, inf)", length=steps)
    orders = holder_orders(
        order=order, steps=steps, power=power, placement=placement, order_map=order_map, rounded=rounded
    )
    total: FloatArray = np.zeros(norms.shape[1:])
    for step_order, step_norms, step_std in zip(orders, norms, std, strict=True):
        total += sum_rule(order=float(step_order), gradient_norm=step_norms, noise_std=step_std, rate=rate)
    return shaped(np.where(total == 0, 0.0, up(total, steps)))


def _index(steps: int, placement: Placement) -> FloatArray:
    index = np.arange(steps, dtype=float)
    return index[::-1] if choice("placement", placement, ("end", "start")) == "end" else index


def _triangle_arguments(
    order: ArrayLike, first: ArrayLike, second: ArrayLike
) -> tuple[FloatArray, FloatArray, FloatArray]:
    return array("order", order, "(1, inf)"), array("first", first, "[0, inf]"), array("second", second, "[0, inf]")


def _conversion_arguments(
    order: ArrayLike, divergence: ArrayLike, delta: ArrayLike
) -> tuple[FloatArray, FloatArray, FloatArray]:
    return (
        array("order", order, "(1, inf)"),
        array("divergence", divergence, "[0, inf]"),
        array("delta", delta, "[0, 1]"),
    )


def _log_inverse(delta: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore"):
        return -np.log(delta)
