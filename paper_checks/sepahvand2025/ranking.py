"""The ranking of points by privacy loss: free of order and noise while gradients are small against the noise."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..claim import Claim, Mutant
from ..court import Court
from ..legs import Comparison
from ..thudi2024._mixtures import sampled_divergence
from ..verdict import Truth

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Norms:
    """Gradient norms (steps, points) along one run, noise, sampling rate and order."""

    norms: Array
    noise_std: float
    rate: float
    order: float
    kind: str = "small gradients"

    @property
    def squares(self) -> Array:
        """sum_t |g_t|^2 per point."""
        return np.asarray((self.norms**2).sum(axis=0))

    def losses(self) -> Array:
        """The exact sum over steps of the step divergences, per point, by quadrature."""
        exact = [
            [sampled_divergence(self.order, norm / self.noise_std, self.rate) for norm in row] for row in self.norms
        ]
        return np.array(exact).sum(axis=0)

    def __str__(self) -> str:
        steps, points = self.norms.shape
        return (
            f"{points} points, {steps} steps, norms up to {self.norms.max():.4g}, noise {self.noise_std:.6g}, rate "
            f"{self.rate:.6g}, order {self.order:.6g}"
        )


def runs(largest: float) -> Callable[[Court, np.random.Generator], Iterator[Norms]]:
    """Eight points, six steps, norms up to `largest` noise standard deviations, uneven over the steps.

    Before them two points: one step at the largest norm, or four at 0.525 of it, which have more squares between them.
    """
    kind = "small gradients" if largest < 0.5 else "gradients like the noise"

    def instances(court: Court, rng: np.random.Generator) -> Iterator[Norms]:
        yield Norms(largest * np.array([[1.0, 0.525], *[[0.0, 0.525]] * 3]), 1.0, 0.01, 2.0, kind)
        for order in (2.0, 3.0, 6.0):
            for noise_std in (0.5, 4.0):
                for _ in range(court.effort):
                    shape = rng.exponential(size=(6, 8)) ** rng.choice([0.5, 2.0], size=8)
                    norms = shape / shape.max() * largest * noise_std
                    yield Norms(norms, noise_std, 0.01, order, kind)

    return instances


def largest_loss(case: Norms) -> Truth:
    """The largest exact loss over the points."""
    return Truth.of(float(case.losses().max()), 1e-9)


def misplaced(score: Callable[[Norms], Array]) -> Callable[[Norms], Truth]:
    """1 + the number of pairs that `score` and the exact loss put in different orders, close pairs left out."""

    def truth(case: Norms) -> Truth:
        exact, guessed = case.losses(), score(case)
        discordant = 0
        for i in range(len(exact)):
            for j in range(i):
                apart = abs(math.log(exact[i] / exact[j])) > 0.02
                discordant += apart and (exact[i] - exact[j]) * (guessed[i] - guessed[j]) <= 0
        return Truth.of(1.0 + discordant)

    return truth


SMALL, LIKE_NOISE = runs(0.05), runs(2.0)


def by_squares(case: Norms) -> Array:
    return case.squares


def by_norms(case: Norms) -> Array:
    """Sum of norms, the average gradient norm in use as a difficulty score."""
    return np.asarray(case.norms.sum(axis=0))


CLAIMS = (
    Claim(
        id="sepahvand2025.ranking",
        source="Sepahvand et al. 2025, difficulty by privacy loss; small-rate law derived here",
        statement=(
            "At a small sampling rate and |g_t| well below sigma, sorting points by sum_t |g_t|^2 sorts them by their privacy "
            "loss, whatever the order and sigma."
        ),
        reading="pairs whose losses differ by less than 2% may change places",
        provenance="derived",
        against="exact sums of step divergences by quadrature; 1 + misplaced pairs",
        promise=lambda case: 1.0,
        legs=(Comparison(instances=SMALL, truth=misplaced(by_squares), relation="equal"),),
        expected="survived",
        why="The loss is (a q^2/(2 sigma^2)) sum_t |g_t|^2 to leading order; the order of points moves once |g_t| is like sigma.",
        mutants=(
            Mutant(
                name="sum of norms for sum of squares",
                leg=Comparison(instances=SMALL, truth=misplaced(by_norms), relation="equal"),
            ),
            Mutant(
                name="claimed for all sigma",
                leg=Comparison(instances=LIKE_NOISE, truth=misplaced(by_squares), relation="equal"),
            ),
        ),
    ),
    Claim(
        id="sepahvand2025.ranking.small_rate_law",
        source="derived here",
        statement="At a small sampling rate and |g_t| well below sigma, P(x,a) = (a q^2/(2 sigma^2)) sum_t |g_t|^2 within 1%.",
        provenance="derived",
        against="the largest exact sum of step divergences by quadrature",
        promise=lambda case: case.order * case.rate**2 / (2 * case.noise_std**2) * float(case.squares.max()),
        legs=(Comparison(instances=SMALL, truth=largest_loss, relation="equal", tolerance=0.01),),
        expected="survived",
        mutants=(
            Mutant(
                name="claimed for all sigma",
                leg=Comparison(instances=LIKE_NOISE, truth=largest_loss, relation="equal", tolerance=0.01),
            ),
            Mutant(
                name="q for q^2",
                promise=lambda case: case.order * case.rate / (2 * case.noise_std**2) * float(case.squares.max()),
            ),
            Mutant(
                name="a-1 for a",
                promise=lambda case: (
                    (case.order - 1) * case.rate**2 / (2 * case.noise_std**2) * float(case.squares.max())
                ),
            ),
        ),
    ),
)
