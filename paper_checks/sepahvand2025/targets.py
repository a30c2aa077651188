"""Three targets of unlearning: the stationary law, the retrained law, the law that retrains and continues."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from bounds import lsi_decay
from bounds import per_instance_unlearning as per_instance

from ..claim import Claim, Mutant
from ..court import Court
from ..families.gaussian_renyi import INFINITE
from ..legs import Comparison
from ..verdict import Truth
from ._one_point import Unlearning, after_rounding, cases, renyi

SOURCE = "Sepahvand et al. 2025, number of unlearning steps"
AGAINST = "exact Gaussian laws; the bound is fed with exact divergences and true rates, so that every link shows"


def to_stationarity(case: Unlearning) -> float:
    return per_instance.to_stationarity(
        order=case.order,
        loss=case.loss(2 * case.order),
        retrained_to_stationary=case.away(2 * case.order - 1),
        rate=case.rate,
        unlearn_steps=case.steps,
    )


def to_retraining(case: Unlearning) -> float:
    return per_instance.to_retraining(
        order=case.order,
        loss=case.loss(4 * case.order),
        retrained_to_stationary=case.away(4 * case.order - 1),
        stationary_to_retrained=case.back(2 * case.order - 1),
        rate=case.rate,
        unlearn_steps=case.steps,
    )


def to_continued(case: Unlearning) -> float:
    return continued(case, case.without_point[1])


def continued(case: Unlearning, constant: float) -> float:
    """The bound with rates from this constant of the reference law at the start; 2 step_size temperature^2 = 1 - c^2."""
    step_size = 0.5
    motion = {"contraction": case.contraction, "step_size": step_size, "temperature": case.chain.noise_std}
    constants = lsi_decay.lsi_evolution(constant=constant, steps=case.steps, **motion)
    rates = lsi_decay.decay_rate(constant=constants[:-1], **motion)
    return per_instance.to_retrain_and_continue(
        order=case.order, loss=case.loss(case.order), rate=rates, unlearn_steps=case.steps
    )


def _half(a: float) -> float:
    """Factor of the weak triangle at order a."""
    return (a - 0.5) / (a - 1)


def stationarity_form(
    *, factor: Callable[[float], float] = _half, away: float = 1.0, slowness: Callable[[float], float] = lambda a: a
) -> Callable[[Unlearning], float]:
    """e^{-kR/slowness} [factor P(2a) + away D_{2a-1}(without||stationary)]; for the mutants."""

    def promise(case: Unlearning) -> float:
        a = case.order
        distance = away * case.away(2 * a - 1) if away else 0.0
        start = factor(a) * case.loss(2 * a) + distance
        return math.exp(-case.steps * case.rate / slowness(a)) * start

    return promise


def retraining_form(
    *,
    floor: bool = True,
    away: bool = True,
    slowness: Callable[[float], float] = lambda a: 2 * a,
) -> Callable[[Unlearning], float]:
    """The bound to retraining written out; for the mutants."""

    def promise(case: Unlearning) -> float:
        a = case.order
        start = _half(2 * a) * case.loss(4 * a) + (case.away(4 * a - 1) if away else 0.0)
        decayed = _half(a) * math.exp(-case.steps * case.rate / slowness(a)) * start
        return decayed + (case.back(2 * a - 1) if floor else 0.0)

    return promise


def some_steps(court: Court, rng: np.random.Generator) -> Iterator[Unlearning]:
    """At least one unlearning step."""
    for case in cases(court, rng):
        if case.steps > 0:
            yield case


def _under_common_steps(case: Unlearning, target: tuple[float, float]) -> Truth:
    """Gap and variance difference carried through the chain, so that laws that come close keep their digits."""
    value = float(case.chain.divergences(case.with_point, target, order=case.order, steps=case.steps)[-1])
    return INFINITE if value == math.inf else Truth.of(value, 1e-10)


def from_stationarity(case: Unlearning) -> Truth:
    return _under_common_steps(case, case.stationary)


def from_retraining(case: Unlearning) -> Truth:
    return after_rounding(renyi(case.unlearned(), case.without_point, case.order), case.order)


def from_continued(case: Unlearning) -> Truth:
    return _under_common_steps(case, case.without_point)


READING = "derived to fit the public statements; nu and nu' the laws learned with and without x, rho_k nu after k steps"

CLAIMS = (
    Claim(
        id="sepahvand2025.targets.stationarity",
        source=SOURCE,
        statement="D_a(rho_k||pi') <= e^{-kR/a} [((a-1/2)/(a-1)) P(x,2a) + D_{2a-1}(nu'||pi')], P(x,b) >= D_b(nu||nu').",
        reading=READING,
        provenance="derived",
        against=AGAINST,
        promise=to_stationarity,
        legs=(Comparison(instances=cases, truth=from_stationarity, relation="tight"),),
        expected="survived",
        why="Attained at k = 0 on a line of equal variances; nearly so for narrow laws far away at k > 0.",
        mutants=(
            Mutant(name="D(nu'||pi') dropped", promise=stationarity_form(away=0.0)),
            Mutant(name="1/a dropped", promise=stationarity_form(slowness=lambda a: 1.0)),
            Mutant(name="factor 1 before P", promise=stationarity_form(factor=lambda a: 1.0)),
            Mutant(name="2/a for 1/a", promise=stationarity_form(slowness=lambda a: a / 2)),
        ),
    ),
    Claim(
        id="sepahvand2025.targets.retraining",
        source=SOURCE,
        statement=(
            "D_a(rho_k||nu') <= ((a-1/2)/(a-1)) e^{-kR/(2a)} [((4a-1)/(4a-2)) P(x,4a) + s_1] + s_0, s_1 = D_{4a-1}(nu'||pi'), "
            "s_0 = D_{2a-1}(pi'||nu')."
        ),
        reading=READING,
        provenance="derived",
        against=AGAINST,
        promise=to_retraining,
        legs=(Comparison(instances=cases, truth=from_retraining),),
        expected="survived",
        why="s_0 is real: after short training the exact divergence falls and then rises again towards its floor.",
        mutants=(
            Mutant(name="s_0 dropped", promise=retraining_form(floor=False)),
            Mutant(name="1/(2a) dropped", promise=retraining_form(slowness=lambda a: 1.0)),
            Mutant(name="only P counted", promise=retraining_form(floor=False, away=False)),
        ),
    ),
    Claim(
        id="sepahvand2025.targets.retrain_and_continue",
        source=SOURCE,
        statement="D_a(rho_k||nu'_{T+k}) <= e^{-(1/a) sum_j R_j} P(x,a), R_j at the constants of nu'_{T+j}.",
        reading=READING + "; the reference goes on training for the k steps",
        provenance="derived",
        against=AGAINST,
        promise=to_continued,
        legs=(Comparison(instances=some_steps, truth=from_continued),),
        expected="survived",
        why="No floor: both laws take the same steps.",
        mutants=(
            Mutant(name="nu'_T as the reference", leg=Comparison(instances=some_steps, truth=from_retraining)),
            Mutant(name="1/a dropped", promise=lambda case: case.loss(case.order) * math.exp(-case.steps * case.rate)),
            Mutant(name="constants of nu for those of nu'", promise=lambda case: continued(case, case.with_point[1])),
        ),
    ),
)
