"""Which of gradient clipping, model clipping and output perturbation leaves the least noise, over steps and room."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from bounds import clipping

from .. import style
from ..gallery import About, Arrays, Found, Progress

ABOUT = About(
    id="ours/clipping_map",
    shows="Where gradient clipping, model clipping and output perturbation leave the least noise",
    original="ours",
    statement="koloskova2025.gradient_clipping",
    needs="nothing",
    minutes=0.3,
)
_BASE = {"epsilon": 1.0, "delta": 1e-5, "most_steps": 200, "grid": 44}
SETTINGS = {"full": _BASE, "smoke": {**_BASE, "most_steps": 8, "grid": 4}}
_PENALTIES = (0.0, 0.1, 0.5)
_NAMES = ("gradient\nclipping", "model\nclipping", "output\nperturbation")
_COLORS = ("#f2e8d5", style.THIRD, "#4a4a4a")


def data(settings: Any, dataset: Any, progress: Progress) -> Arrays:
    """Deviation of the last point over the starting radius: (methods, penalties, steps, ratios)."""
    target = {"epsilon": settings["epsilon"], "delta": settings["delta"]}
    count = int(settings["grid"])
    steps = np.unique(np.geomspace(1, settings["most_steps"], count).round().astype(int))
    ratios = np.geomspace(1e-2, 10, count)
    left = np.empty((3, len(_PENALTIES), len(steps), count))
    left[2] = clipping.output_perturbation_noise(**target, radius=1.0)
    for row, taken in enumerate(steps.tolist()):
        left[1, :, row] = clipping.model_clipping_noise(**target, radius=1.0, steps=taken) * ratios
        for panel, penalty in enumerate(_PENALTIES):
            kept = 1 - penalty
            spread = math.sqrt(math.fsum(kept ** (2 * k) for k in range(taken)))
            for column, ratio in enumerate(ratios.tolist()):
                noise = clipping.gradient_clipping_noise(
                    **target, radius=1.0, clip=ratio / taken, step_size=1.0, penalty=penalty, steps=taken
                )
                left[0, panel, row, column] = noise * spread
        progress(row + 1, len(steps))
    return {"steps": steps, "ratio": ratios, "noise_left": left}


def draw(found: Found) -> Figure:
    """A panel per penalty; shade: the winner; numbers: by what factor it beats the second."""
    figure, axes = style.canvas(3.5, 1, len(_PENALTIES), sharey=True)
    steps, ratios, left = found["steps"], found["ratio"], found["noise_left"]
    grid = np.meshgrid(ratios, steps)
    for panel, axis in enumerate(axes):
        winner = left[:, panel].argmin(axis=0)
        ordered = np.sort(left[:, panel], axis=0)
        axis.pcolormesh(*grid, winner, cmap=ListedColormap(_COLORS), vmin=-0.5, vmax=2.5, shading="nearest")
        for row in np.linspace(0.08 * len(steps), 0.92 * len(steps), 6).astype(int):
            for column in np.linspace(0.1 * len(ratios), 0.9 * len(ratios), 4).astype(int):
                factor = ordered[1, row, column] / ordered[0, row, column]
                axis.text(
                    ratios[column],
                    steps[row],
                    f"{factor:.1f}" if factor < 9.95 else f"{factor:.0f}",
                    ha="center",
                    va="center",
                    color="white" if winner[row, column] == 2 else style.INK,
                )
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_xticks([0.01, 0.1, 1, 10], ["0.01", "0.1", "1", "10"])
        axis.set_yticks([1, 10, 100], ["1", "10", "100"])
        axis.minorticks_off()
        axis.set_title(f"step size x penalty = {_PENALTIES[panel]:g}")
        axis.set_xlabel("room to move / starting radius")
    axes[0].set_ylabel("noisy steps T")
    patches = [
        Patch(facecolor=color, edgecolor=style.GREY, label=name) for color, name in zip(_COLORS, _NAMES, strict=True)
    ]
    axes[-1].legend(handles=patches, loc="center left", bbox_to_anchor=(1.02, 0.5), handlelength=1.2, labelspacing=1.2)
    style.title(figure, "Which certified method leaves the least noise on the model")
    return figure


def caption(found: Found) -> str:
    """All parameters."""
    s = found.settings
    return (
        f"Standard deviation of the last point at (epsilon, delta) = ({s['epsilon']:g}, {s['delta']:g}) for two starts in "
        "the ball, each method at the noise its certificate asks for (Gaussian-DP form; model clipping by the recursion). "
        "Room to move: the ball's radius C2 in model clipping; what all clipped gradients together can travel, step_size "
        "* C1 * T, in gradient clipping; output perturbation has none. Numbers: by what factor the winner beats the second."
    )
