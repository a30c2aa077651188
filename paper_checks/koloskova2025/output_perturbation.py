"""Output perturbation: the textbook calibration, where it holds, and the exact one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from bounds import clipping, gaussian_dp
from bounds.output_perturbation import output_perturbation

from ..claim import Claim, Mutant
from ..court import Court
from ..legs import Comparison
from ..verdict import Log, Truth
from ._settings import gaussian_truth

SOURCE = "Koloskova et al. 2025, output perturbation"
AGAINST = "the hockey-stick of N(0, sigma^2) from N(2 C0, sigma^2), exact"

# Largest epsilon (rounded down) at which the classical calibration is enough for delta = 1e-5.
CLASSICAL_HOLDS_UP_TO = 8.419


@dataclass(frozen=True)
class Perturbed:
    """A ball of `radius`, one draw of noise, epsilon."""

    radius: float
    noise_std: float
    epsilon: float
    kind: str = "random"


def classical_noise(epsilon: float, delta: float, kind: str = "random") -> Perturbed:
    noise = clipping.output_perturbation_noise(epsilon=epsilon, delta=delta, radius=1.0, form="classical")
    return Perturbed(1.0, noise, epsilon, kind)


def up_to(largest: float, least: float = 0.05) -> Callable[[Court, np.random.Generator], Iterator[Perturbed]]:
    def instances(court: Court, rng: np.random.Generator) -> Iterator[Perturbed]:
        yield classical_noise(max(1.0, least), 1e-5)
        yield classical_noise(largest, 1e-5, "largest epsilon")
        for epsilon in rng.uniform(least, largest, 60 * court.effort):
            yield classical_noise(float(epsilon), 1e-5)

    return instances


def any_noise(court: Court, rng: np.random.Generator) -> Iterator[Perturbed]:
    yield Perturbed(1.0, 7.461264, 1.0, "(1, 1e-5)")
    for _ in range(100 * court.effort):
        radius, noise = np.exp(rng.standard_normal(2))
        yield Perturbed(float(radius), float(noise), float(rng.choice([0.0, 0.5, 1.0, 5.0, 20.0])))


def exact(case: Perturbed) -> Truth:
    return gaussian_truth(2 * case.radius / case.noise_std, case.epsilon)


def classical(case: Perturbed) -> float:
    return clipping.output_perturbation_delta(
        epsilon=case.epsilon, radius=case.radius, noise_std=case.noise_std, form="classical"
    )


def half_the_logarithm(case: Perturbed) -> Log:
    """sigma^2 = 8 C0^2 (log(1/delta)/2)/eps^2, solved for log delta."""
    return Log(-((case.epsilon * case.noise_std / (2 * case.radius)) ** 2))


def analytic(distance: float) -> Callable[[Perturbed], Log]:
    def promise(case: Perturbed) -> Log:
        mu = distance * output_perturbation(radius=case.radius, noise_std=case.noise_std)
        return Log(float(gaussian_dp.log_delta(mu, case.epsilon)))

    return promise


CLAIMS = (
    Claim(
        id="koloskova2025.output_perturbation.classical",
        source=SOURCE + ", as in the released code",
        statement="sigma^2 = 8 C_0^2 log(1.25/delta)/eps^2 is enough for two starts in the ball, for every epsilon.",
        reading="every epsilon",
        provenance="public code",
        against=AGAINST,
        promise=classical,
        legs=(Comparison(instances=up_to(40.0), truth=exact),),
        expected="refuted",
        why="Proved for epsilon < 1; at delta = 1e-5 it holds up to 8.419 and is false above.",
        repair="koloskova2025.output_perturbation.analytic",
    ),
    Claim(
        id="koloskova2025.output_perturbation.classical_small_epsilon",
        source=SOURCE + " (range derived here)",
        statement="sigma^2 = 8 C_0^2 log(1.25/delta)/eps^2 is enough for eps <= 8.419 at delta = 1e-5.",
        reading="epsilon limited",
        provenance="derived",
        against=AGAINST,
        promise=classical,
        legs=(Comparison(instances=up_to(CLASSICAL_HOLDS_UP_TO), truth=exact),),
        expected="survived",
        mutants=(
            Mutant(name="valid at eps = 10", leg=Comparison(instances=up_to(10.0, 9.99), truth=exact)),
            Mutant(name="valid at eps = 8.43", leg=Comparison(instances=up_to(8.43, 8.4299), truth=exact)),
            Mutant(name="log(1/delta)/2 for log(1.25/delta)", promise=half_the_logarithm),
        ),
    ),
    Claim(
        id="koloskova2025.output_perturbation.analytic",
        source=SOURCE + " (derived here)",
        statement="Two starts in the ball are mu-GDP with mu = 2 C0/sigma, and no less.",
        provenance="derived",
        against=AGAINST,
        promise=analytic(1.0),
        legs=(Comparison(instances=any_noise, truth=exact, relation="equal"),),
        expected="survived",
        why="Equality: starts at opposite points.",
        mutants=(
            Mutant(name="C0 for 2 C0", promise=analytic(0.5)),
            Mutant(name="sqrt(sigma) for sigma", promise=lambda case: analytic(math.sqrt(case.noise_std))(case)),
        ),
    ),
)
