"""Instances for several deletions from small ridge problems, exact in both directions, with their refinements."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

import linear
from bounds.deletion import Certificate, certify_requests_each
from linear.enclosure import enclose_requests

from ..court import Court
from ..families.contractive import rounder_numbers
from ..verdict import Truth

Direction = Literal["forward", "reverse"]
Groups = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, eq=False)
class RequestInstance:
    """Requests to one ridge problem: `.requests` (groups of rows, in order), `.noises` (one per request)."""

    problem: linear.RidgeProblem
    schedule: linear.Schedule
    requests: Groups
    noises: tuple[float, ...]
    epsilon: float
    delta_s: float
    kind: str = "random"
    _known: dict[str, float] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def pair(self) -> linear.GaussianPair:
        """Exact laws: unlearned, reference that saw none of the rows."""
        return linear.sequential_deletion_pair(
            self.problem, self.schedule, self.requests, unlearn_noise=np.array(self.noises)
        )

    def log_hockey_stick(self, direction: Direction) -> float:
        """Exact natural log of the hockey-stick at epsilon; computed once."""
        if direction not in self._known:
            self._known[direction] = float(self.pair.log_hockey_stick(self.epsilon, reverse=direction == "reverse"))
        return self._known[direction]

    @cached_property
    def certificates(self) -> dict[str, Certificate]:
        """Every method's certificate of the whole history."""
        return certify_requests_each(
            self.problem, self.schedule, self.requests, delta_s=self.delta_s, unlearn_noise=np.array(self.noises)
        )

    @cached_property
    def alone(self) -> list[dict[str, Certificate]]:
        """The certificates of each request as if it were the only one."""
        return [
            certify_requests_each(
                self.problem, self.schedule, [group], delta_s=self.delta_s, unlearn_noise=np.array([noise])
            )
            for group, noise in zip(self.requests, self.noises, strict=True)
        ]

    def __getstate__(self) -> dict[str, Any]:
        made = ("pair", "certificates", "alone")
        return {name: value for name, value in self.__dict__.items() if name not in made}

    def __str__(self) -> str:
        s, problem = self.schedule, self.problem
        where = f"n={problem.n_points}, p={problem.n_features}, C={problem.n_outputs}"
        if problem.n_points * problem.n_features <= 6 and problem.n_outputs == 1:
            rows = ", ".join(
                f"({', '.join(f'{value:.6g}' for value in (*x, *y))})"
                for x, y in zip(problem.features, problem.targets, strict=True)
            )
            where = f"D={{{rows}}}"
        asked = ", then ".join("{" + ", ".join(map(str, group)) + "}" for group in self.requests)
        noises = ", ".join(f"{noise:.6g}" for noise in self.noises)
        return (
            f"{where}, delete {asked}, ridge {problem.ridge:.6g}, eta {s.step_size:.6g}, T={s.learn_steps}, "
            f"K={s.unlearn_steps}, noise {s.learn_noise:.6g}, then {noises}, epsilon {self.epsilon:.6g}, "
            f"delta_s {self.delta_s:.3g}"
        )


def _of_log(value: float) -> Truth:
    return Truth(value, value) if value == -math.inf else Truth.of_log(value, max(1e-9, 1e-11 * abs(value)))


def truth(instance: RequestInstance) -> Truth:
    """The larger exact hockey-stick of the two directions."""
    return _of_log(max(instance.log_hockey_stick("forward"), instance.log_hockey_stick("reverse")))


def forward_truth(instance: RequestInstance) -> Truth:
    """That of the unlearned law from the reference."""
    return _of_log(instance.log_hockey_stick("forward"))


def certify(instance: RequestInstance) -> Truth:
    """The certified interval of the larger one, from the step-by-step recursion in balls."""
    return _enclosed(instance, (False, True))


def certify_forward(instance: RequestInstance) -> Truth:
    return _enclosed(instance, (False,))


def _enclosed(instance: RequestInstance, directions: tuple[bool, ...]) -> Truth:
    found = [
        enclose_requests(
            instance.problem,
            instance.schedule,
            instance.requests,
            instance.epsilon,
            unlearn_noise=np.array(instance.noises),
            reverse=reverse,
        )
        for reverse in directions
    ]
    return Truth(max(lower for lower, _ in found), max(upper for _, upper in found))


def scalar(
    rows: list[tuple[float, float]],
    requests: Groups,
    *,
    learn: tuple[int, float] = (1, 0.0),
    unlearn: tuple[int, tuple[float, ...]] = (1, (1.0,)),
    ridge: float = 1e-3,
    step_size: float = 0.25,
    epsilon: float = 1.0,
    delta_s: float = 1e-6,
    kind: str = "two copies",
) -> RequestInstance:
    """A problem with one feature and one output, given by its rows (x, y)."""
    data = np.array(rows, dtype=float)
    schedule = linear.Schedule(
        step_size=step_size,
        learn_steps=learn[0],
        unlearn_steps=unlearn[0],
        learn_noise=learn[1],
        unlearn_noise=unlearn[1][0],
    )
    problem = linear.RidgeProblem(data[:, :1], data[:, 1], ridge=ridge)
    return RequestInstance(problem, schedule, requests, unlearn[1], epsilon, delta_s, kind)


def edge_cases() -> Iterator[RequestInstance]:
    """Two copies of a row, learned without noise (exact certificates); rows that outweigh all others; few steps."""
    copies = [(1.0, 4.0), (1.0, 4.0)]
    together: Groups = ((0, 1),)
    in_turn: Groups = ((0,), (1,))
    yield scalar(copies, together)
    yield scalar(copies, in_turn, unlearn=(1, (1.0, 1.0)))
    yield scalar(copies, in_turn, unlearn=(2, (1.0, 1.0)), step_size=0.05)
    yield scalar(copies, in_turn, unlearn=(1, (1.0, 0.5)), epsilon=3.0)
    yield scalar([(1.0, 4.0), (1.0, -4.0)], in_turn, unlearn=(1, (1.0, 1.0)), kind="rows that cancel")
    heavy = [(1.0, 20.0), (1.0, 18.0)]
    for requests, noises in ((together, (0.01,)), (in_turn, (0.5, 0.01))):
        yield scalar(
            heavy, requests, learn=(2, 1.0), unlearn=(1, noises), step_size=0.4, epsilon=100.0, kind="leverage one"
        )
    tiny = [(1.0, 20.0), (0.001, 0.0)]
    for noise, epsilon in ((0.1, 100.0), (0.01, 30.0)):
        yield scalar(
            tiny,
            together,
            learn=(3, 1.0),
            unlearn=(1, (noise,)),
            step_size=0.3,
            epsilon=epsilon,
            kind="leverage one",
        )
    three = linear.RidgeProblem(np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]), np.array([1.0, 2.0, -1.0]), ridge=0.5)
    schedule = linear.Schedule(step_size=0.2, learn_steps=3, unlearn_steps=2, learn_noise=0.1, unlearn_noise=0.2)
    for requests in (((0, 2),), ((1,), (0,)), ((0,), (1,), (2,))):
        yield RequestInstance(three, schedule, requests, (0.2,) * len(requests), 1.0, 1e-2, "three rows")


def sample(rng: np.random.Generator) -> RequestInstance:
    """A random small problem with one to three requests of one or two rows each; noises span decades."""
    n, p, outputs = int(rng.integers(2, 6)), int(rng.integers(1, 4)), int(rng.integers(1, 3))
    features = rng.standard_normal((n, p)) * np.exp(rng.standard_normal((n, 1)))
    targets = rng.standard_normal((n, outputs)) * math.exp(rng.uniform(-1, 2))
    problem = linear.RidgeProblem(features, targets, ridge=float(np.exp(rng.uniform(-6, 1))))
    deleted = [int(row) for row in rng.permutation(n)[: int(rng.integers(2, min(n, 4) + 1))]]
    cuts = sorted({0, len(deleted), *(int(cut) for cut in rng.integers(0, len(deleted) + 1, 2))})
    requests = tuple(tuple(deleted[a:b]) for a, b in itertools.pairwise(cuts))
    schedule = linear.Schedule(
        step_size=float(rng.uniform(0.05, 1.0) / problem.smoothness),
        learn_steps=int(rng.integers(1, 6)),
        unlearn_steps=int(rng.integers(1, 4)),
        learn_noise=float(rng.choice([0.0, np.exp(rng.uniform(-3, 1))])),
        unlearn_noise=1.0,
    )
    noises = tuple(float(noise) for noise in np.exp(rng.uniform(-3, 1, len(requests))))
    epsilon = float(rng.choice([0.1, 0.5, 1.0, 2.0, 5.0, 30.0]))
    return RequestInstance(problem, schedule, requests, noises, epsilon, float(10.0 ** -rng.integers(1, 8)))


def instances(court: Court, rng: np.random.Generator) -> Iterator[RequestInstance]:
    """The corners, then random small problems on which the exact divergence can be had in float64."""
    yield from edge_cases()
    made = 0
    while made < 25 * court.effort:
        instance = sample(rng)
        if _known(instance):
            made += 1
            yield instance


def _known(instance: RequestInstance) -> bool:
    """Whether float64 resolves the exact divergences."""
    try:
        instance.log_hockey_stick("forward")
        instance.log_hockey_stick("reverse")
    except FloatingPointError:
        return False
    return True


def batches(court: Court, rng: np.random.Generator) -> Iterator[RequestInstance]:
    """Pairs of rows deleted together."""
    for instance in instances(court, rng):
        rows = [row for group in instance.requests for row in group][:2]
        pair = replace(instance, requests=(tuple(rows),), noises=instance.noises[:1])
        if len(rows) == 2 and _known(pair):
            yield pair


def simplify(instance: RequestInstance) -> Iterator[RequestInstance]:
    """Fewer rows, features, outputs, steps; then one number rounder."""
    problem, schedule = instance.problem, instance.schedule
    features, targets = problem.features, problem.targets
    named = {row for group in instance.requests for row in group}

    def rebuilt(x: NDArray[np.float64], y: NDArray[np.float64], ridge: float) -> RequestInstance:
        return replace(instance, problem=linear.RidgeProblem(x, y, ridge=ridge))

    def dropping(row: int, requests: Groups, noises: tuple[float, ...]) -> RequestInstance:
        moved = tuple(tuple(one - (one > row) for one in group) for group in requests)
        smaller = linear.RidgeProblem(np.delete(features, row, 0), np.delete(targets, row, 0), ridge=problem.ridge)
        return replace(instance, problem=smaller, requests=moved, noises=noises)

    for row in range(problem.n_points):
        if row not in named:
            yield dropping(row, instance.requests, instance.noises)
    for place, group in enumerate(instance.requests):
        if len(instance.requests) > 1 and len(group) == 1:
            rest = instance.requests[:place] + instance.requests[place + 1 :]
            yield dropping(group[0], rest, instance.noises[:place] + instance.noises[place + 1 :])
    if problem.n_features > 1:
        for column in range(problem.n_features):
            yield rebuilt(np.delete(features, column, 1), targets, problem.ridge)
    if problem.n_outputs > 1:
        for column in range(problem.n_outputs):
            yield rebuilt(features, np.delete(targets, column, 1), problem.ridge)
    for name in ("learn_steps", "unlearn_steps"):
        if getattr(schedule, name) > 1:
            yield replace(instance, schedule=replace(schedule, **{name: getattr(schedule, name) - 1}))
    for name in ("step_size", "learn_noise"):
        for value in rounder_numbers(getattr(schedule, name)):
            if (value > 0 or name == "learn_noise") and (name != "step_size" or value * problem.smoothness <= 1):
                yield replace(instance, schedule=replace(schedule, **{name: value}))  # type: ignore[arg-type]
    for place, noise in enumerate(instance.noises):
        for value in rounder_numbers(noise):
            if value > 0:
                noises = (*instance.noises[:place], value, *instance.noises[place + 1 :])
                yield replace(instance, noises=noises)
    for value in rounder_numbers(problem.ridge):
        if value > 0:
            yield rebuilt(features, targets, value)
    for value in rounder_numbers(instance.epsilon):
        if value > 0:
            yield replace(instance, epsilon=value)
    for array, first in ((features, True), (targets, False)):
        for position in np.ndindex(array.shape):
            for value in rounder_numbers(float(array[position])):
                changed = array.copy()
                changed[position] = value
                yield rebuilt(changed if first else features, targets if first else changed, problem.ridge)
