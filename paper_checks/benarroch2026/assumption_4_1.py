"""Assumption 4.1 for ridge: with a step at most 1/L both maps contract by 1 - eta lambda."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

import linear

from ..claim import Claim, Mutant
from ..court import Court
from ..families.ridge import RidgeInstance, instances
from ..legs import Comparison
from ..verdict import Truth


def small_steps(court: Court, rng: np.random.Generator) -> Iterator[RidgeInstance]:
    """Ridge instances; the family draws step sizes of at most 1/L of the full problem."""
    for instance in instances(60 * court.effort, rng):
        if instance.schedule.step_size * instance.problem.smoothness <= 1:
            yield instance


def longer_steps(court: Court, rng: np.random.Generator) -> Iterator[RidgeInstance]:
    """The same problems with steps between 1/L and 2/L."""
    for instance in small_steps(court, rng):
        factor = rng.uniform(1.2, 2.0) / (instance.schedule.step_size * instance.problem.smoothness)
        schedule = _scaled(instance, factor)
        yield RidgeInstance(instance.problem, schedule, instance.index, 1.0, 0.1, "step beyond 1/L")


def _scaled(instance: RidgeInstance, factor: float) -> linear.Schedule:
    return replace(instance.schedule, step_size=instance.schedule.step_size * factor)


def largest_factor(instance: RidgeInstance) -> Truth:
    """Spectral norm of the two affine maps' linear parts, by singular values of the dense matrices."""
    problem, eta = instance.problem, instance.schedule.step_size
    full = problem.features.T @ problem.features + problem.ridge * np.eye(problem.n_features)
    without = np.delete(problem.features, instance.index, axis=0)
    reduced = without.T @ without + problem.ridge * np.eye(problem.n_features)
    identity = np.eye(problem.n_features)
    norms = [np.linalg.norm(identity - eta * hessian, 2) for hessian in (full, reduced)]
    return Truth.of(float(max(norms)), 1e-13)


def promised(form: Callable[[RidgeInstance], float]) -> Callable[[RidgeInstance], float]:
    return lambda instance: max(0.0, 1 - instance.schedule.step_size * form(instance))


def _strong_convexity_of_all(instance: RidgeInstance) -> float:
    return float(instance.problem.eigenvalues[0])


CLAIMS = (
    Claim(
        id="benarroch2026.assumption_4_1",
        source="Benarroch, Atif, Cappe 2026, Assumption 4.1, instantiated for ridge",
        statement=(
            "If eta <= 1/L then W -> W - eta grad F and its version without the row both contract by "
            "c = 1 - eta lambda < 1."
        ),
        provenance="derived",
        against="the spectral norms of both dense maps",
        promise=promised(lambda instance: instance.problem.ridge),
        legs=(Comparison(instances=small_steps, truth=largest_factor, relation="tight"),),
        expected="survived",
        why="Attained where the remaining rows leave a direction free.",
        mutants=(
            Mutant(name="lost factor 2 (2 lambda)", promise=promised(lambda instance: 2 * instance.problem.ridge)),
            Mutant(name="L for lambda", promise=promised(lambda instance: instance.problem.smoothness)),
            Mutant(name="strong convexity of all rows for the rest's", promise=promised(_strong_convexity_of_all)),
            Mutant(
                name="steps up to 2/L",
                leg=Comparison(instances=longer_steps, truth=largest_factor, relation="tight"),
            ),
        ),
    ),
)
