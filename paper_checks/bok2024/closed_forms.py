"""Closed forms for noisy gradient descent: strongly convex, cyclic batches, constrained, exponential mechanism.

Noise sits inside the gradient: a step has sensitivity eta L / n (or eta L / b) and injected noise eta sigma.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import sympy

from bounds import interpolation

from ..algebra import positive, vanishes
from ..claim import Claim, Mutant
from ..court import Court
from ..families import contractive
from ..legs import Comparison, Symbolic
from ..verdict import Truth


@dataclass(frozen=True)
class StronglyConvex:
    contraction: float
    steps: int
    lipschitz: float
    size: int
    noise: float
    kind: str = "full batch"


@dataclass(frozen=True)
class Cyclic:
    contraction: float
    batches: int
    epochs: int
    lipschitz: float
    batch_size: int
    noise: float
    position: int
    kind: str = "sensitive batch last"


@dataclass(frozen=True)
class Constrained:
    step_size: float
    diameter: float
    lipschitz: float
    size: int
    noise: float
    steps: int
    kind: str = "integer ratio"


@dataclass(frozen=True)
class Mechanism:
    inverse_temperature: float
    strong_convexity: float
    lipschitz: float
    kind: str = "limit chain"


def _chain(sensitivity: np.ndarray, noise: float, contraction: float) -> contractive.ContractiveInstance:
    steps = len(sensitivity)
    return contractive.ContractiveInstance(sensitivity, np.full(steps, noise), np.full(steps, contraction))


def strongly_convex_instances(court: Court, rng: np.random.Generator) -> Iterator[StronglyConvex]:
    yield StronglyConvex(0.5, 1, 1.0, 1, 1.0)
    yield StronglyConvex(0.5, 2, 1.0, 1, 1.0)
    yield StronglyConvex(0.99, 100, 1.0, 100, 0.05)
    for _ in range(100 * court.effort):
        contraction = float(rng.choice([0.5, 0.9, 0.99, rng.uniform(0.05, 0.999)]))
        lipschitz, noise = np.exp(rng.standard_normal(2))
        yield StronglyConvex(contraction, int(rng.integers(1, 300)), lipschitz, int(rng.integers(1, 99)), noise)


def strongly_convex_truth(case: StronglyConvex) -> Truth:
    gap = np.full(case.steps, case.lipschitz / case.size)
    return contractive.truth(_chain(gap, case.noise, case.contraction))


def strongly_convex(case: StronglyConvex) -> float:
    return interpolation.strongly_convex(
        contraction=case.contraction,
        steps=case.steps,
        lipschitz=case.lipschitz,
        size=case.size,
        noise=case.noise,
    )


def strongly_convex_form(power: int, ratio: Callable[[float], float], size: int) -> Callable:
    """The closed form with one ingredient altered: steps + power, the factor of the limit, n**size."""

    def promise(case: StronglyConvex) -> float:
        decayed = case.contraction ** (case.steps + power)
        limit = (1 - decayed) / (1 + decayed) * ratio(case.contraction)
        return math.sqrt(limit) * case.lipschitz / (case.size**size * case.noise)

    return promise


def cyclic_instances(court: Court, rng: np.random.Generator) -> Iterator[Cyclic]:
    yield Cyclic(0.5, 2, 1, 1.0, 1, 1.0, 1)
    yield Cyclic(0.5, 2, 2, 1.0, 1, 1.0, 1)
    yield Cyclic(0.99, 20, 50, 1.0, 1, 1.0, 19)
    for _ in range(100 * court.effort):
        batches = int(rng.integers(1, 12))
        last = rng.random() < 0.5
        yield Cyclic(
            float(rng.choice([0.6, 0.9, 0.99, rng.uniform(0.3, 0.999)])),
            batches,
            int(rng.integers(1, 12)),
            float(np.exp(rng.standard_normal())),
            int(rng.integers(1, 50)),
            float(np.exp(rng.standard_normal())),
            batches - 1 if last else int(rng.integers(batches)),
            "sensitive batch last" if last else "sensitive batch anywhere",
        )


def cyclic_truth(case: Cyclic) -> Truth:
    epoch = np.zeros(case.batches)
    epoch[case.position] = case.lipschitz / case.batch_size
    return contractive.truth(_chain(np.tile(epoch, case.epochs), case.noise, case.contraction))


def cyclic(case: Cyclic) -> float:
    return interpolation.cyclic_batches(
        contraction=case.contraction,
        batches=case.batches,
        epochs=case.epochs,
        lipschitz=case.lipschitz,
        batch_size=case.batch_size,
        noise=case.noise,
    )


def cyclic_form(*, one: float = 1.0, exponent: int = -2, epochs: int = -1, squared: bool = True) -> Callable:
    def promise(case: Cyclic) -> float:
        c, batches = case.contraction, case.batches
        decayed = c ** (batches * (case.epochs + epochs))
        factor = c ** (2 * batches + exponent) * (1 - c * c) / (1 - c**batches) ** (2 if squared else 1)
        return math.sqrt(one + factor * (1 - decayed) / (1 + decayed)) * case.lipschitz / (case.batch_size * case.noise)

    return promise


def constrained_instances(court: Court, rng: np.random.Generator) -> Iterator[Constrained]:
    yield Constrained(1.0, 1.0, 1.0, 1, 1.0, 5)
    yield Constrained(1.0, 4.0, 1.0, 1, 1.0, 100)
    for _ in range(100 * court.effort):
        # Powers of two, so that a ratio meant to be an integer is one to the last bit.
        step_size, lipschitz, size = 2.0 ** rng.integers((-3, -3, 0), 4)
        unit = float(step_size * lipschitz / size)
        whole = rng.random() < 0.5
        ratio = float(rng.integers(1, 60)) if whole else float(rng.uniform(0.2, 60))
        steps = math.ceil(ratio) + int(rng.integers(1, 400))
        kind = "integer ratio" if whole else "any ratio"
        noise = float(np.exp(0.5 * rng.standard_normal()))
        yield Constrained(float(step_size), ratio * unit, float(lipschitz), int(size), noise, steps, kind)


def attaining_instances(court: Court, rng: np.random.Generator) -> Iterator[Constrained]:
    """Integer ratios, and so many steps that starting late is the better choice."""
    for case in constrained_instances(court, rng):
        ratio = case.diameter * case.size / (case.step_size * case.lipschitz)
        if case.kind == "integer ratio" and case.steps > 4 * ratio:
            yield case


def constrained_truth(case: Constrained) -> Truth:
    """Best start of the interpolation: the first increment is D + s, then s per step, noise eta sigma, factor 1."""
    unit = case.step_size * case.lipschitz / case.size
    length = np.arange(1, case.steps + 1)
    from_start = (case.diameter + length * unit) / (np.sqrt(length) * case.step_size * case.noise)
    whole = math.sqrt(case.steps) * unit / (case.step_size * case.noise)
    return Truth.of(min(float(from_start.min()), whole), 1e-12)


def constrained(case: Constrained) -> float:
    return interpolation.constrained(
        step_size=case.step_size,
        diameter=case.diameter,
        lipschitz=case.lipschitz,
        size=case.size,
        noise=case.noise,
        steps=case.steps,
    )


def constrained_form(*, three: float = 3.0, rounding: Callable = math.ceil, power: int = 2) -> Callable:
    def promise(case: Constrained) -> float:
        # Guard the ceiling against a ratio that is an integer but for its last bit.
        ratio = case.diameter * case.size / (case.step_size * case.lipschitz)
        steps = rounding(ratio * (1 - 1e-12))
        first = three * case.lipschitz * case.diameter / (case.step_size * case.size)
        mu = math.sqrt(first + (case.lipschitz / case.size) ** power * steps) / case.noise
        return min(mu, math.sqrt(case.steps) * case.lipschitz / (case.size * case.noise))

    return promise


def mechanism_instances(court: Court, rng: np.random.Generator) -> Iterator[Mechanism]:
    yield Mechanism(2.0, 0.5, 1.0)
    for _ in range(10 * court.effort):
        beta, convexity, lipschitz = np.exp(rng.standard_normal(3))
        yield Mechanism(beta, convexity, lipschitz)


def mechanism_truth(case: Mechanism) -> Truth:
    """The exponential mechanisms of m|x|^2/2 and of m|x|^2/2 + G x are Gaussians: N(0, 1/(beta m)), N(-G/m, same)."""
    gap = case.lipschitz / case.strong_convexity
    spread = 1 / math.sqrt(case.inverse_temperature * case.strong_convexity)
    return Truth.of(gap / spread, 1e-14)


def mechanism(case: Mechanism) -> float:
    return interpolation.exponential_mechanism(
        inverse_temperature=case.inverse_temperature,
        strong_convexity=case.strong_convexity,
        lipschitz=case.lipschitz,
    )


def geometric(lost: int) -> sympy.Expr:
    """(sum_{j<t} c^j)^2 / sum_{j<t} c^{2j} less the closed form, t symbolic; `lost` steps forgotten."""
    c, steps = positive("c t")
    chord = ((1 - c**steps) / (1 - c)) ** 2 * (1 - c**2) / (1 - c ** (2 * steps))
    decayed = c ** (steps - lost)
    return chord - (1 - decayed) / (1 + decayed) * (1 + c) / (1 - c)


CLAIMS = (
    Claim(
        id="bok2024.strongly_convex",
        source="Bok, Su, Altschuler 2024, noisy gradient descent, strongly convex losses",
        statement="mu = sqrt((1-c^t)/(1+c^t) * (1+c)/(1-c)) L/(n sigma), and no smaller parameter holds for every pair.",
        provenance="public code",
        against="the worst scalar linear pair with equal sensitivities L/n (noise sigma, factor c), exact",
        promise=strongly_convex,
        legs=(
            Comparison(instances=strongly_convex_instances, truth=strongly_convex_truth, relation="equal"),
            Symbolic(identities=(("the geometric sums give the closed form", vanishes(lambda: geometric(0))),)),
        ),
        expected="survived",
        why="Equality on every instance: equal sensitivities give one segment.",
        mutants=(
            Mutant(name="t-1 for t", promise=strongly_convex_form(-1, lambda c: (1 + c) / (1 - c), 1)),
            Mutant(name="1/(1-c) for (1+c)/(1-c)", promise=strongly_convex_form(0, lambda c: 1 / (1 - c), 1)),
            Mutant(name="n^2 for n", promise=strongly_convex_form(0, lambda c: (1 + c) / (1 - c), 2)),
        ),
    ),
    Claim(
        id="bok2024.cyclic_batches",
        source="Bok, Su, Altschuler 2024, noisy gradient descent with cyclic batches",
        statement=(
            "mu = sqrt(1 + c^{2l-2}(1-c^2)/(1-c^l)^2 * (1-c^{l(E-1)})/(1+c^{l(E-1)})) L/(b sigma) wherever in the "
            "epoch the differing batch stands."
        ),
        reading="the differing batch may stand anywhere; last is the worst place",
        provenance="public code",
        against="the worst scalar linear pair with one sensitive step per epoch, exact",
        promise=cyclic,
        legs=(Comparison(instances=cyclic_instances, truth=cyclic_truth, relation="tight"),),
        expected="survived",
        why="Attained when the differing batch is the last of each epoch.",
        mutants=(
            Mutant(name="lost 1 (last epoch)", promise=cyclic_form(one=0.0)),
            Mutant(name="c^{2l} for c^{2l-2}", promise=cyclic_form(exponent=0)),
            Mutant(name="E-2 for E-1", promise=cyclic_form(epochs=-2)),
            Mutant(name="lost square of 1-c^l", promise=cyclic_form(squared=False)),
        ),
    ),
    Claim(
        id="bok2024.constrained",
        source="Bok, Su, Altschuler 2024, noisy gradient descent on a bounded set, convex losses",
        statement=(
            "mu = min(sqrt(3LD/(eta n) + (L/n)^2 ceil(Dn/(eta L))), sqrt(t) L/n)/sigma bounds the best interpolation "
            "started late from a gap of one diameter D; equality where Dn/(eta L) is an integer."
        ),
        provenance="public code",
        against="the minimum over all start times of the exact worst pair with first increment D + s",
        promise=constrained,
        legs=(
            Comparison(instances=constrained_instances, truth=constrained_truth, name="any ratio"),
            Comparison(instances=attaining_instances, truth=constrained_truth, relation="equal", name="integer ratio"),
        ),
        expected="survived",
        why="Attained where Dn/(eta L) is an integer. What is tried is the closed form, not optimality among all proofs.",
        mutants=(
            Mutant(name="2 for 3", promise=constrained_form(three=2.0)),
            Mutant(name="4 for 3", promise=constrained_form(three=4.0)),
            Mutant(name="floor for ceil", promise=constrained_form(rounding=math.floor)),
            Mutant(name="L/n for its square", promise=constrained_form(power=1)),
        ),
    ),
    Claim(
        id="bok2024.exponential_mechanism",
        source="Bok, Su, Altschuler 2024, exponential mechanism for strongly convex losses",
        statement="exp(-beta f), f m-strongly convex, losses differing by a G-Lipschitz function: mu = G sqrt(beta/m).",
        provenance="public code",
        against="quadratic f with a linear difference, where both laws are Gaussian",
        promise=mechanism,
        legs=(Comparison(instances=mechanism_instances, truth=mechanism_truth, relation="equal"),),
        expected="survived",
        why="Equality on quadratics, so the constant cannot be improved.",
        mutants=(
            Mutant(
                name="beta m for beta/m",
                promise=lambda case: case.lipschitz * math.sqrt(case.inverse_temperature * case.strong_convexity),
            ),
            Mutant(
                name="lost factor 2 (G/2)",
                promise=lambda case: 0.5 * case.lipschitz * math.sqrt(case.inverse_temperature / case.strong_convexity),
            ),
        ),
    ),
)
