"""How fast one training point is unlearned, from its own privacy loss.

A READING of Sepahvand et al., *Leveraging Per-Instance Privacy for Machine Unlearning* (2025), whose text and constants
were not available: derived here to fit the paper's public statements. nu_T and nu'_T are the laws of training with and
without the point x, rho_k is nu_T after k steps on the data without x, pi' the stationary law of those steps, and
`loss` = P(x, b) bounds D_b(nu_T || nu'_T) at the order b that each function names. `rate` is the decay per step
(`bounds.lsi_decay`) at the constants of the reference law.

    to_stationarity          D_a(rho_k || pi')          triangle through nu'_T, then decay at order a
    to_retraining            D_a(rho_k || nu'_T)        triangle through pi', the first at order 2 a
    to_retrain_and_continue  D_a(rho_k || nu'_(T+k))    decay alone; no floor

Results are rounded up, steps to whole numbers above; +inf where the mathematics says so, never NaN.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from bounds._checks import FloatArray, array, choice, count, number
from bounds._outward import shaped, up
from bounds.lsi_decay import unlearning_bound
from bounds.renyi_dp import weak_triangle

Target = Literal["stationarity", "retraining", "continue"]
_MOST_STEPS = 2**53


def step_loss(
    *, order: ArrayLike, gradient_norm: ArrayLike, step_size: float, temperature: float, size: int
) -> FloatArray | float:
    """Divergence of one full-batch step with the point from the step without it: b step_size |g|^2 / (4 sigma^2 n^2).

    Adjacency: the point is removed and the divisor n = `size` stays; the injected noise is sqrt(2 step_size) sigma.
    With a mean over the n - 1 remaining points instead, pass the norm of (mean gradient - g) and size = n - 1.
    """
    order, norms = array("order", order, "(1, inf)"), array("gradient_norm", gradient_norm, "[0, inf)")
    step_size, temperature = number("step_size", step_size, "(0, inf)"), number("temperature", temperature, "(0, inf)")
    size = count("size", size, least=1)
    with np.errstate(over="ignore"):
        value = order * step_size * np.square(norms / (temperature * size)) / 4
    return shaped(np.where(norms == 0, 0.0, up(value, 8)))


def to_stationarity(
    *, order: float, loss: float, retrained_to_stationary: float, rate: float, unlearn_steps: int
) -> float:
    """D_a(rho_k || pi') <= e^(-k rate/a) [(a-1/2)/(a-1) loss + retrained_to_stationary].

    `loss` at order 2 a; `retrained_to_stationary` = D_(2a-1)(nu'_T || pi').
    """
    return _law(
        "stationarity", order, loss, retrained_to_stationary=retrained_to_stationary, stationary_to_retrained=0.0
    ).after(rate, unlearn_steps)


def to_retraining(
    *,
    order: float,
    loss: float,
    retrained_to_stationary: float,
    stationary_to_retrained: float,
    rate: float,
    unlearn_steps: int,
) -> float:
    """D_a(rho_k || nu'_T) <= (a-1/2)/(a-1) e^(-k rate/(2a)) [(4a-1)/(4a-2) loss + s_1] + s_0.

    `loss` at order 4 a; s_1 = `retrained_to_stationary` = D_(4a-1)(nu'_T || pi'); s_0 = `stationary_to_retrained` =
    D_(2a-1)(pi' || nu'_T), which no number of steps removes.
    """
    return _law(
        "retraining",
        order,
        loss,
        retrained_to_stationary=retrained_to_stationary,
        stationary_to_retrained=stationary_to_retrained,
    ).after(rate, unlearn_steps)


def to_retrain_and_continue(*, order: float, loss: float, rate: ArrayLike, unlearn_steps: int) -> float:
    """D_a(rho_k || nu'_(T+k)) <= loss e^(-(sum of rates)/a), `loss` at order a.

    `rate` is one number or one per step, at the constants of nu'_(T+j), the law that retrains and continues.
    """
    return float(
        unlearning_bound(
            order=number("order", order, "(1, inf)"),
            initial=number("loss", loss, "[0, inf]"),
            rate=rate,
            unlearn_steps=unlearn_steps,
        )
    )


def steps_for(
    *,
    epsilon: float,
    order: float,
    loss: float,
    rate: float,
    target: Target = "retraining",
    retrained_to_stationary: float = 0.0,
    stationary_to_retrained: float = 0.0,
) -> int | float:
    """Fewest steps after which the bound of `target` is at most `epsilon`: ceil((q/rate) log(A / (epsilon - s_0))).

    q = 2a for "retraining", a for the others; A is the bound's value at k = 0 less s_0. The same arguments as for the
    target's bound; "continue" ignores both distances, "stationarity" the second. +inf when `epsilon` is at or below the
    irreducible s_0, when a divergence is infinite, or when 2^53 steps do not get there. Rounding can add one step.
    """
    epsilon, rate = number("epsilon", epsilon, "(0, inf)"), number("rate", rate, "[0, inf]")
    law = _law(
        target,
        order,
        loss,
        retrained_to_stationary=retrained_to_stationary,
        stationary_to_retrained=stationary_to_retrained,
    )
    if law.after(rate, 0) <= epsilon:
        return 0
    room = epsilon - law.floor
    if room <= 0 or rate == 0 or math.isinf(law.scale):
        return math.inf
    estimate = max(law.slowness / rate * (math.log(law.scale) - math.log(room)), 0.0)
    if estimate > _MOST_STEPS:
        return math.inf
    low, high = max(math.floor(estimate * (1 - 2.0**-40)) - 1, 0), math.ceil(estimate * (1 + 2.0**-40)) + 1
    if law.after(rate, high) > epsilon:
        return math.inf  # the room above the irreducible term is no more than rounding
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if law.after(rate, middle) <= epsilon else (middle, high)
    return high


def finite_after(*, order: float, variance_ratio: float, contraction: float) -> int:
    """Fewest learning steps after which D_order(nu'_T || pi') is finite for the linear chain of this contraction.

    `variance_ratio` is the start's variance over the stationary one. v_T/v_pi - 1 = c^(2T) (ratio - 1), and the
    divergence of order b is finite if and only if v_T < v_pi b/(b-1): T > log((b-1)(ratio-1)) / (-2 log c).
    """
    order, ratio = number("order", order, "(1, inf)"), number("variance_ratio", variance_ratio, "[0, inf)")
    contraction = number("contraction", contraction, "[0, 1)")
    excess = float(up((order - 1) * max(ratio - 1, 0.0), 4))
    if excess < 1:
        return 0
    if contraction == 0:
        return 1
    return math.floor(float(up(math.log(excess) / (-2 * math.log(contraction)), 12))) + 1


class _DecayLaw(NamedTuple):
    """The bound scale * e^(-k rate / slowness) + floor."""

    scale: float
    slowness: float
    floor: float

    def after(self, rate: float, steps: int) -> float:
        decaying = unlearning_bound(order=self.slowness, initial=self.scale, rate=rate, unlearn_steps=steps)
        return float(up(decaying + self.floor, 2)) if self.floor else float(decaying)


def _law(
    target: Target, order: float, loss: float, *, retrained_to_stationary: float, stationary_to_retrained: float
) -> _DecayLaw:
    order, loss = number("order", order, "(1, inf)"), number("loss", loss, "[0, inf]")
    away = number("retrained_to_stationary", retrained_to_stationary, "[0, inf]")
    back = number("stationary_to_retrained", stationary_to_retrained, "[0, inf]")
    target = choice("target", target, ("stationarity", "retraining", "continue"))
    if target == "continue":
        return _DecayLaw(loss, order, 0.0)
    if target == "stationarity":
        return _DecayLaw(float(weak_triangle(order=order, first=loss, second=away)), order, 0.0)
    inner = weak_triangle(order=2 * order, first=loss, second=away)
    return _DecayLaw(float(weak_triangle(order=order, first=inner, second=0.0)), 2 * order, back)
