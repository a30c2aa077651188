"""One noisy step with Poisson sampling: the sum rule, its direction, and the small-rate form that is no bound."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from bounds import renyi_dp

from ..claim import Claim, Mutant
from ..court import Court
from ..legs import Comparison
from ..verdict import Truth
from ._mixtures import sampled_divergence

AGAINST = "the one-dimensional integral by quadrature"
# Quadrature to rounding of its terms; where it is tiny the series keeps its digits.
_ERROR = 1e-10


@dataclass(frozen=True)
class SampledStep:
    """A point of clipped gradient norm `shift` noise standard deviations, in the batch with probability `rate`."""

    order: float
    shift: float
    rate: float
    kind: str = "integer order"


def integer_steps(court: Court, rng: np.random.Generator) -> Iterator[SampledStep]:
    yield SampledStep(2.0, 1.0, 0.1)
    yield SampledStep(8.0, 0.5, 0.01)
    yield SampledStep(2.0, 1.0, 1.0)
    for _ in range(60 * court.effort):
        shift, rate = float(np.exp(rng.normal(-0.7))), float(10 ** rng.uniform(-3, 0))
        yield SampledStep(float(rng.integers(2, 17)), min(shift, 1.5), rate)


def steps(court: Court, rng: np.random.Generator) -> Iterator[SampledStep]:
    """Integer orders and orders between them."""
    for case in integer_steps(court, rng):
        yield case
        yield SampledStep(case.order + float(rng.uniform(-0.9, 0.0)), case.shift, case.rate, "between integers")


def forward(case: SampledStep) -> Truth:
    return Truth.of(sampled_divergence(case.order, case.shift, case.rate), _ERROR)


def reverse(case: SampledStep) -> Truth:
    return Truth.of(sampled_divergence(case.order, case.shift, case.rate, reverse=True), _ERROR)


def sum_rule(case: SampledStep) -> float:
    return float(renyi_dp.sum_rule(order=case.order, gradient_norm=case.shift, noise_std=1.0, rate=case.rate))


def terms(
    *,
    keep: Callable[[np.ndarray, int], np.ndarray] = lambda k, a: np.ones_like(k),
    pairs: Callable[[np.ndarray], np.ndarray] = lambda k: k * (k - 1),
    absent: bool = True,
) -> Callable[[SampledStep], float]:
    """The sum over k at the next integer order; the mutants drop or alter terms."""

    def promise(case: SampledStep) -> float:
        a = math.ceil(case.order)
        k = np.arange(a + 1.0)
        binomials = np.array([math.log(math.comb(a, int(j))) for j in k])
        stay = (
            np.where(k < a, a - k, 0.0) * (math.log1p(-case.rate) if case.rate < 1 else -math.inf) if absent else 0 * k
        )
        stay = np.where(k == a, 0.0, stay)
        logs = binomials + stay + k * math.log(case.rate) + case.shift**2 * pairs(k) / 2
        return max(float(logsumexp(logs, b=keep(k, a))), 0.0) / (a - 1)

    return promise


def small_rate(case: SampledStep) -> float:
    return case.order * case.rate**2 * math.expm1(case.shift**2) / 2


CLAIMS = (
    Claim(
        id="thudi2024.sum_rule",
        source="Thudi et al. 2024, per-step divergence under Poisson sampling",
        statement=(
            "D_step(a) = (1/(a-1)) log sum_k C(a,k) (1-q)^{a-k} q^k exp(|g|^2 k(k-1)/(2 sigma^2)) for integer a, with the "
            "point from without it; equality for a fixed rest of the batch."
        ),
        provenance="public code",
        against=AGAINST,
        promise=sum_rule,
        legs=(
            Comparison(instances=integer_steps, truth=forward, relation="equal", name="integer orders"),
            Comparison(instances=steps, truth=forward, name="orders between integers, bounded"),
        ),
        expected="survived",
        why="Between integers the log moment, convex in the order, is bounded by its chord.",
        mutants=(
            Mutant(name="the small-rate form as a bound", promise=small_rate),
            Mutant(name="term k = a dropped", promise=terms(keep=lambda k, a: (k < a).astype(float))),
            Mutant(name="k^2 for k(k-1)", promise=terms(pairs=lambda k: k * k)),
            Mutant(name="(1-q)^{a-k} dropped", promise=terms(absent=False)),
        ),
    ),
    Claim(
        id="thudi2024.sum_rule.small_rate",
        source="Thudi et al. 2024; small-rate approximation in common use",
        statement="D_step(a) <= a q^2 (e^{|g|^2/sigma^2} - 1)/2.",
        reading="the leading term at small q taken for a bound",
        provenance="reconstructed",
        against=AGAINST,
        promise=small_rate,
        legs=(Comparison(instances=integer_steps, truth=forward),),
        expected="refuted",
        why="It is the first term of a series of positive ones: right to leading order in q, below the truth at every q.",
        repair="thudi2024.sum_rule",
    ),
    Claim(
        id="thudi2024.sum_rule.direction",
        source="Thudi et al. 2024, direction of the divergence",
        statement="D_a(without || with) <= D_a(with || without): the sum rule serves both directions.",
        provenance="reconstructed",
        against="both directions by quadrature",
        promise=lambda case: sampled_divergence(case.order, case.shift, case.rate) * (1 + 2 * _ERROR),
        legs=(Comparison(instances=steps, truth=reverse),),
        expected="survived",
        why="Equal at q = 1 only, where both laws are Gaussians of one variance.",
        mutants=(
            Mutant(
                name="the reverse dominates",
                promise=lambda case: sampled_divergence(case.order, case.shift, case.rate, reverse=True),
                leg=Comparison(instances=steps, truth=forward),
            ),
            Mutant(name="equality", leg=Comparison(instances=steps, truth=reverse, relation="equal")),
        ),
    ),
)
