"""What one full-batch step tells about the point, in two readings of what removal does to the mean."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from bounds import per_instance_unlearning as per_instance
from linear.gaussian_renyi import gaussian_renyi

from ..claim import Claim, Mutant
from ..court import Court
from ..legs import Comparison
from ..verdict import Truth

SOURCE = "derived here, for the per-instance loss of full-batch noisy gradient descent"


@dataclass(frozen=True)
class FullBatch:
    """Gradients of n points (the last one leaves), step size, Langevin temperature, order."""

    gradients: tuple[tuple[float, ...], ...]
    step_size: float
    temperature: float
    order: float
    kind: str = "random"

    @property
    def size(self) -> int:
        return len(self.gradients)

    def norm(self) -> float:
        """|g| of the point that leaves."""
        return math.hypot(*self.gradients[-1])

    def norm_from_mean(self) -> float:
        """|mean gradient - g|."""
        gap = np.mean(self.gradients, axis=0) - np.array(self.gradients[-1])
        return float(np.linalg.norm(gap))


def steps(court: Court, rng: np.random.Generator) -> Iterator[FullBatch]:
    yield FullBatch(((1.0,), (2.0,)), 0.5, 1.0, 2.0)
    for _ in range(60 * court.effort):
        size, dimension = int(rng.integers(2, 30)), int(rng.integers(1, 4))
        rows = tuple(tuple(row) for row in rng.normal(size=(size, dimension)).tolist())
        step_size, temperature = np.exp(rng.normal(size=2)).tolist()
        yield FullBatch(rows, step_size, temperature, float(1 + np.exp(rng.normal())))


def exact(*, divisor_stays: bool) -> Callable[[FullBatch], Truth]:
    """D_order of the two Gaussian steps from one position, the mean of the rest divided by n or by n - 1."""

    def truth(case: FullBatch) -> Truth:
        rows = np.array(case.gradients)
        divisor = case.size if divisor_stays else case.size - 1
        means = [-case.step_size * total for total in (rows.sum(axis=0) / case.size, rows[:-1].sum(axis=0) / divisor)]
        cov = 2 * case.step_size * case.temperature**2 * np.eye(rows.shape[1])
        return Truth.of(gaussian_renyi(means[0], cov, means[1], cov, order=case.order), 1e-11)

    return truth


def library(norm: Callable[[FullBatch], float], size: Callable[[FullBatch], int]) -> Callable[[FullBatch], float]:
    def promise(case: FullBatch) -> float:
        value = per_instance.step_loss(
            order=case.order,
            gradient_norm=norm(case),
            step_size=case.step_size,
            temperature=case.temperature,
            size=size(case),
        )
        return float(value)

    return promise


FIXED = library(FullBatch.norm, lambda case: case.size)
SHRINKING = library(FullBatch.norm_from_mean, lambda case: case.size - 1)

CLAIMS = (
    Claim(
        id="sepahvand2025.step_loss.fixed_divisor",
        source=SOURCE,
        statement="One full-batch step: D_b = b eta |g|^2/(4 sigma^2 n^2).",
        reading="removal leaves the divisor n as it is",
        provenance="derived",
        against="the two Gaussian steps from one position",
        promise=FIXED,
        legs=(Comparison(instances=steps, truth=exact(divisor_stays=True), relation="equal"),),
        expected="survived",
        mutants=(
            Mutant(name="8 for 4", promise=lambda case: FIXED(case) / 2),
            Mutant(name="n for n^2", promise=lambda case: FIXED(case) * case.size),
            Mutant(name="eta dropped", promise=lambda case: FIXED(case) / case.step_size),
        ),
    ),
    Claim(
        id="sepahvand2025.step_loss.mean_of_the_rest",
        source=SOURCE,
        statement="One full-batch step: D_b = b eta |mean g - g|^2/(4 sigma^2 (n-1)^2).",
        reading="removal leaves the mean over n - 1 points; the mean gradient is over all n",
        provenance="derived",
        against="the two Gaussian steps from one position",
        promise=SHRINKING,
        legs=(Comparison(instances=steps, truth=exact(divisor_stays=False), relation="equal"),),
        expected="survived",
        mutants=(
            Mutant(name="|g| for |mean g - g|", promise=library(FullBatch.norm, lambda case: case.size - 1)),
            Mutant(name="n for n-1", promise=library(FullBatch.norm_from_mean, lambda case: case.size)),
        ),
    ),
)
