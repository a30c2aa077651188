"""Several requests one after the other: triangle and decay, fed with exact divergences."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bounds import langevin_unlearning as langevin
from linear.gaussian_renyi import scalar_renyi

from ..claim import Claim, Mutant
from ..court import Court
from ..legs import Comparison
from ..verdict import Truth


@dataclass(frozen=True)
class Requests:
    """Stationary laws N(target, 1) along a line; each request takes `steps` steps of factor `contraction` towards its own."""

    targets: tuple[float, ...]
    steps: tuple[int, ...]
    contraction: float
    order: float
    kind: str = "random"

    @property
    def rate(self) -> float:
        """True rate of the stationary law."""
        return -2 * math.log(self.contraction)

    def learned(self, order: float) -> float:
        """Largest exact divergence between consecutive stationary laws."""
        gap = max(abs(b - a) for a, b in zip(self.targets, self.targets[1:], strict=False))
        return float(scalar_renyi(gap, 1.0, 0.0, 1.0, order=order))


def requests(court: Court, rng: np.random.Generator) -> Iterator[Requests]:
    yield Requests((0.0, 0.7, 1.4, 2.1, 2.8), (3, 5, 2, 9), 0.9, 3.0, "one direction")
    yield Requests((0.0, 1.0, 2.0), (1, 1), 0.999, 4.0, "one direction")
    yield Requests((0.0, 1.0), (1,), 0.999, 4.0, "one request")
    for _ in range(80 * court.effort):
        count = int(rng.integers(1, 5))
        moves = rng.normal(size=count)
        one_way = bool(rng.random() < 0.6)
        targets = np.concatenate([[0.0], np.cumsum(np.abs(moves) if one_way else moves)])
        steps = tuple(int(k) for k in rng.integers(0, 20, count))
        contraction = float(rng.choice([0.999, 0.9, rng.uniform(0.3, 0.999)]))
        kind = "one direction" if one_way else "to and fro"
        yield Requests(tuple(targets.tolist()), steps, contraction, float(1 + np.exp(rng.normal())), kind)


def exact(case: Requests) -> Truth:
    """Divergence of the last law from its target: variances stay 1, means follow the contraction."""
    mean = case.targets[0]
    for target, steps in zip(case.targets[1:], case.steps, strict=True):
        mean = target + case.contraction**steps * (mean - target)
    return Truth.of(float(scalar_renyi(mean, 1.0, case.targets[-1], 1.0, order=case.order)), 1e-11)


def sequential(case: Requests) -> float:
    bound = langevin.sequential(
        order=case.order,
        unlearn_steps=case.steps,
        initial=lambda orders: np.array([case.learned(float(order)) for order in np.atleast_1d(orders)]),
        rate=case.rate,
    )
    return float(np.squeeze(bound))


def recursion(case: Requests, *, doubling: float, factor: bool, requests: int) -> float:
    """The recursion over the last `requests` requests, written out; for the mutants."""
    chosen = case.steps[-requests:]
    order = case.order * doubling ** (len(chosen) - 1)
    bound = case.learned(order) * math.exp(-case.rate * chosen[0] / order)
    for steps in chosen[1:]:
        bound += case.learned(order)
        order /= doubling
        weight = (order - 0.5) / (order - 1) if factor else 1.0
        bound = weight * bound * math.exp(-case.rate * steps / order)
    return bound


CLAIMS = (
    Claim(
        id="chien2024.sequential",
        source="Chien et al. 2024 (Langevin Unlearning), sequential unlearning",
        statement=(
            "eps_s(a) = e^{-R K_s/a} ((a-1/2)/(a-1)) (eps_0(2a) + eps_{s-1}(2a)), eps_1(a) = e^{-R K_1/a} eps_0(a), bounds the "
            "divergence after request s."
        ),
        reading="one learning bound for all requests; true rates and exact learning divergences",
        provenance="public code",
        against="moved stationary laws of one variance, exact",
        promise=sequential,
        legs=(Comparison(instances=requests, truth=exact),),
        expected="survived",
        why="Each request doubles the order; the loss is a factor that grows like 2^s.",
        mutants=(
            Mutant(
                name="no doubling and no factor",
                promise=lambda case: recursion(case, doubling=1.0, factor=False, requests=len(case.steps)),
            ),
            Mutant(
                name="last request only", promise=lambda case: recursion(case, doubling=2.0, factor=True, requests=1)
            ),
        ),
    ),
)
