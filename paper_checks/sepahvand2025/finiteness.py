"""When the two distances between the retrained and the stationary law are finite at all."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from bounds import per_instance_unlearning as per_instance
from linear.gaussian_renyi import OrnsteinUhlenbeck, scalar_renyi

from ..claim import Claim, Mutant
from ..court import Court
from ..legs import Comparison
from ..verdict import Truth

SOURCE = "derived here, for the distances s_1 and s_0 of Sepahvand et al. 2025 (reading)"
AGAINST = "the first step after which the exact divergence is finite"


@dataclass(frozen=True)
class Start:
    """A linear chain started at `variance_ratio` times its stationary variance; a divergence of `order`."""

    variance_ratio: float
    contraction: float
    order: float
    kind: str = "random"

    @property
    def law_steps(self) -> Iterator[tuple[float, float]]:
        """The law after 0, 1, 2, ... steps, in units of the stationary N(0, 1)."""
        c = self.contraction
        chain = OrnsteinUhlenbeck(contraction=c, noise_std=math.sqrt((1 - c) * (1 + c)))
        return (chain.after(0.5, self.variance_ratio, step) for step in range(100_000))


def wide_starts(court: Court, rng: np.random.Generator) -> Iterator[Start]:
    """Starts wider than the stationary law: D(learned || stationary) may be infinite at first."""
    yield Start(2.0, 0.9, 15.0, "twice the stationary variance")
    yield Start(1.0, 0.9, 15.0, "stationary")
    for _ in range(40 * court.effort):
        order = float(1 + np.exp(rng.normal(1.5)))
        yield Start(1 + float(np.exp(rng.normal())), float(rng.uniform(0.3, 0.99)), order)


def narrow_starts(court: Court, rng: np.random.Generator) -> Iterator[Start]:
    """Starts narrower than the stationary law: D(stationary || learned) may be infinite at first."""
    yield Start(0.01, 0.9, 7.0, "nearly a point")
    yield Start(1.0, 0.9, 7.0, "stationary")
    for _ in range(40 * court.effort):
        order = float(1 + np.exp(rng.normal(1.5)))
        yield Start(float(rng.uniform(1e-3, 0.99)), float(rng.uniform(0.3, 0.99)), order)


def first_finite(*, from_stationary: bool) -> Callable[[Start], Truth]:
    """The first step with a finite divergence; once finite it stays so, the variance being monotone."""

    def truth(case: Start) -> Truth:
        for step, law in enumerate(case.law_steps):
            pair = (0.0, 1.0, *law) if from_stationary else (*law, 0.0, 1.0)
            if math.isfinite(scalar_renyi(*pair, order=case.order)):
                return Truth.of(step)
        raise FloatingPointError(f"{case}: no finite divergence found")

    return truth


def library(case: Start) -> float:
    return per_instance.finite_after(order=case.order, variance_ratio=case.variance_ratio, contraction=case.contraction)


def threshold(excess: Callable[[Start], float], *, power: float = 2.0) -> Callable[[Start], float]:
    """Least whole T above log(excess)/(-power log c)."""

    def promise(case: Start) -> float:
        value = excess(case)
        if value < 1:
            return 0.0
        return math.floor(math.log(value) / (-power * math.log(case.contraction))) + 1

    return promise


def _wide(case: Start, weight: float) -> float:
    return weight * (case.variance_ratio - 1)


def _narrow(case: Start, weight: float) -> float:
    return weight * (1 - case.variance_ratio)


CLAIMS = (
    Claim(
        id="sepahvand2025.finiteness.retrained_to_stationary",
        source=SOURCE,
        statement=(
            "From a start with v_0 > v_pi, D_b(nu'_T||pi') is finite iff v_T < v_pi b/(b-1), that is T > log((b-1)(v_0/v_pi - "
            "1))/(-2 log c)."
        ),
        provenance="derived",
        against=AGAINST,
        promise=library,
        legs=(Comparison(instances=wide_starts, truth=first_finite(from_stationary=False), relation="equal"),),
        expected="survived",
        why="At order b = 4a-1 it decides whether the bound to retraining says anything.",
        mutants=(
            Mutant(name="c^T for c^{2T}", promise=threshold(lambda case: _wide(case, case.order - 1), power=1.0)),
            Mutant(name="b+1 for b-1", promise=threshold(lambda case: _wide(case, case.order + 1))),
        ),
    ),
    Claim(
        id="sepahvand2025.finiteness.stationary_to_retrained",
        source=SOURCE,
        statement=(
            "From a start with v_0 < v_pi, D_b(pi'||nu'_T) is finite iff v_pi < v_T b/(b-1), that is T > log(b (1 - "
            "v_0/v_pi))/(-2 log c)."
        ),
        provenance="derived",
        against=AGAINST,
        promise=threshold(lambda case: _narrow(case, case.order)),
        legs=(Comparison(instances=narrow_starts, truth=first_finite(from_stationary=True), relation="equal"),),
        expected="survived",
        why="At order b = 2a-1 it is the irreducible term; training from a point needs this long before it is finite.",
        mutants=(
            Mutant(name="c^T for c^{2T}", promise=threshold(lambda case: _narrow(case, case.order), power=1.0)),
            Mutant(name="b-1 for b", promise=threshold(lambda case: _narrow(case, case.order - 1))),
        ),
    ),
)
