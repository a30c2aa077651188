"""How the confidence on each group falls while it is unlearned, from the easiest to the hardest by privacy loss."""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from .. import saved, style
from ..gallery import About, Arrays, Found, Progress
from . import _difficulty

ABOUT = About(
    id="sepahvand2025/groups",
    shows="Confidence of a network on each group while it is unlearned, and of networks that never saw it",
    original="groups of points from easy to hard",
    statement="sepahvand2025.deep_nets.slower_groups",
    needs="saved results",
    minutes=0.1,
    results=_difficulty.RESULTS,
    origin=_difficulty.ORIGIN,
)
SETTINGS = _difficulty.SETTINGS


def data(settings: Any, dataset: Any, progress: Progress) -> Arrays:
    """Mean confidence curves of the groups cut by privacy loss, and the retrained models' confidence."""
    numbers, arrays = saved.read(_difficulty.NAME)
    place = numbers["scores"].index("privacy_loss")
    return {
        "loss": arrays["group_privacy_loss"][place],
        "oracle": arrays["oracle_confidence"][place].mean(axis=1),
        **{f"curve_{name}": arrays[f"curves_{name}"][place] for name in _difficulty.ALGORITHMS},
        **{f"step_{name}": arrays[f"curve_steps_{name}"] for name in _difficulty.ALGORITHMS},
        **_difficulty.facts(numbers),
    }


def draw(found: Found) -> Figure:
    """One panel per algorithm, a curve per group; at the right edge what retrained models say."""
    figure, axes = style.canvas(3.4, 1, 2, sharey=True)
    count = len(found["loss"])
    colors = matplotlib.colormaps[style.HEAT](np.linspace(0.0, 0.85, count))
    for axis, (name, (words, _, _)) in zip(axes, _difficulty.ALGORITHMS.items(), strict=True):
        steps, curves = found[f"step_{name}"], found[f"curve_{name}"]
        for group in range(count):
            axis.plot(steps, curves[group], color=colors[group], linewidth=1.2)
            axis.plot(
                steps[-1] * 1.04, found["oracle"][group], marker="D", color=colors[group], markersize=4, clip_on=False
            )
        axis.set_title(words)
        axis.set_xlabel("unlearning step")
        axis.set_xlim(0, steps[-1] * 1.04)
        axis.set_ylim(0, 1.02)
        axis.grid(axis="y")
    axes[0].set_ylabel("mean confidence on the group")
    losses = found["loss"]
    places = style.spaced(found["oracle"].tolist(), 0.065, most=1.0)
    for group in range(count):
        axes[1].text(
            1.05,
            places[group],
            f"{losses[group]:,.0f}",
            transform=axes[1].get_yaxis_transform(),
            color=colors[group],
            va="center",
            weight="bold",
        )
    axes[1].text(
        1.05,
        1.0 + 0.075,
        "privacy loss",
        transform=axes[1].get_yaxis_transform(),
        va="bottom",
        color=style.GREY,
    )
    style.title(figure, "Confidence on each group while it is unlearned")
    return figure


def caption(found: Found) -> str:
    """All parameters."""
    return (
        "Mean probability of the own label, over the group's points and all seeds; dark to light: groups from the least to the "
        "largest privacy loss (numbers at the right). Diamonds: networks retrained without the group. "
        f"{_difficulty.describe(found['facts'])}."
    )
