"""Model clipping: the recursion against the chain that attains it, and the two coarser bounds above it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from bounds import gaussian_dp
from bounds.model_clipping import Bound, model_clipping_log_delta
from linear.solvable_chains import two_point_chain

from ..claim import Claim, Mutant
from ..court import Court
from ..legs import Comparison
from ..verdict import Log, Truth
from ._settings import gaussian_truth

SOURCE = "Koloskova et al. 2025, model clipping"


@dataclass(frozen=True)
class ModelClipping:
    """Projection on a ball of `radius`, then noise: `steps` times, from any two starts."""

    radius: float
    noise_std: float
    steps: int
    epsilon: float
    kind: str = "random"


def cases(court: Court, rng: np.random.Generator) -> Iterator[ModelClipping]:
    for steps in (1, 2, 3, 6):
        yield ModelClipping(1.0, 1.0, steps, 1.0, "diameter two")
    yield ModelClipping(1.95, 1.0, 10, 1.0, "large ball")
    for _ in range(60 * court.effort):
        noise, epsilon = float(np.exp(rng.normal(0.0, 0.5))), float(rng.choice([0.1, 0.5, 1.0, rng.uniform(0, 4)]))
        yield ModelClipping(1.0, noise, int(rng.integers(1, 5)), epsilon)


def two_steps(court: Court, rng: np.random.Generator) -> Iterator[ModelClipping]:
    yield ModelClipping(1.0, 1.0, 2, 1.0)


def attained(case: ModelClipping) -> Truth:
    """The chain that jumps to one of two opposite points, followed in balls."""
    value = two_point_chain(radius=case.radius, noise_std=case.noise_std, steps=case.steps, epsilon=case.epsilon)
    return Truth.of_log(value.log_delta, 2 * value.relative_error)


def contraction_power(case: ModelClipping) -> Truth:
    """theta_epsilon(2 radius / noise)^T, theta the exact hockey-stick of two Gaussians."""
    one = gaussian_truth(2 * case.radius / case.noise_std, case.epsilon)
    return Truth(case.steps * one.lower, case.steps * one.upper)


def bound(kind: Bound) -> Callable[[ModelClipping], Log]:
    return lambda case: Log(
        model_clipping_log_delta(
            epsilon=case.epsilon, radius=case.radius, noise_std=case.noise_std, steps=case.steps, bound=kind
        )
    )


def recursion(*, diameter: float = 2.0, raised: Callable[[float, float], float] | None = None) -> Callable:
    """The recursion written out, with another diameter or another e_t (of epsilon and log delta_t)."""

    def plain(epsilon: float, log_delta: float) -> float:
        return math.log1p(math.expm1(epsilon) * math.exp(-log_delta))

    def promise(case: ModelClipping) -> Log:
        log_delta = 0.0
        for _ in range(case.steps):
            e = (raised or plain)(case.epsilon, log_delta)
            log_delta += float(gaussian_dp.log_delta(diameter * case.radius / case.noise_std, e))
        return Log(log_delta)

    return promise


CLAIMS = (
    Claim(
        id="koloskova2025.model_clipping.recursion",
        source=SOURCE + " (recursion of Balle et al. 2019, as in the released code)",
        statement=(
            "delta_{t+1} = delta_t theta_{e_t}(2 C2/sigma), e_t = log(1 + (e^eps - 1)/delta_t), delta_0 = 1, is the "
            "worst case."
        ),
        provenance="derived",
        against="the chain that jumps to one of two opposite points, in ball arithmetic",
        promise=bound("recursion"),
        legs=(Comparison(instances=cases, truth=attained, relation="equal"),),
        expected="survived",
        why="Equality on every instance.",
        mutants=(
            Mutant(name="C2/sigma for 2 C2/sigma", promise=recursion(diameter=1.0)),
            Mutant(name="e_t = eps + log(1/delta_t)", promise=recursion(raised=lambda eps, log: eps - log)),
            Mutant(name="e_t = eps (the contraction) called exact", promise=recursion(raised=lambda eps, log: eps)),
        ),
    ),
    Claim(
        id="koloskova2025.model_clipping.contraction",
        source=SOURCE + " (contraction of Asoodeh et al. 2020)",
        statement="The recursion is at most theta_eps(2 C2/sigma)^T.",
        provenance="derived",
        against="the chain that jumps to one of two opposite points, in ball arithmetic",
        promise=bound("contraction"),
        legs=(Comparison(instances=cases, truth=attained, relation="tight"),),
        expected="survived",
        why="Attained after one step only.",
        mutants=(
            Mutant(
                name="attained after two steps",
                leg=Comparison(instances=two_steps, truth=attained, relation="tight"),
            ),
            Mutant(
                name="the other way round (contraction <= recursion)",
                promise=bound("recursion"),
                leg=Comparison(instances=cases, truth=contraction_power),
            ),
        ),
    ),
    Claim(
        id="koloskova2025.model_clipping.dobrushin",
        source=SOURCE + " (Dobrushin's coefficient)",
        statement="The contraction theta_eps(2 C2/sigma)^T is at most (2 Phi(C2/sigma) - 1)^T.",
        provenance="derived",
        against="powers of the exact hockey-stick of two Gaussians",
        promise=bound("dobrushin"),
        legs=(Comparison(instances=cases, truth=contraction_power),),
        expected="survived",
        mutants=(
            Mutant(
                name="2 Phi(C2/(2 sigma)) - 1",
                promise=lambda case: Log(case.steps * float(gaussian_dp.log_delta(case.radius / case.noise_std, 0.0))),
            ),
            Mutant(name="one power more", promise=lambda case: Log(bound("dobrushin")(case).value * (1 + case.steps))),
        ),
    ),
)
