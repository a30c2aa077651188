"""The noise table released with Langevin unlearning (Chien et al. 2024), computed again from the theory.

Logistic regression on unit rows, penalty 1e-6 per point, so m = 1e-6 n and L = 1/4 + m on the summed scale that the
released code uses, step 1/L, M = 1, delta = 1/n, orders from 2 on, one point replaced, converged learning.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bounds import langevin_unlearning
from bounds.deletion.theories.case import Array
from bounds.lsi_decay import strongly_convex_rate, unlearning_bound

from .chien2024 import sigma_table as released

# (size, target epsilon, unlearning steps, stored sigma), from the claim's own list of what was released.
STORED: tuple[tuple[int, float, int, float], ...] = tuple(
    (size, target, steps, sigma)
    for name, size in released.SIZES.items()
    for (data, steps), row in released.STORED.items()
    if data == name
    for target, sigma in zip(released.TARGETS, row, strict=True)
)


@dataclass(frozen=True)
class Entry:
    """One stored noise: the epsilon it reaches, the noise that is needed, and epsilon at 100 times the stored one."""

    size: int
    target: float
    steps: int
    stored: float
    reached: float
    needed: float
    hundredfold: float

    @property
    def meets(self) -> bool:
        return self.reached <= self.target * released.ALLOWED


def _bound(size: int, steps: int, order: Array, temperature: float) -> Array:
    convexity = 1e-6 * size
    smoothness = 0.25 + convexity
    learned = langevin_unlearning.learning_bound(
        order=order,
        step_size=1 / smoothness,
        temperature=temperature,
        strong_convexity=convexity,
        smoothness=smoothness,
        lipschitz=1.0,
        size=size,
    )
    rate = strongly_convex_rate(step_size=1 / smoothness, strong_convexity=convexity, smoothness=smoothness)
    return np.asarray(unlearning_bound(order=order, initial=learned, rate=rate, unlearn_steps=steps))


def reached(size: int, steps: int, temperature: float) -> float:
    """Epsilon at delta = 1/size of this noise, orders from 2 on."""
    return langevin_unlearning.epsilon_delta(
        lambda order: _bound(size, steps, order, temperature), delta=1 / size, lowest_order=2
    )


def entries() -> list[Entry]:
    """Every stored entry known, examined."""
    found = []
    for size, target, steps, stored in STORED:
        needed = langevin_unlearning.smallest_sigma(
            lambda order, temperature, size=size, steps=steps: _bound(size, steps, order, temperature),  # type: ignore[misc]
            epsilon=target,
            delta=1 / size,
            lowest_order=2,
        )
        found.append(
            Entry(size, target, steps, stored, reached(size, steps, stored), needed, reached(size, steps, 100 * stored))
        )
    return found
