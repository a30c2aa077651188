"""One deletion before every theory: the same problem, the same budget, the same sensitivities.

The chain learns `learn_steps` steps on all rows and unlearns by `unlearn_steps` steps without row `index`; the
reference takes all these steps without it. Gradients of ridge are unbounded, so theories that need a bounded gradient
get one that holds with high probability. Let the one-step differences e_k stay below s_k along the learning chain
outside an event of probability tail = delta_s e^-epsilon, and let X^ be the chain whose differences are clipped at
s_k. A theory then bounds the pair (X^, X'), in which every assumption on gradients is met surely, at delta - delta_s.
As X^ = X outside the event,

    P(X in S) <= P(X^ in S) + tail <= e^epsilon P(X' in S) + (delta - delta_s) + delta_s,
    P(X' in S) <= e^epsilon P(X^ in S) + delta - delta_s <= e^epsilon P(X in S) + (delta - delta_s) + e^epsilon tail,

so both directions hold at (epsilon, delta). No projection is needed, since nothing else asks for bounded weights. The
clipped step lies between the step on all rows and the one without (clipping a vector is the gradient of a convex
function of curvature at most 1), so while step_size * smoothness <= 1 it contracts as they do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

import linear
from bounds import gaussian_dp, sensitivity
from bounds.deletion.facts import DeletionFacts
from bounds.renyi_route import renyi_mu

Array = NDArray[np.float64]
_BLOCK = 512  # points whose residuals are held at a time


@dataclass(frozen=True)
class Budget:
    """What every theory has to promise, and the part of delta it may spend on the sensitivity event."""

    epsilon: float
    delta: float
    delta_s: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.epsilon) and self.epsilon > 0):
            raise ValueError(f"epsilon = {self.epsilon!r}: must be positive and finite")
        if not 0 < self.delta < 1:
            raise ValueError(f"delta = {self.delta!r}: must lie strictly between 0 and 1")
        if not 0 < self.delta_s < self.delta:
            raise ValueError(f"delta_s = {self.delta_s!r}: must lie strictly between 0 and delta = {self.delta!r}")

    @property
    def log_tail(self) -> float:
        """log(delta_s e^-epsilon)."""
        return math.log(self.delta_s) - self.epsilon

    @property
    def left(self) -> float:
        """delta - delta_s, rounded down."""
        return math.nextafter(self.delta - self.delta_s, 0.0)

    @cached_property
    def mu(self) -> float:
        """The largest Gaussian-DP parameter within the budget."""
        return float(gaussian_dp.mu(self.epsilon, self.left))

    @cached_property
    def renyi_slope(self) -> float:
        """The largest k such that Rényi divergences of at most k * order, at every order, are within the budget."""
        return renyi_mu(epsilon=self.epsilon, delta=self.left) ** 2 / 2 * (1 - 1e-15)


@dataclass(frozen=True)
class Uniform:
    """What uniform theories know: the largest gradient of any row, and the curvature that holds without any row."""

    gradient: float
    strong_convexity: float
    smoothness: float
    contraction: float


@dataclass(frozen=True, eq=False)
class Case:
    """One deletion: `sensitivity` (T,) bounds its own one-step differences, `uniform` those of every row."""

    index: int
    problem: linear.RidgeProblem
    schedule: linear.Schedule
    facts: DeletionFacts
    sensitivity: Array
    uniform: Uniform
    budget: Budget

    @property
    def step_size(self) -> float:
        return self.schedule.step_size

    def at(self, noise: float, steps: int) -> DeletionFacts:
        """The facts with another unlearning noise and number of unlearning steps, without powers of every step."""
        facts = self.facts
        changed = replace(facts, unlearn_noise=noise, unlearn_steps=steps)
        for name in ("powers", "learn_variance", "mean_gap"):
            changed.__dict__[name] = getattr(facts, name)
        squares = facts.factors**2
        with np.errstate(divide="ignore"):
            lost = -np.expm1(steps * np.log(squares))
        gain = np.divide(lost, 1 - squares, out=np.full(squares.shape, float(steps)), where=squares < 1)
        changed.__dict__["unlearn_variance"] = gain if steps else np.zeros_like(squares)
        changed.__dict__["decay"] = facts.factors**steps
        return changed


def merged(contraction: float, noise: float, steps: int) -> tuple[float, float]:
    """Factor and noise of one step that stands for `steps` equal ones: c^K and noise sqrt(1 + c^2 + ... + c^(2K-2)).

    Exact for Gaussians, and for what theories do with steps that have no sensitivity: the log-Sobolev rates
    log(C_(k+1) / (c^2 C_k)) telescope, and the distances of shifted interpolation are monotone there. The factor is
    rounded up and the noise down.
    """
    if steps == 0:
        return 1.0, 0.0
    if contraction >= 1:
        return contraction**steps, noise * math.sqrt(steps) * (1 - 1e-12)
    log_factor = steps * math.log(contraction)
    gain = -math.expm1(2 * log_factor) / ((1 - contraction) * (1 + contraction))
    return min(math.exp(log_factor) * (1 + 1e-12), 1.0), noise * math.sqrt(gain) * (1 - 1e-12)


def reduced(problem: linear.RidgeProblem, index: int) -> linear.RidgeProblem:
    """The same problem with row `index` first and the others replaced by as few rows as features and outputs.

    Gradients know the other rows only through X'X and X'Y, so through the triangular factor of (X, Y).
    """
    x, y = problem.features[index], problem.targets[index]
    rows = np.delete(np.hstack([problem.features, problem.targets]), index, axis=0)
    if len(rows) > rows.shape[1]:
        rows = np.asarray(np.linalg.qr(rows, mode="r"))
    features, targets = rows[:, : problem.n_features], rows[:, problem.n_features :]
    return linear.RidgeProblem(
        np.vstack([x, features]), np.vstack([y, targets]), ridge=problem.ridge, initial=problem.initial
    )


def uniform_facts(problem: linear.RidgeProblem, schedule: linear.Schedule, budget: Budget) -> Uniform:
    """The largest per-step gradient bound of any row, each exceeded with probability at most delta_s e^-epsilon.

    Only rows whose quantile can be the largest are computed: it lies between |mean| and |mean| + central radius.
    """
    if not (schedule.learn_steps > 0 and schedule.learn_noise > 0):
        raise ValueError(
            f"learn_steps = {schedule.learn_steps}, learn_noise = {schedule.learn_noise!r}: "
            "both must be positive for the theories to be compared"
        )
    if schedule.step_size * problem.smoothness > 1 + 1e-12:
        raise ValueError(
            f"step_size = {schedule.step_size!r}: must be at most 1 / smoothness = {1 / problem.smoothness!r}"
        )
    norms = np.linalg.norm(problem.features, axis=1)
    events = max(schedule.learn_steps - 1, 1)
    radius = sensitivity.central_radius(problem.n_outputs, log_tail=budget.log_tail - math.log(events))
    found: list[tuple[Array, Array, Array]] = []
    floor = 0.0
    for start in range(0, problem.n_points, _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, problem.n_points))
        means, variances = linear.residual_moments(problem, schedule, rows)
        lengths = np.linalg.norm(means, axis=2)
        floor = max(floor, float((norms[rows, None] * lengths).max()))
        highest = norms[rows] * (lengths + np.sqrt(variances) * float(radius)).max(axis=1)
        chosen = highest >= floor
        found.append((norms[rows][chosen], lengths[chosen], variances[chosen]))
    largest = 0.0
    for row_norms, lengths, variances in found:
        reach = row_norms * (lengths + np.sqrt(variances) * float(radius)).max(axis=1, initial=0.0)
        chosen = reach >= floor
        if chosen.any():
            largest = max(
                largest,
                float(
                    _sensitivity(schedule, row_norms[chosen], lengths[chosen], variances[chosen], problem, budget).max()
                ),
            )
    gradient = largest / schedule.step_size * (1 + 1e-15)
    contraction = max(1 - schedule.step_size * problem.ridge, 0.0) + 4e-16
    return Uniform(gradient, problem.ridge, problem.smoothness, min(contraction, 1.0))


def _sensitivity(
    schedule: linear.Schedule,
    norms: Array,
    lengths: Array,
    variances: Array,
    problem: linear.RidgeProblem,
    budget: Budget,
) -> Array:
    return sensitivity.sensitivities(
        step_size=schedule.step_size,
        row_norm=norms,
        mean_norms=lengths,
        variances=variances,
        dof=problem.n_outputs,
        log_delta_s=budget.log_tail,
    )


def build(
    problem: linear.RidgeProblem, schedule: linear.Schedule, index: int, *, budget: Budget, uniform: Uniform
) -> Case:
    """Gather what the theories need to know of deleting row `index`."""
    small = reduced(problem, index)
    facts = DeletionFacts.of(small, schedule, 0)
    own = _sensitivity(
        schedule, np.array(facts.row_norm), facts.learned.norms, facts.learned.variances, problem, budget
    )
    return Case(index, small, schedule, facts, own, uniform, budget)
