"""How loose each certificate is on every training point: certified epsilon over the exact one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import linear
from bounds.deletion import certify_all
from bounds.deletion.adapted import adapted_epsilons
from bounds.deletion.theories import comparison
from linear.datasets import Dataset

from .. import ridge_setting, style
from ..gallery import About, Arrays, Found, Progress

ABOUT = About(
    id="ours/looseness",
    shows="How loose each certificate is on every training point: certified epsilon over the exact one",
    original="ours",
    statement="derived.coupling",
    needs="data set",
    minutes=1.0,
)
_BASE = {**ridge_setting.RIDGE, "delta": 1e-5, "delta_s": 5e-6, "points": 0}
SETTINGS = {"full": _BASE, "smoke": {**_BASE, "learn_steps": 8, "points": 4}}
METHODS = ("unlearning_only", "hull", "direction_aware", "coupling", "adapted")
TABLE = ("point", "leverage", "exact", *METHODS)
_LOOKS = {
    "unlearning_only": ("unlearning only (P1)", style.PALE, "s"),
    "hull": ("best shifts", style.CLAIM, "o"),
    "direction_aware": ("direction-aware", style.OTHER, "^"),
    "coupling": ("coupling", style.TRUTH, "o"),
    "adapted": ("adapted shifts", style.THIRD, "v"),
}


def data(settings: Any, dataset: Dataset, progress: Progress) -> Arrays:
    """Exact and certified epsilon of `points` training points spread by leverage; 0 for all."""
    problem, schedule = ridge_setting.problem_and_schedule(settings, dataset)
    points, delta = comparison.spread(problem, int(settings["points"]) or None), float(settings["delta"])
    found = {"exact": linear.deletion_epsilons(problem, schedule, delta, points).epsilon[:, 0]}
    for done, method in enumerate(METHODS, start=1):
        progress(done, len(METHODS) + 1)
        if method == "adapted":
            found[method] = adapted_epsilons(problem, schedule, delta=delta, indices=points).epsilon
        else:
            certificates = certify_all(problem, schedule, points, delta_s=settings["delta_s"], method=method)
            found[method] = certificates.epsilon(delta)
    return {
        "point": points,
        "leverage": problem.leverage(points),
        **found,
        "step_size": np.array(schedule.step_size),
        "total": np.array(problem.n_points),
    }


def draw(found: Found) -> Figure:
    """Ratio against the exact epsilon, one mark per point and method; the medians at the right."""
    return ratios_to_exact(
        found["exact"], {method: found[method] for method in METHODS}, float(found.settings["delta"])
    )


def ratios_to_exact(
    exact: np.ndarray, certified: Mapping[str, np.ndarray], delta: float, height: float = 3.9
) -> Figure:
    """The picture of any of METHODS, for points with these exact epsilons, (m,)."""
    figure, axis = style.canvas(height)
    kept = exact > 0
    ratios = {method: certified[method][kept] / exact[kept] for method in METHODS if method in certified}
    medians = {method: float(np.median(ratio)) for method, ratio in ratios.items()}
    top = max(2.0, 1.3 * max(float(ratio[np.isfinite(ratio)].max(initial=1.0)) for ratio in ratios.values()))
    size = 9 if kept.sum() < 400 else 3
    for method in ratios:
        _, color, marker = _LOOKS[method]
        axis.scatter(
            exact[kept],
            np.minimum(ratios[method], 0.96 * top),  # what is infinite stands at the upper edge
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
    axis.set_ylim(0.9, top)
    axis.minorticks_off()
    axis.grid(axis="y")
    low, high = exact[kept].min(), exact[kept].max()
    ticks = [t for t in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50) if 0.9 * low <= t <= 1.1 * high]
    axis.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axis.set_xlabel(f"exact epsilon at delta = {delta:g}")
    axis.set_ylabel("certified / exact epsilon")
    labels = [("exact", style.TRUTH, 1.0)]
    for method in ratios:
        words, color, _ = _LOOKS[method]
        times = medians[method]
        shown = f"{times:.0f}" if times >= 9.95 else f"{times:.3g}" if times < 1.5 else f"{times:.2g}"
        labels.append((f"{words}: x {shown}", style.GREY if color == style.PALE else color, times))
    places = style.spaced([np.log(at) for _, _, at in labels], 0.3)
    lift = places[0]  # the exact line keeps its place; labels pushed below it move all others up
    for (text, color, _), place in zip(labels, places, strict=True):
        at = float(np.exp(place - min(lift, 0.0)))
        axis.text(1.015, at, text, transform=axis.get_yaxis_transform(), color=color, va="center", weight="bold")
    style.title(figure, "What each certificate is worth, point by point")
    return figure


def caption(found: Found) -> str:
    """All parameters."""
    s, shown, total = found.settings, len(found["point"]), int(found.number("total"))
    which = f"all {total:,}" if shown == total else f"{shown:,} of {total:,}, spread over the leverages"
    none = int((found["exact"] == 0).sum())
    left_out = f" {none} points need nothing (exact epsilon 0) and are left out." if none else ""
    endless = sum(int(np.isinf(found[method]).sum()) for method in METHODS)
    left_out += f" {endless} infinite ones stand at the upper edge." if endless else ""
    words = ridge_setting.describe(s, found.data, found.number("step_size"))
    return (
        f"Each mark: one training point ({which}); its certified two-sided epsilon over the exact one, both at delta = "
        f"{s['delta']:g}, of which delta_s = {s['delta_s']:g} for sensitivities. At the right: medians.{left_out} {words}."
    )
