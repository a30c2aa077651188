"""How a Renyi divergence decays under common noisy steps: exact, by the published rates, and by the rate derived here."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from bounds import lsi_decay
from linear.gaussian_renyi import gaussian_renyi

from .. import style
from ..gallery import About, Arrays, Found, Progress

ABOUT = About(
    id="ours/renyi_decay",
    shows="Decay of the exact Renyi divergence against the published rates and the one derived here",
    original="ours",
    statement="chien2024.decay",
    needs="nothing",
    minutes=0.1,
)
_BASE = {"strong_convexity": 0.2, "step_size": 0.5, "temperature": 0.3, "order": 4.0, "steps": 60}
SETTINGS = {"full": _BASE, "smoke": {**_BASE, "steps": 4}}
# (mean, variance) of the first law in stationary deviations; the second is stationary.
_STARTS = ((2.0, 1.0), (60.0, 0.01))
_ROWS = ("exact", "derived here", "log-Sobolev, true constant", "published")


def data(settings: Any, dataset: Any, progress: Progress) -> Arrays:
    """Divergence at the given order after 0, 1, ... steps: (starts, rows, steps + 1)."""
    order, eta, sigma = settings["order"], settings["step_size"], settings["temperature"]
    m, steps = settings["strong_convexity"], int(settings["steps"])
    c = 1 - eta * m
    stationary = 2 * eta * sigma**2 / (1 - c**2)
    true_rate = float(lsi_decay.decay_rate(constant=stationary, contraction=c, step_size=eta, temperature=sigma))
    published = lsi_decay.strongly_convex_rate(step_size=eta, strong_convexity=m, smoothness=m)
    values = np.empty((len(_STARTS), len(_ROWS), steps + 1))
    for place, (away, share) in enumerate(_STARTS):
        after = partial(_divergence, c, stationary, away * math.sqrt(stationary), share * stationary)
        start = after(0, order)
        for k in range(steps + 1):
            values[place, :, k] = (
                after(k, order),
                lsi_decay.hypercontractive_bound(
                    order=order, initial=partial(after, 0), rate=true_rate, unlearn_steps=k
                ),
                lsi_decay.unlearning_bound(order=order, initial=start, rate=true_rate, unlearn_steps=k),
                lsi_decay.unlearning_bound(order=order, initial=start, rate=published, unlearn_steps=k),
            )
    return {"step": np.arange(steps + 1), "divergence": values, "stationary": np.array(stationary)}


def _divergence(c: float, stationary: float, mean: float, variance: float, step: int, order: float) -> float:
    """Exact, after `step` steps with factor c from N(mean, variance), relative to the stationary law."""
    spread = c ** (2 * step) * variance + stationary * (1 - c ** (2 * step))
    return gaussian_renyi(c**step * mean, spread, 0.0, stationary, order=order)


def draw(found: Found) -> Figure:
    """One panel per start, divergence over that at the start."""
    figure, axes = style.canvas(3.1, 1, 2, sharey=True)
    looks: tuple[tuple[str, Any, float], ...] = (
        (style.TRUTH, "solid", 2.6),
        (style.THIRD, (0, (1, 1.2)), 2.2),
        (style.CLAIM, (0, (5, 1, 1, 1)), 1.3),
        (style.OTHER, (0, (4, 2)), 1.3),
    )
    step = found["step"]
    titles = ("same variance, shifted", "narrow and far away")
    for place, axis in enumerate(axes):
        ratios = found["divergence"][place] / found["divergence"][place, 0, 0]
        for row, (color, dashes, width) in enumerate(looks):
            axis.plot(step, ratios[row], color=color, linestyle=dashes, linewidth=width)
        axis.set_yscale("log")
        axis.set_xlabel("common steps")
        axis.set_title(titles[place])
        axis.grid(axis="y")
    axes[0].set_ylim(1e-5, 1.6)
    axes[0].set_ylabel("divergence / divergence at the start")
    first = found["divergence"][0] / found["divergence"][0, 0, 0]
    third = len(step) // 3
    for axis, ratios in zip(axes, found["divergence"][:, 0] / found["divergence"][:, 0, :1], strict=True):
        low = min(int(np.argmax(ratios < 3e-3)) or third, len(step) - 1)
        style.label(axis, "exact,\nand derived here", (step[low], ratios[low]), offset=(9, 4), weight="bold")
    style.label(axes[0], "published", (step[-1], first[3, -1]), style.OTHER, offset=(0, 8), ha="right", weight="bold")
    style.label(
        axes[0],
        "log-Sobolev,\ntrue constant",
        (step[-1], first[2, -1]),
        style.CLAIM,
        offset=(-2, -16),
        ha="right",
        weight="bold",
    )
    style.title(
        figure, "The published factor 1/order in the rate is needed only at first; it need not be paid throughout"
    )
    return figure


def caption(found: Found) -> str:
    """All parameters."""
    s = found.settings
    return (
        f"Renyi divergence of order {s['order']:g} between two chains x - step_size * m x + noise in one dimension; the "
        f"second is stationary. m = {s['strong_convexity']:g}, step size {s['step_size']:g}, temperature "
        f"{s['temperature']:g} (injected noise {np.sqrt(2 * s['step_size']) * s['temperature']:.3g}), stationary variance "
        f"{found.number('stationary'):.3g}. Left: start {_STARTS[0][0]:g} stationary deviations away with the stationary "
        f"variance; right: {_STARTS[1][0]:g} away with {_STARTS[1][1]:g} of it. Published: exp(-K m step_size / order); "
        "true constant: the same proof with the exact log-Sobolev constant; derived here: (a/b) e^-S D_b(0), "
        "b = 1 + (a-1) e^-S."
    )
