"""Quadratic losses without clipping: the exact parameter, attained by autoregressive chains."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from linear.audit import hockey_stick_lower_bound
from linear.solvable_chains import quadratic_loss

from ..claim import Claim, Mutant
from ..court import Court
from ..legs import Comparison, Sample, Sampled
from ..verdict import Truth, log_promise
from ._settings import gaussian_truth


@dataclass(frozen=True, eq=False)
class Quadratic:
    """Starts `gaps` apart along the eigenvectors, curvatures of either sign, no clipping."""

    gaps: NDArray[np.float64]
    curvatures: NDArray[np.float64]
    step_size: float
    penalty: float
    steps: int
    noise_std: float
    kind: str = "random"

    @property
    def factors(self) -> NDArray[np.float64]:
        """r = 1 - step_size (curvature + penalty)."""
        return 1 - self.step_size * (self.curvatures + self.penalty)

    def __str__(self) -> str:
        rows = ", ".join(f"({v:.6g}, {h:.6g})" for v, h in zip(self.gaps, self.curvatures, strict=True))
        return (
            f"(gap, curvature) {rows}, step size {self.step_size:.6g}, penalty {self.penalty:.6g}, T={self.steps}, "
            f"noise {self.noise_std:.6g}"
        )


SIMULATED = Quadratic(np.array([2.0, -1.0, 0.5]), np.array([0.5, 5.0, -0.2]), 0.3, 0.1, 3, 0.5, "three directions")


def cases(court: Court, rng: np.random.Generator) -> Iterator[Quadratic]:
    yield Quadratic(np.array([1.0]), np.array([1.0]), 0.5, 0.0, 2, 1.0, "one direction")
    yield SIMULATED
    for _ in range(100 * court.effort):
        size = int(rng.integers(1, 6))
        step_size, penalty = float(rng.uniform(0.05, 1.0)), float(rng.choice([0.0, rng.uniform(0.0, 0.5)]))
        curvatures = rng.uniform(-0.3, 1.7, size) / step_size
        noise, steps = float(np.exp(rng.normal())), int(rng.integers(1, 12))
        yield Quadratic(rng.normal(size=size), curvatures, step_size, penalty, steps, noise)


def truth(case: Quadratic) -> Truth:
    mu = quadratic_loss(
        gaps=case.gaps,
        curvatures=case.curvatures,
        step_size=case.step_size,
        penalty=case.penalty,
        steps=case.steps,
        noise_std=case.noise_std,
    )
    return Truth.of(mu, 1e-12)


def mu(
    *,
    factors: Callable[[Quadratic], NDArray[np.float64]] = lambda case: case.factors,
    power: int = 0,
) -> Callable[[Quadratic], float]:
    """mu^2 = sum v_i^2 r_i^{2T} / (sigma^2 sum_{k<T} r_i^{2k}); the mutants alter r or the power."""

    def promise(case: Quadratic) -> float:
        squares = factors(case) ** 2
        energy = sum(squares**k for k in range(case.steps))
        return math.sqrt(float(np.sum(case.gaps**2 * squares ** (case.steps + power) / energy))) / case.noise_std

    return promise


def simulated(court: Court, rng: np.random.Generator, false_alarm: float) -> tuple[Quadratic, Sample]:
    """The chain run step by step; by symmetry E_0 = 2 Phi(mu/2) - 1, bounded below by counting, gives mu."""
    case, runs = SIMULATED, 100_000 * court.effort
    x, y = (np.tile(sign * case.gaps, (runs, 1)) for sign in (0.5, -0.5))
    for _ in range(case.steps):
        for z in (x, y):
            z -= case.step_size * (case.curvatures + case.penalty) * z
            z += case.noise_std * rng.standard_normal(z.shape)
    score = (x.mean(axis=0) - y.mean(axis=0)) / (x.var(axis=0) + y.var(axis=0))
    apart = hockey_stick_lower_bound(x @ score, y @ score, 0.0, confidence=1 - false_alarm).delta
    low, high = 0.0, 20.0
    while high - low > 1e-6:  # rounded down: the parameter at which total variation is the counted bound
        middle = 0.5 * (low + high)
        low, high = (middle, high) if math.exp(gaussian_truth(middle, 0.0).upper) <= apart else (low, middle)
    exact = math.exp(log_promise(mu()(case)))
    return case, Sample(math.log(max(low, 1e-300)), math.inf, runs, exact / max(low, 1e-300) - 1)


CLAIMS = (
    Claim(
        id="koloskova2025.quadratic_loss.exact",
        source="Koloskova et al. 2025, noisy fine-tuning without clipping on quadratic losses (derived here)",
        statement=(
            "Two runs are exactly mu-GDP, mu^2 = sum_i v_i^2 r_i^{2T}/(sigma^2 sum_{k<T} r_i^{2k}), "
            "r_i = 1 - g (h_i + l), of either sign and any size."
        ),
        reading="no clipping: at the noise of gradient clipping the clip usually binds, and this is another algorithm",
        provenance="derived",
        against="autoregressive chains in closed form; runs of the algorithm",
        promise=mu(),
        legs=(Comparison(instances=cases, truth=truth, relation="equal"), Sampled(draw=simulated)),
        expected="survived",
        mutants=(
            Mutant(
                name="rho = 1 - g l for r",
                promise=mu(factors=lambda case: np.full(len(case.gaps), 1 - case.step_size * case.penalty)),
            ),
            Mutant(name="T-1 for T in r^{2T}", promise=mu(power=-1)),
            Mutant(
                name="the slowest direction for all",
                promise=mu(factors=lambda case: np.full(len(case.gaps), np.abs(case.factors).max())),
            ),
        ),
    ),
)
