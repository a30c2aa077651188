"""`calibrate` and `calibrate_all`: the unlearning noise a deletion needs, never below what its certificate asks for."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import linear

from .certificate import CHUNK, METHODS, NO_EVENT, build_bound, gathered, holds, positions
from .facts import DeletionFacts
from .methods import Method
from .solve import smallest

Array = NDArray[np.float64]

# Shares of delta tried for the sensitivity event. Any share fixed by the data is allowed; the best is kept.
SHARES = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9)

_ACCURACY = 1e-9  # of a noise, relative
_LARGEST, _SMALLEST = 1e30, 1e-300  # noises


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

    The schedule's own unlearn_noise is ignored. The result is the upper end of a search to 1e-9 relative, at which
    the certificate was evaluated and holds; 0.0 where the learning noise alone suffices. delta_s is chosen among
    fixed shares of delta. Raises ValueError for epsilon < 0, delta outside (0, 1), no unlearning step, or a target
    that no noise reaches.
    """
    noise = calibrate_all(problem, schedule, [index], epsilon=epsilon, delta=delta, method=method)
    if math.isinf(noise[0]):
        raise ValueError(f"epsilon = {epsilon!r}, delta = {delta!r}: no unlearning noise certifies this target")
    return float(noise[0])


def calibrate_all(
    problem: linear.RidgeProblem,
    schedule: linear.Schedule,
    indices: Any = None,
    *,
    epsilon: float,
    delta: float,
    method: str = "best",
    chunk: int = CHUNK,
    progress: Callable[[int, int], None] | None = None,
) -> Array:
    """`calibrate` for many deletions, each by itself, of the rows `indices` (default: all): noises (m,).

    inf where no noise certifies the target. progress(done, total) is called after every `chunk` of deletions.
    """
    if not (math.isfinite(epsilon) and epsilon >= 0):
        raise ValueError(f"epsilon = {epsilon!r}: must be finite and not negative")
    if not 0 < delta < 1:
        raise ValueError(f"delta = {delta!r}: must lie strictly between 0 and 1")
    if schedule.unlearn_steps == 0:
        raise ValueError("unlearn_steps = 0: without an unlearning step there is no noise to calibrate")
    if method not in METHODS:
        raise ValueError(f"method = {method!r}: must be one of {', '.join(METHODS)}")
    chosen = positions(problem, indices)
    found = np.empty(len(chosen))
    done = 0
    for where, facts in gathered(problem, schedule, chosen, chunk):
        found[where] = smallest_noises(facts, float(epsilon), float(delta), method)
        done += len(where)
        if progress is not None:
            progress(done, len(chosen))
    return found


def smallest_noises(facts: DeletionFacts, epsilon: float, delta: float, method: str) -> Array:
    """The smallest certified noise of each of many deletions, (m,), over all shares of delta; inf where there is none."""
    target = math.log(delta)
    budgets = [share * delta for share in (SHARES if facts.random_steps and method not in NO_EVENT else (0.5,))]
    known = np.full(facts.shape, np.inf)
    silent = facts.with_unlearn_noise(0.0)
    for budget in budgets:
        left = np.flatnonzero(known > 0)
        if left.size:
            done = holds(build_bound(silent[left], budget, method)[1], epsilon, target)
            known[left[np.broadcast_to(done, left.shape)]] = 0.0
    left = np.flatnonzero(known > 0)
    if left.size:
        # The coupling certificate is cheap and usually the best: with its noise known, the dear ones need only be
        # asked whether they do with less.
        first = "coupling" if method == "best" else method
        known[left] = _search(facts[left], epsilon, target, budgets[len(budgets) // 2], first, known[left])
    for _ in budgets:
        left = np.flatnonzero(known > 0)
        if not left.size:
            break
        less = np.where(np.isfinite(known[left]), known[left] * (1 - _ACCURACY), _LARGEST)
        some = facts[left].with_unlearn_noise(less)
        spare = np.array([_excess(build_bound(some, budget, method)[1], epsilon, target) for budget in budgets])
        best = np.argmin(spare, axis=0)
        better = np.min(spare, axis=0) <= 0
        if not better.any():
            break
        for choice in np.unique(best[better]).tolist():
            at = left[better & (best == choice)]
            known[at] = _search(facts[at], epsilon, target, budgets[choice], method, known[at])
    return known


def _excess(bound: Method, epsilon: float, target: float) -> Array:
    """What is promised less the target; of one direction alone where that fails everywhere."""
    forward = bound.forward(epsilon) - target
    return np.asarray(forward if np.all(forward > 0) else np.maximum(forward, bound.reverse(epsilon) - target))


def _search(facts: DeletionFacts, epsilon: float, target: float, delta_s: float, method: str, known: Array) -> Array:
    """The smallest certified noise for this delta_s, below `known` where that is finite; inf where there is none."""

    def excess(log_noise: Array) -> Array:
        return _excess(build_bound(facts.with_unlearn_noise(np.exp(log_noise)), delta_s, method)[1], epsilon, target)

    scale = np.maximum(np.maximum(facts.learn_noise, facts.step_size * facts.row_norm), 1e-12)
    high = np.log(np.where(np.isfinite(known), known * (1 - _ACCURACY), scale))
    failed = excess(high) > 0
    low = np.where(failed, high, -np.inf)
    hopeless = np.zeros(facts.shape, dtype=bool)
    while np.any(failed):
        low, high = np.where(failed, high, low), np.where(failed, high + math.log(4.0), high)
        hopeless |= failed & (high > math.log(_LARGEST))
        failed &= ~hopeless
        if np.any(failed):
            failed &= excess(np.where(failed, high, low)) > 0
    down = np.isneginf(low) & ~hopeless
    step = math.log(4.0)
    while np.any(down):
        lower = np.where(down, high - step, high)
        above = excess(lower) > 0
        low = np.where(down & above, lower, low)
        high = np.where(down & ~above, lower, high)
        down &= ~above & (high > math.log(_SMALLEST))
    low = np.where(np.isneginf(low) | hopeless, high, low)
    found = smallest(excess, low, high, relative=0.0, absolute=_ACCURACY)
    return np.where(hopeless, np.inf, np.exp(found))
