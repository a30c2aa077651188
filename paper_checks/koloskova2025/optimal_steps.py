"""How many steps to take without a penalty, and what they cost against output perturbation."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import sympy

from bounds import clipping

from ..claim import Claim, Mutant
from ..court import Court
from ..families import clipped_chain
from ..families.clipped_chain import ClippedChain
from ..legs import Comparison, Symbolic
from ..verdict import Truth
from ._settings import noise, setting

SOURCE = "Koloskova et al. 2025, gradient clipping without a penalty, number of steps"


def best_steps(case: ClippedChain) -> int:
    found = clipping.gradient_clipping_optimal_steps(
        radius=case.radius, clip=case.clip, step_size=case.step_size, penalty=case.penalty
    )
    if found is None:
        raise ValueError(f"case = {case}: no best number of steps")
    return found


def whole_ratios(court: Court, rng: np.random.Generator) -> Iterator[ClippedChain]:
    """radius / (step_size clip) = T* a whole number; the instance's `steps` is T*."""
    for steps in (1, 2, 3, 4, 5, 10, 100):
        yield ClippedChain(float(steps), 1.0, 1.0, 0.0, steps, 1.0, 1.0, "whole ratio")
    for steps in rng.integers(1, 300, 40 * court.effort):
        clip, step_size = float(np.exp(rng.normal())), float(2.0 ** rng.integers(-8, 1))
        yield ClippedChain(int(steps) * clip * step_size, clip, step_size, 0.0, int(steps), 1.0, 1.0, "whole ratio")


def at_two_steps(court: Court, rng: np.random.Generator) -> Iterator[ClippedChain]:
    yield ClippedChain(2.0, 1.0, 1.0, 0.0, 2, 1.0, 1.0, "whole ratio")


def scan(case: ClippedChain, power: float) -> Truth:
    """The least over T of T^power times the displacement in units of the last point's deviation, by trying every T."""
    tried = (replace(case, steps=steps) for steps in range(1, 4 * case.steps + 2))
    return Truth.of(min(one.steps**power * clipped_chain.displacement(one) for one in tried), 1e-12)


def least_noise(case: ClippedChain) -> Truth:
    return scan(case, 0.0)


def least_total(case: ClippedChain) -> Truth:
    return scan(case, 0.5)


def noise_after(case: ClippedChain, steps: int) -> float:
    """The calibrated noise per step, mu = 1."""
    return noise(replace(case, steps=steps), mu=1.0)


def per_step_ratio(case: ClippedChain) -> float:
    """Noise per step at T* over that of output perturbation, same (epsilon, delta)."""
    chain = setting(replace(case, steps=best_steps(case)))
    clipped = clipping.gradient_clipping_noise(epsilon=case.epsilon, delta=1e-5, **chain)
    return float(clipped) / clipping.output_perturbation_noise(epsilon=case.epsilon, delta=1e-5, radius=case.radius)


def per_step_truth(case: ClippedChain) -> Truth:
    """Displacement over that of the starts, 2 radius: the noises are in the same proportion."""
    return Truth.of(clipped_chain.displacement(case) / (2 * case.radius), 1e-12)


def total_truth(case: ClippedChain) -> Truth:
    """T* times the square: the ratio of the total variances."""
    return Truth.of(case.steps * (clipped_chain.displacement(case) / (2 * case.radius)) ** 2, 1e-12)


def _least_at_the_ratio() -> bool:
    """d/dT of (C0 + c T)^2 / T vanishes at T = C0/c only, where the second derivative is positive."""
    radius, drift, steps = sympy.symbols("C0 c T", positive=True)
    square = (radius + drift * steps) ** 2 / steps
    curvature = sympy.simplify(sympy.diff(square, steps, 2).subs(steps, radius / drift))
    return sympy.solve(sympy.diff(square, steps), steps) == [radius / drift] and curvature.is_positive


def _four_times() -> bool:
    """At T* = C0/c the square is 4 c C0 per step, and T* of it is four times that of the starts alone."""
    radius, drift = sympy.symbols("C0 c", positive=True)
    best = radius / drift
    square = (radius + drift * best) ** 2 / best
    per_step = sympy.simplify(square / radius**2 - 4 / best)
    total = sympy.simplify(best * square / radius**2 - 4)
    return per_step == 0 and total == 0


CLAIMS = (
    Claim(
        id="koloskova2025.optimal_steps.least_noise",
        source=SOURCE,
        statement="l = 0: the noise per step is least after T* = C0/(g C1) steps.",
        provenance="derived",
        against="every number of steps tried; the derivative by computer algebra",
        promise=lambda case: noise_after(case, best_steps(case)),
        legs=(
            Comparison(instances=whole_ratios, truth=least_noise, relation="equal"),
            Symbolic(identities=(("(C0 + c T)^2/T is least at T = C0/c", _least_at_the_ratio),)),
        ),
        expected="survived",
        mutants=(
            Mutant(name="2 C0/(g C1)", promise=lambda case: noise_after(case, 2 * best_steps(case))),
            Mutant(
                name="the total noise, too, is least at T*",
                promise=lambda case: math.sqrt(best_steps(case)) * noise_after(case, best_steps(case)),
                leg=Comparison(instances=whole_ratios, truth=least_total, relation="equal"),
            ),
        ),
    ),
    Claim(
        id="koloskova2025.optimal_steps.per_step",
        source=SOURCE + ", against output perturbation",
        statement="l = 0, T = T*, the same calibration: the noise per step is 2/sqrt(T*) of output perturbation's.",
        provenance="derived",
        against="displacements by adding up powers; computer algebra",
        promise=per_step_ratio,
        legs=(
            Comparison(instances=whole_ratios, truth=per_step_truth, relation="equal"),
            Symbolic(identities=(("4/T* per step and 4 in total", _four_times),)),
        ),
        expected="survived",
        mutants=(
            Mutant(
                name="below output perturbation at T* = 2",
                promise=lambda case: 1.0,
                leg=Comparison(instances=at_two_steps, truth=per_step_truth),
            ),
            Mutant(name="1/sqrt(T*)", promise=lambda case: 1 / math.sqrt(best_steps(case))),
        ),
    ),
    Claim(
        id="koloskova2025.optimal_steps.total",
        source=SOURCE + ", against output perturbation",
        statement="l = 0, T = T*, the same calibration: the total T* sigma^2 is 4 times output perturbation's.",
        provenance="derived",
        against="displacements by adding up powers",
        promise=lambda case: best_steps(case) * per_step_ratio(case) ** 2,
        legs=(Comparison(instances=whole_ratios, truth=total_truth, relation="equal"),),
        expected="survived",
        why="Without a penalty gradient clipping spreads noise over the steps, and never lowers the total.",
        mutants=(
            Mutant(name="total below output perturbation", promise=lambda case: 1.0),
            Mutant(name="per-step noise for its square", promise=lambda case: best_steps(case) * per_step_ratio(case)),
        ),
    ),
)
