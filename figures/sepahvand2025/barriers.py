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
# Which retrained network stands at the other end.
_KINDS = {"same_seed": "same seed", "other_seed": "other seed"}


def data(settings: Any, dataset: Any, progress: Progress) -> Arrays:
    """Loss on the forget set along the line, and the barrier (both readings) by group and seed."""
    numbers, arrays = saved.read(_difficulty.NAME)
    place = numbers["scores"].index("privacy_loss")
    found = {"loss": arrays["group_privacy_loss"][place], **_difficulty.facts(numbers)}
    for kind in _KINDS:
        for name in _ENDS:
            found[f"line_{name}_{kind}"] = arrays[f"line_{name}_{kind}"][:, :, 0]
            found[f"chord_{name}_{kind}"] = arrays[f"barrier_chord_{name}_{kind}"][place, :, :, 0]
            found[f"change_{name}_{kind}"] = arrays[f"barrier_change_{name}_{kind}"][place, :, :, 0]
    return found


def draw(found: Found) -> Figure:
    """A row per kind of counterpart: the loss on the way for the hardest group, and both readings of the barrier."""
    figure, rows = style.canvas(4.7, len(_KINDS), 3)
    for (kind, words), (line, chord, change) in zip(_KINDS.items(), rows, strict=True):
        for name, (label, color, dashes, marker) in _ENDS.items():
            values = found[f"line_{name}_{kind}"][:, -1]
            line.plot(np.linspace(0, 1, len(values)), values, color=color, linestyle=dashes, label=label)
            for axis, reading in ((chord, "chord"), (change, "change")):
                runs = found[f"{reading}_{name}_{kind}"]
                half = stats.t.ppf(0.975, runs.shape[1] - 1) * runs.std(axis=1, ddof=1) / np.sqrt(runs.shape[1])
                axis.errorbar(
                    found["loss"],
                    runs.mean(axis=1),
                    half,
                    color=color,
                    linestyle=dashes,
                    marker=marker,
                    markersize=3.5,
                    elinewidth=0.8,
                )
        line.set_xticks([0, 0.5, 1], [words, "half way", "itself"])
        line.set_ylabel("loss on the forget set")
        for axis in (chord, change):
            axis.set_xscale("log")
            axis.grid(axis="y")
    for axis, words in zip(rows[0], ("hardest group", "height over the chord", "largest change"), strict=True):
        axis.set_title(words)
    low, high = rows[0, 0].get_ylim()
    rows[0, 0].set_ylim(low, high + 0.5 * (high - low))
    rows[0, 0].legend(loc="upper left", handlelength=2.2)
    for axis in rows[-1, 1:]:
        axis.set_xlabel("privacy loss of the group")
    style.title(figure, "Loss on the way to a retrained network")
    return figure


def caption(found: Found) -> str:
    """All parameters."""
    return (
        "Left: loss on the forgotten group along the straight line between a network and one retrained without the group, from "
        "the same or from another seed, mean over seeds. Middle: largest height over the chord; right: largest change (the two "
        "readings of 'barrier'); means with 95 % t-intervals over seeds, groups cut by privacy loss. "
        f"{_difficulty.describe(found['facts'])}."
    )
