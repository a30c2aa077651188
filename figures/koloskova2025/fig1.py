"""Test accuracy against the compute spent, for every unlearning method, with the noise-only control."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from .. import saved, style
from ..gallery import About, Arrays, Found, Progress
from . import _runs

ABOUT = About(
    id="koloskova2025/fig1",
    shows="Test accuracy against compute for all unlearning methods, with the noise-only control",
    original="Figure 1",
    statement="koloskova2025.noise_only",
    needs="saved results",
    minutes=0.1,
    results=_runs.RESULTS,
    origin=_runs.ORIGIN,
)
SETTINGS = _runs.SETTINGS


def data(settings: Any, dataset: Any, progress: Progress) -> Arrays:
    """Tuned test accuracies (methods, budgets, seeds)."""
    return accuracies(_runs.NAME)


def accuracies(name: str) -> Arrays:
    """The same of any experiment of its kind."""
    numbers, arrays = saved.read(name)
    return {
        "budget": np.array(numbers["budgets"], dtype=float),
        "method": np.array(numbers["method_order"]),
        "test": arrays["test"],
        **_runs.facts(numbers),
    }


def draw(found: Found) -> Figure:
    """One curve per method; names at the right."""
    figure, axis = style.canvas(4.0)
    methods = found["method"].tolist()
    for name in _runs.LOOKS:
        if name in methods and name != "retrain_default_init":
            _runs.curve(axis, found["budget"], found["test"][methods.index(name)], name)
    axis.set_xscale("log")
    axis.set_xticks(found["budget"], [f"{budget:g}" for budget in found["budget"]])
    axis.minorticks_off()
    axis.set_xlabel("compute: epochs over the retained rows, noisy steps included")
    axis.set_ylabel("test accuracy")
    axis.grid(axis="y")
    _runs.key(axis)
    style.title(figure, "Accuracy against compute: certified methods beside a start from noise")
    return figure


def caption(found: Found) -> str:
    """All parameters."""
    return (
        "Mean test accuracy with 95 % t-intervals; every budget has a learning-rate schedule of its own horizon, every method "
        "equally many settings, tuned on validation per budget. The control of a method makes its noise without any data, then "
        f"fine-tunes alike. {_runs.describe(found['facts'])}."
    )
