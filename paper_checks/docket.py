"""The training points of a data set before the court: exact and certified, point by point."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

import linear
from bounds.deletion import METHODS, certify_all_each, epsilon_each
from linear.datasets import Dataset
from linear.every_point import deletion_neighbourhoods

from .families.ridge import RidgeInstance

# The experiment's settings: T, K and noise as reported second-hand for the ridge experiments, step size 1/L.
LEARN_STEPS, UNLEARN_STEPS = 300, 30
NOISE = 1e-2
RIDGE = 1.0
DELTA, DELTA_S = 1e-5, 5e-6
# Each point is looked at around its own exact epsilon: there its divergence is neither trivial nor negligible.
SHARES_OF_EXACT = (0.5, 1.0, 1.25)


# The certificates that the claims hold against the truth point by point.
JUDGED = ("direction_aware", "coupling", "best")
_CHUNK = 125  # points certified together


@dataclass(frozen=True)
class Docket:
    """The training points on trial, all arrays in the order of `indices` (m,).

    exact (m,): epsilon at `delta`; certified[method] (m,): the epsilon it certifies there. epsilons (m, S): where each
    point is looked at, and known[name] (m, S): the natural logarithms found there, for "forward" and "reverse" exact
    and for "<method> forward", "<method> reverse" of the judged methods. leverage (m,).

    `instances`: every point, for claims whose promise is known already. `spread`: `few` of them over all leverages, for
    claims whose promise takes work for each.
    """

    name: str
    data: str
    problem: linear.RidgeProblem
    schedule: linear.Schedule
    delta: float
    delta_s: float
    indices: NDArray[np.int64]
    leverage: NDArray[np.float64]
    exact: NDArray[np.float64]
    certified: dict[str, NDArray[np.float64]]
    epsilons: NDArray[np.float64]
    known: dict[str, NDArray[np.float64]]
    few: int
    seconds: float

    @cached_property
    def instances(self) -> tuple[RidgeInstance, ...]:
        """Every point at each of its epsilons."""
        return tuple(self._instances(np.arange(len(self.indices))))

    @cached_property
    def spread(self) -> tuple[RidgeInstance, ...]:
        """A few points, hardest and easiest included, at each of their epsilons."""
        return tuple(self._instances(spread_over(self.leverage, self.few)))

    def _instances(self, positions: NDArray[np.int64]) -> Iterator[RidgeInstance]:
        for position in positions.tolist():
            shared: dict[object, object] = {}
            for place, epsilon in enumerate(self.epsilons[position].tolist()):
                instance = RidgeInstance(
                    self.problem, self.schedule, int(self.indices[position]), epsilon, self.delta_s, self.name
                )
                found = {name: float(values[position, place]) for name, values in self.known.items()}
                instance.recall(found, shared)
                yield instance

    def __getstate__(self) -> dict[str, object]:
        """What travels between processes: the arrays, from which each makes the instances it needs."""
        return {name: value for name, value in self.__dict__.items() if name not in ("instances", "spread")}

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


def spread_over(leverage: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Positions of `count` points evenly spread over the ranking by leverage, hardest and easiest included."""
    order = np.argsort(leverage)
    if count >= len(order):
        return np.arange(len(order))
    return np.sort(order[np.unique(np.linspace(0, len(order) - 1, count).round().astype(int))])


def _certify(
    problem: linear.RidgeProblem,
    schedule: linear.Schedule,
    chosen: NDArray[np.int64],
    epsilons: NDArray[np.float64],
) -> tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.float64]]]:
    """({method: epsilon at DELTA (k,)}, {"<method> forward" and "reverse": logarithms at epsilons (k, S)})."""
    each = certify_all_each(problem, schedule, chosen, delta_s=DELTA_S)
    certified = epsilon_each(each, DELTA)
    known = {}
    for method in JUDGED:
        columns = epsilons.T
        known[f"{method} forward"] = np.stack([each[method].log_forward(column) for column in columns], axis=1)
        known[f"{method} reverse"] = np.stack([each[method].log_reverse(column) for column in columns], axis=1)
    return certified, known


def build(
    dataset: Dataset,
    count: int,
    *,
    few: int = 210,
    jobs: int = 1,
    ridge: float = RIDGE,
    progress: Callable[[int, int], None] | None = None,
) -> Docket:
    """Examine `count` training points of `dataset` (all, if it has fewer): exact laws and every certificate.

    few: how many of them the claims try that need work for each. progress(done, total) is called after every chunk.
    Raises FloatingPointError for a point whose exact laws doubles do not resolve.
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
    leverage = problem.leverage()
    indices = spread_over(leverage, count)
    total = 2 * len(indices)  # every point once exact, once certified
    done = 0

    def finished(points: int) -> None:
        nonlocal done
        done += points
        if progress is not None:
            progress(done, total)

    exact = deletion_neighbourhoods(
        problem,
        schedule,
        DELTA,
        SHARES_OF_EXACT,
        indices,
        chunk=max(1, min(1000, -(-len(indices) // max(1, jobs)))),
        workers=jobs,
        progress=finished,
    )
    refused = indices[exact.rank < 0]
    if len(refused):
        raise FloatingPointError(f"training point {refused[0]}: its exact laws are not resolved in float64")
    chunks = np.array_split(np.arange(len(indices)), max(1, len(indices) // _CHUNK))
    work = (delayed(_certify)(problem, schedule, indices[part], exact.epsilons[part]) for part in chunks)
    parts = []
    for part, found in zip(chunks, Parallel(n_jobs=jobs, return_as="generator")(work), strict=True):
        parts.append(found)
        finished(len(part))
    certified = {method: np.concatenate([part[0][method] for part in parts]) for method in METHODS}
    known = {name: np.concatenate([part[1][name] for part in parts]) for name in parts[0][1]}
    return Docket(
        name=dataset.name,
        data=f"{dataset.name}: {dataset.description}",
        problem=problem,
        schedule=schedule,
        delta=DELTA,
        delta_s=DELTA_S,
        indices=indices,
        leverage=leverage[indices],
        exact=exact.epsilon,
        certified=certified,
        epsilons=exact.epsilons,
        known={"forward": exact.log_forward, "reverse": exact.log_reverse, **known},
        few=few,
        seconds=time.perf_counter() - started,
    )
