"""Sensitivity of every training point at every step, sorted: the heat map of the paper."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

import linear
from bounds import sensitivity
from linear.datasets import Dataset

from .. import ridge_setting, style
from ..gallery import About, Arrays, Found, Progress

ABOUT = About(
    id="benarroch2026/fig3",
    shows="High-probability sensitivities of all training points along learning, sorted by the last",
    original="Figure 3",
    statement="benarroch2026.proposition_4_4",
    needs="data set",
    minutes=0.3,
)
_BASE = {**ridge_setting.RIDGE, "delta_s": 5e-6, "rows": 1500, "columns": 150}
SETTINGS = {"full": _BASE, "smoke": {**_BASE, "learn_steps": 8, "rows": 40, "columns": 5}}
_BLOCK = 400


def data(settings: Any, dataset: Dataset, progress: Progress) -> Arrays:
    """s_k at up to `columns` steps of 0..T for up to `rows` points, evenly spread over the ranking by s_T; and the
    last one of every point."""
    problem, schedule = ridge_setting.problem_and_schedule(settings, dataset)
    # One step more than learning takes, so that s_T, by which the paper sorts, is among them.
    longer = replace(schedule, learn_steps=schedule.learn_steps + 1)
    steps = np.unique(np.linspace(0, schedule.learn_steps, int(settings["columns"])).round().astype(int))
    blocks = [np.arange(at, min(at + _BLOCK, problem.n_points)) for at in range(0, problem.n_points, _BLOCK)]
    last = []
    for done, block in enumerate(blocks, start=1):
        last.append(_sensitivities(problem, longer, block, steps[-1:], settings["delta_s"])[:, 0])
        progress(done, 2 * len(blocks))
    ranked = np.argsort(-np.concatenate(last), kind="stable")
    kept = ranked[np.unique(np.linspace(0, len(ranked) - 1, int(settings["rows"])).round().astype(int))]
    parts = np.array_split(kept, -(-len(kept) // _BLOCK))
    shown = []
    for done, part in enumerate(parts, start=1):
        shown.append(_sensitivities(problem, longer, part, steps, settings["delta_s"]))
        progress(len(blocks) + done * len(blocks) // len(parts), 2 * len(blocks))
    return {
        "step": steps,
        "point": kept,
        "sensitivity": np.vstack(shown).astype(np.float32),
        "last": np.concatenate(last)[ranked],
        "step_size": np.array(schedule.step_size),
    }


def _sensitivities(
    problem: linear.RidgeProblem, schedule: linear.Schedule, points: np.ndarray, steps: np.ndarray, delta_s: float
) -> np.ndarray:
    """s_k (points, steps); each step has its share of delta_s, as if all were asked for."""
    means, variances = linear.residual_moments(problem, schedule, points)
    radius = sensitivity.residual_quantile(
        np.linalg.norm(means[:, steps], axis=2),
        np.sqrt(variances[:, steps]),
        problem.n_outputs,
        tail=sensitivity.allocate_tail(delta_s, schedule.learn_steps),
    )
    norms: np.ndarray = np.linalg.norm(problem.features[points], axis=1)
    return schedule.step_size * norms[:, None] * radius


def draw(found: Found) -> Figure:
    """The map, and beside it the last column as a curve over all points."""
    figure, axes = style.canvas(3.9, 1, 2, width_ratios=(3.2, 1), sharey=True)
    values, steps, total = found["sensitivity"], found["step"], len(found["last"])
    edges = np.concatenate([steps[:1] - 0.5, (steps[1:] + steps[:-1]) / 2, steps[-1:] + 0.5])
    ranks = np.linspace(0, total, len(values) + 1)
    low, high = np.quantile(values, 0.002), np.quantile(values, 0.999)
    mesh = axes[0].pcolormesh(edges, ranks, values, norm=Normalize(low, high), cmap=style.HEAT, rasterized=True)
    axes[0].set_ylim(total, 0)
    axes[0].set_xlabel("learning step")
    axes[0].set_ylabel("training point, most sensitive first")
    bar = figure.colorbar(mesh, ax=axes[0], pad=0.02, aspect=35, extend="both")
    bar.set_label("sensitivity of the step")
    bar.formatter.set_powerlimits((0, 0))  # type: ignore[attr-defined]
    bar.outline.set_visible(False)  # type: ignore[operator]
    axes[1].plot(found["last"], np.arange(total) + 0.5, color=style.CLAIM)
    axes[1].set_xlabel("at the last step")
    axes[1].set_xlim(left=0)
    axes[1].xaxis.set_major_locator(MaxNLocator(2))
    axes[1].xaxis.set_major_formatter(lambda value, _: f"{value:.1g}")
    axes[1].axvline(found["last"][0], color=style.PALE, linewidth=0.8, linestyle=(0, (4, 3)))
    middle = float(np.median(found["last"]))
    axes[1].axvline(middle, color=style.PALE, linewidth=0.8, linestyle=(0, (1, 2)))
    axes[1].set_title(f"largest / median: {found['last'][0] / middle:.1f}", fontsize=style.SMALLEST)
    style.title(figure, "How far one training point can move one step: every point, every step")
    return figure


def caption(found: Found) -> str:
    """All parameters."""
    s, shown, total = found.settings, len(found["point"]), len(found["last"])
    rows = "all points" if shown == total else f"{shown:,} of {total:,} points, evenly spread over their ranking"
    return (
        f"Bound on the one-step difference s_k of each training point that holds at all steps with probability "
        f"1 - {s['delta_s']:g} (split evenly over the T random steps); {rows}, sorted by s_T. "
        f"{ridge_setting.describe(ridge_setting.learning_only(s), found.data, found.number('step_size'))}."
    )
