"""How much better than noise a certified run can be: total variation to the data-free control, by epsilon."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from bounds import gaussian_dp, model_clipping

from .. import style
from ..gallery import About, Arrays, Found, Progress

ABOUT = About(
    id="koloskova2025/control",
    shows="The largest advantage in expected accuracy that a certified run can have over data-free noise",
    original="ours (what the noise-only control is worth)",
    statement="koloskova2025.noise_only",
    needs="nothing",
    minutes=0.1,
)
_BASE = {"delta": 1e-5, "epsilons": 40, "model_steps": 5}
SETTINGS = {"full": _BASE, "smoke": {**_BASE, "epsilons": 3}}


def data(settings: Any, dataset: Any, progress: Progress) -> Arrays:
    """Total variation to the control (rows: pair certifier, data-free certifier, model clipping) by epsilon."""
    epsilons = np.geomspace(0.1, 20, int(settings["epsilons"]))
    rows = np.empty((3, len(epsilons)))
    for place, epsilon in enumerate(epsilons.tolist()):
        mu = float(gaussian_dp.mu(epsilon, settings["delta"]))
        noise = model_clipping.model_clipping_noise(
            epsilon=epsilon, delta=settings["delta"], radius=1.0, steps=int(settings["model_steps"])
        )
        rows[:, place] = (
            float(gaussian_dp.delta(mu / 2, 0.0)),
            float(gaussian_dp.delta(mu, 0.0)),
            model_clipping.model_clipping_total_variation(radius=1.0, noise_std=noise),
        )
        progress(place + 1, len(epsilons))
    return {"epsilon": epsilons, "total_variation": rows}


def draw(found: Found) -> Figure:
    """Three curves with direct labels."""
    figure, axis = style.canvas(2.9)
    epsilon, rows = found["epsilon"], found["total_variation"]
    looks: tuple[tuple[str, str, Any], ...] = (
        ("gradient clipping or output\nperturbation, certified for\ntwo starts", style.CLAIM, "solid"),
        ("the same, certified\nagainst data-free noise", style.THIRD, (0, (5, 1, 1, 1))),
        (f"model clipping, {found.settings['model_steps']} steps", style.OTHER, (0, (4, 2))),
    )
    places = style.spaced([float(row[-1]) for row in rows], 0.13)
    for row, (words, color, dashes), place in zip(rows, looks, places, strict=True):
        axis.plot(epsilon, 100 * row, color=color, linestyle=dashes)
        axis.text(epsilon[-1] * 1.06, 100 * place, words, color=color, va="center", weight="bold")
    axis.set_xscale("log")
    axis.set_xticks([0.1, 0.3, 1, 3, 10], ["0.1", "0.3", "1", "3", "10"])
    axis.minorticks_off()
    axis.set_xlim(epsilon[0], epsilon[-1])
    axis.set_ylim(0, 102)
    axis.grid(axis="y")
    axis.set_xlabel("certified epsilon")
    axis.set_ylabel("largest advantage (points of accuracy)")
    style.title(figure, "At small epsilon a certified run can hardly beat starting from noise")
    return figure


def caption(found: Found) -> str:
    """All parameters."""
    s = found.settings
    return (
        f"Total variation between the law after the noisy phase, at the noise that (epsilon, {s['delta']:g}) asks for, and "
        "noise that has seen no data. No later fine-tuning can have an expected accuracy that exceeds the control's by "
        "more. Gradient clipping and output perturbation: attained by a linear loss, whatever the radii. Model clipping: "
        "one step carries the whole radius, so the bound is weaker."
    )
