"""``python -m paper_checks.clipping_tables``: what certified clipping costs, against chains that attain what they say.

How much too large (or too small) the noise of each bound is at the released settings; how far a certified run can be
from the noise-only control; which of gradient clipping, model clipping and output perturbation leaves the least noise,
as it stands and over the size of the model; and, for a ridge problem, what knowing that the loss is quadratic is worth.
"""

from __future__ import annotations

import argparse
import csv
import io
import math
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from scipy.optimize import brentq

import linear
from bounds import clipping, clipping_quoted, gaussian_dp, model_clipping, renyi_route
from bounds.deletion import calibrate
from linear.solvable_chains import quadratic_loss

from . import terminal
from .families import clipped_chain
from .families.clipped_chain import ClippedChain
from .koloskova2025._settings import RELEASED, noise, setting
from .koloskova2025.released_accounting import reported_epsilon
from .report import write_text
from .terminal import plain_table

Array = NDArray[np.float64]
METHODS = ("gradient clipping", "model clipping", "output perturbation")
STEPS = (1, 2, 4, 8, 16, 32, 64, 128)
RATIOS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
PENALTIES = (0.0, 1e-2, 0.1, 0.5)


@dataclass(frozen=True)
class Budget:
    """The (epsilon, delta) that every method must reach."""

    epsilon: float = 1.0
    delta: float = 1e-5

    @property
    def mu(self) -> float:
        return float(gaussian_dp.mu(self.epsilon, self.delta))


def exact_noise(case: ClippedChain, budget: Budget) -> float:
    """The noise at which the largest attained hockey-stick equals delta."""

    def excess(log_noise: float) -> float:
        tried = replace(case, noise_std=math.exp(log_noise), epsilon=budget.epsilon)
        try:
            return clipped_chain.truth(tried).lower - math.log(budget.delta)
        except FloatingPointError:  # with so much noise the value is below exp(-5000), where the quadrature refuses
            return -5e3

    low = high = math.log(noise(case, mu=budget.mu))
    if excess(high) > -1e-9:  # the bound is attained
        return math.exp(high)
    while excess(low) < 0:
        low -= 0.4
    return math.exp(brentq(excess, low, low + 0.4, xtol=1e-9))


def bounds_of(case: ClippedChain, budget: Budget) -> dict[str, float]:
    """The noise each bound asks for, for two starts in the ball; `released` is no bound."""
    target: dict[str, Any] = {"epsilon": budget.epsilon, "delta": budget.delta}
    found = {"Gaussian-DP": noise(case, mu=budget.mu), "Renyi": noise(case, mu=renyi_route.renyi_mu(**target))}
    forms: tuple[clipping_quoted.Form, ...] = ("72",) if case.penalty > 0 else ("9", "18")
    for form in forms:
        found[form] = clipping_quoted.quoted_noise(**target, **setting(case), form=form)
    # The divergence r, used as if it were that of every order, at which the released code prints this epsilon (if any).
    least, most = 1e-9, budget.epsilon + 1.0
    if reported_epsilon(least, budget.delta) < budget.epsilon:
        r = brentq(lambda r: reported_epsilon(r, budget.delta) - budget.epsilon, least, most)
        found["released"] = noise(case, mu=math.sqrt(2 * r))
    return found


def looseness_rows(budget: Budget) -> list[dict[str, float | str]]:
    """Per setting: T, rho, the noise of the worst attained chain (for T <= 2 the worst case), each bound's over it."""
    cases = [entry.chain() for entry in RELEASED]
    cases.append(ClippedChain(1.0, 1.0, 0.1, 0.0, 10, 1.0, budget.epsilon, "no penalty (not released)"))
    rows: list[dict[str, float | str]] = []
    for case in cases:
        exact = exact_noise(case, budget)
        ratios = {name: value / exact for name, value in bounds_of(case, budget).items()}
        rows.append({"setting": case.kind, "T": case.steps, "rho": case.factor, "attained noise": exact, **ratios})
    return rows


def control_rows(delta: float) -> list[dict[str, float | str]]:
    """Largest total variation between a run at its calibrated noise and data-free noise, epsilon by epsilon."""
    rows: list[dict[str, float | str]] = []
    for epsilon in (0.5, 1.0, 2.0, 5.0, 10.0):
        mu = Budget(epsilon, delta).mu
        model = model_clipping.model_clipping_noise(epsilon=epsilon, delta=delta, radius=1.0, steps=5)
        rows.append(
            {
                "epsilon": epsilon,
                "certified for two starts": float(gaussian_dp.delta(mu / 2, 0.0)),
                "certified data-free": float(gaussian_dp.delta(mu, 0.0)),
                "model clipping, T=5": model_clipping.model_clipping_total_variation(radius=1.0, noise_std=model),
            }
        )
    return rows


def noise_left(budget: Budget) -> Array:
    """Deviation of the last point over the starting radius, shape (methods, penalties, steps, ratios).

    `ratio` is the room to move over the starting radius: the ball of model clipping, and what all clipped gradients
    together can travel in gradient clipping. Penalties are step_size * penalty, and reach gradient clipping only.
    """
    left = np.empty((len(METHODS), len(PENALTIES), len(STEPS), len(RATIOS)))
    target: dict[str, Any] = {"epsilon": budget.epsilon, "delta": budget.delta}
    left[2] = clipping.output_perturbation_noise(**target, radius=1.0)
    for s, steps in enumerate(STEPS):
        unit = clipping.model_clipping_noise(**target, radius=1.0, steps=steps)
        left[1, :, s] = unit * np.array(RATIOS)
        for p, penalty in enumerate(PENALTIES):
            for r, ratio in enumerate(RATIOS):
                case = ClippedChain(1.0, ratio / steps, 1.0, penalty, steps, 1.0, budget.epsilon)
                left[0, p, s, r] = noise(case, mu=budget.mu) * math.sqrt(case.sums[2])
    return left


def relative_rows(budget: Budget) -> list[dict[str, float | str]]:
    """Deviation of the last point over the largest norm its mean can have, at any penalty and any room to move.

    Gradient clipping cannot beat output perturbation here: its mean reaches radius rho^T + step_size clip S_T, and its
    deviation is 2/mu of that. Model clipping does from the second step on.
    """
    rows: list[dict[str, float | str]] = []
    for steps in STEPS:
        unit = clipping.model_clipping_noise(epsilon=budget.epsilon, delta=budget.delta, radius=1.0, steps=steps)
        rows.append({"T": steps, METHODS[0]: 2 / budget.mu, METHODS[1]: unit, METHODS[2]: 2 / budget.mu})
    return rows


def ridge_rows(budget: Budget) -> list[dict[str, float | str]]:
    """Noise per unlearning step for deleting one row of a ridge problem learned without noise, by what is known."""
    target: dict[str, Any] = {"epsilon": budget.epsilon, "delta": budget.delta}
    rng = np.random.default_rng(7)
    features = rng.standard_normal((60, 4))
    problem = linear.RidgeProblem(features, features @ rng.standard_normal(4) + rng.standard_normal(60), ridge=2.0)
    index, step_size, learn = 0, 1.0 / problem.smoothness, 10
    retained = problem.without(index)
    curvatures = retained.eigenvalues - retained.ridge
    plain = linear.Schedule(step_size=step_size, learn_steps=learn, unlearn_steps=1, learn_noise=0.0, unlearn_noise=1.0)
    learned = problem.initial
    for _ in range(learn):
        learned = learned - step_size * (problem.hessian @ learned - problem.cross)
    radius = float(np.linalg.norm(learned))
    # No gradient of the retained rows is clipped anywhere in the ball.
    clip = float(curvatures.max() * radius + np.linalg.norm(retained.cross))
    rows: list[dict[str, float | str]] = []
    for steps in (1, 5, 20):
        schedule = replace(plain, unlearn_steps=steps)
        slowest = quadratic_loss(
            gaps=[2 * radius],
            curvatures=[curvatures.min()],
            step_size=step_size,
            penalty=problem.ridge,
            steps=steps,
            noise_std=1.0,
        )
        ball = ClippedChain(radius, clip, step_size, problem.ridge, steps, 1.0, budget.epsilon)
        rows.append(
            {
                "T": steps,
                "this deletion, exact": _exact_deletion(problem, schedule, index, budget),
                "this deletion, certified": calibrate(problem, schedule, index, **target),
                "any two starts, this loss": slowest / budget.mu,
                "any two starts, any loss": noise(ball, mu=budget.mu),
                METHODS[2]: clipping.output_perturbation_noise(**target, radius=radius),
            }
        )
    return rows


def _exact_deletion(problem: linear.RidgeProblem, schedule: linear.Schedule, index: int, budget: Budget) -> float:
    def excess(log_noise: float) -> float:
        pair = linear.deletion_pair(problem, schedule.with_unlearn_noise(math.exp(log_noise)), index)
        sides = (float(pair.log_hockey_stick(budget.epsilon, reverse=reverse)) for reverse in (False, True))
        return max(sides) - math.log(budget.delta)

    high = 0.0
    while excess(high) > 0:
        high += 1.0
    while excess(high - 1.0) < 0:
        high -= 1.0
    return math.exp(brentq(excess, high - 1.0, high, xtol=1e-9))


def show(console: Console, title: str, rows: list[dict[str, float | str]]) -> None:
    """Rows as a table; an entry that some row lacks stays empty."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    table = plain_table(title)
    for name in columns:
        table.add_column(name, justify="left" if isinstance(rows[0].get(name), str) else "right")
    for row in rows:
        table.add_row(*(_cell(row.get(name, "")) for name in columns))
    console.print(table)


def _cell(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"


def _winner(letter: str, factor: float) -> str:
    return f"{letter} {factor:.3g}" if factor > 1 + 1e-9 else "tie"


def show_map(console: Console, left: Array) -> None:
    """Per penalty: the method that leaves least noise, and by what factor it beats the second."""
    ordered = np.sort(left, axis=0)
    winner, factor = left.argmin(axis=0), ordered[1] / ordered[0]
    for p, penalty in enumerate(PENALTIES):
        table = plain_table(
            f"Least noise left, step_size * penalty = {penalty:g}: G gradient clipping, M model clipping, O output "
            "perturbation; by the factor. Columns: room/radius"
        )
        table.add_column("T", justify="right")
        for ratio in RATIOS:
            table.add_column(f"{ratio:g}", justify="right")
        for s, steps in enumerate(STEPS):
            cells = (_winner("GMO"[winner[p, s, r]], float(factor[p, s, r])) for r in range(len(RATIOS)))
            table.add_row(str(steps), *cells)
        console.print(table)


def save(out: Path, left: Array, tables: dict[str, list[dict[str, float | str]]]) -> list[Path]:
    """clipping_map.npz and one CSV per table, each written whole or not at all; returns their paths."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / "clipping_map.npz"
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    np.savez(
        temporary,
        noise_left=left,
        methods=np.array(METHODS),
        penalties=np.array(PENALTIES),
        steps=np.array(STEPS),
        ratios=np.array(RATIOS),
    )
    os.replace(temporary, path)
    paths = [path]
    for name, rows in tables.items():
        text = io.StringIO()
        writer = csv.DictWriter(text, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        paths.append(out / f"clipping_{name}.csv")
        write_text(paths[-1], text.getvalue())
    return paths


def main(arguments: list[str] | None = None) -> int:
    """Print the tables and write the map; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m paper_checks.clipping_tables", description=__doc__)
    parser.add_argument("--epsilon", type=float, default=1.0)
    parser.add_argument("--delta", type=float, default=1e-5)
    parser.add_argument("--out", type=Path, default=Path("reports"), help="folder for the map and the tables")
    given = parser.parse_args(arguments)
    if not (0 < given.epsilon < math.inf and 0 < given.delta < 1):
        parser.error(f"epsilon = {given.epsilon!r}, delta = {given.delta!r}: need epsilon > 0 and 0 < delta < 1")
    budget, console = Budget(given.epsilon, given.delta), terminal.console()
    aim = f"({budget.epsilon:g}, {budget.delta:g})"
    tables = {
        "looseness": looseness_rows(budget),
        "control": control_rows(budget.delta),
        "relative": relative_rows(budget),
        "ridge": ridge_rows(budget),
    }
    show(
        console,
        f"Noise over that of the worst attained chain, {aim}, two starts (below 1: not enough)",
        tables["looseness"],
    )
    show(console, f"Largest total variation from the noise-only control, delta {budget.delta:g}", tables["control"])
    left = noise_left(budget)
    show_map(console, left)
    show(console, f"Noise left over the largest norm of the model's mean, {aim}", tables["relative"])
    show(console, f"Ridge, learned without noise: noise per unlearning step, {aim}, by what is known", tables["ridge"])
    for path in save(given.out, left, tables):
        console.print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
