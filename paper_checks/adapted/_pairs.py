"""Ridge deletions as pairs of affine chains, and the law of a plan's shifts from its response to single noises.

For affine chains and a plan that is affine in the states, the shifts are an affine function of the noise: running the
plan along the zero noise and along every unit noise says everything, and uses none of the plan's recursions.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bounds.adapted_linear import AffinePair
from bounds.adapted_plans import Past, Plan, Step

from ..court import Court
from ..families import ridge
from ..families.ridge import RidgeInstance

Array = NDArray[np.float64]


def affine(instance: RidgeInstance) -> AffinePair:
    """The chains of the learn-unlearn run (base) and of the reference, from the data."""
    if "affine" not in instance.shared:
        problem, schedule = instance.problem, instance.schedule
        rest, eye = problem.without(instance.index), np.eye(problem.n_features)
        full = (eye - schedule.step_size * problem.hessian, schedule.step_size * problem.cross)
        less = (eye - schedule.step_size * rest.hessian, schedule.step_size * rest.cross)
        steps = [full] * schedule.learn_steps + [less] * schedule.unlearn_steps
        instance.shared["affine"] = AffinePair(
            base_maps=np.stack([step[0] for step in steps]),
            base_offsets=np.stack([step[1] for step in steps]),
            reference_maps=np.stack([less[0]] * len(steps)),
            reference_offsets=np.stack([less[1]] * len(steps)),
            noise_std=schedule.noise_std,
            start=problem.initial,
        )
    found: AffinePair = instance.shared["affine"]
    return found


def noisy(court: Court, rng: np.random.Generator, count: int) -> Iterator[RidgeInstance]:
    """The corners and random small problems, with noise in both phases."""
    for instance in ridge.instances(count * court.effort, rng):
        if instance.schedule.learn_noise > 0 and instance.schedule.unlearn_noise > 0:
            yield instance


def shifts_by_noise(pair: AffinePair, plan: Plan) -> tuple[Array, Array]:
    """w / sig of all steps as mean (N d, C) + response (N d, N d) @ noise (N d, C); the last shift closes the gap."""
    steps, (d, columns) = len(pair.noise_std), pair.start.shape
    runs = 1 + steps * d
    x = np.tile(pair.start, (runs, 1, 1))
    y = x.copy()
    shifts = np.empty((steps, runs, d, columns))
    for k, std in enumerate(pair.noise_std):
        noise = np.zeros((runs, d, columns))
        for i in range(d):
            noise[1 + k * d + i, i] = 1.0
        x_next, y_next = pair.base(k, x), pair.reference(k, y)
        if k == steps - 1:
            shift = x_next - y_next
        else:
            shift = plan.shift(Step(k, pair.noise_std, x, y, x_next, y_next, pair.reference, Past([noise] * k)))
        shifts[k] = shift / std
        x, y = x_next + std * noise, y_next + shift + std * noise
    mean = shifts[:, 0].reshape(steps * d, columns)
    # every unit noise moves all columns alike, each by its own
    response = (shifts[:, 1:, :, 0] - shifts[:, :1, :, 0]).transpose(0, 2, 1).reshape(steps * d, steps * d)
    return mean, response


def expected_budget(pair: AffinePair, plan: Plan) -> float:
    """E[B], from the responses."""
    mean, response = shifts_by_noise(pair, plan)
    return float(np.sum(mean**2) + mean.shape[1] * np.sum(response**2))
