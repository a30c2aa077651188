"""The theories of unlearning, each asked the same two questions about one deletion from ridge.

`noise`: the least injected unlearning noise at the schedule's number of unlearning steps; `steps`: the least number of
unlearning steps at the schedule's unlearning noise; both for (epsilon, delta) in both directions between the unlearned
law and the one that retrains without the row and continues. Learning is given: its steps and its noise stay.

How ridge is brought under assumptions that it does not meet is told in `paper_checks.compare_case`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

import linear
from bounds import (
    interpolation,
    langevin_unlearning,
    lsi_decay,
    noisy_sgd,
    per_instance_unlearning,
    renyi_dp,
    renyi_step,
)
from bounds.deletion.facts import DeletionFacts, Residuals
from bounds.deletion.methods import Coupling, DirectionAware

from .compare_case import Array, Case, merged

_ACCURACY = 1e-5  # relative, of noise
_MOST_NOISE = 1e30
_MOST_STEPS = 2**53


@dataclass(frozen=True, eq=False)
class Theory:
    """One way to promise (epsilon, delta): `holds(case, noise, steps)` says whether it does.

    holds must stay true when noise or steps grow. per_instance: whether the answer depends on the deleted row.
    """

    name: str
    label: str
    source: str
    adjacency: str
    assumptions: str
    per_instance: bool
    holds: Callable[[Case, float, int], bool]

    def noise(self, case: Case) -> float:
        """The least unlearning noise, to 1e-5 relative and checked; 0 if none is needed, inf if 1e30 is not enough."""
        steps = case.schedule.unlearn_steps

        def enough(log_noise: float) -> bool:
            return self.holds(case, math.exp(log_noise), steps)

        if self.holds(case, 0.0, steps):
            return 0.0
        low = high = math.log(case.schedule.learn_noise)
        reach = math.log(4)
        while not enough(high):
            if high >= math.log(_MOST_NOISE):
                return math.inf
            low, high, reach = high, min(high + reach, math.log(_MOST_NOISE)), 2 * reach
        if low == high:
            reach = math.log(4)
            while enough(low):
                if low < -math.log(_MOST_NOISE):
                    return math.exp(low)
                high, low, reach = low, low - reach, 2 * reach
        while high - low > _ACCURACY:
            middle = (low + high) / 2
            low, high = (low, middle) if enough(middle) else (middle, high)
        return math.exp(high)

    def steps(self, case: Case) -> float:
        """The least number of unlearning steps, a whole number; inf above 2^53."""
        noise = case.schedule.unlearn_noise
        if self.holds(case, noise, 0):
            return 0.0
        low, high = 0, 1
        while not self.holds(case, noise, high):
            low, high = high, 2 * high
            if high > _MOST_STEPS:
                return math.inf
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.holds(case, noise, middle) else (middle, high)
        return float(high)


def temperature(noise: float, step_size: float) -> float:
    """Langevin temperature of injected noise: noise = sqrt(2 step_size) temperature."""
    return noise / math.sqrt(2 * step_size)


def common_rate(constant: float, contraction: float, noise: float, steps: int) -> float:
    """Total log-Sobolev rate of `steps` common steps from a reference law with this constant."""
    factor, std = merged(contraction, noise, steps)
    if std <= 1e-150:
        return 0.0
    # 2 * (1/2) * std^2 is the injected variance
    return float(lsi_decay.decay_rate(constant=constant, contraction=factor, step_size=0.5, temperature=std))


def _langevin(case: Case, noise: float, steps: int) -> bool:
    uniform, schedule = case.uniform, case.schedule
    learn = temperature(schedule.learn_noise, case.step_size)
    rate = common_rate(
        lsi_decay.strongly_convex_constant(temperature=learn, strong_convexity=uniform.strong_convexity),
        uniform.contraction,
        noise,
        steps,
    )

    def divergence(order: Array) -> Array:
        learned = langevin_unlearning.learning_bound(
            order=order,
            step_size=case.step_size,
            temperature=learn,
            strong_convexity=uniform.strong_convexity,
            smoothness=uniform.smoothness,
            lipschitz=uniform.gradient,
            size=1,
            learn_steps=schedule.learn_steps,
            cut="exponential",
        )
        return np.asarray(lsi_decay.unlearning_bound(order=order, initial=learned, rate=rate, unlearn_steps=1))

    return langevin_unlearning.epsilon_delta(divergence, delta=case.budget.left) <= case.budget.epsilon


def improved_slope(case: Case) -> tuple[float, float]:
    """(k, C): after learning the divergence is at most k * order, and C the reference law's log-Sobolev constant."""
    uniform, schedule = case.uniform, case.schedule
    return _improved_slope(
        case.step_size, schedule.learn_noise, schedule.learn_steps, uniform.gradient, uniform.contraction
    )


@lru_cache(maxsize=16)
def _improved_slope(
    step_size: float, learn_noise: float, learn_steps: int, gradient: float, contraction: float
) -> tuple[float, float]:
    learn = temperature(learn_noise, step_size)
    constants = lsi_decay.lsi_evolution(
        constant=0.0, contraction=contraction, step_size=step_size, temperature=learn, steps=learn_steps
    )
    at_two = langevin_unlearning.learning_bound_constants(
        order=2.0,
        step_size=step_size,
        temperature=learn,
        lipschitz=gradient / 2,  # that theory's gap is twice the bound, a removed row's is once
        size=1,
        constants=constants[1:],
    )
    return float(at_two) / 2, float(constants[-1])


def _langevin_improved(case: Case, noise: float, steps: int) -> bool:
    slope, constant = improved_slope(case)
    rate = common_rate(constant, case.uniform.contraction, noise, steps)
    at_two = lsi_decay.hypercontractive_bound(
        order=2.0, initial=lambda order: slope * order, rate=rate, unlearn_steps=1
    )
    return at_two / 2 <= case.budget.renyi_slope


def per_instance_slope(case: Case) -> float:
    """Per-instance loss over the order: sum of s_k^2 / (2 learn_noise^2), the steps' losses at their largest."""
    losses = per_instance_unlearning.step_loss(
        order=2.0,
        gradient_norm=case.sensitivity / case.step_size,
        step_size=case.step_size,
        temperature=temperature(case.schedule.learn_noise, case.step_size),
        size=1,
    )
    return float(np.sum(losses)) / 2 * (1 + 1e-13)


def own_rate(case: Case, noise: float, steps: int) -> float:
    """Total rate at the constant that the law of retraining without this row really has."""
    _, std = merged(case.facts.contraction, case.schedule.learn_noise, case.schedule.learn_steps)
    return common_rate(std * std * (1 + 1e-11), case.facts.contraction, noise, steps)


def _per_instance(case: Case, noise: float, steps: int) -> bool:
    slope, rate = per_instance_slope(case), own_rate(case, noise, steps)
    found = langevin_unlearning.epsilon_delta(
        lambda order: np.asarray(
            lsi_decay.unlearning_bound(order=order, initial=order * slope, rate=rate, unlearn_steps=1)
        ),
        delta=case.budget.left,
        conversion="improved",
    )
    return found <= case.budget.epsilon


@lru_cache(maxsize=2)
def moment_losses(case: Case) -> tuple[Array, Array]:
    """Orders and, at each, the loss composed with Gaussian moments of the residual, best over powers; may be inf."""
    centre = 1 + 2 * math.log(1 / case.budget.delta) / case.budget.epsilon
    orders = 1 + (centre - 1) * np.geomspace(1e-3, 10, 33)
    losses = np.maximum(_moments(case, case.facts.learned, orders), _moments(case, case.facts.reference, orders))
    return orders, losses


def _moments(case: Case, residuals: Residuals, orders: Array) -> Array:
    facts = case.facts
    unit = (facts.step_size * facts.row_norm / facts.learn_noise) ** 2
    losses = np.full(orders.shape, np.inf)
    for power in facts.learn_steps * np.array([0.25, 0.5, 1.0, 2.0, 4.0, 16.0]) + 1:
        for position, order in enumerate(orders):
            each = renyi_dp.holder_orders(order=float(order), steps=facts.learn_steps, power=float(power))
            scale = power * (each - 1) * each * unit * (1 + 1e-14)
            moments = renyi_step.log_square_moment(
                scale=scale[:, None], mean=residuals.means, variance=residuals.variances[:, None]
            )
            total = float(np.sum(np.sum(moments, axis=1) / (power * (each - 1))))
            losses[position] = min(losses[position], total * (1 + 1e-12))
    return losses


def _per_instance_moments(case: Case, noise: float, steps: int) -> bool:
    orders, losses = moment_losses(case)
    rate = own_rate(case, noise, steps)
    divergence = lsi_decay.unlearning_bound(order=orders, initial=losses, rate=rate, unlearn_steps=1)
    found = renyi_dp.epsilon_improved(order=orders, divergence=divergence, delta=case.budget.delta)
    return bool(np.min(found) <= case.budget.epsilon)


def _noisy_sgd(case: Case, noise: float, steps: int) -> bool:
    if noise == 0 or steps == 0:
        return False
    uniform = case.uniform
    convexity, smoothness = uniform.strong_convexity, uniform.smoothness
    distance = noisy_sgd.noisy_sgd_distance(
        step_size=case.step_size,
        strong_convexity=convexity,
        smoothness=smoothness,
        lipschitz=uniform.gradient,
        size=1,
        batch=1,
    )
    at_two = noisy_sgd.noisy_sgd(
        order=2.0,
        distance=distance,
        step_size=case.step_size,
        temperature=temperature(noise, case.step_size),
        strong_convexity=convexity,
        smoothness=smoothness,
        size=1,
        batch=1,
        unlearn_epochs=steps,
    )
    slope = float(at_two) / 2
    found = langevin_unlearning.epsilon_delta(lambda order: order * slope, delta=case.budget.left)
    return found <= case.budget.epsilon


def _shifted(case: Case, sensitivity: Array, contraction: float, noise: float, steps: int) -> bool:
    """The hull over learning and one step that stands for all of unlearning."""
    factor, std = merged(contraction, noise, steps)
    plan = interpolation.optimal_shifts(
        np.append(sensitivity, 0.0),
        np.append(np.full(len(sensitivity), case.schedule.learn_noise), std),
        np.append(np.full(len(sensitivity), contraction), factor),
    )
    return plan.mu <= case.budget.mu


def _gdp_uniform(case: Case, noise: float, steps: int) -> bool:
    largest = case.step_size * case.uniform.gradient * (1 + 1e-15)
    return _shifted(case, np.full(case.schedule.learn_steps, largest), case.uniform.contraction, noise, steps)


def _hull(case: Case, noise: float, steps: int) -> bool:
    return _shifted(case, case.sensitivity, case.facts.contraction, noise, steps)


def _unlearning_only(case: Case, noise: float, steps: int) -> bool:
    mu = interpolation.unlearning_only(
        sensitivity=case.sensitivity,
        contraction=min(case.facts.contraction, 1.0),
        unlearn_steps=steps,
        unlearn_noise=noise,
    )
    return mu <= case.budget.mu


def _direction_aware(case: Case, noise: float, steps: int) -> bool:
    facts: DeletionFacts = case.at(noise, steps)
    # Sized on the learning chain with tail delta_s e^-epsilon, it serves both directions.
    return DirectionAware(facts, case.budget.log_tail).parameter("learned", case.budget.log_tail) <= case.budget.mu


def _coupling(case: Case, noise: float, steps: int) -> bool:
    return Coupling(case.at(noise, steps)).forward(case.budget.epsilon) <= math.log(case.budget.delta)


def _exact(case: Case, noise: float, steps: int) -> bool:
    schedule = replace(case.schedule, unlearn_noise=noise, unlearn_steps=steps)
    pair = linear.deletion_pair(case.problem, schedule, 0)
    epsilon, target = case.budget.epsilon, math.log(case.budget.delta)
    return all(pair.log_hockey_stick(epsilon, reverse=reverse) <= target for reverse in (False, True))


_REMOVED = "the row is removed; the gradients then differ by that row's gradient"
_REPLACED = "one row is replaced (removal is replacement by an empty row); gradients may differ by 2 M"
_UNIFORM_M = (
    "M is the largest per-step gradient of any row of this data set, exceeded with probability delta_s e^-epsilon by "
    "the deleted one (gradients of ridge are unbounded, and there is no projection); strong convexity is the penalty."
)
_OWN_S = (
    "The row's own one-step differences, step by step, at the quantile whose total tail over the learning steps is "
    "delta_s e^-epsilon."
)

EXACT = Theory(
    "exact",
    "exact",
    "derived here",
    _REMOVED,
    "The two Gaussian laws themselves; no theory can ask for less.",
    True,
    _exact,
)

THEORIES: tuple[Theory, ...] = (
    Theory(
        "langevin",
        "Langevin unlearning",
        "Chien et al. 2024 (released code)",
        _REPLACED,
        _UNIFORM_M + " Learning is bounded with the finite-time factor 1 - e^(-m step_size T); unlearning decays at "
        "1/order of the log-Sobolev rate, carried step by step from the published constant because the two noises "
        "differ (at equal noises at least the published e^(-m step_size)); simple conversion over all orders.",
        False,
        _langevin,
    ),
    Theory(
        "langevin_improved",
        "Langevin, improved",
        "derived here from Chien et al. 2024",
        _REMOVED,
        _UNIFORM_M + " Gap M instead of 2 M, the constants that the reference law really has under this contraction, "
        "decay without the 1/order (hypercontractivity), improved conversion.",
        False,
        _langevin_improved,
    ),
    Theory(
        "per_instance_renyi",
        "per-instance Rényi",
        "reading of Sepahvand et al. 2025",
        _REMOVED,
        _OWN_S + " Losses add up over the path at a common order; compared with retraining and continuing, decay at "
        "1/order of the log-Sobolev rate; improved conversion.",
        True,
        _per_instance,
    ),
    Theory(
        "per_instance_moments",
        "per-instance Rényi, moments",
        "reading of Sepahvand et al. 2025 with the composition of Thudi et al. 2024",
        _REMOVED,
        "No clipping and no delta_s: the losses are composed with moments of the Gaussian residual at growing orders, "
        "best of six Hölder powers and 33 orders; infinite where a moment is. Otherwise as per-instance Rényi.",
        True,
        _per_instance_moments,
    ),
    Theory(
        "noisy_sgd",
        "noisy SGD, full batch",
        "Chien et al. 2024, sibling paper (released code)",
        _REPLACED,
        _UNIFORM_M + " All of learning counts as a distance, as if it had converged, which only the unlearning noise "
        "hides; the released code's form, twice the tight one; simple conversion.",
        False,
        _noisy_sgd,
    ),
    Theory(
        "gdp_uniform",
        "shifted interpolation, uniform",
        "Bok, Su, Altschuler 2024",
        _REMOVED,
        _UNIFORM_M + " The best shifts over learning and unlearning.",
        False,
        _gdp_uniform,
    ),
    Theory(
        "unlearning_only",
        "per-instance, unlearning only (P1)",
        "reading of Benarroch, Atif, Cappé 2026",
        _REMOVED,
        _OWN_S + " All shifts in the unlearning steps.",
        True,
        _unlearning_only,
    ),
    Theory(
        "hull",
        "per-instance, best shifts",
        "Benarroch, Atif, Cappé 2026, repaired; optimum derived here",
        _REMOVED,
        _OWN_S + " The best shifts over learning and unlearning.",
        True,
        _hull,
    ),
    Theory(
        "direction_aware",
        "direction-aware",
        "derived here",
        _REMOVED,
        "The mean of the differences is followed in its own directions; only its centred part is clipped, with total "
        "tail delta_s e^-epsilon.",
        True,
        _direction_aware,
    ),
    Theory(
        "coupling",
        "coupling",
        "derived here",
        _REMOVED,
        "The Gaussian law of the gap under common learning noise, averaged; no delta_s; only the unlearning noise "
        "hides the gap.",
        True,
        _coupling,
    ),
    EXACT,
)
