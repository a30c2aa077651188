"""The noise levels stored in the released code, against the epsilon they are stored for.

Logistic regression on n unit rows, ridge 1e-6 per point: m = 1e-6 n, L = 1/4 + m, eta = 1/L, M = 1, delta = 1/n.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from ..claim import Claim, Mutant
from ..court import Court
from ..legs import Comparison
from ..verdict import Truth

SOURCE = "Chien et al. 2024 (Langevin Unlearning), released noise levels for one removal"
STATEMENT = (
    "min over orders a >= 2 of e^{-K m eta/a} 4a/(m sigma^2 n^2) + log(n)/(a-1) is at most 1.01 epsilon for every stored "
    "sigma."
)
AGAINST = "the same formula minimised over the order anew"
ALLOWED = 1.01

SIZES = {"MNIST 3/8": 11982, "CIFAR-10 3/8": 10000}
TARGETS = (0.05, 0.1, 0.5, 1.0, 2.0, 5.0)
# data, unlearning steps -> sigma per target, as stored, to 16 digits.
STORED: dict[tuple[str, int], tuple[float, ...]] = {
    ("MNIST 3/8", 1): (0.1872, 0.094, 0.019, 0.0096, 0.0049, 0.0021),
    ("CIFAR-10 3/8", 1): (0.2431, 0.122, 0.025, 0.0125, 0.0064, 0.0028),
    ("MNIST 3/8", 2): (
        0.18714501953125,
        0.09368591346136476,
        0.00018914795795776367,
        0.00956726167840576,
        0.004888916983032227,
        0.0020690927830810547,
    ),
    ("CIFAR-10 3/8", 2): (
        0.24309802246093754,
        0.12169189471997069,
        0.02457275474243164,
        0.00012432862245239257,
        0.006353760723266601,
        0.002700806646057129,
    ),
    ("MNIST 3/8", 5): (
        0.18709939575195314,
        0.09364013709448243,
        0.00018869019428894046,
        0.009521485311523437,
        0.004852295889526367,
        0.002032471689575195,
    ),
    ("CIFAR-10 3/8", 5): (
        0.24304327392578123,
        0.1216369630797119,
        0.024517823102172855,
        0.00012377930604980467,
        0.006317139629760741,
        0.002655030279174805,
    ),
}


@dataclass(frozen=True)
class Entry:
    """One stored noise level."""

    data: str
    size: int
    unlearn_steps: int
    epsilon: float
    sigma: float
    kind: str = "as stored"

    def __str__(self) -> str:
        return f"{self.data} (n={self.size}), K={self.unlearn_steps}, epsilon {self.epsilon:g}: sigma {self.sigma:.6g}"


def entries(court: Court, rng: np.random.Generator) -> Iterator[Entry]:
    """All 36, in the order of the table."""
    for (data, steps), sigmas in STORED.items():
        for epsilon, sigma in zip(TARGETS, sigmas, strict=True):
            yield Entry(data, SIZES[data], steps, epsilon, sigma)


def mended(court: Court, rng: np.random.Generator) -> Iterator[Entry]:
    """The same, the entries below 1e-3 times 100."""
    for entry in entries(court, rng):
        if entry.sigma < 1e-3:
            yield Entry(entry.data, entry.size, entry.unlearn_steps, entry.epsilon, 100 * entry.sigma, "times 100")
        else:
            yield entry


def reached(entry: Entry) -> Truth:
    """Epsilon of the stored sigma at delta = 1/n."""
    m = 1e-6 * entry.size
    rate = m / (0.25 + m)

    def epsilon(log_order: float) -> float:
        order = math.exp(log_order)
        learned = 4 * order / (m * (entry.sigma * entry.size) ** 2)
        return math.exp(-entry.unlearn_steps * rate / order) * learned + math.log(entry.size) / (order - 1)

    grid = np.linspace(math.log(2.0), math.log(1e4), 400)
    values = [epsilon(point) for point in grid]
    best = int(np.argmin(values))
    bracket = (grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)])
    found = minimize_scalar(epsilon, bounds=bracket, method="bounded", options={"xatol": 1e-10})
    return Truth.of(min(float(found.fun), values[best]), 1e-10)


def target(allowed: float) -> Callable[[Entry], float]:
    return lambda entry: allowed * entry.epsilon


CLAIMS = (
    Claim(
        id="chien2024.sigma_table.stored",
        source=SOURCE,
        statement=STATEMENT,
        reading="as stored",
        provenance="public code",
        against=AGAINST,
        promise=target(ALLOWED),
        legs=(Comparison(instances=entries, truth=reached),),
        expected="refuted",
        why=(
            "Four entries are 100 times too small: MNIST at epsilon 0.5 (K=2: 133.6, K=5: 125.9 instead) and CIFAR-10 at epsilon "
            "1 (K=2: 507.2, K=5: 483.5). The released run computes K from sigma again, so it takes thousands of steps there."
        ),
        repair="chien2024.sigma_table.times_100",
    ),
    Claim(
        id="chien2024.sigma_table.times_100",
        source=SOURCE + ", mended here",
        statement=STATEMENT,
        reading="the four entries below 1e-3 times 100",
        provenance="derived",
        against=AGAINST,
        promise=target(ALLOWED),
        legs=(Comparison(instances=mended, truth=reached),),
        expected="survived",
        why="The stored values were found with another smoothness constant and overshoot by up to 0.7% with L = 1/4 + m.",
        mutants=(
            Mutant(name="the target itself for 1.01 of it", promise=target(1.0)),
            Mutant(name="within 0.5%", promise=target(1.005)),
        ),
    ),
)
