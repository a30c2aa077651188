"""Two laws under the same noisy steps: Gaussians exactly, and laws of a double well by quadrature."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from linear.gaussian_renyi import OrnsteinUhlenbeck, scalar_renyi

from ..court import Court
from ..families.gaussian_renyi import INFINITE
from ..verdict import Truth

Array = NDArray[np.float64]
Law = tuple[float, float]  # mean, variance


@dataclass(frozen=True)
class CommonSteps:
    """`steps` steps theta -> contraction theta + N(0, 2 step_size temperature^2) from two Gaussian laws.

    `second` is the reference. With strong convexity m the contraction is 1 - step_size m.
    """

    first: Law
    second: Law
    contraction: float
    step_size: float
    temperature: float
    steps: int
    order: float
    kind: str = "random"

    @property
    def chain(self) -> OrnsteinUhlenbeck:
        return OrnsteinUhlenbeck(
            contraction=self.contraction, noise_std=math.sqrt(2 * self.step_size) * self.temperature
        )

    @property
    def strong_convexity(self) -> float:
        return (1 - self.contraction) / self.step_size

    def initial(self, order: float) -> float:
        """D_order of the first law from the second before any step."""
        return float(scalar_renyi(*self.first, *self.second, order=order))

    def constants(self, law: Law | None = None) -> list[float]:
        """Log-Sobolev constant of the second law (or of `law`) before each step: a Gaussian's variance."""
        return [self.chain.after(*(law or self.second), step)[1] for step in range(self.steps)]

    def rates(self, law: Law | None = None) -> Array:
        """log(1 + 2 step_size temperature^2 / (contraction^2 C)) of each step."""
        noise = 2 * self.step_size * self.temperature**2
        return np.log1p(noise / (self.contraction**2 * np.array(self.constants(law))))

    def __str__(self) -> str:
        return (
            f"N({self.first[0]:.6g}, {self.first[1]:.6g}) from N({self.second[0]:.6g}, {self.second[1]:.6g}), c "
            f"{self.contraction:.6g}, eta {self.step_size:.6g}, sigma {self.temperature:.6g}, k={self.steps}, order "
            f"{self.order:.6g}"
        )


def after_steps(case: CommonSteps) -> Truth:
    """D_order after the steps; gap and variance difference are carried exactly by the chain."""
    value = float(case.chain.divergences(case.first, case.second, order=case.order, steps=case.steps)[-1])
    return INFINITE if value == math.inf else Truth.of(value, 1e-11)


def narrow_and_far(
    order: float, contraction: float, steps: int, *, mean: float = 60.0, variance: float = 0.01
) -> CommonSteps:
    """A narrow law far from the stationary N(0, 1): its divergence hardly depends on the order, and decays slowly."""
    temperature = math.sqrt((1 - contraction**2) / (2 * 0.5))
    return CommonSteps((mean, variance), (0.0, 1.0), contraction, 0.5, temperature, steps, order, "narrow and far")


def equal_variances(order: float, contraction: float, steps: int) -> CommonSteps:
    """A stationary law moved by 1: the divergence decays by contraction^2 per step at every order."""
    temperature = math.sqrt((1 - contraction**2) / (2 * 0.5))
    return CommonSteps((1.0, 1.0), (0.0, 1.0), contraction, 0.5, temperature, steps, order, "equal variances")


def wide_first_law(contraction: float) -> CommonSteps:
    """One step from a law whose divergence of order 2 is nearly infinite: it grows much faster than the order."""
    temperature = math.sqrt((1 - contraction**2) / (2 * 0.5))
    return CommonSteps((3.0, 1.99), (0.0, 1.0), contraction, 0.5, temperature, 1, 2.0, "wide first law")


def any_contraction(court: Court, rng: np.random.Generator) -> Iterator[CommonSteps]:
    """Gaussian pairs whose reference may have any variance, contracting, isometric and expanding steps."""
    yield narrow_and_far(4.0, 0.99, 5)
    yield equal_variances(4.0, 0.9, 3)
    yield wide_first_law(0.95)
    for _ in range(120 * court.effort):
        contraction = float(rng.choice([1.0, 0.99, rng.uniform(0.1, 1.0), rng.uniform(1.0, 1.1)]))
        yield _random(rng, contraction, float(np.exp(rng.normal())), float(np.exp(rng.normal())))


def strongly_convex(court: Court, rng: np.random.Generator) -> Iterator[CommonSteps]:
    """Contracting steps; the reference's variance is at most 2 temperature^2/m, as the published rate supposes."""
    yield narrow_and_far(4.0, 0.99, 5)
    yield narrow_and_far(30.0, 0.9, 2)
    yield narrow_and_far(3.0, 0.999, 200)
    yield equal_variances(4.0, 0.9, 3)
    for _ in range(120 * court.effort):
        contraction = float(rng.choice([0.99, 0.9, rng.uniform(0.05, 0.999)]))
        case = _random(rng, contraction, float(np.exp(rng.normal())), 1.0)
        largest = 2 * case.temperature**2 / case.strong_convexity
        share = float(rng.choice([1.0, 1 / (1 + contraction), rng.uniform(0.2, 1)]))
        second = (0.0, share * largest)
        first = (case.first[0] * math.sqrt(second[1]), case.first[1] * second[1])
        yield CommonSteps(
            first, second, contraction, case.step_size, case.temperature, case.steps, case.order, case.kind
        )


def _random(rng: np.random.Generator, contraction: float, temperature: float, variance: float) -> CommonSteps:
    order = float(rng.choice([1.2, 2.0, 4.0, 16.0, 1 + math.exp(rng.normal())]))
    kind = str(rng.choice(["narrow and far", "equal variances", "random"]))
    if kind == "narrow and far":
        first = (float(rng.uniform(5, 80)), float(10 ** rng.uniform(-3, -1)))
    elif kind == "equal variances":
        first = (float(rng.normal()), 1.0)
    else:
        # Below a/(a-1), so that the divergence starts finite.
        first = (float(rng.normal() * 2), float(rng.uniform(0.05, 1 + 0.9 / (order - 1))))
    first = (first[0] * math.sqrt(variance), first[1] * variance)
    step_size, steps = float(rng.uniform(0.05, 2)), int(rng.integers(1, 30))
    return CommonSteps(first, (0.0, variance), contraction, step_size, temperature, steps, order, kind)


@dataclass(frozen=True)
class SmoothedWell:
    """p ~ exp(-(x^2 - well)^2/4) and q ~ exp(-x^2/2 - quartic x^4/4), both smoothed by N(0, noise).

    q is at least as convex as N(0, 1), so its log-Sobolev constant is at most 1; p has two wells at +-sqrt(well).
    """

    well: float
    quartic: float
    noise: float
    order: float
    kind: str = "double well"
    steps: int = 1

    def rates(self) -> Array:
        return np.array([math.log1p(self.noise)])

    def initial(self, order: float) -> float:
        return self._divergence(order, *self._start)

    @cached_property
    def _grid(self) -> Array:
        return np.linspace(-9.0, 9.0, 1201)

    @cached_property
    def _start(self) -> tuple[Array, Array]:
        x = self._grid
        log_p, log_q = -((x**2 - self.well) ** 2) / 4, -(x**2) / 2 - self.quartic * x**4 / 4
        step = math.log(x[1] - x[0])
        return log_p - logsumexp(log_p) - step, log_q - logsumexp(log_q) - step

    def _divergence(self, order: float, log_p: Array, log_q: Array) -> float:
        step = math.log(self._grid[1] - self._grid[0])
        return float(logsumexp(order * log_p + (1 - order) * log_q) + step) / (order - 1)

    def after(self) -> float:
        """D_order after the smoothing, by the trapezoid rule."""
        x = self._grid
        kernel = -((x[:, None] - x) ** 2) / (2 * self.noise) - math.log(2 * math.pi * self.noise) / 2
        step = math.log(x[1] - x[0])
        smoothed = [logsumexp(kernel + log_density, axis=1) + step for log_density in self._start]
        return self._divergence(self.order, smoothed[0], smoothed[1])


def double_wells(court: Court, rng: np.random.Generator) -> Iterator[SmoothedWell]:
    for _ in range(6 * court.effort):
        order = float(rng.choice([1.3, 2.0, 4.0, 9.0]))
        yield SmoothedWell(
            float(rng.uniform(0.5, 5)), float(rng.uniform(0.02, 0.3)), float(10 ** rng.uniform(-1.5, 0.3)), order
        )


def after_smoothing(case: SmoothedWell) -> Truth:
    return Truth.of(case.after(), 1e-9)


Case = CommonSteps | SmoothedWell


def decayed(exponent: Callable[[Any], float]) -> Callable[[Any], float]:
    """The divergence at the start times exp(-exponent), for the mutants."""
    return lambda case: case.initial(case.order) * math.exp(-exponent(case))
