"""Transfer: unlearning a small head on fixed features, DP-SGD with group privacy among the methods."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from .. import saved, style
from ..gallery import About, Arrays, Found, Progress
from . import _runs

ABOUT = About(
    id="koloskova2025/fig3",
    shows="Unlearning a head on fixed features: accuracy by method and budget, DP-SGD included",
    original="Figure 3 (transfer and DP-SGD; random features stand in for a pretrained backbone)",
    statement="koloskova2025.group_privacy",
    needs="saved results",
    minutes=0.1,
    results=_runs.RESULTS,
    origin=_runs.ORIGIN,
)
SETTINGS = _runs.SETTINGS


def data(settings: Any, dataset: Any, progress: Progress) -> Arrays:
    """Tuned test accuracies (methods, budgets, seeds) of the head."""
    numbers, arrays = saved.read(_runs.NAME)
    if "transfer" not in numbers:
        raise ValueError(f"{_runs.RESULTS[0]}: holds no transfer experiment")
    moved = numbers["transfer"]
    return {
        "budget": np.array(moved["budgets"], dtype=float),
        "method": np.array(moved["method_order"]),
        "test": arrays["transfer_test"],
        **_runs.facts({**numbers, "problem": moved["problem"], "steps_per_epoch": moved["steps_per_epoch"]}),
    }


def draw(found: Found) -> Figure:
    """A table of dots: one row per method, one mark per budget, with intervals."""
    present, budgets = found["method"].tolist(), found["budget"]
    methods = [name for name in _runs.LOOKS if name in present]
    figure, axis = style.canvas(0.27 * len(methods) + 0.9)
    shades = np.linspace(1.0, 0.4, len(budgets))[::-1]
    for row, name in enumerate(methods):
        _, color, _, _ = _runs.LOOKS[name]
        mean, half = _runs.interval(found["test"][present.index(name)])
        for place in range(len(budgets)):
            height = row + (place - (len(budgets) - 1) / 2) * 0.22
            if np.isfinite(mean[place]):
                axis.errorbar(
                    mean[place], height, xerr=half[place], color=color, alpha=shades[place], marker="o", markersize=4
                )
    axis.set_yticks(range(len(methods)), [_runs.LOOKS[name][0] for name in methods])
    axis.set_ylim(len(methods) - 0.4, -0.6)
    axis.grid(axis="x")
    axis.set_xlabel("test accuracy")
    style.title(figure, "Unlearning a head on fixed features")
    return figure


def caption(found: Found) -> str:
    """All parameters."""
    s = saved.parsed(found["facts"])["settings"]
    budgets = ", ".join(f"{budget:g}" for budget in found["budget"])
    return (
        f"Mean test accuracy with 95 % t-intervals after {budgets} epochs (top to bottom, light to dark). NOT a reproduction: "
        f"{s['features']} fixed random features stand in for a pretrained backbone. DP-SGD: trained privately for groups of "
        f"{s['private_forget']:.1%} of the rows at epsilon {s['private_epsilon']:g}, then fine-tuned. "
        f"{_runs.describe(found['facts'])}."
    )
