"""How loose each certificate is on every training point: certified epsilon over the exact one."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import linear
from bounds.deletion import certify_each
from bounds.deletion.theories import comparison
from linear.datasets import Dataset

from .. import ridge_setting, style
from ..gallery import About, Arrays, Found, Progress

ABOUT = About(
    id="ours/looseness",
    shows="How loose each certificate is on each training point: certified epsilon over the exact one",
    original="ours",
    statement="derived.coupling",
    needs="data set",
    minutes=1.0,
)
_BASE = {**ridge_setting.RIDGE, "delta": 1e-5, "delta_s": 5e-6, "points": 210}
SETTINGS = {"full": _BASE, "smoke": {**_BASE, "learn_steps": 8, "points": 4}}
METHODS = ("unlearning_only", "hull", "direction_aware", "coupling")
TABLE = ("point", "leverage", "exact", *METHODS)
_LOOKS = {
    "unlearning_only": ("unlearning only (P1)", style.PALE, "s"),
    "hull": ("best shifts", style.CLAIM, "o"),
    "direction_aware": ("direction-aware", style.OTHER, "^"),
    "coupling": ("coupling", style.TRUTH, "o"),
}


def data(settings: Any, dataset: Dataset, progress: Progress) -> Arrays:
    """Exact and certified epsilon of `points` training points spread by leverage."""
    problem, schedule = ridge_setting.problem_and_schedule(settings, dataset)
    points = comparison.spread(problem, int(settings["points"]))
    work = partial(_point, problem, schedule, settings["delta"], settings["delta_s"])
    rows = np.array(ridge_setting.each(work, points.tolist(), progress))
    names = dict(zip(("exact", *METHODS), rows.T, strict=True))
    return {
        "point": points,
        "leverage": problem.leverage(points),
        **names,
        "step_size": np.array(schedule.step_size),
        "total": np.array(problem.n_points),
    }


def _point(
    problem: linear.RidgeProblem, schedule: linear.Schedule, delta: float, delta_s: float, index: int
) -> list[float]:
    exact = float(linear.deletion_pair(problem, schedule, index).epsilon(delta))
    each = certify_each(problem, schedule, index, delta_s=delta_s)
    return [exact, *(each[method].epsilon(delta) for method in METHODS)]


def draw(found: Found) -> Figure:
    """Ratio against the exact epsilon, one mark per point and method; the medians at the right."""
    figure, axis = style.canvas(3.7)
    exact = found["exact"]
    kept = exact > 0
    medians = {method: float(np.median(found[method][kept] / exact[kept])) for method in METHODS}
    size = 9 if kept.sum() < 400 else 3
    for method, (_, color, marker) in _LOOKS.items():
        axis.scatter(
            exact[kept],
            found[method][kept] / exact[kept],
            s=size,
            marker=marker,
            facecolors="none" if marker != "s" else color,
            edgecolors=color,
            linewidths=0.6,
            rasterized=True,
        )
    axis.axhline(1.0, color=style.TRUTH, linewidth=1.0)
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_yticks([1, 2, 5, 10, 20, 50, 100], ["1", "2", "5", "10", "20", "50", "100"])
    axis.set_ylim(0.9, max(2.0, 1.3 * max(float((found[m][kept] / exact[kept]).max()) for m in METHODS)))
    axis.minorticks_off()
    axis.grid(axis="y")
    low, high = exact[kept].min(), exact[kept].max()
    ticks = [t for t in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50) if 0.9 * low <= t <= 1.1 * high]
    axis.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axis.set_xlabel(f"exact epsilon at delta = {found.settings['delta']:g}")
    axis.set_ylabel("certified / exact epsilon")
    places = style.spaced([np.log(medians[method]) for method in METHODS], 0.28)
    for method, place in zip(METHODS, places, strict=True):
        words, color, _ = _LOOKS[method]
        shown = style.GREY if color == style.PALE else color
        axis.text(
            1.015,
            float(np.exp(place)),
            f"{words}: x {medians[method]:.2g}" if medians[method] < 10 else f"{words}: x {medians[method]:.0f}",
            transform=axis.get_yaxis_transform(),
            color=shown,
            va="center",
            weight="bold",
        )
    axis.text(1.015, 1.0, "exact", transform=axis.get_yaxis_transform(), va="center")
    style.title(figure, "What each certificate is worth, point by point")
    return figure


def caption(found: Found) -> str:
    """All parameters."""
    s, shown, total = found.settings, len(found["point"]), int(found.number("total"))
    which = (
        "every training point"
        if shown == total
        else f"{shown:,} of {total:,} training points, spread over the leverages"
    )
    none = int((found["exact"] == 0).sum())
    left_out = f" {none} points need nothing (exact epsilon 0) and are left out." if none else ""
    return (
        f"Each mark: one of {which}; its certified two-sided epsilon over the exact one, both at delta = {s['delta']:g}, of "
        f"which delta_s = {s['delta_s']:g} for sensitivities. At the right: medians.{left_out} "
        f"{ridge_setting.describe(s, found.data, found.number('step_size'))}."
    )
