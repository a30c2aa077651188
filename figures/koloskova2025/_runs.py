"""What the pictures of `unlearncheck deep clipping` share: names, looks, the settings in words."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from scipy import stats

from .. import saved, style
from ..gallery import Arrays

NAME = "clipping_cpu"
RESULTS = saved.files(NAME)
ORIGIN = f"unlearncheck deep clipping --scale cpu --out {saved.FOLDER}"
SETTINGS: dict[str, dict[str, float | int | str]] = {"full": {}, "smoke": {}}
# name -> (words, colour, dashes, marker)
LOOKS: dict[str, tuple[str, str, Any, str]] = {
    "retrain": ("retraining", style.TRUTH, "solid", "s"),
    "retrain_default_init": ("retraining, usual start", style.GREY, "solid", "s"),
    "fine_tune": ("fine-tuning (no guarantee)", style.PALE, (0, (5, 1, 1, 1)), "v"),
    "gradient_clipping": ("gradient clipping", style.CLAIM, "solid", "o"),
    "control_of_gradient_clipping": ("control of gradient clipping", style.CLAIM, (0, (1, 1.2)), "o"),
    "output_perturbation": ("output perturbation", style.OTHER, "solid", "^"),
    "control_of_output_perturbation": ("control of output perturb.", style.OTHER, (0, (1, 1.2)), "^"),
    "model_clipping": ("model clipping", style.THIRD, (0, (4, 2)), "D"),
    "dp_sgd": ("DP-SGD, then fine-tuning", "#8a6d1f", (0, (4, 1, 1, 1)), "x"),
}


def facts(numbers: dict[str, Any]) -> Arrays:
    """Settings and problem, kept with a figure's numbers."""
    kept = {
        "settings": numbers["settings"],
        "problem": numbers["problem"],
        "steps_per_epoch": numbers["steps_per_epoch"],
    }
    return {"facts": saved.text(kept)}


def describe(found: Any) -> str:
    """The experiment in words."""
    facts = saved.parsed(found)
    s = facts["settings"]
    return (
        f"Data: {facts['problem'].split(';')[0].strip('. ')}; a network ({s['net']}), {s['seeds']} seeds with their own splits "
        f"({s['forget']:.0%} forgotten, {s['validation']:.0%} for validation), batches of {s['batch']}, certified at (epsilon, "
        f"delta) = ({s['epsilon']:g}, {s['delta']:g}) for two starts"
    )


def interval(runs: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Mean and half of the 95 % t-interval over the last axis."""
    count = runs.shape[-1]
    half = stats.t.ppf(0.975, count - 1) * runs.std(axis=-1, ddof=1) / np.sqrt(count)
    return runs.mean(axis=-1), half


def curve(axis: Axes, x: NDArray[Any], runs: NDArray[Any], name: str, intervals: bool = True) -> float:
    """One method's mean with its intervals; returns the last finite mean."""
    _, color, dashes, marker = LOOKS[name]
    mean, half = interval(runs)
    if intervals:
        axis.errorbar(x, mean, half, color=color, linestyle="none", elinewidth=0.7, alpha=0.7)
    axis.plot(x, mean, color=color, linestyle=dashes, marker=marker if len(x) < 15 else None, markersize=3.2)
    finite = mean[np.isfinite(mean)]
    return float(finite[-1]) if len(finite) else float("nan")


def key(axis: Axes, ends: dict[str, float], gap: float) -> None:
    """Names at the right edge, at the height of each curve's end as far as they fit."""
    shown = {name: end for name, end in ends.items() if np.isfinite(end)}
    places = style.spaced(list(shown.values()), gap, most=axis.get_ylim()[1])
    for name, place in zip(shown, places, strict=True):
        words, color, _, _ = LOOKS[name]
        ink = style.GREY if color == style.PALE else color
        axis.text(1.02, place, words, transform=axis.get_yaxis_transform(), color=ink, va="center", weight="bold")
