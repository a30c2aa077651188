"""The logarithmic law of unlearning steps where everything is exact: linear chains with a constant gradient gap."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from bounds import per_instance_unlearning as per_instance
from linear.gaussian_renyi import OrnsteinUhlenbeck, scalar_renyi

from ..claim import Claim, Mutant
from ..court import Court
from ..legs import Comparison
from ..verdict import Truth


@dataclass(frozen=True)
class ConstantGap:
    """T steps with a point whose gradient is the same everywhere, from the stationary law without it; then unlearning."""

    gradient: float
    size: int
    learn_steps: int
    step_size: float
    temperature: float
    contraction: float
    order: float
    epsilon: float
    kind: str = "random"

    def loss(self) -> float:
        """P(x, order): the step losses of T steps added up."""
        each = per_instance.step_loss(
            order=self.order,
            gradient_norm=self.gradient,
            step_size=self.step_size,
            temperature=self.temperature,
            size=self.size,
        )
        return self.learn_steps * float(each)

    def slope(self) -> float:
        """Steps per unit of log loss, 1/(-2 log c)."""
        return -1 / (2 * math.log(self.contraction))

    def weight(self) -> float:
        """A in k = slope * log(A P): the part of P that is left at the end of learning, over epsilon; the same for all x."""
        c = self.contraction
        left = ((1 - c**self.learn_steps) / (1 - c)) ** 2 * (1 - c * c) / self.learn_steps
        return left / self.epsilon


def points(court: Court, rng: np.random.Generator) -> Iterator[ConstantGap]:
    """Several schedules; for each, points whose gradients span four decades."""
    for _ in range(6 * court.effort):
        schedule = {
            "size": int(rng.integers(10, 1000)),
            "learn_steps": int(rng.integers(1, 200)),
            "step_size": float(rng.uniform(0.1, 1)),
            "temperature": float(np.exp(rng.normal() - 3)),
            "contraction": float(rng.uniform(0.7, 0.99)),
            "order": float(1 + np.exp(rng.normal())),
            "epsilon": float(10 ** rng.uniform(-3, 0)),
        }
        for gradient in 10 ** rng.uniform(-2, 2, 12):
            yield ConstantGap(float(gradient), **schedule)  # type: ignore[arg-type]


def steps_needed(case: ConstantGap) -> Truth:
    """First k at which D_order(unlearned || retrained and continued) is at most epsilon: the gap closes by c per step."""
    noise_std = math.sqrt(2 * case.step_size) * case.temperature
    shift = case.step_size * case.gradient / case.size
    without = OrnsteinUhlenbeck(contraction=case.contraction, noise_std=noise_std)
    moved = OrnsteinUhlenbeck(contraction=case.contraction, noise_std=noise_std, offset=shift)
    mean, variance = without.stationary()
    learned = moved.after(mean, variance, case.learn_steps)[0]
    gaps = (learned - mean) * case.contraction ** np.arange(3000)
    divergences = scalar_renyi(gaps, variance, 0.0, variance, order=case.order)
    return Truth.of(float(np.flatnonzero(divergences <= case.epsilon)[0]))


def law(
    slope: Callable[[ConstantGap], float] = ConstantGap.slope,
    growth: Callable[[float], float] = math.log,
    offset: float = 0.0,
) -> Callable[[ConstantGap], float]:
    """ceil(slope * growth(A P)), at least 0; the mutants alter slope or growth."""

    def promise(case: ConstantGap) -> float:
        return max(math.ceil(slope(case) * growth(case.weight() * case.loss()) + offset), 0)

    return promise


CLAIMS = (
    Claim(
        id="derived.log_law",
        source="derived here, after the public statement of Sepahvand et al. 2025 that steps follow log(ax + b)",
        statement=(
            "With a constant gradient gap, the exact number of unlearning steps to epsilon is max(0, ceil(log(A P(x))/(-2 log "
            "c))), P the per-instance loss, A the same for every point."
        ),
        reading="exact divergences to the law that retrains and continues; a linear chain, not a deep net",
        provenance="derived",
        against="the first step at which the exact divergence is small enough",
        promise=law(),
        legs=(Comparison(instances=points, truth=steps_needed, relation="equal"),),
        expected="survived",
        why="The bound's own slope is larger: 2a times this one to retraining, a times to the law that continues.",
        mutants=(
            Mutant(name="slope a/(-2 log c), as in the bound", promise=law(lambda case: case.order * case.slope())),
            Mutant(name="slope 1/(-log c)", promise=law(lambda case: 2 * case.slope())),
            Mutant(name="linear in P", promise=law(growth=lambda value: value - 1)),
            Mutant(name="square root of P", promise=law(growth=lambda value: math.sqrt(value) - 1)),
            Mutant(name="one step less", promise=law(offset=-1.0)),
        ),
    ),
)
