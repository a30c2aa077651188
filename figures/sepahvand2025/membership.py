"""A membership attack on every group before and after unlearning, and on networks that never saw it."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from .. import saved, style
from ..gallery import About, Arrays, Found, Progress
from . import _difficulty

ABOUT = About(
    id="sepahvand2025/membership",
    shows="Accuracy of a loss-threshold attack on each group, before and after unlearning and on retrained networks",
    original="membership inference",
    statement="sepahvand2025.deep_nets",
    needs="saved results",
    minutes=0.1,
    results=_difficulty.RESULTS,
    origin=_difficulty.ORIGIN,
)
SETTINGS = _difficulty.SETTINGS
_STAGES = {
    "before": ("before", style.TRUTH, "s"),
    "after": ("after unlearning", style.CLAIM, "o"),
    "retrained": ("never saw the group", style.OTHER, "D"),
}


def data(settings: Any, dataset: Any, progress: Progress) -> Arrays:
    """Balanced accuracy (algorithms, groups, stages); how many points are called members more or less often."""
    numbers, arrays = saved.read(_difficulty.NAME)
    tables = [numbers["algorithms"][name]["membership"] for name in _difficulty.ALGORITHMS]
    counts = ("points", "called_member_more_often_after", "called_member_less_often_after")
    return {
        "loss": arrays["group_privacy_loss"][numbers["scores"].index("privacy_loss")],
        "accuracy": np.array(
            [
                [[row[stage]["balanced_accuracy"] for stage in _STAGES] for row in t["groups_by_privacy_loss"]]
                for t in tables
            ]
        ),
        "counts": np.array([[table[name] for name in counts] for table in tables]),
        **_difficulty.facts(numbers),
    }


def draw(found: Found) -> Figure:
    """One panel per algorithm."""
    figure, axes = style.canvas(2.9, 1, 2, sharey=True)
    for place, (axis, (words, _, _)) in enumerate(zip(axes, _difficulty.ALGORITHMS.values(), strict=True)):
        for stage, (name, color, marker) in enumerate(_STAGES.values()):
            axis.plot(
                found["loss"], found["accuracy"][place, :, stage], color=color, marker=marker, label=name, linewidth=0.9
            )
        points, more, less = found["counts"][place]
        axis.text(
            0.03,
            0.05,
            f"of {points} points, called members\nmore often after: {more}, less often: {less}",
            transform=axis.transAxes,
            va="bottom",
        )
        axis.axhline(0.5, color=style.PALE, linewidth=0.8, linestyle=(0, (4, 3)))
        axis.set_xscale("log")
        axis.set_xlabel("privacy loss of the group")
        axis.set_title(words)
    low = min(0.4, float(found["accuracy"].min()) - 0.1)
    axes[0].set_ylim(low, float(found["accuracy"].max()) + 0.05)
    axes[0].set_ylabel("balanced accuracy of the attack")
    axes[1].legend(loc="upper right", handlelength=1.4)
    style.title(figure, "A membership attack before and after unlearning, and where there is nothing to find")
    return figure


def caption(found: Found) -> str:
    """All parameters."""
    return (
        "Loss-threshold attack, the group against test points; the threshold is chosen on the same losses, so even networks that "
        "never saw a group can score above 0.5 where it differs from the test points. Counts are over points and say nothing of "
        f"significance: with so few seeds no single point's change is. {_difficulty.describe(found['facts'])}."
    )
