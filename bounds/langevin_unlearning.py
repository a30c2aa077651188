"""Langevin unlearning: how private noisy gradient descent is, and how many steps or how much noise a budget needs.

Learn on D, then unlearn by `unlearn_steps` steps theta -> project(theta - step_size grad f(theta) + noise) on D', and
compare with training on D' alone. f is the MEAN of `size` losses, each m-strongly convex (`strong_convexity`), L-smooth
(`smoothness`) and M-Lipschitz (`lipschitz`). Adjacency: `replaced` points are replaced, so gradients differ by at most
2 replaced M / size. Noise is given as the Langevin `temperature`; injected per step is sqrt(2 step_size) temperature.

Chien, Wang, Chen, Li, *Langevin Unlearning* (2024), read from its released code since its text was not available. Its
parts live in `bounds.lsi_decay`, `bounds.noisy_sgd` (the sibling paper) and `bounds.per_instance_unlearning`
(Sepahvand et al. 2025) and can be had from here. Bounds, steps and temperatures are rounded up and may be +inf; none
is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from bounds._checks import FloatArray, array, choice, count, number
from bounds._outward import decayed, down, shaped, up
from bounds.lsi_decay import (
    ball_constant,
    decay_rate,
    hypercontractive_bound,
    lsi_evolution,
    step_contraction,
    strongly_convex_constant,
    strongly_convex_rate,
    unlearning_bound,
)
from bounds.noisy_sgd import noisy_sgd, noisy_sgd_distance
from bounds.per_instance_unlearning import (
    finite_after,
    step_loss,
    steps_for,
    to_retrain_and_continue,
    to_retraining,
    to_stationarity,
)
from bounds.renyi_dp import epsilon_improved, epsilon_simple, symmetric_triangle

__all__ = [
    "ball_constant",
    "decay_rate",
    "epsilon_delta",
    "finite_after",
    "hypercontractive_bound",
    "learning_bound",
    "learning_bound_constants",
    "learning_composition",
    "lsi_evolution",
    "noisy_sgd",
    "noisy_sgd_distance",
    "sequential",
    "smallest_k",
    "smallest_sigma",
    "step_contraction",
    "step_loss",
    "steps_for",
    "strongly_convex_constant",
    "strongly_convex_rate",
    "to_retrain_and_continue",
    "to_retraining",
    "to_stationarity",
    "unlearning_bound",
]

Cut = Literal["sum", "exponential"]
Conversion = Literal["simple", "improved"]
_HIGHEST_ORDER = 1e15
_MOST_STEPS = 2**53


def learning_bound(
    *,
    order: ArrayLike,
    step_size: float,
    temperature: float,
    strong_convexity: float,
    smoothness: float,
    lipschitz: float,
    size: int,
    replaced: int = 1,
    learn_steps: float = math.inf,
    cut: Cut = "sum",
) -> FloatArray | float:
    """Rényi divergence between training on D and on D', strongly convex: 4 a S^2 M^2 / (m sigma^2 n^2) at T = inf.

    Both trainings start from one law with log-Sobolev constant at most 2 temperature^2/m (a point will do). After T =
    `learn_steps` steps, with cut "sum" (derived here) times 1 - (1 + step_size m/2)^-T; with "exponential" times
    1 - e^(-m step_size T), a larger bound and the paper's as remembered. Half of each step's noise pays for the gap,
    order-proportionally; the other half contracts what is already there by 1 + step_size m/2, at no price in the
    order because a bound proportional to the order decays like `hypercontractive_bound`.
    """
    rate = strongly_convex_rate(step_size=step_size, strong_convexity=strong_convexity, smoothness=smoothness)
    one_step = _one_step(order, step_size, temperature, lipschitz, size, replaced)
    steps = learn_steps if learn_steps == math.inf else count("learn_steps", learn_steps)
    if choice("cut", cut, ("sum", "exponential")) == "sum":
        reached = -math.expm1(-steps * math.log1p(rate / 2))
    else:
        reached = -math.expm1(-steps * rate)
    return _gap_bound(one_step, 4 / rate * reached, 28)


def learning_bound_constants(
    *,
    order: ArrayLike,
    step_size: float,
    temperature: float,
    lipschitz: float,
    size: int,
    constants: ArrayLike,
    replaced: int = 1,
) -> FloatArray | float:
    """`learning_bound` with a log-Sobolev constant per step in place of strong convexity.

    `constants` (T,) bound the constant of the training law on D' after each step (`lsi_evolution` without its first
    entry), +inf where nothing is known: (2 a step_size S^2 M^2 / (sigma^2 n^2)) sum_t prod_{t' >= t}
    (1 + step_size sigma^2 / C_t')^-1.
    """
    constants = array("constants", constants, "[0, inf]", ndim=1)
    one_step = _one_step(order, step_size, temperature, lipschitz, size, replaced)
    with np.errstate(divide="ignore", over="ignore"):
        rates = down(np.log1p(step_size * temperature**2 / constants), 8)
    left = decayed(down(np.cumsum(rates[::-1]), constants.size)).sum()
    return _gap_bound(one_step, 2 * float(left), constants.size + 8)


def learning_composition(
    *,
    order: ArrayLike,
    step_size: float,
    temperature: float,
    lipschitz: float,
    size: int,
    learn_steps: int,
    replaced: int = 1,
) -> FloatArray | float:
    """Divergence of two trainings without any contraction: a step_size S^2 M^2 / (sigma^2 n^2) per step."""
    one_step = _one_step(order, step_size, temperature, lipschitz, size, replaced)
    return _gap_bound(one_step, float(count("learn_steps", learn_steps)), 4)


def sequential(
    *,
    order: ArrayLike,
    unlearn_steps: Sequence[int],
    initial: Callable[[FloatArray], ArrayLike],
    rate: float,
) -> FloatArray | float:
    """Divergence after several requests, answered one after the other with unlearn_steps[0], [1], ... steps.

    `initial` gives the learning bound at an array of orders. From request to request
    e_s(a) = e^(-K_s rate/a) (a-1/2)/(a-1) (initial(2a) + e_(s-1)(2a)), e_1(a) = e^(-K_1 rate/a) initial(a): the
    symmetric triangle through the previous target. Chien et al., released code.
    """
    order = array("order", order, "(1, inf)")
    if len(unlearn_steps) == 0:
        raise ValueError("unlearn_steps is empty: must hold the steps of at least one request")
    current = order * 2.0 ** (len(unlearn_steps) - 1)
    bound = unlearning_bound(order=current, initial=initial(current), rate=rate, unlearn_steps=unlearn_steps[0])
    for steps in unlearn_steps[1:]:
        before = symmetric_triangle(order=current / 2, first=initial(current), second=bound)
        current = current / 2
        bound = unlearning_bound(order=current, initial=before, rate=rate, unlearn_steps=steps)
    return bound


def epsilon_delta(
    divergence: Callable[[FloatArray], ArrayLike],
    *,
    delta: float,
    lowest_order: float = 1.0,
    conversion: Conversion = "simple",
) -> float:
    """Least epsilon over the orders, from a Rényi bound given as a function of an array of orders.

    Orders run from `lowest_order` (the released code of Chien et al. stops at 2) up to 1e15. Every order gives a valid
    epsilon, so the search can only miss the best by a little: one minimum is assumed, and found to 1e-9.
    """
    number("delta", delta, "[0, 1]")
    lowest = number("lowest_order", lowest_order, "[1, inf)")
    convert = (
        epsilon_simple if choice("conversion", conversion, ("simple", "improved")) == "simple" else epsilon_improved
    )

    def epsilon(log_excess: FloatArray) -> FloatArray:
        orders = np.maximum(1 + np.exp(log_excess), lowest)
        return np.asarray(convert(order=orders, divergence=divergence(orders), delta=delta))

    low, high = math.log(max(lowest - 1, 1e-9)), math.log(_HIGHEST_ORDER)
    best = math.inf
    for _ in range(6):
        grid = np.linspace(low, high, 201)
        values = epsilon(grid)
        found = int(values.argmin())
        best = min(best, float(values[found]))
        low, high = float(grid[max(found - 1, 0)]), float(grid[min(found + 1, 200)])
    return best


def smallest_k(
    bound: Callable[[FloatArray, int], ArrayLike],
    *,
    epsilon: float,
    delta: float,
    lowest_order: float = 1.0,
    conversion: Conversion = "simple",
) -> int | float:
    """Fewest unlearning steps for (epsilon, delta), bound(orders, unlearn_steps) being the Rényi divergence then.

    The bound must not increase with the steps. The returned number has been checked; +inf when 2^53 steps are not
    enough.
    """
    epsilon = number("epsilon", epsilon, "(0, inf)")

    def enough(steps: int) -> bool:
        found = epsilon_delta(
            lambda orders: bound(orders, steps), delta=delta, lowest_order=lowest_order, conversion=conversion
        )
        return found <= epsilon

    if enough(0):
        return 0
    low, high = 0, 1
    while not enough(high):
        low, high = high, 2 * high
        if high > _MOST_STEPS:
            return math.inf
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def smallest_sigma(
    bound: Callable[[FloatArray, float], ArrayLike],
    *,
    epsilon: float,
    delta: float,
    lowest_order: float = 1.0,
    conversion: Conversion = "simple",
) -> float:
    """Smallest temperature for (epsilon, delta), bound(orders, temperature) being the Rényi divergence then.

    The bound must not increase with the temperature. Within 1e-12 relative, never below what is needed: the
    returned temperature has been checked. 0 when any will do, +inf when 1e100 is not enough.
    """
    epsilon = number("epsilon", epsilon, "(0, inf)")

    def enough(log_temperature: float) -> bool:
        temperature = math.exp(log_temperature)
        found = epsilon_delta(
            lambda orders: bound(orders, temperature), delta=delta, lowest_order=lowest_order, conversion=conversion
        )
        return found <= epsilon

    low, high = math.log(1e-100), math.log(1e100)
    if enough(low):
        return 0.0
    if not enough(high):
        return math.inf
    while high - low > 1e-12:
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return math.exp(high)


def _one_step(
    order: ArrayLike, step_size: float, temperature: float, lipschitz: float, size: int, replaced: int
) -> FloatArray:
    """order * step_size * (replaced * lipschitz / (temperature * size))^2, the price of one step's gap."""
    order = array("order", order, "(1, inf)")
    step_size, temperature = number("step_size", step_size, "(0, inf)"), number("temperature", temperature, "(0, inf)")
    lipschitz = number("lipschitz", lipschitz, "[0, inf)")
    size = count("size", size, least=1)
    if count("replaced", replaced) > size:
        raise ValueError(f"replaced = {replaced}: must not exceed size = {size}")
    gap = replaced * lipschitz / (temperature * size)
    with np.errstate(over="ignore"):
        return np.where(gap == 0, 0.0, up(order * (step_size * gap * gap), 8))


def _gap_bound(one_step: FloatArray, factor: float, operations: int) -> FloatArray | float:
    """one_step * factor rounded up; exactly 0 for laws that do not differ."""
    if factor == 0:
        return shaped(np.zeros_like(one_step))
    with np.errstate(over="ignore"):
        return shaped(np.where(one_step == 0, 0.0, up(one_step * factor, operations)))
