"""Convex models: the statistical certificate of adapted shifts against other theories and the auditor's lower bound.

    python -m paper_checks.adapted_convex --data digits --model logistic --points 3 --out result.json

For each point: the upper bounds on epsilon at `--delta` from one coupled set of runs in each direction (the path theorem
and the truncated one), at confidence 0.99 each; the hull and shifts in unlearning only, from the sure bound on the row's
gradient; uniform Langevin unlearning (one bound for all rows); and the auditor's lower bound, at confidence 0.99, from
the ends of independent runs. The certificates' resolution is about log(100)/runs: delta must be larger than that.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import linear
from bounds import adapted, gaussian_dp, interpolation, langevin_unlearning, lsi_decay
from bounds.adapted_plans import Accumulated, Forecasting, Linearised, Plan, Spread, accumulate
from bounds.deletion.theories.renyi import common_rate, temperature
from linear.audit import epsilon_lower_bound
from linear.convex import ConvexProblem, deletion_maps
from linear.datasets import load

from .terminal import console, plain_table, progress_bar

Array = NDArray[np.float64]
CONFIDENCE = 0.99


@dataclass(frozen=True)
class Setting:
    """One experiment."""

    data: str
    model: str
    rows: int
    components: int
    learn_steps: int
    unlearn_steps: int
    noise: float
    penalty: float
    runs: int
    delta: float
    seed: int


def problem_of(setting: Setting, data_dir: str | None) -> ConvexProblem:
    """The first rows in principal components; two classes are the labels below 5 and the others."""
    data = load(setting.data, data_dir)
    features, labels = data.train_features[: setting.rows], data.train_labels[: setting.rows]
    if setting.components < features.shape[1]:
        centred = features - features.mean(axis=0)
        _, _, directions = np.linalg.svd(centred, full_matrices=False)
        features = centred @ directions[: setting.components].T
    if setting.model == "logistic":
        return ConvexProblem(features, np.where(labels < 5, 1.0, -1.0)[:, None], setting.penalty, "logistic")
    if setting.model == "softmax":
        return ConvexProblem(features, (labels[:, None] == np.unique(labels)) * 1.0, setting.penalty, "softmax")
    return ConvexProblem(features, labels[:, None] / 9.0, setting.penalty, "huber", width=0.2)


def schedule_of(setting: Setting, problem: ConvexProblem) -> linear.Schedule:
    """Step 1/L, one noise level for both phases."""
    return linear.Schedule(
        step_size=1 / problem.smoothness,
        learn_steps=setting.learn_steps,
        unlearn_steps=setting.unlearn_steps,
        learn_noise=setting.noise,
        unlearn_noise=setting.noise,
    )


def linearised(problem: ConvexProblem, schedule: linear.Schedule, index: int) -> Linearised:
    """The linear plan around the loops without noise, with the Hessians at the end of learning."""
    full, less = deletion_maps(problem, schedule, index)
    paths = []
    for step in (full, less):
        states = [np.zeros((1, *problem.shape))]
        for k in range(schedule.horizon):
            states.append(step(k, states[-1]))
        paths.append(np.stack(states).reshape(schedule.horizon + 1, -1))
    learned = paths[0][schedule.learn_steps].reshape(problem.shape)
    eye = np.eye(learned.size)
    base = eye - schedule.step_size * problem.hessian(learned)
    reference = eye - schedule.step_size * problem.without(index).hessian(learned)
    return Linearised(paths[0], paths[1], base, reference, schedule.noise_std, schedule.learn_steps)


def halves(values: Array) -> tuple[Array, Array]:
    return values[: len(values) // 2], values[len(values) // 2 :]


def upper_bounds(forward: Accumulated, reverse: Accumulated, exchanged: Accumulated, delta: float) -> dict[str, float]:
    """Two-sided epsilons: by paths (one plan), and truncated (a plan from each side)."""
    sides = (forward.log_ratios, -reverse.log_ratios)
    paths = max(adapted.path_epsilon(*halves(side), delta=delta, confidence=CONFIDENCE) for side in sides)
    budgets = (forward.budgets, exchanged.budgets)
    certificates = [adapted.truncated_certificate(*halves(b), delta=delta, confidence=CONFIDENCE) for b in budgets]
    return {"paths": paths, "truncated": max(found.epsilon(delta) for found in certificates)}


def sure_bounds(problem: ConvexProblem, schedule: linear.Schedule, index: int, delta: float) -> dict[str, float]:
    """Hull and shifts in unlearning only, from the sure bound on the row's gradient; uniform Langevin unlearning."""
    factor = 1 - schedule.step_size * problem.penalty
    steps = np.full(schedule.learn_steps, schedule.step_size * problem.row_gradient[index])
    padded = np.concatenate([steps, np.zeros(schedule.unlearn_steps)])
    hull = interpolation.optimal_shifts(padded, schedule.noise_std, factor).mu
    last = interpolation.unlearning_only(
        sensitivity=steps,
        contraction=factor,
        unlearn_steps=schedule.unlearn_steps,
        unlearn_noise=schedule.unlearn_noise,
    )
    return {
        "hull": float(gaussian_dp.epsilon(hull, delta)),
        "unlearning_only": float(gaussian_dp.epsilon(last, delta)),
        "uniform_langevin": uniform_langevin(problem, schedule, delta),
    }


def uniform_langevin(problem: ConvexProblem, schedule: linear.Schedule, delta: float) -> float:
    """Langevin unlearning's published bound, at the largest gradient of any row."""
    eta, penalty = schedule.step_size, problem.penalty
    learned_at = temperature(schedule.learn_noise, eta)
    constant = lsi_decay.strongly_convex_constant(temperature=learned_at, strong_convexity=penalty)
    rate = common_rate(constant, 1 - eta * penalty, schedule.unlearn_noise, schedule.unlearn_steps)

    def divergence(order: Array) -> Array:
        learned = langevin_unlearning.learning_bound(
            order=order,
            step_size=eta,
            temperature=learned_at,
            strong_convexity=penalty,
            smoothness=problem.smoothness,
            lipschitz=float(problem.row_gradient.max()),
            size=1,
            learn_steps=schedule.learn_steps,
            cut="exponential",
        )
        return np.asarray(lsi_decay.unlearning_bound(order=order, initial=learned, rate=rate, unlearn_steps=1))

    return float(langevin_unlearning.epsilon_delta(divergence, delta=delta))


def audit(samples: tuple[Array, Array], direction: Array, delta: float) -> float:
    """The larger of both directions' lower limits, scores along a direction fixed beforehand; each at 0.995."""
    p, q = (ends.reshape(len(ends), -1) @ direction for ends in samples)
    share = 0.5 + 0.5 * CONFIDENCE
    forward = epsilon_lower_bound(p, q, delta, share).epsilon
    return max(forward, epsilon_lower_bound(-q, -p, delta, share).epsilon)


def examine(problem: ConvexProblem, schedule: linear.Schedule, index: int, setting: Setting) -> dict[str, Any]:
    """Everything about one point."""
    started = time.perf_counter()
    full, less = deletion_maps(problem, schedule, index)
    start = np.zeros((setting.runs, *problem.shape))
    seeds = np.random.SeedSequence([setting.seed, index]).spawn(8)
    plan = linearised(problem, schedule, index)
    std = schedule.noise_std

    def run(chosen: Plan, seed: int, under: str = "base", exchange: bool = False) -> Accumulated:
        maps = (less, full) if exchange else (full, less)
        rng = np.random.default_rng(seeds[seed])
        return accumulate(*maps, std, start, chosen, rng, under=under)  # type: ignore[arg-type]

    forward, reverse = run(plan, 0), run(plan, 1, under="reference")
    exchanged = run(plan.exchanged(), 2, exchange=True)
    found: dict[str, Any] = {"index": index, **upper_bounds(forward, reverse, exchanged, setting.delta)}
    found["root_mean_budget"] = math.sqrt(float(forward.budgets.mean()))
    # other plans, few runs: what a plan is worth
    few = start[: max(50, setting.runs // 20)]
    others: dict[str, Plan] = {
        "forecasting": Forecasting(1 - schedule.step_size * problem.penalty, setting.learn_steps),
        "spread": Spread(),
    }
    for name, other in others.items():
        tried = accumulate(full, less, std, few, other, np.random.default_rng(seeds[3]))
        found[f"root_mean_budget_{name}"] = math.sqrt(float(tried.budgets.mean()))
    found |= sure_bounds(problem, schedule, index, setting.delta)
    # the ends of the runs from X, and of the reference runs, which are independent of them; Y's end under "reference"
    # is X's, so the reference ends come from the exchanged runs, whose base is X'
    found["audit"] = audit((forward.ends, exchanged.ends), plan.telling, setting.delta)
    found["seconds"] = time.perf_counter() - started
    return found


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m paper_checks.adapted_convex", description=__doc__.split("\n")[0])
    parser.add_argument("--data", default="digits")
    parser.add_argument("--data-dir")
    parser.add_argument("--model", choices=("logistic", "softmax", "huber"), default="logistic")
    parser.add_argument("--rows", type=int, default=1500)
    parser.add_argument("--components", type=int, default=30, help="principal components of the features")
    parser.add_argument("--learn-steps", type=int, default=100)
    parser.add_argument("--unlearn-steps", type=int, default=20)
    parser.add_argument("--noise", type=float, default=2e-3)
    parser.add_argument("--penalty", type=float, default=1.0)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--delta", type=float, default=0.01)
    parser.add_argument("--points", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args(arguments)
    names = ("data", "model", "rows", "components", "learn_steps", "unlearn_steps", "noise", "penalty", "runs", "delta")
    setting = Setting(**{name: getattr(given, name) for name in names}, seed=given.seed)
    problem = problem_of(setting, given.data_dir)
    schedule = schedule_of(setting, problem)
    order = np.argsort(problem.row_gradient)
    indices = [int(i) for i in order[np.linspace(0, len(order) - 1, given.points + 2).astype(int)[1:-1]]]
    screen, found = console(), []
    with progress_bar(screen) as bar:
        task = bar.add_task(f"{setting.model} on {setting.data}", total=len(indices))
        for index in indices:
            found.append(examine(problem, schedule, index, setting))
            bar.advance(task)
    columns = ("index", "audit", "paths", "truncated", "hull", "unlearning_only", "uniform_langevin")
    table = plain_table(f"epsilon at delta {setting.delta:g}: lower bound, upper bounds ({setting.runs} runs a side)")
    for column in columns:
        table.add_column(column, justify="right")
    for row in found:
        table.add_row(*(str(row[name]) if name == "index" else f"{row[name]:.3g}" for name in columns))
    screen.print(table)
    if given.out is not None:
        text = json.dumps({"setting": vars(setting), "points": found}, indent=1)
        draft = given.out.with_suffix(".part")
        draft.write_text(text + "\n")
        os.replace(draft, given.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
