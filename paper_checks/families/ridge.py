"""Ridge regression under Langevin dynamics: the deletion of one point, exact in both directions.

An instance holds a problem, a schedule, the index of the deleted point, epsilon and delta_s. The truth is the exact
hockey-stick divergence between the learn-unlearn law and the reference law, two Gaussians; two-sided promises are
held against the larger direction. Bounds are closest to the truth at leverage near one, few steps and large
epsilon; there readings break. Error of the float truth: 1e-9 in the logarithm (1e-11 relative in deep tails);
refutations are certified in ball arithmetic from the step-by-step recursion of both laws.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from hypothesis import strategies
from numpy.typing import NDArray

import linear
from bounds.deletion import Certificate, certify_each
from linear.enclosure import enclose_deletion

from ..verdict import Truth
from .base import Family, register
from .contractive import rounder_numbers, usual

Direction = Literal["forward", "reverse", "both"]


@dataclass(frozen=True, eq=False)
class RidgeInstance:
    """One deletion: `.problem`, `.schedule`, `.index`, `.epsilon`, `.delta_s`."""

    problem: linear.RidgeProblem
    schedule: linear.Schedule
    index: int
    epsilon: float
    delta_s: float
    kind: str = "random"
    _known: dict[str, float] = field(default_factory=dict, init=False, repr=False)
    # What does not depend on epsilon; shared by the instances that look at one deletion from several epsilons.
    _shared: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def pair(self) -> linear.GaussianPair:
        """Exact laws (unlearned, reference)."""
        return linear.deletion_pair(self.problem, self.schedule, self.index)

    def log_hockey_stick(self, direction: Literal["forward", "reverse"]) -> float:
        """Exact natural log of the hockey-stick at epsilon; computed once."""
        if direction not in self._known:
            self._known[direction] = float(self.pair.log_hockey_stick(self.epsilon, reverse=direction == "reverse"))
        return self._known[direction]

    def recall(self, known: dict[str, float], shared: dict[Any, Any]) -> None:
        """Take over what was computed elsewhere: numbers at this epsilon, and what other epsilons share."""
        self._known.update(known)
        object.__setattr__(self, "_shared", shared)

    def __getstate__(self) -> dict[str, Any]:
        """What travels between processes: the instance and the numbers known of it, not the objects made on the way."""
        made = ("pair", "certificates", "_shared")
        return {name: value for name, value in self.__dict__.items() if name not in made} | {"_shared": {}}

    @property
    def shared(self) -> dict[Any, Any]:
        """A memory for what does not depend on epsilon."""
        return self._shared

    @cached_property
    def certificates(self) -> dict[str, Certificate]:
        """Every method's certificate of this deletion."""
        return certify_each(self.problem, self.schedule, self.index, delta_s=self.delta_s)

    def certified(self, method: str, direction: Literal["forward", "reverse"]) -> float:
        """The log delta a method certifies in one direction at epsilon; computed once."""
        key = f"{method} {direction}"
        if key not in self._known:
            certificate = self.certificates[method]
            side = certificate.log_forward if direction == "forward" else certificate.log_reverse
            self._known[key] = side(self.epsilon)
        return self._known[key]

    def __str__(self) -> str:
        s, problem = self.schedule, self.problem
        where = f"point {self.index} of n={problem.n_points}, p={problem.n_features}, C={problem.n_outputs}"
        if problem.n_points * problem.n_features <= 6 and problem.n_outputs == 1:
            rows = ", ".join(
                f"({', '.join(f'{value:.6g}' for value in (*x, *y))})"
                for x, y in zip(problem.features, problem.targets, strict=True)
            )
            where = f"D={{{rows}}}, point {self.index}"
        return (
            f"{where}, ridge {problem.ridge:.6g}, eta {s.step_size:.6g}, T={s.learn_steps}, K={s.unlearn_steps}, "
            f"noise {s.learn_noise:.6g}/{s.unlearn_noise:.6g}, epsilon {self.epsilon:.6g}, delta_s {self.delta_s:.3g}"
        )


def _log_truth(value: float) -> Truth:
    if value == -math.inf:
        return Truth(-math.inf, -math.inf)
    return Truth.of_log(value, max(1e-9, 1e-11 * abs(value)))


def truth(direction: Direction) -> _TruthOf:
    """The exact hockey-stick in one direction, or the larger of both."""
    return _TruthOf(direction)


@dataclass(frozen=True)
class _TruthOf:
    direction: Direction

    def __call__(self, instance: RidgeInstance) -> Truth:
        if self.direction != "both":
            return _log_truth(instance.log_hockey_stick(self.direction))
        return _log_truth(max(instance.log_hockey_stick("forward"), instance.log_hockey_stick("reverse")))


@dataclass(frozen=True)
class certify:
    """The certified interval of the same number (step-by-step recursion and contour integral in balls)."""

    direction: Direction

    def __call__(self, instance: RidgeInstance) -> Truth:
        sides = [False, True] if self.direction == "both" else [self.direction == "reverse"]
        found = [
            enclose_deletion(instance.problem, instance.schedule, instance.index, instance.epsilon, reverse=reverse)
            for reverse in sides
        ]
        return Truth(max(lower for lower, _ in found), max(upper for _, upper in found))


def scalar(
    rows: list[tuple[float, float]],
    *,
    ridge: float,
    step_size: float,
    learn_steps: int,
    unlearn_steps: int,
    learn_noise: float,
    unlearn_noise: float,
    epsilon: float,
    delta_s: float,
    index: int = 0,
    kind: str = "scalar",
) -> RidgeInstance:
    """A problem with one feature and one output, given by its rows (x, y)."""
    data = np.array(rows, dtype=float)
    problem = linear.RidgeProblem(data[:, :1], data[:, 1], ridge=ridge)
    schedule = linear.Schedule(
        step_size=step_size,
        learn_steps=learn_steps,
        unlearn_steps=unlearn_steps,
        learn_noise=learn_noise,
        unlearn_noise=unlearn_noise,
    )
    return RidgeInstance(problem, schedule, index, epsilon, delta_s, kind)


def edge_cases() -> list[RidgeInstance]:
    """The corners where readings break: leverage near one, large epsilon, few steps."""
    lone = [
        scalar(
            [(1.0, 20.0)],
            ridge=1e-3,
            step_size=0.6,
            learn_steps=2,
            unlearn_steps=1,
            learn_noise=1.0,
            unlearn_noise=0.01,
            epsilon=100.0,
            delta_s=1e-6,
            kind="leverage one",
        ),
        scalar(
            [(1.0, 12.0)],
            ridge=1e-3,
            step_size=0.3,
            learn_steps=2,
            unlearn_steps=1,
            learn_noise=1.0,
            unlearn_noise=0.5,
            epsilon=12.0,
            delta_s=2e-3,
            kind="leverage one",
        ),
        scalar(
            [(1.0, 1.0)],
            ridge=1.0,
            step_size=0.4,
            learn_steps=2,
            unlearn_steps=1,
            learn_noise=1.0,
            unlearn_noise=1.0,
            epsilon=4.0,
            delta_s=0.1,
            kind="leverage one",
        ),
        scalar(
            [(1.0, 1.0), (1.0, -1.0)],
            ridge=0.5,
            step_size=0.2,
            learn_steps=1,
            unlearn_steps=1,
            learn_noise=0.1,
            unlearn_noise=0.2,
            epsilon=1.0,
            delta_s=1e-3,
            kind="one learning step",
        ),
    ]
    lone.append(
        scalar(
            [(1.0, 0.0)],
            ridge=1e-3,
            step_size=0.5,
            learn_steps=2,
            unlearn_steps=1,
            learn_noise=1.0,
            unlearn_noise=0.5,
            epsilon=2.0,
            delta_s=1e-3,
            kind="no mean gap",
        )
    )
    three = linear.RidgeProblem(np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]), np.array([1.0, 2.0, -1.0]), ridge=0.5)
    schedule = linear.Schedule(step_size=0.2, learn_steps=3, unlearn_steps=2, learn_noise=0.1, unlearn_noise=0.2)
    return [
        *lone,
        *(RidgeInstance(three, schedule, index, 1.0, 1e-2, "three rows") for index in range(3)),
    ]


def sample(rng: np.random.Generator, *, lone: float = 0.3, largest: int = 4) -> RidgeInstance:
    """A random small problem; a `lone` share has leverage near one, noises and epsilons span decades."""
    p, outputs = int(rng.integers(1, largest)), int(rng.integers(1, 3))
    alone = rng.random() < lone
    n = 1 if alone else int(rng.integers(1, 6))
    features = rng.standard_normal((n, p)) * np.exp(rng.standard_normal((n, 1)))
    targets = rng.standard_normal((n, outputs)) * math.exp(rng.uniform(-1, 3))
    problem = linear.RidgeProblem(features, targets, ridge=float(np.exp(rng.uniform(-6, 1))))
    schedule = linear.Schedule(
        step_size=float(rng.uniform(0.05, 1.0) / problem.smoothness),
        learn_steps=int(rng.integers(1, 7)),
        unlearn_steps=int(rng.integers(1, 5)),
        learn_noise=float(np.exp(rng.uniform(-3, 1))),
        unlearn_noise=float(np.exp(rng.uniform(-4, 1))),
    )
    epsilon = float(rng.choice([0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 100.0]))
    delta_s = float(10.0 ** -rng.integers(1, 8))
    kind = "leverage one" if alone else "random"
    return RidgeInstance(problem, schedule, int(rng.integers(n)), epsilon, delta_s, kind)


def noiseless_learning() -> list[RidgeInstance]:
    """One feature, no learning noise: shifts in the unlearning phase are exact up to delta_s."""
    return [
        scalar(
            [(1.0, 2.0)],
            ridge=1.0,
            step_size=0.25,
            learn_steps=learn,
            unlearn_steps=unlearn,
            learn_noise=0.0,
            unlearn_noise=1.0,
            epsilon=epsilon,
            delta_s=1e-12,
            kind="noiseless learning",
        )
        for learn, unlearn, epsilon in ((1, 1, 0.5), (3, 2, 1.0), (2, 4, 3.0))
    ]


def sample_noiseless(rng: np.random.Generator) -> RidgeInstance:
    """A random problem of one feature, learned without noise; the unlearning noise is about as large as the gap."""
    n = int(rng.integers(1, 4))
    rows = [(float(x), float(y)) for x, y in rng.standard_normal((n, 2)) * np.exp(rng.standard_normal((n, 2)))]
    ridge = float(np.exp(rng.uniform(-3, 1)))
    curvature = sum(x * x for x, _ in rows) + ridge
    start = scalar(
        rows,
        ridge=ridge,
        step_size=float(rng.uniform(0.05, 1.0) / curvature),
        learn_steps=int(rng.integers(1, 5)),
        unlearn_steps=int(rng.integers(1, 5)),
        learn_noise=0.0,
        unlearn_noise=1.0,
        epsilon=float(rng.choice([0.1, 0.5, 1.0, 3.0])),
        delta_s=1e-12,
        kind="noiseless learning",
    )
    # At unit noise the divergence at epsilon 0 tells how far apart the laws are: 2 Phi(mu/2) - 1.
    mu = 2 * NormalDist().inv_cdf(min(0.5 + 0.5 * float(start.pair.delta(0.0)), 1 - 1e-12))
    noise = max(mu, 1e-6) * float(np.exp(0.7 * rng.standard_normal()))
    return replace(start, schedule=start.schedule.with_unlearn_noise(noise))


def instances(count: int, rng: np.random.Generator) -> Iterator[RidgeInstance]:
    """The corners, then `count` random small problems on which the exact divergence can be had in float64."""
    yield from edge_cases()
    made = 0
    while made < count:
        instance = sample(rng)
        try:
            instance.log_hockey_stick("forward")
            instance.log_hockey_stick("reverse")
        except FloatingPointError:
            continue
        made += 1
        yield instance


def simplify(instance: RidgeInstance) -> Iterator[RidgeInstance]:
    """Simpler deletions: fewer rows, features, outputs, steps; then one number rounder."""
    problem, schedule = instance.problem, instance.schedule
    features, targets = problem.features, problem.targets

    def rebuilt(x: NDArray[np.float64], y: NDArray[np.float64], ridge: float, index: int) -> RidgeInstance:
        return replace(instance, problem=linear.RidgeProblem(x, y, ridge=ridge), index=index)

    for row in range(problem.n_points):
        if row != instance.index:
            shifted = instance.index - (row < instance.index)
            yield rebuilt(np.delete(features, row, 0), np.delete(targets, row, 0), problem.ridge, shifted)
    if problem.n_features > 1:
        for column in range(problem.n_features):
            yield rebuilt(np.delete(features, column, 1), targets, problem.ridge, instance.index)
    if problem.n_outputs > 1:
        for column in range(problem.n_outputs):
            yield rebuilt(features, np.delete(targets, column, 1), problem.ridge, instance.index)
    for name, least in (("learn_steps", 1), ("unlearn_steps", 1)):
        if getattr(schedule, name) > least:
            yield replace(instance, schedule=replace(schedule, **{name: getattr(schedule, name) - 1}))
    for name in ("step_size", "learn_noise", "unlearn_noise"):
        for value in rounder_numbers(getattr(schedule, name)):
            if value > 0:
                yield replace(instance, schedule=replace(schedule, **{name: value}))  # type: ignore[arg-type]
    for value in rounder_numbers(problem.ridge):
        if value > 0:
            yield rebuilt(features, targets, value, instance.index)
    for name in ("epsilon", "delta_s"):
        for value in rounder_numbers(getattr(instance, name)):
            if value > 0 and (name == "epsilon" or value < 1):
                yield replace(instance, **{name: value})  # type: ignore[arg-type]
    for array, other, first in ((features, targets, True), (targets, features, False)):
        for position in np.ndindex(array.shape):
            for value in rounder_numbers(float(array[position])):
                changed = array.copy()
                changed[position] = value
                x, y = (changed, other) if first else (other, changed)
                yield rebuilt(x, y, problem.ridge, instance.index)


_COUNTS = [strategies.integers(1, most) for most in (3, 2, 6, 4, 12)]
_NUMBER = strategies.one_of(strategies.integers(-5, 5).map(float), strategies.floats(-20, 20)).map(usual)
# Rows (x, y) of a data set, by how many features and outputs there are.
_ROWS = {
    (p, outputs): strategies.lists(strategies.tuples(*[_NUMBER] * (p + outputs)), min_size=1, max_size=4)
    for p in (1, 2, 3)
    for outputs in (1, 2)
}
_SCALE = strategies.one_of(strategies.sampled_from([1.0, 0.5, 0.1]), strategies.floats(0.01, 5.0))
_NO_NOISE_OR_SOME = strategies.one_of(strategies.just(0.0), _SCALE)
_STEP = strategies.floats(0.05, 1.0)
_EPSILON = strategies.one_of(strategies.sampled_from([1.0, 0.1, 10.0]), strategies.floats(0.0, 100.0).map(usual))


@strategies.composite
def deletions(draw: strategies.DrawFn) -> RidgeInstance:
    """Deletions from problems of up to four rows, three features and two outputs, few steps; learning may be noiseless."""
    p, outputs, learn_steps, unlearn_steps, digits = (draw(count) for count in _COUNTS)
    rows = np.array(draw(_ROWS[p, outputs]))
    problem = linear.RidgeProblem(rows[:, :p], rows[:, p:], ridge=draw(_SCALE))
    schedule = linear.Schedule(
        step_size=draw(_STEP) / problem.smoothness,
        learn_steps=learn_steps,
        unlearn_steps=unlearn_steps,
        learn_noise=draw(_NO_NOISE_OR_SOME),
        unlearn_noise=draw(_SCALE),
    )
    index = draw(strategies.integers(0, len(rows) - 1))
    return RidgeInstance(problem, schedule, index, draw(_EPSILON), 10.0**-digits, "drawn")


class Ridge(Family):
    """One deletion from a small ridge problem trained by Langevin dynamics.

    Instance: `problem` (linear.RidgeProblem), `schedule` (linear.Schedule), `index`, `epsilon`, `delta_s`.
    The claim returns the delta promised at `epsilon` in both directions; `delta_s` is what it may spend on rare events.
    Truth: the larger exact hockey-stick of the two Gaussian laws. Error: 1e-9 in the logarithm (1e-11 of it in deep tails);
    a refutation is enclosed in balls from the step-by-step recursion of both laws.
    Tight: learning without noise in one feature, where shifts in the unlearning phase are exact up to `delta_s`. Readings
    break at the corners, which are tried first: leverage near one, large epsilon, few steps.
    """

    name = "ridge"
    holds = "problem (linear.RidgeProblem), schedule (linear.Schedule), index, epsilon, delta_s"
    returns = "the delta promised at that epsilon, in both directions"
    truth_is = "the exact hockey-stick of two Gaussian laws, larger direction; 1e-9 in the log, certified by balls"
    tight_on = "noiseless learning with one feature (shifts in unlearning are exact)"
    tolerance = 2e-9

    def edge_cases(self) -> list[RidgeInstance]:
        return [*noiseless_learning(), *edge_cases()]

    def sample(self, rng: np.random.Generator) -> RidgeInstance:
        return sample_noiseless(rng) if rng.random() < 0.2 else sample(rng)

    def truth(self, instance: RidgeInstance) -> Truth:
        return _TruthOf("both")(instance)

    def certify(self, instance: RidgeInstance) -> Truth:
        return certify("both")(instance)

    def simplify(self, instance: RidgeInstance) -> Iterator[RidgeInstance]:
        return simplify(instance)

    def coordinates(self, instance: RidgeInstance) -> NDArray[np.float64]:
        s, problem = instance.schedule, instance.problem
        scales = [problem.ridge, s.step_size * problem.smoothness, s.learn_noise, s.unlearn_noise, instance.epsilon]
        return np.concatenate([np.log(np.maximum(scales, 1e-9)), problem.features.ravel(), problem.targets.ravel()])

    def with_coordinates(self, instance: RidgeInstance, coordinates: NDArray[np.float64]) -> RidgeInstance:
        shape, outputs = instance.problem.features.shape, instance.problem.targets.shape
        ridge, step, learn, unlearn, epsilon = np.exp(np.clip(coordinates[:5], -16, 16))
        cut = 5 + shape[0] * shape[1]
        entries = np.clip(usual(coordinates[5:]), -1e6, 1e6)
        problem = linear.RidgeProblem(
            entries[: cut - 5].reshape(shape), entries[cut - 5 :].reshape(outputs), ridge=ridge
        )
        schedule = replace(
            instance.schedule,
            step_size=min(step, 1.0) / problem.smoothness,
            learn_noise=learn if instance.schedule.learn_noise > 0 else 0.0,
            unlearn_noise=unlearn,
        )
        return RidgeInstance(problem, schedule, instance.index, epsilon, instance.delta_s, "local search")

    def strategy(self) -> strategies.SearchStrategy[RidgeInstance]:
        return deletions()


register(Ridge())
