"""Single schedules watched along the way: test accuracy after every part of an epoch, for every method."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from .. import saved, style
from ..gallery import About, Arrays, Found, Progress
from . import _runs

ABOUT = About(
    id="koloskova2025/fig2",
    shows="Test accuracy along one schedule for all unlearning methods",
    original="Figure 2 (convergence, single runs)",
    statement="koloskova2025.noise_only",
    needs="saved results",
    minutes=0.1,
    results=_runs.RESULTS,
    origin=_runs.ORIGIN,
)
SETTINGS = _runs.SETTINGS


def data(settings: Any, dataset: Any, progress: Progress) -> Arrays:
    """Steps and test accuracies (steps, seeds) of each method."""
    numbers, arrays = saved.read(_runs.NAME)
    return {**{name: value for name, value in arrays.items() if name.startswith("curve_")}, **_runs.facts(numbers)}


def draw(found: Found) -> Figure:
    """One curve per method; names at the right."""
    figure, axis = style.canvas(3.8)
    epoch = saved.parsed(found["facts"])["steps_per_epoch"]
    last = 0.0
    for name in _runs.LOOKS:
        if f"curve_test_{name}" in found.arrays:
            steps = found[f"curve_steps_{name}"] / epoch
            _runs.curve(axis, steps, found[f"curve_test_{name}"], name, intervals=False)
            last = max(last, float(steps[-1]))
    axis.set_xlim(0, last)
    axis.set_xlabel("epochs over the retained rows, noisy steps included")
    axis.set_ylabel("test accuracy")
    axis.grid(axis="y")
    _runs.key(axis)
    style.title(figure, "One schedule from start to end")
    return figure


def caption(found: Found) -> str:
    """All parameters."""
    s = saved.parsed(found["facts"])["settings"]
    return (
        f"Mean test accuracy along the schedule of the longest budget ({max(s['budgets']):g} epochs), watched every "
        f"{s['curve_every']:g} epochs, at the setting tuned on validation; test rows were looked at for this picture only. A "
        f"truncated schedule is not the best one for a short budget: that is Figure 1. {_runs.describe(found['facts'])}."
    )
