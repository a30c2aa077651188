"""The theories of unlearning, each asked the same two questions about one deletion from ridge.

`noise`: the least injected unlearning noise at the schedule's number of unlearning steps; `steps`: the least number of
unlearning steps at the schedule's unlearning noise; both for (epsilon, delta) in both directions between the unlearned
law and the one that retrains without the row and continues. Learning is given: its steps and its noise stay.

How ridge is brought under assumptions that it does not meet is told in `case`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

import linear
from bounds import interpolation
from bounds.deletion.facts import DeletionFacts
from bounds.deletion.methods import Coupling, DirectionAware

from . import renyi
from .case import Array, Case, merged

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
        renyi.langevin,
    ),
    Theory(
        "langevin_improved",
        "Langevin, improved",
        "derived here from Chien et al. 2024",
        _REMOVED,
        _UNIFORM_M + " Gap M instead of 2 M, the constants that the reference law really has under this contraction, "
        "decay without the 1/order (hypercontractivity), improved conversion.",
        False,
        renyi.langevin_improved,
    ),
    Theory(
        "per_instance_renyi",
        "per-instance Rényi",
        "reading of Sepahvand et al. 2025",
        _REMOVED,
        _OWN_S + " Losses add up over the path at a common order; compared with retraining and continuing, decay at "
        "1/order of the log-Sobolev rate; improved conversion.",
        True,
        renyi.per_instance,
    ),
    Theory(
        "per_instance_moments",
        "per-instance Rényi, moments",
        "reading of Sepahvand et al. 2025 with the composition of Thudi et al. 2024",
        _REMOVED,
        "No clipping and no delta_s: the losses are composed with moments of the Gaussian residual at growing orders, "
        "best of six Hölder powers and 33 orders; infinite where a moment is. Otherwise as per-instance Rényi.",
        True,
        renyi.per_instance_moments,
    ),
    Theory(
        "noisy_sgd",
        "noisy SGD, full batch",
        "Chien et al. 2024, sibling paper (released code)",
        _REPLACED,
        _UNIFORM_M + " All of learning counts as a distance, as if it had converged, which only the unlearning noise "
        "hides; the released code's form, twice the tight one; simple conversion.",
        False,
        renyi.noisy_sgd_holds,
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
