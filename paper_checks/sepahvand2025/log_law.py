"""The number of unlearning steps: logarithmic in the per-instance loss, by inverting the bound to retraining."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import sympy

from bounds import per_instance_unlearning as per_instance
from linear.gaussian_renyi import scalar_renyi

from ..algebra import positive, vanishes
from ..claim import Claim, Mutant
from ..court import Court
from ..legs import Comparison, Symbolic
from ..verdict import Truth
from ._one_point import Unlearning, trained


@dataclass(frozen=True)
class Budget:
    """Unlearning one point until the divergence from the retrained law is at most `epsilon` above its floor."""

    case: Unlearning
    above_floor: float
    kind: str = "trained"

    @property
    def floor(self) -> float:
        """s_0, the irreducible term."""
        return self.case.back(2 * self.case.order - 1)

    @property
    def epsilon(self) -> float:
        return self.floor + self.above_floor

    @property
    def scale(self) -> float:
        """The bound at k = 0 less its floor."""
        a, case = self.case.order, self.case
        inner = (4 * a - 1) / (4 * a - 2) * case.loss(4 * a) + case.away(4 * a - 1)
        return (a - 0.5) / (a - 1) * inner

    def __str__(self) -> str:
        return f"epsilon {self.epsilon:.6g} (floor {self.floor:.6g}), {self.case}"


def budgets(court: Court, rng: np.random.Generator) -> Iterator[Budget]:
    """Points learned long enough for both distances to be finite; losses from far below epsilon to far above."""
    for learn_steps in (30, 60):
        for above in (1.0, 0.1, 1e-3):
            yield Budget(trained(learn_steps, 0), above)
    for _ in range(60 * court.effort):
        order = float(rng.choice([1.5, 2.0, 4.0]))
        without = (float(rng.normal() * 0.3), 1 + 0.5 / (4 * order) * float(rng.uniform(-1, 1)))
        distance = float(10 ** rng.uniform(-2, 1))
        case = Unlearning((without[0] + distance, without[1]), without, float(rng.uniform(0.5, 0.99)), 0, order)
        yield Budget(case, float(10 ** rng.uniform(-4, 0)), "random")


def library(budget: Budget) -> float:
    case = budget.case
    return per_instance.steps_for(
        epsilon=budget.epsilon,
        order=case.order,
        loss=case.loss(4 * case.order),
        rate=case.rate,
        retrained_to_stationary=case.away(4 * case.order - 1),
        stationary_to_retrained=budget.floor,
    )


def law(*, slowness: float = 2.0, floor: bool = True) -> Callable[[Budget], float]:
    """ceil((slowness a/R) log(A/(epsilon - s_0))); for the mutants."""

    def promise(budget: Budget) -> float:
        room = budget.epsilon - (budget.floor if floor else 0.0)
        steps = slowness * budget.case.order / budget.case.rate * math.log(budget.scale / room)
        return max(math.ceil(steps), 0)

    return promise


def steps_of_the_bound(budget: Budget) -> Truth:
    """The first k at which the bound itself is at most epsilon, by trying one k after the other in blocks."""
    a, rate = budget.case.order, budget.case.rate
    first, block = 0, 4096
    while True:
        k = np.arange(first, first + block)
        enough = np.flatnonzero(budget.scale * np.exp(-k * rate / (2 * a)) <= budget.above_floor * (1 + 1e-12))
        if enough.size:
            return Truth.of(float(k[enough[0]]))
        first += block


def steps_needed(budget: Budget) -> Truth:
    """The first k from which on the exact divergence stays at most epsilon, within what the bound allows for."""
    case = budget.case
    decay = case.contraction ** np.arange(math.exp(steps_of_the_bound(budget).lower) + 1)
    means, variances = decay * case.with_point[0], 1 + decay**2 * (case.with_point[1] - 1)
    divergences = scalar_renyi(means, variances, *case.without_point, order=case.order)
    exceeds = np.flatnonzero(divergences > budget.epsilon)
    return Truth.of(float(exceeds[-1] + 1) if exceeds.size else 0.0)


def _inverse() -> sympy.Expr:
    """scale e^{-k R/(2a)} at k = (2a/R) log(scale/room) is the room above the floor."""
    scale, rate, a, room = positive("scale rate a room")
    k = 2 * a / rate * sympy.log(scale / room)
    return scale * sympy.exp(-k * rate / (2 * a)) - room


CLAIMS = (
    Claim(
        id="sepahvand2025.log_law",
        source="Sepahvand et al. 2025, number of unlearning steps",
        statement=(
            "For epsilon > s_0: k = ceil((2a/R) log{((a-1/2)/(a-1)) [((4a-1)/(4a-2)) P(x,4a) + s_1]/(epsilon - s_0)}), that is "
            "C log(A P + B), is the first k at which the bound to retraining is at most epsilon, and is enough."
        ),
        reading="the bound to retraining inverted; the public statements speak of log(ax + b) and P at order 4a",
        provenance="derived",
        against="the first such k by search, and the steps that exact divergences need",
        promise=library,
        legs=(
            Comparison(instances=budgets, truth=steps_of_the_bound, relation="equal", name="inverse of the bound"),
            Comparison(instances=budgets, truth=steps_needed, name="steps needed exactly"),
            Symbolic(identities=(("solved for k", vanishes(_inverse)),)),
        ),
        expected="survived",
        mutants=(
            Mutant(name="a/R for 2a/R", promise=law(slowness=1.0)),
            Mutant(name="s_0 ignored", promise=law(floor=False)),
            Mutant(name="4a/R for 2a/R", promise=law(slowness=4.0)),
        ),
    ),
)
