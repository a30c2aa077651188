"""Test accuracy against epsilon at one budget, for the certified methods, and the noise each adds."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from .. import saved, style
from ..gallery import About, Arrays, Found, Progress
from . import _runs

ABOUT = About(
    id="koloskova2025/fig4",
    shows="Test accuracy and noise against epsilon at one budget, for the certified methods",
    original="Figure 4 (epsilon sweep)",
    statement="koloskova2025.gradient_clipping",
    needs="saved results",
    minutes=0.1,
    results=_runs.RESULTS,
    origin=_runs.ORIGIN,
)
SETTINGS = _runs.SETTINGS
_CERTIFIED = ("gradient_clipping", "output_perturbation", "model_clipping")


def data(settings: Any, dataset: Any, progress: Progress) -> Arrays:
    """Test accuracies (epsilons, methods, seeds) and noise (epsilons, methods)."""
    numbers, arrays = saved.read(_runs.NAME)
    rows = numbers["epsilon_sweep"]["rows"]
    return {
        "epsilon": np.array([row["epsilon"] for row in rows], dtype=float),
        "test": arrays["sweep_test"],
        "noise": np.array([[row["methods"][name]["noise_std"] for name in _CERTIFIED] for row in rows], dtype=float),
        "budget": np.array(float(numbers["epsilon_sweep"]["budget"])),
        **_runs.facts(numbers),
    }


def draw(found: Found) -> Figure:
    """Left: accuracy; right: noise per step."""
    figure, (left, right) = style.canvas(3.0, 1, 2)
    for column, name in enumerate(_CERTIFIED):
        words, color, dashes, marker = _runs.LOOKS[name]
        mean, half = _runs.interval(found["test"][:, column])
        left.fill_between(found["epsilon"], mean - half, mean + half, color=color, alpha=0.12, linewidth=0)
        left.plot(found["epsilon"], mean, color=color, linestyle=dashes, marker=marker, markersize=3.5)
        right.plot(
            found["epsilon"], found["noise"][:, column], color=color, linestyle=dashes, marker=marker, label=words
        )
    for axis in (left, right):
        axis.set_xscale("log")
        axis.set_xticks(found["epsilon"], [f"{value:g}" for value in found["epsilon"]])
        axis.minorticks_off()
        axis.set_xlabel("epsilon")
        axis.grid(axis="y")
    left.set_ylabel("test accuracy")
    right.set_yscale("log")
    right.yaxis.set_minor_formatter(NullFormatter())
    right.set_ylabel("noise per step (standard deviation)")
    right.legend(loc="best", handlelength=2.4)
    style.title(figure, "Accuracy and noise against the certified epsilon")
    return figure


def caption(found: Found) -> str:
    """All parameters."""
    return (
        f"Left: mean test accuracy with 95 % t-intervals after {found.number('budget'):g} epochs, the settings tuned at the "
        "experiment's own epsilon; the control does not depend on epsilon more than its noise does. Right: noise per noisy "
        f"step; model clipping has a given noise and takes more steps instead. {_runs.describe(found['facts'])}."
    )
