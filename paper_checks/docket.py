"""The training points of a data set before the court: exact and certified, point by point."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

import linear
from bounds.deletion import METHODS, certify_each
from linear.datasets import Dataset

from .families.ridge import RidgeInstance

# The experiment's settings: T, K and noise as reported second-hand for the ridge experiments, step size 1/L.
LEARN_STEPS, UNLEARN_STEPS = 300, 30
NOISE = 1e-2
RIDGE = 1.0
DELTA, DELTA_S = 1e-5, 5e-6
# Each point is looked at around its own exact epsilon: there its divergence is neither trivial nor negligible.
SHARES_OF_EXACT = (0.5, 1.0, 1.25)


@dataclass(frozen=True)
class Docket:
    """Chosen training points: `exact` (m,) epsilon at `delta`; `certified[method]` (m,); instances for the claims."""

    data: str
    problem: linear.RidgeProblem
    schedule: linear.Schedule
    delta: float
    delta_s: float
    indices: NDArray[np.int64]
    exact: NDArray[np.float64]
    certified: dict[str, NDArray[np.float64]]
    instances: tuple[RidgeInstance, ...]
    seconds: float

    def ratios(self) -> dict[str, tuple[float, float, float]]:
        """Per method the smallest, median and largest certified/exact epsilon, over points whose exact one is not 0."""
        table: dict[str, tuple[float, float, float]] = {}
        positive = self.exact > 0
        if not positive.any():
            return table
        for method, values in self.certified.items():
            ratio = values[positive] / self.exact[positive]
            table[method] = (float(ratio.min()), float(np.median(ratio)), float(ratio.max()))
        return table


def spread_indices(problem: linear.RidgeProblem, count: int) -> NDArray[np.int64]:
    """`count` training points evenly spread over the ranking by leverage, hardest and easiest included."""
    order = np.argsort(problem.leverage())
    if count >= len(order):
        return np.arange(len(order))
    return np.sort(order[np.unique(np.linspace(0, len(order) - 1, count).round().astype(int))])


# The certificates that the claims hold against the truth point by point.
_JUDGED = ("direction_aware", "coupling", "best")


def _examine(
    problem: linear.RidgeProblem, schedule: linear.Schedule, index: int, delta: float, delta_s: float
) -> tuple[float, dict[str, float], list[tuple[float, dict[str, float]]]]:
    """(exact epsilon, certified epsilon by method, [(epsilon, what is known there)])."""
    pair = linear.deletion_pair(problem, schedule, index)
    exact = float(pair.epsilon(delta))
    each = certify_each(problem, schedule, index, delta_s=delta_s)
    certified = {method: certificate.epsilon(delta) for method, certificate in each.items()}
    epsilons = exact * np.array(SHARES_OF_EXACT)
    forward = pair.log_hockey_stick(epsilons)
    reverse = pair.log_hockey_stick(epsilons, reverse=True)
    known = []
    for place, epsilon in enumerate(epsilons.tolist()):
        found = {"forward": float(forward[place]), "reverse": float(reverse[place])}
        for method in _JUDGED:
            found[f"{method} forward"] = each[method].log_forward(epsilon)
            found[f"{method} reverse"] = each[method].log_reverse(epsilon)
        known.append((epsilon, found))
    return exact, certified, known


def _examine_chunk(
    problem: linear.RidgeProblem, schedule: linear.Schedule, chunk: list[int], delta: float, delta_s: float
) -> list[tuple[float, dict[str, float], list[tuple[float, dict[str, float]]]]]:
    return [_examine(problem, schedule, index, delta, delta_s) for index in chunk]


def build(
    dataset: Dataset,
    count: int,
    *,
    jobs: int = 1,
    ridge: float = RIDGE,
    progress: Callable[[int, int], None] | None = None,
) -> Docket:
    """Examine `count` training points of `dataset` (all, if it has fewer): exact laws and every certificate.

    progress(done, total) is called after every chunk of points.
    """
    started = time.perf_counter()
    problem = linear.RidgeProblem(dataset.train_features, dataset.train_targets, ridge=ridge)
    schedule = linear.Schedule(
        step_size=1 / problem.smoothness,
        learn_steps=LEARN_STEPS,
        unlearn_steps=UNLEARN_STEPS,
        learn_noise=NOISE,
        unlearn_noise=NOISE,
    )
    indices = spread_indices(problem, count)
    chunks = [[int(i) for i in part] for part in np.array_split(indices, max(1, len(indices) // 8))]
    rows = []
    work = (delayed(_examine_chunk)(problem, schedule, chunk, DELTA, DELTA_S) for chunk in chunks)
    for done in Parallel(n_jobs=jobs, return_as="generator")(work):
        rows += done
        if progress is not None:
            progress(len(rows), len(indices))
    instances = []
    for index, (_, _, known) in zip(indices, rows, strict=True):
        shared: dict[str, object] = {}
        for epsilon, found in known:
            instance = RidgeInstance(problem, schedule, int(index), epsilon, DELTA_S, dataset.name)
            instance.recall(found, shared)
            instances.append(instance)
    return Docket(
        data=f"{dataset.name}: {dataset.description}",
        problem=problem,
        schedule=schedule,
        delta=DELTA,
        delta_s=DELTA_S,
        indices=indices,
        exact=np.array([row[0] for row in rows]),
        certified={method: np.array([row[1][method] for row in rows]) for method in METHODS},
        instances=tuple(instances),
        seconds=time.perf_counter() - started,
    )
