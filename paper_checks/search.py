"""The search behind `falsify`: edge cases, random sampling, hypothesis targeting, evolution and local climbing, in rounds.

A round is a list of independent tasks, each deterministic from (seed, round, position) and the best instances of the
rounds before; tasks may run in any process, on any machine, and results are read in order. So for one seed and one number
of trials the outcome is the same for any number of workers.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import hypothesis
import numpy as np
from joblib import Parallel, delayed
from scipy.optimize import minimize

from .evolution import climb
from .families.base import Family
from .verdict import InvalidPromise, Truth, log_promise

Promise = Callable[[Any], Any]

# Instances per exploring task, such tasks per round, best instances kept (one per shape), evaluations per climb.
_SAMPLES, _EXPLORERS, _ELITE, _LOCAL, _GLOBAL, _TARGETED = 24, 4, 4, 150, 300, 60
# Points kept for plots.
_PAIRS = 4000


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
            # A promise of nothing is never too small, nor is it close to anything.
            return -math.inf
        if self.log_promised == -math.inf:
            return math.inf
        return self.truth.lower - self.log_promised


@dataclass(frozen=True)
class Broken:
    """The claim raised, or returned no bound, on an instance."""

    instance: Any
    what: str


# None: the truth cannot be had on the instance, nothing is concluded from it.
Found = Trial | Broken | None


def try_instance(promise: Promise, family: Family, instance: Any) -> Found:
    """Promise and truth on one instance; warnings of the claim's arithmetic are not its result and stay silent."""
    try:
        truth = family.truth(instance)
    except (FloatingPointError, OverflowError, np.linalg.LinAlgError):
        return None
    try:
        with np.errstate(all="ignore"):
            promised = log_promise(promise(instance))
    except InvalidPromise as error:
        return Broken(instance, str(error))
    except Exception as error:
        return Broken(instance, f"raised {type(error).__name__}: {error}")
    return Trial(instance, promised, truth)


@dataclass
class Tally:
    """What a search has seen so far; `best` holds one trial per shape of instance, the closest first."""

    trials: int = 0
    refused: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    best: list[Trial] = field(default_factory=list)
    pairs: list[tuple[float, float]] = field(default_factory=list)

    def add(self, found: Trial | None, family: Family) -> None:
        if found is None:
            self.refused += 1
            return
        self.trials += 1
        self.kinds[getattr(found.instance, "kind", "instance")] += 1
        if math.isfinite(found.log_promised) and math.isfinite(found.truth.lower) and len(self.pairs) < _PAIRS:
            self.pairs.append((found.log_promised, found.truth.lower))
        if len(self.best) == _ELITE and found.excess <= self.best[-1].excess:
            return
        shape = _shape(family, found.instance)
        rival = next((k for k, entry in enumerate(self.best) if _shape(family, entry.instance) == shape), None)
        if rival is not None:
            if found.excess <= self.best[rival].excess:
                return
            del self.best[rival]
        self.best.append(found)
        self.best.sort(key=lambda entry: -entry.excess)
        del self.best[_ELITE:]

    @property
    def excess(self) -> float:
        return self.best[0].excess if self.best else -math.inf


def _shape(family: Family, instance: Any) -> tuple[int, int]:
    """How many continuous parameters and how many steps an instance has; those alike in this compete for one place."""
    coordinates = family.coordinates(instance)
    return 0 if coordinates is None else len(coordinates), getattr(instance, "steps", 0)


@dataclass(frozen=True)
class Clock:
    """Stops a search after so many seconds or trials, whichever comes first.

    The end is a time of day, so that tasks in other processes and on other machines know it too.
    """

    seconds: float
    trials: int | None
    started: float

    @classmethod
    def start(cls, seconds: float, trials: int | None) -> Clock:
        return cls(seconds, trials, time.time())

    @property
    def ends(self) -> float:
        return self.started + self.seconds

    @property
    def out_of_time(self) -> bool:
        return time.time() >= self.ends

    def over(self, tally: Tally) -> bool:
        return self.out_of_time or (self.trials is not None and tally.trials >= self.trials)


@dataclass
class _Probe:
    """Tries instances and remembers them, until the time is up or the claim is caught."""

    promise: Promise
    family: Family
    ends: float
    seen: list[Found] = field(default_factory=list)
    done: bool = False

    def __call__(self, instance: Any) -> float:
        """log(truth/promise) on the instance, -inf where that says nothing."""
        if self.done or time.time() >= self.ends:
            self.done = True
            return -math.inf
        found = try_instance(self.promise, self.family, instance)
        self.seen.append(found)
        if isinstance(found, Broken):
            self.done = True
            return -math.inf
        if found is None:
            return -math.inf
        self.done = found.excess > self.family.tolerance
        return found.excess

    def at(self, start: Any, point: np.ndarray) -> float:
        """The same at the instance like `start` with these coordinates."""
        try:
            return self(self.family.with_coordinates(start, point))
        except (ValueError, OverflowError):
            return -math.inf


class _Enough(Exception):
    """Leaves an optimiser that has no other way out."""


def _edges(promise: Promise, family: Family, ends: float) -> list[Found]:
    probe = _Probe(promise, family, ends)
    for instance in family.edge_cases():
        probe(instance)
    return probe.seen


def _explore(promise: Promise, family: Family, ends: float, key: tuple[int, ...]) -> list[Found]:
    rng, probe = np.random.default_rng(key), _Probe(promise, family, ends)
    for _ in range(_SAMPLES):
        if not probe.done:
            probe(family.sample(rng))
    return probe.seen


def _target(promise: Promise, family: Family, ends: float, key: tuple[int, ...]) -> list[Found]:
    """Hypothesis draws from the family's strategy and climbs on log(truth/promise)."""
    probe = _Probe(promise, family, ends)

    @hypothesis.seed(key[-1] + 7919 * key[0])
    @hypothesis.settings(
        max_examples=_TARGETED,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate, hypothesis.Phase.target],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(family.strategy())
    def draw(instance: Any) -> None:
        excess = probe(instance)
        if math.isfinite(excess):
            hypothesis.target(excess, label="log(truth/promise)")

    draw()
    return probe.seen


def _polish(promise: Promise, family: Family, ends: float, start: Trial) -> list[Found]:
    """Nelder-Mead on log(truth/promise) over the continuous parameters, from one of the best instances."""
    origin = family.coordinates(start.instance)
    if origin is None or len(origin) == 0 or not math.isfinite(start.excess):
        return []
    probe = _Probe(promise, family, ends)

    def loss(point: np.ndarray) -> float:
        excess = probe.at(start.instance, point)
        if probe.done:
            raise _Enough
        return 1e3 if excess == -math.inf else -excess

    simplex = np.vstack([origin, origin + 0.3 * np.eye(len(origin))])
    with suppress(_Enough):
        minimize(loss, origin, method="Nelder-Mead", options={"maxfev": _LOCAL, "initial_simplex": simplex})
    return probe.seen


def _evolve(promise: Promise, family: Family, ends: float, key: tuple[int, ...], start: Any) -> list[Found]:
    """Covariance-matrix adaptation on the same from far around `start`, or around a random instance where None."""
    rng, probe = np.random.default_rng(key), _Probe(promise, family, ends)
    if start is None:
        start = family.sample(rng)
    origin = family.coordinates(start)
    if origin is None or len(origin) == 0:
        return []
    search = climb(origin, 0.5, rng)
    point = next(search)
    for _ in range(_GLOBAL):
        excess = probe.at(start, point)
        if probe.done:
            break
        try:
            point = search.send(excess)
        except StopIteration:
            break
    return probe.seen


def tasks_of_round(
    promise: Promise, family: Family, clock: Clock, seed: int, number: int, tally: Tally
) -> list[Callable[[], list[Found]]]:
    """The independent tasks of one round, as joblib calls, each returning what it found in order."""
    common = (promise, family, clock.ends)
    tasks: list[Any] = []
    if number == 0:
        tasks.append(delayed(_edges)(*common))
    else:
        tasks += [delayed(_polish)(*common, trial) for trial in tally.best]
        # One climb from around the best of one shape, in turn, and one from anywhere.
        best = tally.best[number % len(tally.best)].instance if tally.best else None
        tasks += [delayed(_evolve)(*common, (seed, number, 100 + k), start) for k, start in enumerate((best, None))]
        tasks.append(delayed(_target)(*common, (seed, number)))
    return tasks + [delayed(_explore)(*common, (seed, number, place)) for place in range(_EXPLORERS)]


def run_tasks(tasks: list[Any], parallel: Parallel | None) -> Iterator[list[Found]]:
    """Results in the order of the tasks, lazily when there is no pool."""
    if parallel is not None:
        yield from parallel(tasks)
        return
    for function, arguments, options in tasks:
        yield function(*arguments, **options)
