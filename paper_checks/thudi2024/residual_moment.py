"""The moment of a linear regression's step divergence: in closed form, and infinite from a threshold on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from bounds import renyi_dp

from ..claim import Claim, Mutant
from ..court import Court
from ..legs import Comparison
from ..verdict import Log, Truth


@dataclass(frozen=True)
class ResidualStep:
    """One Langevin step of a linear regression from a residual r ~ N(mean, variance).

    The gap is step_size row_norm |r| / size, the injected noise sqrt(2 step_size) temperature; `order` b, `power` p.
    """

    mean: float
    variance: float
    row_norm: float
    step_size: float
    temperature: float
    size: int
    order: float
    power: float
    kind: str = "finite"

    def divergence(self, residual: np.ndarray) -> np.ndarray:
        """D_b of the step from each residual: that of two Gaussians of one variance."""
        gap = self.step_size * self.row_norm * residual / self.size
        return self.order * gap**2 / (2 * 2 * self.step_size * self.temperature**2)

    def scale(self) -> float:
        """s with p(b-1) D_b = s r^2 / 2."""
        norm = self.row_norm / (self.temperature * self.size)
        return self.power * (self.order - 1) * self.order * self.step_size * norm**2 / 2


def cases(court: Court, rng: np.random.Generator) -> Iterator[ResidualStep]:
    """s v on both sides of 1, down to 1e-3 away from it."""
    for product in (0.5, 0.9, 0.999, 1.001, 1.5):
        yield _at(product, rng, round_numbers=True)
    for _ in range(60 * court.effort):
        yield _at(float(rng.choice([rng.uniform(0.01, 0.98), 1 + 10 ** rng.uniform(-3, 0)])), rng)


def _at(product: float, rng: np.random.Generator, *, round_numbers: bool = False) -> ResidualStep:
    """A step with scale * variance = product."""
    numbers = (1.0, 1.0, 1.0, 2.0, 3.0) if round_numbers else np.exp(0.5 * rng.normal(size=5))
    mean, row_norm, temperature, order, power = (float(value) for value in numbers)
    size = 1 if round_numbers else int(rng.integers(1, 50))
    step = ResidualStep(mean, 1.0, row_norm, 0.5, temperature, size, 1 + order, 1 + power)
    kind = "finite" if product < 1 else "infinite"
    variance = product / step.scale()
    return ResidualStep(
        mean * math.sqrt(variance), variance, row_norm, 0.5, temperature, size, 1 + order, 1 + power, kind
    )


def moment_by_quadrature(case: ResidualStep) -> Truth:
    """log E exp(p(b-1) D_b(r)) by the trapezoid rule around the integrand's peak; infinite where it does not decay."""
    std = math.sqrt(case.variance)
    exponent = case.power * (case.order - 1)

    def log_integrand(r: np.ndarray) -> np.ndarray:
        return exponent * case.divergence(r) - ((r - case.mean) / std) ** 2 / 2 - math.log(std * math.sqrt(2 * math.pi))

    far = case.mean + 1e6 * std * np.array([-1.0, 0.0, 1.0])
    left, here, right = log_integrand(far)
    if max(left, right) > here:
        return Truth(math.inf, math.inf)
    width = std * np.array([1.0, 0.0, -1.0])
    ahead, here, behind = log_integrand(case.mean + width)
    bend, slope = (2 * here - ahead - behind) / case.variance, (ahead - behind) / (2 * std)
    reach, spacing = 12 / math.sqrt(bend), 0.1 / math.sqrt(bend)
    logs = log_integrand(case.mean + slope / bend + np.arange(-reach, reach, spacing))
    peak = float(logs.max())
    return Truth.of(peak + math.log(float(np.exp(logs - peak).sum()) * spacing), 1e-10)


def formula(
    *, scale: Callable[[ResidualStep], float] = ResidualStep.scale, spread: float = 1.0
) -> Callable[[ResidualStep], Log | float]:
    """The library's moment; the mutants alter the scale or the variance."""

    def promise(case: ResidualStep) -> float:
        return float(renyi_dp.log_square_moment(scale=scale(case), mean=case.mean, variance=spread * case.variance))

    return promise


CLAIMS = (
    Claim(
        id="thudi2024.residual_moment",
        source="derived here, for composition over the steps of a linear regression",
        statement=(
            "For a residual r ~ N(mu, v) and s = p(b-1) b eta |x|^2/(2 sigma^2 n^2): log E exp(p(b-1) D_b) = -log(1 - s v)/2 + s "
            "mu^2/(2(1 - s v)) if s v < 1, and +infinity otherwise."
        ),
        provenance="derived",
        against="the integral by quadrature, which diverges where its integrand does not decay",
        promise=formula(),
        legs=(Comparison(instances=cases, truth=moment_by_quadrature, relation="equal"),),
        expected="survived",
        why="Unbounded gradients make the composition infinite long before the path divergence is.",
        mutants=(
            Mutant(name="p omitted", promise=formula(scale=lambda case: case.scale() / case.power)),
            Mutant(name="v/2 for v", promise=formula(spread=0.5)),
            Mutant(name="n for n^2", promise=formula(scale=lambda case: case.scale() * case.size)),
            Mutant(
                name="b^2 for b(b-1)", promise=formula(scale=lambda case: case.scale() * case.order / (case.order - 1))
            ),
        ),
    ),
)
