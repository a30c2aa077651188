"""One noisy step whose mean is the average of a random batch: the mean rule over all batches."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from bounds import renyi_dp

from ..claim import Claim, Mutant
from ..court import Court
from ..legs import Comparison
from ..verdict import Truth
from ._mixtures import mixture_divergence

Array = NDArray[np.float64]


@dataclass(frozen=True)
class BatchStep:
    """Scalar clipped gradients of the data without the point, the point's own, sampling rate, noise on the mean."""

    gradients: tuple[float, ...]
    point: float
    rate: float
    noise_std: float
    order: int
    removed: bool = False
    kind: str = "sampled batches"

    def laws(self) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        """(batch means, probabilities) of the first argument, with the point, and of the second; swapped if `removed`."""
        pair = (batch_law((*self.gradients, self.point), self.rate), batch_law(self.gradients, self.rate))
        return pair[::-1] if self.removed else pair


def batch_law(gradients: tuple[float, ...], rate: float) -> tuple[Array, Array]:
    """Mean of every batch that can be drawn (0 for the empty one) and its probability."""
    means, weights = [], []
    for chosen in itertools.product((False, True), repeat=len(gradients)):
        batch = [g for g, taken in zip(gradients, chosen, strict=True) if taken]
        weight = math.prod(rate if taken else 1 - rate for taken in chosen)
        if weight > 0:
            means.append(float(np.mean(batch)) if batch else 0.0)
            weights.append(weight)
    return np.array(means), np.array(weights)


def divergence(case: BatchStep) -> float:
    """The divergence of the two mixtures."""
    (first, first_weights), (second, second_weights) = case.laws()
    return mixture_divergence(case.order, first, first_weights, second, second_weights, case.noise_std)


def cases(court: Court, rng: np.random.Generator) -> Iterator[BatchStep]:
    """Small data sets, both directions; divergences large enough for the quadrature to keep its digits."""
    for removed in (False, True):
        yield BatchStep((-0.6, 0.1, 0.5), 0.9, 0.4, 0.7, 3, removed)
        yield BatchStep((0.5,), 1.0, 1.0, 1.0, 2, removed, "whole batch")
        yield BatchStep((-0.6, 0.1, 0.5), 0.9, 1.0, 0.7, 3, removed, "whole batch")
    for _ in range(24 * court.effort):
        gradients = tuple(rng.uniform(-1, 1, int(rng.integers(1, 4))).tolist())
        rate = float(rng.choice([1.0, rng.uniform(0.05, 0.95)]))
        case = BatchStep(
            gradients,
            point=float(rng.uniform(-1, 1)),
            rate=rate,
            noise_std=float(rng.uniform(0.2, 1)),
            order=int(rng.integers(2, 4)),
            removed=bool(rng.random() < 0.5),
            kind="whole batch" if rate == 1 else "sampled batches",
        )
        if divergence(case) > 5e-3:
            yield case


def truth(case: BatchStep) -> Truth:
    value = divergence(case)
    return Truth.of(value, 1e-12 + 2e-12 / value)


def mean_rule(case: BatchStep) -> float:
    (first, first_weights), (second, second_weights) = case.laws()
    return renyi_dp.mean_rule(
        order=case.order,
        first=first,
        first_weights=first_weights,
        second=second,
        second_weights=second_weights,
        noise_std=case.noise_std,
    )


def released_form(
    *, draws: Callable[[int], int] = lambda a: a, centre: Callable[[int], int] = lambda a: a - 1
) -> Callable[[BatchStep], float]:
    """The released exponent over all ordered tuples; the mutants alter the number of draws or the term in U(B)."""

    def promise(case: BatchStep) -> float:
        (first, first_weights), (second, second_weights) = case.laws()
        a, count = case.order, draws(case.order)
        tuples = np.array(list(itertools.product(range(len(first)), repeat=count)))
        means, log_weights = first[tuples], np.log(first_weights)[tuples].sum(axis=1)
        total = 0.0
        for u, weight in zip(second, second_weights, strict=True):
            square = (means**2).sum(axis=1) - centre(a) * u**2 - (means.sum(axis=1) - (a - 1) * u) ** 2
            total += weight * float(logsumexp(log_weights - square / (2 * case.noise_std**2))) / (a - 1)
        return max(total, 0.0)

    return promise


CLAIMS = (
    Claim(
        id="thudi2024.mean_rule",
        source="Thudi et al. 2024, per-step divergence for averaged batches",
        statement=(
            "D_a(M(X')||M(X)) <= E_{B~X} (1/(a-1)) log E_{B_1..B_a~X'} exp(-[sum_i |U(B_i)|^2 - (a-1)|U(B)|^2 - |sum_i U(B_i) - "
            "(a-1)U(B)|^2]/(2 sigma^2)), U(B) the mean clipped gradient of a batch, sigma the noise on that mean."
        ),
        provenance="public code",
        against="the divergence of the two normal mixtures over all batches, by quadrature",
        promise=mean_rule,
        legs=(Comparison(instances=cases, truth=truth, relation="tight"),),
        expected="survived",
        why="Convexity in the second argument; attained when every point is always in the batch, loose otherwise.",
        mutants=(
            Mutant(name="a-1 inner batches", promise=released_form(draws=lambda a: a - 1)),
            Mutant(name="(a-1)|U(B)|^2 dropped", promise=released_form(centre=lambda a: 0)),
            Mutant(name="a|U(B)|^2 for (a-1)|U(B)|^2 with its sign lost", promise=released_form(centre=lambda a: -a)),
        ),
    ),
)
