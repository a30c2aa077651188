"""Shifted interpolation: the worst case, where one chord of the accumulated gaps is enough, and where it is too little."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from bounds import interpolation

from .. import style
from ..gallery import About, Arrays, Found, Progress

ABOUT = About(
    id="ours/worst_case",
    shows="Worst-case brackets of shifted interpolation, and the process that attains the upper end",
    original="ours",
    statement="benarroch2026.proposition_4_2",
    needs="nothing",
    minutes=0.1,
)
_BASE = {"learn_steps": 40, "unlearn_steps": 10, "contraction": 0.97, "learn_noise": 1.0, "unlearn_noise": 1.0}
SETTINGS = {"full": _BASE, "smoke": {**_BASE, "learn_steps": 6, "unlearn_steps": 2}}
# The right panel: few steps, so that the hull can be seen.
_GAPS = np.array([0.5, 0.1, 0.4, 0.1, 0.7, 0.2, 0.3, 1.1, 1.3])


def data(settings: Any, dataset: Any, progress: Progress) -> Arrays:
    """mu by each accounting when the processes differ in one step only, by the step; and one hull in full."""
    learn, unlearn, c = int(settings["learn_steps"]), int(settings["unlearn_steps"]), float(settings["contraction"])
    noise = np.repeat([settings["learn_noise"], settings["unlearn_noise"]], [learn, unlearn]).astype(float)
    rows = []
    for step in range(learn):
        gaps = np.zeros(learn + unlearn)
        gaps[step] = 1.0
        plan = interpolation.optimal_shifts(gaps, noise, c)
        shifts_late = interpolation.unlearning_only(
            sensitivity=gaps[:learn], contraction=c, unlearn_steps=unlearn, unlearn_noise=float(noise[-1])
        )
        rows.append([plan.lower, plan.mu, shifts_late, _attained(gaps, noise, c, plan)])
    size = len(_GAPS)
    example = interpolation.optimal_shifts(_GAPS, np.ones(size), np.full(size, 0.9))
    powers = 0.9 ** np.arange(size - 1, -1, -1.0)
    return {
        "step": np.arange(learn),
        "mu": np.array(rows),
        "noise_sum": np.concatenate([[0.0], np.cumsum(powers**2)]),
        "gap_sum": np.concatenate([[0.0], np.cumsum(powers * _GAPS)]),
        "shift_sum": np.concatenate([[0.0], np.cumsum(powers * example.shifts)]),
        "example": np.array([example.lower, example.mu]),
    }


def _attained(gaps: np.ndarray, noise: np.ndarray, c: float, plan: interpolation.ShiftPlan) -> float:
    """mu of a scalar linear pair whose factors stay below c: mean gap over deviation, by the recursion of the pair.

    Its factor into step k is c g_(k-1) / g_k with g_k = a_k / (R_k sigma_k^2), the slope of the hull at step k.
    """
    left = c ** np.arange(len(gaps) - 1, -1, -1.0)
    slopes = plan.shifts / (left * noise**2)
    distance, variance, before = 0.0, 0.0, 0.0
    for k in range(len(gaps)):
        factor = c * before / slopes[k] if slopes[k] > 0 else 0.0
        distance = factor * distance + gaps[k]
        variance = factor**2 * variance + noise[k] ** 2
        before = slopes[k]
    return float(distance / np.sqrt(variance))


def draw(found: Found) -> Figure:
    """Left: the bracket by step; right: accumulated gaps, their hull and the chord."""
    figure, (left, right) = style.canvas(3.1, 1, 2, width_ratios=(1.25, 1))
    step, (chord, hull, late, attained) = found["step"], found["mu"].T
    left.fill_between(step, chord, hull, color=style.OTHER, alpha=0.16, linewidth=0)
    left.plot(step, hull, color=style.CLAIM)
    left.plot(step, late, color=style.GREY, linestyle=(0, (5, 1, 1, 1)))
    left.plot(step, chord, color=style.OTHER, linestyle=(0, (4, 2)))
    every = max(1, len(step) // 9)
    left.plot(step[::every], attained[::every], "o", color=style.TRUTH, markersize=4, zorder=4)
    last = len(step) - 1
    left.set_xlim(-1, step[-1] * 1.62)
    style.label(
        left,
        "all shifts in\nunlearning (P1)",
        (step[last // 2], late[last // 2]),
        style.GREY,
        offset=(-6, 8),
        ha="right",
    )
    style.label(left, "best shifts\n= worst case", (step[-1], hull[-1]), style.CLAIM, weight="bold")
    style.label(left, "one chord (P2):\ntoo little", (step[-1], chord[-1]), style.OTHER, weight="bold")
    style.label(left, "attained", (step[0], attained[0]), style.TRUTH, offset=(6, -9))
    left.set_xticks(np.arange(0, step[-1] + 2, max(1, (len(step) // 4))))
    left.set_ylim(0, max(late.max(), hull.max()) * 1.08)
    left.set_xlabel("learning step at which the processes differ")
    left.set_ylabel("mu (Gaussian DP)")
    t, gaps, shifts = found["noise_sum"], found["gap_sum"], found["shift_sum"]
    right.plot([t[0], t[-1]], [gaps[0], gaps[-1]], color=style.OTHER, linestyle=(0, (4, 2)))
    right.plot(t, shifts, color=style.CLAIM)
    right.plot(t, gaps, "o", color=style.TRUTH, markersize=4)
    lower, mu = found["example"]
    right.text(0.03, 0.97, "accumulated gaps", transform=right.transAxes, va="top", weight="bold")
    right.text(
        0.03, 0.885, f"their hull: mu = {mu:.3f}", transform=right.transAxes, va="top", color=style.CLAIM, weight="bold"
    )
    right.text(
        0.03, 0.80, f"one chord: {lower:.3f}", transform=right.transAxes, va="top", color=style.OTHER, weight="bold"
    )
    right.set_ylim(-0.05, gaps.max() * 1.3)
    right.set_xlabel("accumulated noise variance")
    right.set_ylabel("accumulated gap")
    style.title(figure, "The worst case is the convex hull of the accumulated gaps; one chord can fall below it")
    return figure


def caption(found: Found) -> str:
    """All parameters."""
    s = found.settings
    return (
        f"Left: two contractive processes that differ by 1 in a single learning step; T = {s['learn_steps']}, K = "
        f"{s['unlearn_steps']}, contraction {s['contraction']:g}, noise {s['learn_noise']:g} (learning) and "
        f"{s['unlearn_noise']:g} (unlearning). The worst case lies between the chord and the hull and is the hull: dots are "
        "the exact mu of a linear pair within the rules, computed by its own recursion. Right: an example of "
        f"{len(_GAPS)} steps (gaps {', '.join(f'{gap:g}' for gap in _GAPS)}; contraction 0.9, unit noise); mu^2 is the sum "
        "over the hull's pieces of rise^2 / run."
    )
