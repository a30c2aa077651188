"""Gradient clipping: the Gaussian-DP bound for two starts in a ball, its equality after one step, its shifts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import sympy

from bounds import clipping, gaussian_dp
from linear.solvable_chains import linear_loss

from ..claim import Claim, Mutant
from ..court import Court
from ..families import clipped_chain, contractive
from ..families.clipped_chain import ClippedChain
from ..legs import Comparison, Symbolic
from ..verdict import Log, Truth
from ._settings import noise, setting

SOURCE = "Koloskova et al. 2025, gradient clipping with and without an L2 penalty"
Form = Callable[[ClippedChain], float]


def pair_mu(case: ClippedChain) -> float:
    """mu = 2 (radius rho^T + step_size clip S_T) / (noise_std sqrt(V_T))."""
    return clipping.gradient_clipping(**setting(case), noise_std=case.noise_std)


def promised(mu: Form) -> Callable[[ClippedChain], Log]:
    """log delta of mu-Gaussian-DP at the instance's epsilon."""
    return lambda case: Log(float(gaussian_dp.log_delta(mu(case), case.epsilon)))


def form(
    *,
    sides: float = 2.0,
    start: int = 0,
    drift: int = 0,
    squares: Callable[[ClippedChain], float] = lambda case: case.sums[2],
) -> Form:
    """The bound written out; the mutants alter the factor 2, a power of rho, or V_T."""

    def mu(case: ClippedChain) -> float:
        last, total, _ = case.sums
        distance = case.radius * last * case.factor**start + case.shift * total * case.factor**drift
        return sides * distance / (case.noise_std * math.sqrt(squares(case)))

    return mu


def chains(court: Court, rng: np.random.Generator) -> Iterator[ClippedChain]:
    yield from clipped_chain.instances(120 * court.effort, rng)


def one_step_chains(court: Court, rng: np.random.Generator) -> Iterator[ClippedChain]:
    for case in clipped_chain.edge_cases():
        if case.steps == 1:
            yield case
    for _ in range(150 * court.effort):
        yield replace(clipped_chain.sample(rng, 2), steps=1, kind="one step")


def paid_by_shifts(case: ClippedChain) -> Truth:
    """The exact worst pair of maps with factor rho and gaps 2 step_size clip, the starts entering with step 1."""
    gaps = np.full(case.steps, 2 * case.shift)
    gaps[0] += 2 * case.radius * case.factor
    return contractive.truth(
        contractive.ContractiveInstance(gaps, np.full(case.steps, case.noise_std), np.full(case.steps, case.factor))
    )


def equal_shifts(case: ClippedChain) -> float:
    """Shifts of one size that add up to the displacement, each priced a / noise_std."""
    last, total, _ = case.sums
    size = 2 * (case.radius * last + case.shift * total) / total
    return size * math.sqrt(case.steps) / case.noise_std


def _completed_square() -> bool:
    """sum a_t^2 - d^2/V = sum (a_t - d rho^(T-t)/V)^2 for d = sum rho^(T-t) a_t: the least price, at these a_t only."""
    rho = sympy.symbols("rho", positive=True)
    for steps in (1, 2, 3, 5):
        a = sympy.symbols(f"a1:{steps + 1}", positive=True)
        power = [rho ** (steps - t) for t in range(1, steps + 1)]
        d, v = sum(p * x for p, x in zip(power, a, strict=True)), sum(p * p for p in power)
        squares = sum((x - d * p / v) ** 2 for p, x in zip(power, a, strict=True))
        if sympy.simplify(sum(x * x for x in a) - d**2 / v - squares) != 0:
            return False
    return True


def _never_spent_early() -> bool:
    """S_t V_T - rho^(T-t) V_t S_T has the sign of 1 - rho^(T-t): no shift is spent before it has arisen."""
    rho, x, y = sympy.symbols("rho x y", positive=True)  # x = rho^t, y = rho^(T-t)

    def total(power: sympy.Expr) -> sympy.Expr:
        return (1 - power) / (1 - rho)

    def squares(power: sympy.Expr) -> sympy.Expr:
        return (1 - power**2) / (1 - rho**2)

    left = total(x) * squares(x * y) - y * squares(x) * total(x * y)
    right = (1 - y) * (1 - x) * (1 - x * y) / ((1 - rho) * (1 - rho**2))
    return bool(sympy.simplify(left - right) == 0)


def start_alone(case: ClippedChain) -> Truth:
    """Per unit of mu, the noise that hides the start under a linear loss: 2 radius rho^T / sqrt(V_T)."""
    return Truth.of(
        linear_loss(radius=case.radius, shift=case.shift, factor=case.factor, steps=case.steps, noise_std=1.0), 1e-13
    )


def share_of_the_start(case: ClippedChain) -> float:
    """What the radius adds to the calibrated noise: noise(2 radius) - noise(radius), at mu = 1."""
    return noise(replace(case, radius=2 * case.radius), mu=1.0) - noise(case, mu=1.0)


def with_and_without_penalty(court: Court, rng: np.random.Generator) -> Iterator[ClippedChain]:
    for product in (0.0, 0.1, 0.5):
        for steps in (1, 5, 20):
            yield ClippedChain(20.0, 0.1, 1.0, product, steps, 1.0, 1.0, "radius far above the drift")
    for case in clipped_chain.instances(60 * court.effort, rng):
        # Where nothing is left of the start, the difference of two noises has no digits.
        if case.radius * case.sums[0] > 1e-3 * case.shift * case.sums[1]:
            yield case


CLAIMS = (
    Claim(
        id="koloskova2025.gradient_clipping.pair",
        source=SOURCE + " (Gaussian-DP form derived here)",
        statement=(
            "Two runs from starts in the ball are mu-Gaussian-DP, mu = 2 (C0 rho^T + g C1 S_T) / (sigma sqrt(V_T)), "
            "rho = 1 - g l, S_T = sum_{k<T} rho^k, V_T = sum_{k<T} rho^{2k}, for every loss."
        ),
        reading="certifier: the same steps from any other start in the ball",
        provenance="derived",
        against="the largest of three attained chains: threshold drift by quadrature, linear loss, one step",
        promise=promised(pair_mu),
        legs=(
            Comparison(
                instances=chains,
                truth=clipped_chain.truth,
                certify=clipped_chain.certify,
                simplify=clipped_chain.simplify,
                relation="tight",
            ),
        ),
        expected="survived",
        why="Attained after one step and, without a drift, after any number; strictly above otherwise.",
        mutants=(
            Mutant(name="displacement without the factor 2", promise=promised(form(sides=1.0))),
            Mutant(name="T for V_T", promise=promised(form(squares=lambda case: case.steps))),
            Mutant(name="rho^{T+1} for rho^T", promise=promised(form(start=1))),
            Mutant(
                name="variance for std",
                promise=promised(lambda case: pair_mu(replace(case, noise_std=case.noise_std**2))),
            ),
        ),
    ),
    Claim(
        id="koloskova2025.gradient_clipping.one_step",
        source=SOURCE + " (derived here)",
        statement="After one step the bound is the worst case: the field sign(x) sends the means to +-(rho C0 + g C1).",
        provenance="derived",
        against="the hockey-stick of two Gaussians, from the exact rational distance, certified in balls",
        promise=promised(pair_mu),
        legs=(
            Comparison(
                instances=one_step_chains,
                truth=clipped_chain.truth,
                certify=clipped_chain.certify,
                simplify=clipped_chain.simplify,
                relation="equal",
            ),
        ),
        expected="survived",
        why="Equality on every instance.",
        mutants=(
            Mutant(name="g C1 times rho", promise=promised(form(drift=1))),
            Mutant(name="C0 not times rho", promise=promised(form(start=-1))),
        ),
    ),
    Claim(
        id="koloskova2025.gradient_clipping.shifts",
        source=SOURCE + " (shift reduction, Feldman et al. 2018; allocation reconstructed)",
        statement=(
            "Feasible shifts a_t with z_t = rho z_{t-1} + 2 g C1 - a_t >= 0, z_0 = 2 C0, z_T = 0 cost at least "
            "sum a_t^2 / sigma^2 = mu^2, reached by a_t proportional to rho^{T-t}."
        ),
        provenance="reconstructed",
        against="completed squares and signs by computer algebra; the exact worst contractive pair with these gaps",
        promise=pair_mu,
        legs=(
            Comparison(instances=chains, truth=paid_by_shifts, relation="equal"),
            Symbolic(
                identities=(
                    ("the least price, by completing squares (T = 1, 2, 3, 5)", _completed_square),
                    ("shifts stay nonnegative because rho^(T-t) <= 1", _never_spent_early),
                )
            ),
        ),
        expected="survived",
        why="Among proofs that shift, none is better; that real losses do less harm is another matter (`pair`).",
        mutants=(
            Mutant(name="equal shifts called optimal", promise=equal_shifts),
            Mutant(name="S_T for V_T", promise=form(squares=lambda case: case.sums[1])),
        ),
    ),
    Claim(
        id="koloskova2025.gradient_clipping.start_forgotten",
        source=SOURCE + ": with L2 regularisation the initial radius enters with an exponentially small factor",
        statement="The initial radius contributes 2 C0 rho^T / (mu sqrt(V_T)) to the noise, no more and no less.",
        provenance="paper",
        against="a linear loss, whose two runs differ by exactly that",
        promise=share_of_the_start,
        legs=(Comparison(instances=with_and_without_penalty, truth=start_alone, relation="equal"),),
        expected="survived",
        mutants=(
            Mutant(name="rho^{2T} for rho^T", promise=lambda case: case.sums[0] * share_of_the_start(case)),
            Mutant(
                name="exponential decay also without a penalty",
                promise=lambda case: share_of_the_start(
                    replace(case, penalty=max(case.penalty, 0.05 / case.step_size))
                ),
            ),
        ),
    ),
)
