"""From one record to a group (the differential-privacy baseline), and what certified runs are to each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import mpmath
import numpy as np

from bounds import clipping

from ..claim import Claim, Mutant
from ..court import Court
from ..legs import Comparison
from ..verdict import Log, Truth

SOURCE = "Koloskova et al. 2025, comparison with differential privacy by way of groups"


@dataclass(frozen=True)
class Bernoulli:
    """Laws p_0, p_(i+1) = delta + e^epsilon p_i for `size` steps, each (epsilon, delta)-close to the one before."""

    epsilon: float
    delta: float
    size: int
    start: float = 0.0
    kind: str = "Bernoulli"

    def last(self) -> mpmath.mpf:
        """p_size, by the recursion in fifty digits."""
        p = mpmath.mpf(self.start)
        for _ in range(self.size):
            p = self.delta + mpmath.exp(self.epsilon) * p
        return p

    def is_private(self) -> bool:
        """The one inequality that can fail: (1 - p_i) - e^epsilon (1 - p_(i+1)) <= delta, hardest at the last."""
        with mpmath.workdps(50):
            after = self.last()
            before = (after - self.delta) * mpmath.exp(-self.epsilon)
            return bool(after <= 1 and (1 - before) - mpmath.exp(self.epsilon) * (1 - after) <= self.delta)

    def apart(self, epsilon: float) -> Truth:
        """E of the last law from the first, by its definition on two points."""
        with mpmath.workdps(50):
            first, last = mpmath.mpf(self.start), self.last()
            weight = mpmath.exp(mpmath.mpf(epsilon))
            value = max(last - weight * first, mpmath.mpf(0)) + max((1 - last) - weight * (1 - first), mpmath.mpf(0))
            return Truth.of_log(float(mpmath.log(value)), 1e-13 * (1 + abs(float(mpmath.log(value)))))


def groups(court: Court, rng: np.random.Generator) -> Iterator[Bernoulli]:
    yield Bernoulli(1.0, 1e-5, 2)
    yield Bernoulli(50 / 225, 4.799672e-28, 225, kind="released setting")
    made = 0
    while made < 80 * court.effort:
        case = Bernoulli(float(rng.uniform(0.02, 2.0)), float(10 ** rng.uniform(-30, -3)), int(rng.integers(2, 30)))
        if case.is_private():
            made += 1
            yield case


def whole_group(case: Bernoulli) -> Truth:
    return case.apart(case.size * case.epsilon)


def grown(case: Bernoulli) -> float:
    return clipping.group_privacy(epsilon=case.epsilon, delta=case.delta, size=case.size)[1]


def growth(log_factor: Callable[[float, int], float]) -> Callable[[Bernoulli], Log]:
    return lambda case: Log(math.log(case.delta) + log_factor(case.epsilon, case.size))


def released_growth(epsilon: float, size: int) -> float:
    """log of (e^(k eps) - 1)/(e^eps - 1) with log(e^x - 1) coded as x - 1."""
    return (size * epsilon - 1) - (epsilon - 1)


def pairs(court: Court, rng: np.random.Generator) -> Iterator[Bernoulli]:
    """Two outputs of one algorithm on the same retained data, and the certifier between them: three Bernoulli laws."""
    yield Bernoulli(1.0, 1e-5, 2)
    yield Bernoulli(1.0, 1e-5, 2, 0.01)
    made = 0
    while made < 60 * court.effort:
        epsilon, delta = float(rng.uniform(0.1, 3.0)), float(10 ** rng.uniform(-8, -2))
        case = Bernoulli(epsilon, delta, 2, float(rng.uniform(0.0, 0.05)) * float(rng.random() < 0.7))
        if case.is_private():
            made += 1
            yield case


def at_twice(case: Bernoulli) -> Truth:
    return case.apart(2 * case.epsilon)


def at_once(case: Bernoulli) -> Truth:
    return case.apart(case.epsilon)


CLAIMS = (
    Claim(
        id="koloskova2025.group_privacy.formula",
        source=SOURCE + " (chained here)",
        statement="(e, d) for one record gives (k e, d (e^{ke} - 1)/(e^e - 1)) for k records, and no less.",
        provenance="derived",
        against="Bernoulli laws p_0 = 0, p_{i+1} = d + e^e p_i, neighbours (e, d)-close, in fifty digits",
        promise=grown,
        legs=(Comparison(instances=groups, truth=whole_group, relation="equal"),),
        expected="survived",
        why="Attained by the Bernoulli chain.",
        mutants=(
            Mutant(name="(k e, k d)", promise=growth(lambda epsilon, size: math.log(size))),
            Mutant(name="x - 1 for log(e^x - 1)", promise=growth(released_growth)),
            Mutant(
                name="k e^{(k-1) e} called exact",
                promise=growth(lambda epsilon, size: math.log(size) + (size - 1) * epsilon),
            ),
        ),
    ),
    Claim(
        id="koloskova2025.group_privacy.released_code",
        source=SOURCE + ", as the released code computes it",
        statement="A group's delta grows by exp((k e - 1) - (e - 1)).",
        reading="log(e^x - 1) coded as x - 1",
        provenance="public code",
        against="Bernoulli laws p_0 = 0, p_{i+1} = d + e^e p_i, neighbours (e, d)-close, in fifty digits",
        promise=growth(released_growth),
        legs=(Comparison(instances=groups, truth=whole_group),),
        expected="refuted",
        why="For k = 225 and group epsilon 50 the group's delta is 5 times the one aimed at.",
        repair="koloskova2025.group_privacy.formula",
    ),
    Claim(
        id="koloskova2025.definition.two_certified_runs",
        source="Koloskova et al. 2025, definition of (eps, delta)-unlearning by a certifying algorithm",
        statement=(
            "Two inputs with the same retained data: if one certifier is (eps, delta)-close to both outputs, then "
            "E_{2 eps} <= (1 + e^eps) delta between them. A violation refutes every certifier at once."
        ),
        provenance="derived",
        against="three Bernoulli laws, neighbours (eps, delta)-close, in fifty digits",
        promise=lambda case: Log(math.log(case.delta) + math.log1p(math.exp(case.epsilon))),
        legs=(Comparison(instances=pairs, truth=at_twice, relation="equal"),),
        expected="survived",
        why="Attained by Bernoulli laws.",
        mutants=(
            Mutant(name="1 for 1 + e^eps", promise=lambda case: case.delta),
            Mutant(name="E_eps for E_{2 eps}", leg=Comparison(instances=pairs, truth=at_once)),
        ),
    ),
)
