"""The search behind `falsify`: edge cases, random sampling, hypothesis targeting and local optimisation, in rounds.

A round is a list of independent tasks, each deterministic from (seed, round, position) and the best instances of the
rounds before; tasks may run in any process, and results are read in order. So for one seed and one number of rounds
the outcome is the same for any number of workers.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import hypothesis
import numpy as np
from joblib import Parallel, delayed
from scipy.optimize import minimize

from .families.base import Family
from .verdict import InvalidPromise, Truth, log_promise

Promise = Callable[[Any], Any]

# Instances per exploring task, tasks per round, starts polished per round, evaluations per polish.
_SAMPLES, _TASKS, _ELITE, _POLISH = 24, 4, 3, 150


@dataclass(frozen=True)
class Trial:
    """One instance tried: log promise, truth, and log(truth/promise) at the truth's lower end."""

    instance: Any
    log_promised: float
    truth: Truth

    @property
    def excess(self) -> float:
        if self.truth.lower == -math.inf:
            return -math.inf
        if self.log_promised == math.inf:
            # A promise of nothing is never too small, nor is it close to anything finite.
            return 0.0 if self.truth.lower == math.inf else -math.inf
        if self.log_promised == -math.inf:
            return math.inf
        return self.truth.lower - self.log_promised


class BrokenPromise(Exception):
    """The claim raised or returned no bound on an instance."""

    def __init__(self, instance: Any, what: str) -> None:
        super().__init__(what)
        self.instance = instance
        self.what = what

    def __reduce__(self) -> tuple[Any, ...]:
        return (BrokenPromise, (self.instance, self.what))


def try_instance(promise: Promise, family: Family, instance: Any) -> Trial | None:
    """Promise and truth on one instance; None where the truth cannot be had there.

    Raises BrokenPromise when the claim fails on it.
    """
    try:
        truth = family.truth(instance)
    except (FloatingPointError, OverflowError, np.linalg.LinAlgError):
        return None
    try:
        promised = log_promise(promise(instance))
    except InvalidPromise as error:
        raise BrokenPromise(instance, str(error)) from error
    except Exception as error:
        raise BrokenPromise(instance, f"raised {type(error).__name__}: {error}") from error
    return Trial(instance, promised, truth)


@dataclass
class Tally:
    """What a search has seen so far."""

    trials: int = 0
    refused: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    best: list[Trial] = field(default_factory=list)
    pairs: list[tuple[float, float]] = field(default_factory=list)

    def add(self, trial: Trial | None) -> None:
        if trial is None:
            self.refused += 1
            return
        self.trials += 1
        self.kinds[getattr(trial.instance, "kind", "instance")] += 1
        if math.isfinite(trial.log_promised) and math.isfinite(trial.truth.lower) and len(self.pairs) < 4000:
            self.pairs.append((trial.log_promised, trial.truth.lower))
        self.best.append(trial)
        self.best.sort(key=lambda entry: -entry.excess)
        del self.best[_ELITE:]

    @property
    def excess(self) -> float:
        return self.best[0].excess if self.best else -math.inf


def _explore(promise: Promise, family: Family, key: tuple[int, ...]) -> list[Trial | None]:
    rng = np.random.default_rng(key)
    return [try_instance(promise, family, family.sample(rng)) for _ in range(_SAMPLES)]


def _edges(promise: Promise, family: Family) -> list[Trial | None]:
    return [try_instance(promise, family, instance) for instance in family.edge_cases()]


def _target(promise: Promise, family: Family, key: tuple[int, ...]) -> list[Trial | None]:
    """Hypothesis draws from the family's strategy and climbs on log(truth/promise)."""
    seen: list[Trial | None] = []

    @hypothesis.seed(key[-1] + 7919 * key[0])
    @hypothesis.settings(
        max_examples=60,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate, hypothesis.Phase.target],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(family.strategy())
    def climb(instance: Any) -> None:
        trial = try_instance(promise, family, instance)
        seen.append(trial)
        if trial is not None and math.isfinite(trial.excess):
            hypothesis.target(trial.excess, label="log(truth/promise)")

    climb()
    return seen


def _polish(promise: Promise, family: Family, start: Trial) -> list[Trial | None]:
    """Nelder-Mead on log(truth/promise) over the instance's continuous parameters."""
    origin = family.coordinates(start.instance)
    if origin is None or len(origin) == 0 or not math.isfinite(start.excess):
        return []
    seen: list[Trial | None] = []

    def loss(point: np.ndarray) -> float:
        try:
            instance = family.with_coordinates(start.instance, point)
        except (ValueError, OverflowError):
            return 1e3
        trial = try_instance(promise, family, instance)
        seen.append(trial)
        if trial is None or trial.excess == -math.inf:
            return 1e3
        return -min(trial.excess, 1e3)

    minimize(loss, origin, method="Nelder-Mead", options={"maxfev": _POLISH, "initial_simplex": _simplex(origin)})
    return seen


def _simplex(origin: np.ndarray) -> np.ndarray:
    step = 0.3
    return np.vstack([origin, origin + step * np.eye(len(origin))])


def tasks_of_round(promise: Promise, family: Family, seed: int, number: int, tally: Tally) -> list[Any]:
    """The independent tasks of one round, as joblib calls, each returning a list of trials."""
    tasks: list[Any] = []
    if number == 0:
        tasks.append(delayed(_edges)(promise, family))
    else:
        tasks += [delayed(_polish)(promise, family, trial) for trial in tally.best]
        tasks.append(delayed(_target)(promise, family, (seed, number)))
    return tasks + [delayed(_explore)(promise, family, (seed, number, place)) for place in range(_TASKS)]


def run_tasks(tasks: list[Any], parallel: Parallel | None) -> Iterator[list[Trial | None]]:
    """Results in the order of the tasks, lazily when there is no pool."""
    if parallel is not None:
        yield from parallel(tasks)
        return
    for function, arguments, options in tasks:
        yield function(*arguments, **options)


@dataclass(frozen=True)
class Clock:
    """Stops a search after so many seconds or trials, whichever comes first."""

    seconds: float
    trials: int | None
    started: float

    @classmethod
    def start(cls, seconds: float, trials: int | None) -> Clock:
        return cls(seconds, trials, time.monotonic())

    def over(self, tally: Tally) -> bool:
        if self.trials is not None and tally.trials >= self.trials:
            return True
        return time.monotonic() - self.started >= self.seconds
