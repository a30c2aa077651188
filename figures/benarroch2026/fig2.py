"""Learn-unlearn and reference chains step by step: simulated paths, and the exact mean and spread at every step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import linear

from .. import style
from ..gallery import About, Arrays, Found, Progress
from ._plane import plane

ABOUT = About(
    id="benarroch2026/fig2",
    shows="The learn-unlearn chain and the reference chain, simulated, with exact mean and spread",
    original="Figure 2 (a schematic; here simulated)",
    statement="benarroch2026.assumption_4_1",
    needs="nothing",
    minutes=0.1,
)
_BASE = {
    "ridge": 1.0,
    "learn_steps": 60,
    "unlearn_steps": 40,
    "learn_noise": 0.03,
    "unlearn_noise": 0.06,
    "points": 30,
    "seed": 4,
    "paths": 3,
}
SETTINGS = {"full": _BASE, "smoke": {**_BASE, "learn_steps": 6, "unlearn_steps": 4}}


def data(settings: Any, dataset: Any, progress: Progress) -> Arrays:
    """Predictions for the forgotten point at steps 0..T+K: exact mean and deviation, and simulated paths."""
    problem = plane(settings)
    learn, unlearn = int(settings["learn_steps"]), int(settings["unlearn_steps"])
    schedule = linear.Schedule(
        step_size=0.3 / problem.smoothness,
        learn_steps=learn,
        unlearn_steps=unlearn,
        learn_noise=settings["learn_noise"],
        unlearn_noise=settings["unlearn_noise"],
    )
    row = problem.features[0]
    means, spreads = np.zeros((2, learn + unlearn + 1)), np.zeros((2, learn + unlearn + 1))
    means[:, 0] = row @ problem.initial[:, 0]
    for step in range(1, learn + unlearn + 1):
        now = replace(schedule, learn_steps=min(step, learn), unlearn_steps=max(0, step - learn))
        law = linear.exact_laws(problem, now, 0)
        means[:, step] = row @ law.mean_p[:, 0], row @ law.mean_q[:, 0]
        spreads[:, step] = np.sqrt([row @ law.cov_p @ row, row @ law.cov_q @ row])
    rng = np.random.default_rng(int(settings["seed"]) + 1)
    paths = np.array([_paths(problem, schedule, forgets, int(settings["paths"]), rng) for forgets in (False, True)])
    ends = [row @ problem.minimiser[:, 0], row @ problem.leave_one_out_minimiser(0)[:, 0]]
    return {
        "step": np.arange(learn + unlearn + 1),
        "mean": means,
        "spread": spreads,
        "paths": paths,
        "minimisers": np.array(ends),
        "step_size": np.array(schedule.step_size),
    }


def _paths(
    problem: linear.RidgeProblem, schedule: linear.Schedule, forgets: bool, runs: int, rng: np.random.Generator
) -> np.ndarray:
    """(runs, steps + 1) predictions for point 0 of chains that see it while learning, or never (`forgets`)."""
    smaller = problem.without(0)
    row = problem.features[0]
    weights = np.tile(problem.initial, (1, runs))
    seen = [row @ weights]
    for step in range(schedule.horizon):
        now = smaller if forgets or step >= schedule.learn_steps else problem
        gradient = now.hessian @ weights - now.cross
        noise = schedule.noise_std[step] * rng.standard_normal(weights.shape)
        weights = weights - schedule.step_size * gradient + noise
        seen.append(row @ weights)
    return np.array(seen).T


def draw(found: Found) -> Figure:
    """Bands of two standard deviations, means, paths; the two minimisers as levels."""
    figure, axis = style.canvas(3.4)
    step, learn = found["step"], int(found.number("learn_steps"))
    looks = (
        ("learn with the point, then unlearn it", style.CLAIM, "solid"),
        ("never see the point (reference)", style.OTHER, (0, (4, 2))),
    )
    for chain, (_, color, dashes) in enumerate(looks):
        mean, spread = found["mean"][chain], found["spread"][chain]
        axis.fill_between(step, mean - 2 * spread, mean + 2 * spread, color=color, alpha=0.15, linewidth=0)
        for path in found["paths"][chain]:
            axis.plot(step, path, color=color, linewidth=0.5, alpha=0.75)
        axis.plot(step, mean, color=color, linewidth=1.8, linestyle=dashes)
    axis.axvline(learn, color=style.GREY, linewidth=0.8)
    low, high = axis.get_ylim()
    axis.set_ylim(low, high + 0.16 * (high - low))
    top = high + 0.12 * (high - low)
    axis.text(learn - 1, top, "learning", ha="right", va="center", color=style.GREY)
    axis.text(learn + 1, top, "unlearning, more noise", ha="left", va="center", color=style.GREY)
    for level, words in zip(found["minimisers"], ("minimiser with the point", "minimiser without it"), strict=True):
        axis.axhline(level, color=style.PALE, linewidth=0.8, linestyle=(0, (1, 2)), zorder=0)
        style.label(axis, words, (step[-1], level), color=style.GREY)
    place = int(0.42 * learn)
    for chain, (words, color, _) in enumerate(looks):
        side = 1 if found["mean"][chain, place] >= found["mean"][1 - chain, place] else -1
        edge = found["mean"][chain, place] + side * 2 * found["spread"][chain, place]
        axis.annotate(
            words,
            (place, edge),
            (0, 9 * side),
            textcoords="offset points",
            ha="center",
            va="bottom" if side > 0 else "top",
            color=color,
            weight="bold",
        )
    axis.set_xlim(0, step[-1])
    axis.set_xlabel("step")
    axis.set_ylabel("prediction for the point to forget")
    style.title(figure, "Two chains part while learning and meet again while unlearning")
    return figure


def caption(found: Found) -> str:
    """All parameters."""
    s = found.settings
    return (
        f"Prediction of the model for the point to forget (the outlier of a ridge problem with two features and "
        f"{s['points']} points, seed {s['seed']}). Thick: exact mean; band: two exact standard deviations; thin: "
        f"{s['paths']} simulated chains each, with independent noise. T = {s['learn_steps']} learning and K = "
        f"{s['unlearn_steps']} unlearning steps of size {found.number('step_size'):.3g}, penalty {s['ridge']:g}, injected "
        f"noise {s['learn_noise']:g} and {s['unlearn_noise']:g} per step."
    )
