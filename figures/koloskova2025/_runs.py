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


def curve(axis: Axes, x: NDArray[Any], runs: NDArray[Any], name: str, intervals: bool = True) -> None:
    """One method's mean with its intervals."""
    words, color, dashes, marker = LOOKS[name]
    mean, half = interval(runs)
    if intervals:
        axis.errorbar(x, mean, half, color=color, linestyle="none", elinewidth=0.7, alpha=0.7)
    places = slice(None, None, max(1, len(x) // 8))
    axis.plot(x, mean, color=color, linestyle=dashes, marker=marker, markevery=places, markersize=3.4, label=words)


def key(axis: Axes) -> None:
    """The curves' names at the right, each with its line."""
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), handlelength=3.2, labelspacing=0.9)
