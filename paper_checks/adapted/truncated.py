"""AD-2, AD-3: the truncated theorem with computed tails, and the direction that needs a plan of its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import brentq

from bounds import adapted
from bounds.adapted_linear import LinearQuadratic
from bounds.adapted_tail import BudgetLaw

from ..claim import Claim, Mutant
from ..court import Court
from ..families import ridge
from ..families.ridge import RidgeInstance
from ..legs import Comparison
from ..verdict import Log
from ._pairs import affine, noisy
from .sure_budget import SOURCE

AGAINST = "exact ridge laws, contour integral; refutations certified in ball arithmetic"


def budget_law(instance: RidgeInstance, base: str) -> BudgetLaw:
    """The budget of the linear plan run from X ("learned") or from X' ("reference")."""
    if ("budget", base) not in instance.shared:
        pair = affine(instance)
        plan = LinearQuadratic(pair if base == "learned" else pair.exchanged())
        instance.shared["budget", base] = plan.budget_law()
    found: BudgetLaw = instance.shared["budget", base]
    return found


def quantile(law: BudgetLaw, tail: float) -> float:
    """mu with Pr[B > mu^2] = tail, from the contour integral; rounded up."""
    if law.variance == 0:
        return math.sqrt(law.mean) * (1 + 1e-9)
    spread = math.sqrt(law.variance)

    def excess(budget: float) -> float:
        return law.tail(budget) - math.log(tail)

    low, high = law.mean * (1 + 1e-9), law.mean + spread
    while excess(high) > 0:
        high += 2 * (high - law.mean)
    if excess(low) <= 0:
        return math.sqrt(low)
    return math.sqrt(brentq(excess, low, high, rtol=1e-10)) * (1 + 1e-9)


@dataclass(frozen=True, eq=False)
class Directed:
    """One direction of a deletion; the base chain is the one whose events are bounded."""

    ridge: RidgeInstance
    reverse: bool
    kind: str = "ridge"

    @property
    def direction(self) -> Literal["forward", "reverse"]:
        return "reverse" if self.reverse else "forward"

    @property
    def law(self) -> BudgetLaw:
        return budget_law(self.ridge, "reference" if self.reverse else "learned")

    def __str__(self) -> str:
        return f"{self.ridge}, {self.direction}"


def best(base: str) -> Callable[[RidgeInstance], Log]:
    return lambda instance: Log(budget_law(instance, base).log_delta(instance.epsilon))


def at_quantile(*, pays: bool = True, mu: Callable[[BudgetLaw, float], float] = quantile) -> Callable[[Directed], Log]:
    """mu at the tail delta_s; the mutants choose another mu or do not pay for the tail."""

    def promise(case: Directed) -> Log:
        tail = case.ridge.delta_s
        return Log(adapted.log_delta(mu(case.law, tail), math.log(tail) if pays else -math.inf, case.ridge.epsilon))

    return promise


def from_mean(law: BudgetLaw, tail: float) -> float:
    return math.sqrt(law.mean)


def median(law: BudgetLaw, tail: float) -> float:
    """Median of sqrt B, by simulation of the law."""
    rng = np.random.default_rng(0)
    total = np.full(4000, law.base)
    for weight, pull in zip(law.weights, law.pulls, strict=True):
        normals = rng.standard_normal((4000, law.columns))
        total += weight * np.sum(normals**2, axis=1) + 2 * pull * normals[:, 0]
    return math.sqrt(float(np.median(np.maximum(total, 0.0))))


def telling(court: Court, rng: np.random.Generator) -> Iterator[RidgeInstance]:
    """Random deletions, then lone rows without a mean gap: all the budget is random there."""
    yield from noisy(court, rng, 25)
    for epsilon in (0.5, 5.0):
        for delta_s in (0.8, 0.1, 1e-3):
            for eta in (0.5, 0.9):
                yield ridge.scalar(
                    [(1.0, 0.0)],
                    ridge=1e-3,
                    step_size=eta,
                    learn_steps=3,
                    unlearn_steps=1,
                    learn_noise=1.0,
                    unlearn_noise=0.2,
                    epsilon=epsilon,
                    delta_s=delta_s,
                    kind="no mean gap",
                )


def directed(court: Court, rng: np.random.Generator) -> Iterator[Directed]:
    for instance in telling(court, rng):
        yield Directed(instance, False)
        yield Directed(instance, True)


def simpler(case: Directed) -> Iterator[Directed]:
    return (Directed(instance, case.reverse) for instance in ridge.simplify(case.ridge))


def one_tail_for_both(instance: RidgeInstance) -> Log:
    """The forward promise, read in the reverse direction."""
    return best("learned")(instance)


CLAIMS = (
    Claim(
        id="adapted.truncated",
        source=SOURCE,
        statement="H_{e^eps}(P||Q) <= d_mu(eps) + P(B > mu^2) for every mu, B along X (here at the tail delta_s).",
        provenance="derived",
        against=AGAINST,
        promise=at_quantile(),
        legs=(
            Comparison(
                instances=directed,
                truth=lambda case: ridge.truth(case.direction)(case.ridge),
                certify=lambda case: ridge.certify(case.direction)(case.ridge),
                simplify=simpler,
                tolerance=1e-8,
            ),
        ),
        expected="survived",
        mutants=(
            Mutant(name="the tail dropped", promise=at_quantile(pays=False)),
            Mutant(name="E[B] for the quantile", promise=at_quantile(mu=from_mean)),
            Mutant(name="mu the median of the root of B", promise=at_quantile(mu=median)),
        ),
    ),
    Claim(
        id="adapted.truncated_reverse",
        source=SOURCE,
        statement="H_{e^eps}(Q||P) <= min_mu { d_mu(eps) + P(B' > mu^2) }, B' the budget of a plan run from X'.",
        provenance="derived",
        against=AGAINST,
        promise=best("reference"),
        legs=(
            Comparison(
                instances=telling,
                truth=ridge.truth("reverse"),
                certify=ridge.certify("reverse"),
                simplify=ridge.simplify,
                tolerance=1e-8,
            ),
        ),
        expected="survived",
        mutants=(Mutant(name="P(B > mu^2) along X used for both directions", promise=one_tail_for_both),),
    ),
)
