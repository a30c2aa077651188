"""The chain itself, step by step, knowing none of the closed forms."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from linear import _checks
from linear._deletion import Requests, noise_of_requests
from linear.ridge import RidgeProblem
from linear.schedule import Schedule

Array = NDArray[np.float64]
Phase = tuple[Array, Array, int, float]  # features, targets, steps, noise
_BLOCK_ENTRIES = 1 << 22  # doubles in the largest temporary array: 32 MB


def simulate(
    problem: RidgeProblem, schedule: Schedule, index: int, runs: int, rng: np.random.Generator | int
) -> tuple[Array, Array]:
    """Independent samples of the unlearned and of the reference parameters, each (runs, p, C).

    Unlearned: `learn_steps` noisy gradient steps on all rows, then `unlearn_steps` without row `index`. Reference:
    every step without the row. All noise is independent. `rng` is a Generator or a seed; the samples depend on nothing
    else.
    """
    index = _checks.position("index", index, problem.n_points)
    return simulate_requests(problem, schedule, [index], runs, rng)


def simulate_requests(
    problem: RidgeProblem,
    schedule: Schedule,
    requests: Requests,
    runs: int,
    rng: np.random.Generator | int,
    *,
    unlearn_noise: ArrayLike | None = None,
) -> tuple[Array, Array]:
    """The same for several rows, deleted together or one request after another: see `linear.requests`."""
    groups = _checks.requests("requests", requests, problem.n_points)
    noises = noise_of_requests(schedule, len(groups), unlearn_noise)
    runs = _checks.integer("runs", runs, minimum=1)
    if not isinstance(rng, np.random.Generator):
        rng = np.random.default_rng(_checks.integer("rng", rng, minimum=0))
    left = np.ones(problem.n_points, dtype=bool)
    phases = [(problem.features, problem.targets, schedule.learn_steps, schedule.learn_noise)]
    for group, noise in zip(groups, noises, strict=True):
        left[list(group)] = False
        phases.append((problem.features[left], problem.targets[left], schedule.unlearn_steps, float(noise)))
    remaining = phases[-1][:2]
    unlearned = _chains(problem, schedule.step_size, phases, runs, rng)
    reference = _chains(problem, schedule.step_size, [(*remaining, *phase[2:]) for phase in phases], runs, rng)
    return unlearned, reference


def _chains(problem: RidgeProblem, step_size: float, phases: list[Phase], runs: int, rng: np.random.Generator) -> Array:
    """`runs` final parameters, (runs, p, C)."""
    p, outputs = problem.n_features, problem.n_outputs
    samples = np.empty((runs, p, outputs))
    block = max(1, _BLOCK_ENTRIES // (max(problem.n_points, p) * outputs))
    for start in range(0, runs, block):
        width = min(block, runs - start)
        weights = np.tile(problem.initial, (1, width))  # the runs side by side, (p, width * C)
        for features, targets, steps, noise in phases:
            wanted = np.tile(targets, (1, width))
            for _ in range(steps):
                gradient = features.T @ (features @ weights - wanted) + problem.ridge * weights
                weights = weights - step_size * gradient + noise * rng.standard_normal(weights.shape)
        samples[start : start + width] = weights.reshape(p, width, outputs).transpose(1, 0, 2)
    return samples
