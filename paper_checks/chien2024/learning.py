"""How far apart two trainings end that differ in a few points: with strong convexity, in finite time, without any."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from bounds import langevin_unlearning as langevin
from linear.gaussian_renyi import OrnsteinUhlenbeck, scalar_renyi

from ..claim import Claim, Mutant
from ..court import Court
from ..legs import Comparison
from ..verdict import Truth

SOURCE = "Chien et al. 2024 (Langevin Unlearning), learning bound"
AGAINST = (
    "two quadratic losses whose gradients differ by 2SM/n everywhere: Gaussian chains of one variance, exact; from a point or "
    "a law of constant at most 2 sigma^2/m"
)


@dataclass(frozen=True)
class Training:
    """Noisy gradient descent on losses with m = product/step_size; `learn_steps` None means training has converged."""

    order: float
    product: float
    step_size: float
    temperature: float
    lipschitz: float
    size: int
    replaced: int
    learn_steps: int | None
    start_share: float = 0.0
    kind: str = "converged"

    @property
    def strong_convexity(self) -> float:
        return self.product / self.step_size

    @property
    def steps(self) -> float:
        return math.inf if self.learn_steps is None else self.learn_steps

    @property
    def gap(self) -> float:
        """Shift per step between the two chains."""
        return self.step_size * 2 * self.replaced * self.lipschitz / self.size

    @property
    def start_variance(self) -> float:
        """The common start: a share of 2 temperature^2/m, or a point where nothing contracts."""
        return self.start_share * 2 * self.temperature**2 / self.strong_convexity if self.product else 0.0

    def shared(self) -> dict[str, Any]:
        """Keyword arguments of every learning bound."""
        return {
            "order": self.order,
            "step_size": self.step_size,
            "temperature": self.temperature,
            "lipschitz": self.lipschitz,
            "size": self.size,
            "replaced": self.replaced,
        }

    def chain(self, offset: float) -> OrnsteinUhlenbeck:
        noise_std = math.sqrt(2 * self.step_size) * self.temperature
        return OrnsteinUhlenbeck(contraction=1 - self.product, noise_std=noise_std, offset=offset)


def exact(case: Training) -> Truth:
    """D_order between the two trained laws."""
    laws = [trained_law(case, offset) for offset in (case.gap, 0.0)]
    return Truth.of(float(scalar_renyi(*laws[0], *laws[1], order=case.order)), 1e-11)


def trained_law(case: Training, offset: float) -> tuple[float, float]:
    """Mean and variance of the trained law with this drift."""
    chain = case.chain(offset)
    return chain.stationary() if case.learn_steps is None else chain.after(0.0, case.start_variance, case.learn_steps)


def _drawn(rng: np.random.Generator, product: float, learn_steps: int | None, kind: str) -> Training:
    order = float(1 + np.exp(rng.normal(1.0)))
    step_size, temperature, lipschitz = np.exp(rng.normal(size=3)).tolist()
    size = int(rng.integers(10, 5000))
    share = float(rng.choice([0.0, 1.0, float(rng.uniform())]))
    return Training(
        order, product, step_size, temperature, lipschitz, size, int(rng.integers(1, 10)), learn_steps, share, kind
    )


def converged(court: Court, rng: np.random.Generator) -> Iterator[Training]:
    yield Training(8.0, 0.1 / 0.35, 1 / 0.35, 0.05, 1.0, 1000, 1, None)
    for _ in range(60 * court.effort):
        yield _drawn(rng, float(rng.choice([1e-3, 1.0, rng.uniform(0.001, 1)])), None, "converged")


def finite(court: Court, rng: np.random.Generator) -> Iterator[Training]:
    yield Training(8.0, 0.1 / 0.35, 1 / 0.35, 0.05, 1.0, 1000, 1, 5, 0.0, "few steps")
    for _ in range(120 * court.effort):
        learn_steps = int(rng.choice([1, 2, 5, int(rng.integers(1, 300))]))
        product = float(rng.choice([1e-3, 1.0, rng.uniform(0.001, 1)]))
        yield _drawn(rng, product, learn_steps, "few steps" if learn_steps < 10 else "many steps")


def isometric(court: Court, rng: np.random.Generator) -> Iterator[Training]:
    """Convex losses without curvature: nothing contracts."""
    for _ in range(40 * court.effort):
        yield _drawn(rng, 0.0, int(rng.integers(1, 300)), "no contraction")


def contracting_or_not(court: Court, rng: np.random.Generator) -> Iterator[Training]:
    yield from finite(court, rng)
    yield from isometric(court, rng)


def bound(cut: langevin.Cut = "sum") -> Callable[[Training], float]:
    def promise(case: Training) -> float:
        m = case.strong_convexity
        value = langevin.learning_bound(
            **case.shared(), strong_convexity=m, smoothness=m, learn_steps=case.steps, cut=cut
        )
        return float(value)

    return promise


def limit(
    *,
    four: float = 4.0,
    power: float = 2.0,
    groups: float = 2.0,
    reached: Callable[[Training], float] = lambda case: 1.0,
) -> Callable[[Training], float]:
    """four a S^groups M^2/(m sigma^power n^2) times reached(case); for the mutants."""

    def promise(case: Training) -> float:
        gap = case.lipschitz / case.size
        scale = case.strong_convexity * case.temperature**power
        return four * case.order * case.replaced**groups * gap**2 / scale * reached(case)

    return promise


def _sum_reached(case: Training, steps: float) -> float:
    return -math.expm1(-steps * math.log1p(case.product / 2))


def by_constants(*, reversed_time: bool = False) -> Callable[[Training], float]:
    """The sum over steps with the variance of the reference law after each step as its constant."""

    def promise(case: Training) -> float:
        constants = langevin.lsi_evolution(
            constant=case.start_variance,
            contraction=1 - case.product,
            step_size=case.step_size,
            temperature=case.temperature,
            steps=int(case.steps),
        )[1:]
        constants = constants[::-1] if reversed_time else constants
        return float(langevin.learning_bound_constants(**case.shared(), constants=constants))

    return promise


def composition(case: Training) -> float:
    return float(langevin.learning_composition(**case.shared(), learn_steps=int(case.steps)))


def per_step(factor: Callable[[Training], float]) -> Callable[[Training], float]:
    """a eta S^2 M^2/(sigma^2 n^2) per step times a factor; for the mutants."""
    return lambda case: composition(case) * factor(case)


CLAIMS = (
    Claim(
        id="chien2024.learning.converged",
        source=SOURCE,
        statement="T = infinity, strongly convex, eta m <= 1: eps_0(a) = 4 a S^2 M^2/(m sigma^2 n^2).",
        provenance="public code",
        against=AGAINST,
        promise=bound(),
        legs=(Comparison(instances=converged, truth=exact),),
        expected="survived",
        why="The exact divergence is smaller by 4/(2 - eta m), between 2 and 4.",
        mutants=(
            Mutant(name="M^2 for 4M^2", promise=limit(four=1.0)),
            Mutant(name="sigma for sigma^2", promise=limit(power=1.0)),
            Mutant(name="S for S^2", promise=limit(groups=1.0)),
        ),
    ),
    Claim(
        id="chien2024.learning.finite_exponential",
        source=SOURCE,
        statement="After T steps: eps_0(a) (1 - e^{-m eta T}).",
        reading="the cut of the continuous-time flow",
        provenance="reconstructed",
        against=AGAINST,
        promise=bound("exponential"),
        legs=(Comparison(instances=finite, truth=exact),),
        expected="survived",
        mutants=(
            Mutant(name="T-1 for T", promise=limit(reached=lambda case: -math.expm1(-case.product * (case.steps - 1)))),
            Mutant(name="M^2 for 4M^2", promise=limit(four=1.0, reached=lambda c: -math.expm1(-c.product * c.steps))),
            Mutant(name="m eta T/4", promise=limit(reached=lambda case: -math.expm1(-case.product * case.steps / 4))),
        ),
    ),
    Claim(
        id="chien2024.learning.finite_sum",
        source=SOURCE,
        statement="After T steps: eps_0(a) (1 - (1 + eta m/2)^{-T}).",
        reading="the sum over steps cut at T; half of each step's noise pays for the gap, half contracts",
        provenance="derived",
        against=AGAINST,
        promise=bound("sum"),
        legs=(Comparison(instances=finite, truth=exact),),
        expected="survived",
        mutants=(
            Mutant(name="T-1 for T", promise=limit(reached=lambda case: _sum_reached(case, case.steps - 1))),
            Mutant(name="M^2 for 4M^2", promise=limit(four=1.0, reached=lambda c: _sum_reached(c, c.steps))),
            Mutant(name="sigma for sigma^2", promise=limit(power=1.0, reached=lambda c: _sum_reached(c, c.steps))),
        ),
    ),
    Claim(
        id="chien2024.learning.constants",
        source=SOURCE,
        statement=(
            "eps_0(a) <= (2 a eta S^2 M^2/(sigma^2 n^2)) sum_t prod_{t' >= t} (1 + eta sigma^2/C_{t'})^{-1}, C_t the constant "
            "of the reference law after step t."
        ),
        provenance="reconstructed",
        against=AGAINST + "; and chains that do not contract",
        promise=by_constants(),
        legs=(Comparison(instances=contracting_or_not, truth=exact),),
        expected="survived",
        mutants=(
            Mutant(name="constants in reverse time", promise=by_constants(reversed_time=True)),
            Mutant(name="lost factor 2", promise=lambda case: by_constants()(case) / 2),
        ),
    ),
    Claim(
        id="chien2024.learning.no_contraction",
        source=SOURCE,
        statement="Without any contraction: a eta S^2 M^2/(sigma^2 n^2) per step.",
        provenance="derived",
        against=AGAINST + "; and chains that do not contract",
        promise=composition,
        legs=(Comparison(instances=contracting_or_not, truth=exact, relation="tight"),),
        expected="survived",
        why="Attained where nothing contracts, and after one step from a point.",
        mutants=(
            Mutant(name="order dropped", promise=per_step(lambda case: 1 / case.order)),
            Mutant(name="gap M/n for 2M/n", promise=per_step(lambda case: 0.25)),
            Mutant(name="T-1 for T", promise=per_step(lambda case: 1 - 1 / case.steps)),
        ),
    ),
)
