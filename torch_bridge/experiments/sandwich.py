"""`unlearncheck deep sandwich`: epsilon of single points of a network from below (audit) and from above (adapted shifts).

For every point and algorithm, runs with and without the point are coupled: same batches (all rows), same noise. The
upper bound is the path theorem of `bounds.adapted`, at a stated confidence, with the plan that was cheapest on pilot
runs that are not used again; the lower bound is the auditor's, from the ends of runs that do not share noise. Learning
steps use all rows, unlearning steps all but the point. Nothing is assumed of the network. The resolution of the upper
bound is about log(1 / (1 - confidence)) divided by half the runs: below that delta it is vacuous, and says so (inf).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bounds import adapted
from bounds.adapted_plans import (
    Accumulated,
    AtTheEnd,
    Contracting,
    Forecasting,
    Linearised,
    Plan,
    Spread,
    accumulate,
)
from linear.audit import epsilon_lower_bound
from torch_bridge.experiments.problem import Problem, problem_of
from torch_bridge.experiments.store import Arrays, Store, Tick
from torch_bridge.gradients import clipped_sum, gradient_norms

Array = NDArray[np.float64]
Map = Callable[[int, Array], Array]
ALGORITHMS = ("sgld", "clipped")
PLANS = ("spread", "contracting", "forecasting", "at_the_end", "linearised")
_NUDGE = 1e-2  # of a parameter, for the derivative of a step by differences in single precision


@dataclass(frozen=True)
class Settings:
    """Of one experiment; the step is step_size times the mean gradient over the rows, plus penalty times the weights."""

    data: str = "digits"
    net: str = "mlp"
    hidden: int = 6
    rows: int = 200
    test_rows: int = 200
    seeds: int = 3
    learn_steps: int = 40
    unlearn_steps: int = 10
    step_size: float = 0.5
    penalty: float = 0.01
    noise: float = 0.02
    clip: float = 1.0
    runs: int = 1000
    pilots: int = 60
    delta: float = 0.05
    confidence: float = 0.99
    device: str = "cpu"


SCALES = {
    "smoke": Settings(hidden=3, rows=60, seeds=1, learn_steps=8, unlearn_steps=3, runs=200, pilots=20, delta=0.4),
    "cpu": Settings(),
    "paper": Settings(hidden=32, rows=1500, seeds=20, learn_steps=200, unlearn_steps=20, runs=20_000, delta=0.005),
}  # `seeds` counts the points, spread over the norms of their gradients at the start


def run(settings: Settings, data_dir: str | None, store: Store) -> tuple[dict[str, Any], Arrays]:
    """One stage per algorithm and point: (numbers, arrays)."""
    problem = problem_of(settings, data_dir)
    points, found = chosen_points(problem, settings), []
    for algorithm in ALGORITHMS:
        for index in points:

            def compute(tick: Tick, index: int = index, algorithm: str = algorithm) -> Arrays:
                return one_point(problem, settings, algorithm, index, tick)

            found.append(store.stage(f"{algorithm}_{index}", compute))
    arrays = {name: np.array([part[name] for part in found]) for name in found[0]}
    names = [(algorithm, index) for algorithm in ALGORITHMS for index in points]
    rows: list[dict[str, Any]] = [
        {
            "algorithm": algorithm,
            "index": int(index),
            "lower": float(part["lower"]),
            "upper": float(part["upper"]),
            "upper_truncated_forward": float(part["truncated"]),
            "plan": PLANS[int(np.argmin(part["pilot_budgets"]))],
            "root_mean_budget": float(np.sqrt(part["budgets"].mean())),
            "pilot_root_mean_budget": dict(zip(PLANS, np.sqrt(part["pilot_budgets"]).tolist(), strict=True)),
            "seconds": float(part["spent"]),
        }
        for (algorithm, index), part in zip(names, found, strict=True)
    ]
    resolution = -math.log1p(-0.5 - 0.5 * settings.confidence) / (settings.runs // 2)
    numbers = {
        "problem": problem.description,
        "delta": settings.delta,
        "confidence": settings.confidence,
        "resolution": resolution,
        "vacuous": sum(not math.isfinite(row["upper"]) for row in rows),
        "points": rows,
    }
    return numbers, arrays


def chosen_points(problem: Problem, settings: Settings) -> list[int]:
    """`seeds` points spread over the gradient norms at the initial network."""
    start = problem.network.initial(0)[None]
    norms = gradient_norms(problem.network, start, problem.train)[0].cpu().numpy()
    order = np.argsort(norms)
    places = np.linspace(0, len(order) - 1, settings.seeds + 2).astype(int)[1:-1]
    return [int(order[place]) for place in places]


def maps(problem: Problem, settings: Settings, algorithm: str, index: int) -> tuple[Map, Map]:
    """(phi_k, phi'_k) on states (runs, d)."""
    network, train = problem.network, problem.train
    total = len(train.inputs)

    def step(states: Array, without: bool) -> Array:
        vectors = torch.as_tensor(states, dtype=torch.float32, device=settings.device)
        weights = torch.ones(len(vectors), total, device=settings.device)
        if without:
            weights[:, index] = 0.0
        if algorithm == "clipped":
            gradients = clipped_sum(network, vectors, train, weights, settings.clip)
        else:
            gradients = network.gradients(vectors, train, weights)
        move = gradients.detach().cpu().numpy().astype(np.float64) / total
        moved: Array = states - settings.step_size * (move + settings.penalty * states)
        return moved

    def reference(k: int, states: Array) -> Array:
        return step(states, True)

    def base(k: int, states: Array) -> Array:
        return step(states, k >= settings.learn_steps)

    return base, reference


def noiseless(base: Map, reference: Map, initial: Array, steps: int) -> tuple[Array, Array]:
    """Both loops without noise, each (steps + 1, d)."""
    x, y = [initial[None]], [initial[None]]
    for k in range(steps):
        x.append(base(k, x[-1]))
        y.append(reference(k, y[-1]))
    return np.concatenate(x), np.concatenate(y)


def linearised(base: Map, reference: Map, initial: Array, settings: Settings) -> Linearised:
    """The linear plan around the noiseless loops, with the derivatives of both steps at the end of learning."""
    paths = noiseless(base, reference, initial, settings.learn_steps + settings.unlearn_steps)
    nudges = _NUDGE * np.eye(len(initial))
    centre = paths[0][settings.learn_steps][None]
    slopes = []
    for step in (base, reference):
        slope = (step(0, centre + nudges) - step(0, centre - nudges)) / (2 * _NUDGE)
        slopes.append(0.5 * (slope + slope.T))
    std = np.full(settings.learn_steps + settings.unlearn_steps, settings.noise)
    return Linearised(paths[0], paths[1], slopes[0], slopes[1], std, settings.learn_steps)


def plan_named(name: str, settings: Settings, base: Map, reference: Map, initial: Array) -> Plan:
    """A plan by its name; the penalty's shrinking is taken for the factor of a step."""
    if name == "linearised":
        return linearised(base, reference, initial, settings)
    factor = 1 - settings.step_size * settings.penalty
    plans: dict[str, Plan] = {
        "spread": Spread(),
        "contracting": Contracting(factor),
        "forecasting": Forecasting(factor, settings.learn_steps),
        "at_the_end": AtTheEnd(factor, settings.learn_steps),
    }
    return plans[name]


def one_point(problem: Problem, settings: Settings, algorithm: str, index: int, tick: Tick) -> Arrays:
    """Pilots for the plan, runs in both directions, bounds."""
    started = time.monotonic()
    base, reference = maps(problem, settings, algorithm, index)
    std = np.full(settings.learn_steps + settings.unlearn_steps, settings.noise)
    initial = problem.network.initial(0).detach().cpu().numpy().astype(np.float64)
    seeds = np.random.SeedSequence([17, index, ALGORITHMS.index(algorithm)]).spawn(len(PLANS) + 2)

    def start(runs: int) -> Array:
        return np.tile(initial, (runs, 1))

    pilots = []
    for seed, name in zip(seeds, PLANS, strict=False):
        plan = plan_named(name, settings, base, reference, initial)
        tried = accumulate(base, reference, std, start(settings.pilots), plan, np.random.default_rng(seed))
        pilots.append(float(tried.budgets.mean()))
        tick(len(pilots), len(PLANS) + 2)
    plan = plan_named(PLANS[int(np.argmin(pilots))], settings, base, reference, initial)
    forward = accumulate(base, reference, std, start(settings.runs), plan, np.random.default_rng(seeds[-2]))
    tick(len(PLANS) + 1, len(PLANS) + 2)
    backward = accumulate(
        base, reference, std, start(settings.runs), plan, np.random.default_rng(seeds[-1]), under="reference"
    )
    tick(len(PLANS) + 2, len(PLANS) + 2)
    upper = max(_upper(forward.log_ratios, settings), _upper(-backward.log_ratios, settings))
    half = settings.runs // 2
    truncated = adapted.truncated_certificate(
        forward.budgets[:half], forward.budgets[half:], delta=settings.delta, confidence=settings.confidence
    )
    return {
        "lower": np.array(_lower(base, reference, initial, forward, backward, settings)),
        "upper": np.array(upper),
        "truncated": np.array(truncated.epsilon(settings.delta)),
        "pilot_budgets": np.array(pilots),
        "budgets": forward.budgets,
        "forward_log_ratios": forward.log_ratios,
        "backward_log_ratios": backward.log_ratios,
        "spent": np.array(time.monotonic() - started),
    }


def _upper(ratios: Array, settings: Settings) -> float:
    half = len(ratios) // 2
    share = 0.5 + 0.5 * settings.confidence  # each direction at half of what may fail
    return adapted.path_epsilon(ratios[:half], ratios[half:], delta=settings.delta, confidence=share)


def _lower(
    base: Map, reference: Map, initial: Array, forward: Accumulated, backward: Accumulated, settings: Settings
) -> float:
    """The auditor's epsilon, along the direction in which the two loops differ without noise.

    Runs under the reference law end where X' does, and share no noise with the others.
    """
    x, y = noiseless(base, reference, initial, settings.learn_steps + settings.unlearn_steps)
    direction = x[-1] - y[-1]
    p, q = forward.ends @ direction, backward.ends @ direction
    share = 0.5 + 0.5 * settings.confidence
    first = epsilon_lower_bound(p, q, settings.delta, share).epsilon
    return max(first, epsilon_lower_bound(-q, -p, settings.delta, share).epsilon)


def summary(numbers: dict[str, Any]) -> list[str]:
    """What to print at the end."""
    lines = [
        numbers["problem"],
        f"epsilon at delta {numbers['delta']:g}, each bound at confidence {numbers['confidence']:g}; resolution of the "
        f"upper bound {numbers['resolution']:.2g}; vacuous for {numbers['vacuous']} of {len(numbers['points'])}",
    ]
    for row in numbers["points"]:
        lines.append(
            f"  {row['algorithm']:8} point {row['index']:5}: {row['lower']:.3g} to {row['upper']:.3g}, plan "
            f"{row['plan']}, root mean budget {row['root_mean_budget']:.3g}, {row['seconds']:.0f} s"
        )
    return lines
