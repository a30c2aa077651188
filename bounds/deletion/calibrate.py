"""`calibrate`: the unlearning noise a deletion needs, never below what its certificate asks for."""

from __future__ import annotations

import math

import linear

from .certificate import build
from .facts import DeletionFacts

# Shares of delta tried for the sensitivity event. Any share fixed by the data is allowed; the best is kept.
SHARES = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9)


def calibrate(
    problem: linear.RidgeProblem,
    schedule: linear.Schedule,
    index: int,
    *,
    epsilon: float,
    delta: float,
    method: str = "best",
) -> float:
    """Injected unlearning noise (standard deviation per step) that certifies (epsilon, delta) for deleting `index`.

    The schedule's own unlearn_noise is ignored. The result is the upper end of a bisection to 1e-9 relative, at which
    the certificate was evaluated and holds; 0.0 where the learning noise alone suffices. delta_s is chosen among
    fixed shares of delta. Raises ValueError for epsilon < 0, delta outside (0, 1), no unlearning step, or a target
    that no noise reaches.
    """
    if not (math.isfinite(epsilon) and epsilon >= 0):
        raise ValueError(f"epsilon = {epsilon!r}: must be finite and not negative")
    if not 0 < delta < 1:
        raise ValueError(f"delta = {delta!r}: must lie strictly between 0 and 1")
    if schedule.unlearn_steps == 0:
        raise ValueError("unlearn_steps = 0: without an unlearning step there is no noise to calibrate")
    facts = DeletionFacts.of(problem, schedule, index)
    shares = SHARES if facts.random_steps and method != "coupling" else (0.5,)
    best = math.inf
    for share in shares:
        best = _smallest_noise(facts, epsilon, math.log(delta), share * delta, method, best)
    if math.isinf(best):
        raise ValueError(f"epsilon = {epsilon!r}, delta = {delta!r}: no unlearning noise certifies this target")
    return best


def _smallest_noise(
    facts: DeletionFacts, epsilon: float, log_delta: float, delta_s: float, method: str, known: float
) -> float:
    """The smallest certified noise for this delta_s, or `known` where this delta_s cannot beat it."""

    def certified(noise: float) -> bool:
        return build(facts.with_unlearn_noise(noise), delta_s, method).holds(epsilon, log_delta)

    if certified(0.0):
        return 0.0
    if math.isfinite(known):
        high = known * (1 - 1e-9)
        if not certified(high):
            return known
    else:
        high = max(facts.learn_noise, facts.step_size * facts.row_norm, 1e-12)
        while not certified(high):
            high *= 4
            if high > 1e30:
                return math.inf
    low = high / 4
    while certified(low):
        low, high = low / 4, low
        if high < 1e-300:
            return high
    while high > low * (1 + 1e-9):
        middle = math.sqrt(low * high)
        if certified(middle):
            high = middle
        else:
            low = middle
    return high
