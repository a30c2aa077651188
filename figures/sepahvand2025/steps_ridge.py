"""Unlearning steps against per-instance privacy loss, for ridge: the exact number, the reading's, and logarithmic fits."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import linear
from bounds import log_law
from bounds.deletion.theories import case, comparison
from bounds.deletion.theories.catalogue import THEORIES
from bounds.deletion.theories.renyi import per_instance_slope
from linear.datasets import Dataset

from .. import ridge_setting, style
from ..gallery import About, Arrays, Found, Progress

ABOUT = About(
    id="sepahvand2025/steps_ridge",
    shows="Steps to unlearn against privacy loss on ridge, exact and by the published bound, with the log law fitted",
    original="steps against privacy loss, here for ridge",
    statement="sepahvand2025.log_law",
    needs="data set",
    minutes=0.5,
)
_BASE = {**ridge_setting.RIDGE, "epsilon": 0.1, "delta": 1e-5, "points": 100}
SETTINGS = {"full": _BASE, "smoke": {**_BASE, "learn_steps": 8, "points": 3}}
TABLE = ("point", "loss", "exact", "reading")
_ASKED = ("exact", "per_instance_renyi")


def data(settings: Any, dataset: Dataset, progress: Progress) -> Arrays:
    """Loss over the order, and the steps by the exact laws and by the reading, for points spread by leverage."""
    problem, schedule = ridge_setting.problem_and_schedule(settings, dataset)
    budget = case.Budget(settings["epsilon"], settings["delta"], settings["delta"] / 2)
    uniform = case.uniform_facts(problem, schedule, budget)
    points = comparison.spread(problem, int(settings["points"]))
    work = partial(_steps, problem, schedule, budget, uniform)
    rows = np.array(ridge_setting.each(work, points.tolist(), progress))
    arrays = {"point": points, "loss": rows[:, 0], "exact": rows[:, 1], "reading": rows[:, 2]}
    for name in ("exact", "reading"):
        law = log_law.fit(arrays["loss"], arrays[name])
        grid = np.geomspace(arrays["loss"].min(), arrays["loss"].max(), 100)
        arrays[f"{name}_fit"] = law.predict(grid)
        arrays[f"{name}_law"] = np.array([law.scale, law.log_slope, law.shift, law.rms, law.linear_rms, law.spread])
    return {**arrays, "step_size": np.array(schedule.step_size)}


def _steps(
    problem: linear.RidgeProblem, schedule: linear.Schedule, budget: case.Budget, uniform: case.Uniform, index: int
) -> list[float]:
    this = case.build(problem, schedule, index, budget=budget, uniform=uniform)
    asked = [next(theory for theory in THEORIES if theory.name == name) for name in _ASKED]
    return [per_instance_slope(this), *(theory.steps(this) for theory in asked)]


def draw(found: Found) -> Figure:
    """Two panels with their own scales of steps; the fitted law as a line."""
    figure, axes = style.canvas(3.0, 1, 2)
    looks = (("exact", "by the exact laws", style.TRUTH), ("reading", "by the published bound (reading)", style.CLAIM))
    grid = np.geomspace(found["loss"].min(), found["loss"].max(), 100)
    for axis, (name, words, color) in zip(axes, looks, strict=True):
        axis.plot(
            found["loss"], found[name], "o", markerfacecolor="none", color=color, markersize=3.5, markeredgewidth=0.7
        )
        axis.plot(grid, found[f"{name}_fit"], color=style.OTHER)
        scale, _, _, rms, linear_rms, spread = found[f"{name}_law"]
        bends = rms < linear_rms * (1 - 1e-3)
        verdict = f"log law: residual {rms:,.0f} of {spread:,.0f}\nstraight line: {linear_rms:,.0f}"
        # Above the rising circles, or below them where they all lie high.
        high = found[name].min() > 0.5 * found[name].max()
        place: tuple[float, float, str, str] = (0.98, 0.05, "right", "bottom") if high else (0.03, 0.97, "left", "top")
        across, up, side, edge = place
        axis.text(across, up, verdict, transform=axis.transAxes, ha=side, va=edge, color=style.OTHER)
        axis.set_xscale("log")
        ticks = [t for t in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10) if grid[0] * 0.9 <= t <= grid[-1] * 1.1]
        axis.set_xticks(ticks, [f"{t:g}" for t in ticks])
        axis.minorticks_off()
        axis.yaxis.set_major_formatter(lambda value, _: f"{value / 1e6:g} M" if value >= 1e6 else f"{value:,.0f}")
        axis.set_ylim(0, 1.06 * max(found[name].max(), found[f"{name}_fit"].max()))
        axis.set_xlabel("per-instance privacy loss / order")
        axis.set_title(words + (": a logarithm" if bends and scale else ": no logarithm"))
        axis.grid(axis="y")
    axes[0].set_ylabel("unlearning steps needed")
    style.title(figure, "Steps to unlearn one point, by its own privacy loss")
    return figure


def caption(found: Found) -> str:
    """All parameters."""
    s = found.settings
    words = ridge_setting.describe(ridge_setting.learning_only(s), found.data, found.number("step_size"))
    return (
        f"One circle per training point ({s['points']} of them, spread over the leverages): steps until (epsilon, delta) = "
        f"({s['epsilon']:g}, {s['delta']:g}) holds in both directions against retrain-and-continue, at unlearning noise "
        f"{s['unlearn_noise']:g}. Line: least squares of C log(A x + B); residuals are root mean squares, in steps. {words}."
    )
