"""Loss barriers between networks and their retrained counterparts, before and after unlearning, group by group."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from .. import saved, style
from ..gallery import About, Arrays, Found, Progress
from . import _difficulty

ABOUT = About(
    id="sepahvand2025/barriers",
    shows="Loss barriers to retrained networks, by the group's privacy loss, before and after unlearning",
    original="loss barriers",
    statement="sepahvand2025.deep_nets.barriers",
    needs="saved results",
    minutes=0.1,
    results=_difficulty.RESULTS,
    origin=_difficulty.ORIGIN,
)
SETTINGS = _difficulty.SETTINGS
_ENDS = {
    "original": ("before unlearning", style.TRUTH, "solid", "s"),
    "sgld": ("after SGLD", style.CLAIM, (0, (4, 2)), "o"),
    "plain": ("after plain fine-tuning", style.OTHER, (0, (1, 1)), "^"),
}


def data(settings: Any, dataset: Any, progress: Progress) -> Arrays:
    """Loss on the forget set along the line, and the barrier (both readings) by group and seed."""
    numbers, arrays = saved.read(_difficulty.NAME)
    place = numbers["scores"].index("privacy_loss")
    found = {"loss": arrays["group_privacy_loss"][place], **_difficulty.facts(numbers)}
    for name in _ENDS:
        found[f"line_{name}"] = arrays[f"line_{name}"][:, :, 0]
        found[f"chord_{name}"] = arrays[f"barrier_chord_{name}"][place, :, :, 0]
        found[f"change_{name}"] = arrays[f"barrier_change_{name}"][place, :, :, 0]
    return found


def draw(found: Found) -> Figure:
    """Left: the loss on the way for the hardest group; middle and right: both readings of the barrier by group."""
    figure, (line, chord, change) = style.canvas(2.9, 1, 3)
    for name, (words, color, dashes, marker) in _ENDS.items():
        values = found[f"line_{name}"][:, -1]
        line.plot(np.linspace(0, 1, len(values)), values, color=color, linestyle=dashes, label=words)
        for axis, key in ((chord, "chord"), (change, "change")):
            runs = found[f"{key}_{name}"]
            mean = runs.mean(axis=1)
            half = stats.t.ppf(0.975, runs.shape[1] - 1) * runs.std(axis=1, ddof=1) / np.sqrt(runs.shape[1])
            axis.errorbar(
                found["loss"], mean, half, color=color, linestyle=dashes, marker=marker, markersize=3.5, elinewidth=0.8
            )
    line.set_xticks([0, 0.5, 1], ["itself", "half way", "retrained"])
    line.set_ylabel("loss on the forget set")
    line.set_title("hardest group")
    line.legend(loc="upper left", handlelength=2.2)
    low, high = line.get_ylim()
    line.set_ylim(low, high + 0.45 * (high - low))
    chord.set_title("height over the chord")
    change.set_title("largest change")
    for axis in (chord, change):
        axis.set_xscale("log")
        axis.set_xlabel("privacy loss of the group")
        axis.grid(axis="y")
    style.title(figure, "Loss on the way to a retrained network")
    return figure


def caption(found: Found) -> str:
    """All parameters."""
    return (
        "Left: loss on the forgotten group along the straight line from a network to its retrained counterpart (same seed), mean "
        "over seeds. Middle: largest height over the chord; right: largest change from the first end (the two readings of "
        "'barrier'); means with 95 % t-intervals over seeds, groups cut by privacy loss. "
        f"{_difficulty.describe(found['facts'])}."
    )
