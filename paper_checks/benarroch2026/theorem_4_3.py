"""Theorem 4.3: high-probability sensitivities and Gaussian-DP accounting together, each reading, one- and two-sided."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

import linear
from linear.audit import hockey_stick_lower_bound

from ..claim import Claim, Mutant
from ..court import Court
from ..families import ridge
from ..families.ridge import RidgeInstance
from ..legs import Comparison, Sample, Sampled
from ..verdict import Log
from ._readings import Count, hull_mu, log_privacy, log_sum, p1_mu, p2_mu, sensitivities

SOURCE = "Benarroch, Atif, Cappe 2026, Theorem 4.3 (content reconstructed from its title)"
AGAINST = "the exact hockey-stick of the two Gaussian laws, on small problems and on the data set's training points"


def noiseless_learning() -> Iterator[RidgeInstance]:
    """One feature, no learning noise: P1 is exact up to delta_s."""
    for learn, unlearn, epsilon in ((1, 1, 0.5), (3, 2, 1.0), (2, 4, 3.0)):
        yield ridge.scalar(
            [(1.0, 2.0)],
            ridge=1.0,
            step_size=0.25,
            learn_steps=learn,
            unlearn_steps=unlearn,
            learn_noise=0.0,
            unlearn_noise=1.0,
            epsilon=epsilon,
            delta_s=1e-12,
            kind="noiseless learning",
        )


def everywhere(court: Court, rng: np.random.Generator) -> Iterator[RidgeInstance]:
    """Corners, random small problems, then training points of the data set spread over all leverages."""
    yield from noiseless_learning()
    yield from ridge.instances(150 * court.effort, rng)
    if court.docket is not None:
        yield from court.docket.spread


def small(court: Court, rng: np.random.Generator) -> Iterator[RidgeInstance]:
    """Corners and random small problems, simplest first."""
    yield from ridge.instances(150 * court.effort, rng)


def p1(
    *, spend: Callable[[float], float] = lambda delta_s: delta_s, unlearn: int = 0, learn: int = 0, keep: bool = True
) -> Callable[[RidgeInstance], Log]:
    """(1 - delta_s) d_mu1(eps) + delta_s; the mutants alter what is spent or how many steps are counted."""

    def promise(instance: RidgeInstance) -> Log:
        gaps = sensitivities(instance)
        if learn:
            gaps = np.concatenate([gaps[:-1], [0.0]])
        counted = replace(
            instance,
            schedule=replace(instance.schedule, unlearn_steps=instance.schedule.unlearn_steps + unlearn),
        )
        log_kept = log_privacy(p1_mu(counted, gaps), instance.epsilon) + math.log1p(-instance.delta_s if keep else 0.0)
        return Log(log_sum(log_kept, spend(instance.delta_s)))

    return promise


def p1_noise(power: float) -> Callable[[RidgeInstance], Log]:
    """P1 with the unlearning noise to another power."""

    def promise(instance: RidgeInstance) -> Log:
        changed = instance.schedule.with_unlearn_noise(instance.schedule.unlearn_noise**power)
        return p1()(replace(instance, schedule=changed))

    return promise


def through_clipping(
    mu: Callable[[RidgeInstance, np.ndarray], float] = hull_mu,
    count: Count = "random",
    spend: Callable[[RidgeInstance], float] = lambda instance: instance.delta_s,
    shrink: float = 1.0,
) -> Callable[[RidgeInstance], Log]:
    """d_mu(eps) + delta_s with mu of the clipped chain."""

    def promise(instance: RidgeInstance) -> Log:
        parameter = shrink * mu(instance, sensitivities(instance, count=count))
        return Log(log_sum(log_privacy(parameter, instance.epsilon), spend(instance)))

    return promise


def simulated(court: Court, rng: np.random.Generator, false_alarm: float) -> tuple[RidgeInstance, Sample]:
    """The real chain on the tight instance: an exact lower limit on its hockey-stick, from samples alone."""
    instance = next(noiseless_learning())
    runs = 500_000 * court.effort
    unlearned, reference = linear.simulate(instance.problem, instance.schedule, instance.index, runs, rng)
    found = hockey_stick_lower_bound(
        unlearned[:, 0, 0], reference[:, 0, 0], instance.epsilon, confidence=1 - false_alarm
    )
    lower = found.delta
    exact = math.exp(instance.log_hockey_stick("forward"))
    return instance, Sample(math.log(lower) if lower > 0 else -math.inf, 0.0, runs, exact / max(lower, 1e-300) - 1)


def _p2_claim(count: Count, written: str) -> Claim:
    return Claim(
        id=f"benarroch2026.theorem_4_3.p2_two_sided_{count}",
        source=SOURCE,
        statement="H <= d_mu(eps) + delta_s in both directions, mu of reading P2.",
        reading=f"P2, two-sided as it stands, the union bound counting {written} events",
        provenance="reconstructed",
        against="the exact two-sided hockey-stick, certified in ball arithmetic from the step-by-step recursion",
        promise=through_clipping(p2_mu, count),
        legs=(
            Comparison(
                instances=small, truth=ridge.truth("both"), certify=ridge.certify("both"), simplify=ridge.simplify
            ),
        ),
        expected="refuted",
        why=(
            "The sensitivity event is rare under the learn-unlearn law only; seen from the reference it costs "
            "e^eps delta_s."
        ),
        repair="benarroch2026.repaired_theorem.reverse",
    )


CLAIMS = (
    Claim(
        id="benarroch2026.theorem_4_3.p1_two_sided",
        source=SOURCE,
        statement="H <= (1 - delta_s) d_mu(eps) + delta_s in both directions, mu of reading P1.",
        reading="P1 (shifts in the unlearning phase), two-sided",
        provenance="derived",
        against=AGAINST,
        promise=p1(),
        legs=(
            Comparison(instances=everywhere, truth=ridge.truth("both"), relation="tight"),
            Sampled(draw=simulated),
        ),
        expected="survived",
        why="Exact where learning is noiseless; the unlearning noise is independent of the sensitivity event.",
        mutants=(
            Mutant(name="delta_s dropped", promise=p1(spend=lambda delta_s: 0.0)),
            Mutant(name="delta_s squared", promise=p1(spend=lambda delta_s: delta_s**2)),
            Mutant(name="K+1 unlearning steps", promise=p1(unlearn=1)),
            Mutant(name="last learning step not counted", promise=p1(learn=1)),
            Mutant(name="sigma_U^2 for sigma_U", promise=p1_noise(2.0)),
        ),
    ),
    Claim(
        id="benarroch2026.theorem_4_3.hull_forward",
        source=SOURCE,
        statement="P(X in S) <= e^eps P(X' in S) + d_mu(eps) + delta_s, mu of the optimal shifts.",
        reading="whole horizon, one-sided: unlearned from reference",
        provenance="derived",
        against=AGAINST,
        promise=through_clipping(),
        legs=(Comparison(instances=everywhere, truth=ridge.truth("forward"), relation="tight"),),
        expected="survived",
        mutants=(
            Mutant(name="mu/2", promise=through_clipping(shrink=0.5)),
            Mutant(name="shifts not weighted by the noise (K+1)", promise=p1(unlearn=1)),
            Mutant(
                name="learning noise counted twice",
                promise=lambda instance: through_clipping()(
                    replace(
                        instance,
                        schedule=replace(
                            instance.schedule,
                            unlearn_noise=math.hypot(instance.schedule.unlearn_noise, 0.3),
                        ),
                    )
                ),
            ),
        ),
    ),
    _p2_claim("random", "T-1"),
    _p2_claim("steps", "T"),
    _p2_claim("listed", "T+1"),
)
