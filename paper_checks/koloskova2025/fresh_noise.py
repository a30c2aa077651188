"""Fresh noise at every step: what the bounds need, and what one vector used again does to them. By simulation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from scipy.stats import chi2

from linear.audit import clopper_pearson

from ..claim import Claim, Mutant
from ..court import Court
from ..families.clipped_chain import ClippedChain
from ..legs import Comparison, Sample, Sampled
from ..verdict import Truth
from .gradient_clipping import pair_mu, promised

SOURCE = "Koloskova et al. 2025, noise of gradient clipping"
CASE = ClippedChain(1.0, 0.0, 0.01, 50.0, 11, 1.0, 1.0, "no gradient")


def deviation(*, fresh: bool) -> Callable[[Court, np.random.Generator, float], tuple[ClippedChain, Sample]]:
    """Runs with zero gradients from 0: exact limits of the last point's deviation, from its sum of squares."""

    def draw(court: Court, rng: np.random.Generator, false_alarm: float) -> tuple[ClippedChain, Sample]:
        runs = 200_000 * court.effort
        once = rng.standard_normal(runs)
        x = np.zeros(runs)
        for _ in range(CASE.steps):
            xi = rng.standard_normal(runs) if fresh else once
            x = x - CASE.step_size * CASE.penalty * x + CASE.noise_std * xi
        total = float(x @ x)
        low, high = (0.5 * math.log(total / chi2.isf(tail, runs)) for tail in (false_alarm / 2, 1 - false_alarm / 2))
        return CASE, Sample(low, high, runs, math.expm1(high - low))

    return draw


def decays(court: Court, rng: np.random.Generator) -> Iterator[ClippedChain]:
    yield CASE
    for _ in range(40 * court.effort):
        product, steps = float(rng.uniform(0.0, 0.95)), int(rng.integers(2, 60))
        yield ClippedChain(1.0, 0.0, 1.0, product, steps, float(np.exp(rng.normal())), 1.0, "no gradient")


def recursion(case: ClippedChain) -> Truth:
    """var <- rho^2 var + sigma^2, step by step."""
    variance = 0.0
    for _ in range(case.steps):
        variance = case.factor**2 * variance + case.noise_std**2
    return Truth.of(math.sqrt(variance), 1e-13)


def final_deviation(case: ClippedChain) -> float:
    """sigma sqrt((1 - rho^(2T))/(1 - rho^2)); sqrt(T) at rho = 1."""
    product = case.step_size * case.penalty
    if product == 0:
        return case.noise_std * math.sqrt(case.steps)
    squares = -math.expm1(2 * case.steps * math.log1p(-product)) / (product * (2 - product))
    return case.noise_std * math.sqrt(squares)


def added_up(case: ClippedChain) -> float:
    """sigma S_T."""
    return case.noise_std * case.sums[1]


def reused(case: ClippedChain) -> Truth:
    """One vector for all steps: its coefficient in the last point, c <- rho c + sigma."""
    coefficient = 0.0
    for _ in range(case.steps):
        coefficient = case.factor * coefficient + case.noise_std
    return Truth.of(coefficient, 1e-13)


def rounding_drifts(court: Court, rng: np.random.Generator) -> Iterator[ClippedChain]:
    for noise in (50.0, 1e3, 1e6):
        yield ClippedChain(1.0, 1.0, 1.0, 0.0, 2, noise, 1.0, "rounding drift")


def lattices_apart(case: ClippedChain) -> Truth:
    """Radius and drift 1, rho = 1: the ends -1/2 + even and 1/2 + even never meet, E_epsilon = 1."""
    if (case.radius, case.shift, case.factor, case.steps) != (1.0, 1.0, 1.0, 2):
        raise ValueError(f"case = {case}: the lattices were worked out for radius and drift 1, two steps, no penalty")
    return Truth.of_log(0.0)


def lattice(court: Court, rng: np.random.Generator, false_alarm: float) -> tuple[ClippedChain, Sample]:
    """One vector in both steps, and an allowed drift that rounds: E_epsilon from two starts, from below.

    The starts move to m = -1/2 and +1/2, then x_1 = m + v and x_2 = 2 x_1 - m + drift, |drift| <= 1. The drift rounds
    2 x_1 to an even number: x_2 + m is even, and the two runs end on different lattices, however large the noise.
    """
    case = ClippedChain(1.0, 1.0, 1.0, 0.0, 2, 50.0, 1.0, "rounding drift")
    runs, hits = 2_000 * court.effort, []
    for start in (1.0, -1.0):
        vector = case.noise_std * rng.standard_normal(runs)
        x = start - 0.5 * start + vector  # the first drift, of norm 1/2
        x = x + (2 * np.round(x) - 2 * x) + vector
        hits.append(int(np.sum(np.abs((x + 0.5) % 2 - 1) > 0.5)))
    p = float(clopper_pearson(max(hits), runs, 1 - false_alarm / 4, "lower"))
    q = float(clopper_pearson(min(hits), runs, 1 - false_alarm / 4, "upper"))
    lower = p - math.exp(case.epsilon) * q
    return case, Sample(math.log(lower) if lower > 0 else -math.inf, 0.0, runs, 1 - lower)


CLAIMS = (
    Claim(
        id="koloskova2025.fresh_noise.deviation",
        source=SOURCE,
        statement="With fresh noise at every step and no gradient the last point has deviation sigma sqrt(V_T).",
        reading="fresh noise at every step",
        provenance="derived",
        against="the variance step by step; runs of the algorithm, limits from chi-square",
        promise=final_deviation,
        legs=(
            Comparison(instances=decays, truth=recursion, relation="equal"),
            Sampled(draw=deviation(fresh=True), relation="equal"),
        ),
        expected="survived",
        mutants=(
            Mutant(name="sigma S_T", promise=added_up),
            Mutant(name="sigma sqrt(T)", promise=lambda case: case.noise_std * math.sqrt(case.steps)),
            Mutant(
                name="sigma S_T, against runs alone",
                promise=added_up,
                leg=Sampled(draw=deviation(fresh=True), relation="equal"),
            ),
        ),
    ),
    Claim(
        id="koloskova2025.fresh_noise.released_code",
        source=SOURCE + ", as the released code draws it",
        statement="With no gradient the last point has deviation sigma sqrt(V_T).",
        reading="one vector used at every step: the random key is fixed when the step is compiled",
        provenance="public code",
        against="the coefficient of that vector step by step; runs of the algorithm, limits from chi-square",
        promise=final_deviation,
        legs=(
            Comparison(instances=decays, truth=reused, relation="equal"),
            Sampled(draw=deviation(fresh=False), relation="equal"),
        ),
        expected="refuted",
        why="The deviation is sigma S_T: 1.73 times as much at rho = 1/2, T = 11.",
        repair="koloskova2025.fresh_noise.deviation",
    ),
    Claim(
        id="koloskova2025.fresh_noise.reused_vector",
        source=SOURCE + ", as the released code draws it",
        statement="The bound for two starts holds when one noise vector serves all steps.",
        reading="one vector used at every step, T >= 2",
        provenance="public code",
        against="a drift that rounds to a lattice, so that the two ends never meet; runs of it",
        promise=promised(pair_mu),
        legs=(Comparison(instances=rounding_drifts, truth=lattices_apart), Sampled(draw=lattice)),
        expected="refuted",
        why="Proofs convolve with independent noise at every step; without it two starts can be told apart for sure.",
        repair="koloskova2025.gradient_clipping.pair",
    ),
)
