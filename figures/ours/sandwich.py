"""What is known of a model that is not ridge: audited lower bound and certified upper bounds on epsilon, point by point."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from .. import style
from ..gallery import ROOT, About, Arrays, Found, Progress

_RESULTS = "paper_checks/results/adapted_convex.json"
ABOUT = About(
    id="ours/sandwich",
    shows="Lower and upper bounds on epsilon for logistic regression: audit, adapted shifts, other theories",
    original="ours",
    statement="adapted",
    needs="saved results",
    minutes=0.1,
    results=(_RESULTS,),
    origin=f"python -m paper_checks.adapted_convex --data digits --points 6 --out {_RESULTS}",
)
SETTINGS: dict[str, dict[str, float | int | str]] = {"full": {}, "smoke": {}}
_BOUNDS = {
    "audit": ("audit: at least", style.TRUTH, ">"),
    "paths": ("adapted shifts, by paths", style.CLAIM, "o"),
    "truncated": ("adapted shifts, truncated", style.THIRD, "s"),
    "hull": ("best shifts", style.OTHER, "^"),
    "unlearning_only": ("unlearning only (P1)", style.GREY, "D"),
    "uniform_langevin": ("uniform Langevin", style.PALE, "v"),
}


def data(settings: Any, dataset: Any, progress: Progress) -> Arrays:
    """Epsilon (points, bounds), sorted by the bound that adapted shifts give."""
    saved = json.loads((ROOT.parent / _RESULTS).read_text(encoding="utf-8"))
    rows = sorted(saved["points"], key=lambda row: row["paths"])
    return {
        "point": np.array([row["index"] for row in rows]),
        "bound": np.array(list(_BOUNDS)),
        "epsilon": np.array([[float(row[name]) for name in _BOUNDS] for row in rows]),
        "setting": np.array(json.dumps(saved["setting"], sort_keys=True)),
    }


def draw(found: Found) -> Figure:
    """One row per point; a bar over what is open between the audit and the best upper bound."""
    points, epsilon = found["point"], found["epsilon"]
    figure, axis = style.canvas(0.27 * len(points) + 1.2)
    finite = epsilon[np.isfinite(epsilon) & (epsilon > 0)]
    low, high = float(finite.min()) / 2, float(finite.max()) * 1.6
    best = epsilon[:, 1:].min(axis=1)
    for row in range(len(points)):
        axis.plot(
            [max(epsilon[row, 0], low), best[row]], [row, row], color=style.FAINT, linewidth=7, solid_capstyle="butt"
        )
    for column, (words, color, marker) in enumerate(_BOUNDS.values()):
        values = np.clip(epsilon[:, column], low, high)
        axis.plot(values, np.arange(len(points)), marker, color=color, markersize=5, linestyle="none", label=words)
    axis.set_xscale("log")
    axis.set_xlim(low, high)
    axis.set_yticks(range(len(points)), [f"point {point}" for point in points])
    axis.set_ylim(len(points) - 0.4, -0.6)
    axis.tick_params(axis="y", length=0)
    axis.set_xlabel(f"epsilon at delta = {json.loads(str(found['setting']))['delta']:g}")
    axis.grid(axis="x")
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), handlelength=1.0, labelspacing=0.9)
    style.title(figure, "What is known of epsilon beyond ridge: at least this, at most that")
    return figure


def caption(found: Found) -> str:
    """All parameters."""
    s = json.loads(str(found["setting"]))
    return (
        f"{s['model'].capitalize()} regression on {s['data']} (the first {s['rows']:,} rows, {s['components']} principal "
        f"components), T = {s['learn_steps']}, K = {s['unlearn_steps']}, injected noise {s['noise']:g}, penalty "
        f"{s['penalty']:g}. Audit and adapted shifts: from {s['runs']:,} runs a side, at confidence 0.99 each (adapted: "
        "statistical certificates); best shifts and P1: from the sure bound on the row's gradient; Langevin: one bound for all "
        "rows. Grey bar: what stays open. Marks at an edge of the axis lie beyond it (an audit of 0 at the left)."
    )
