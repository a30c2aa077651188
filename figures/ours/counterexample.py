"""Why whole-horizon accounting with random sensitivities is one-sided: one row, three steps, both directions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import linear
from bounds import gaussian_dp, interpolation, sensitivity
from bounds.deletion import certify

from .. import style
from ..gallery import About, Arrays, Found, Progress

ABOUT = About(
    id="ours/counterexample",
    shows="The two-sided counterexample: the sensitivity event is rare on one chain only",
    original="ours",
    statement="benarroch2026.theorem_4_3.p2_two_sided",
    needs="nothing",
    minutes=0.1,
)
_BASE = {
    "feature": 1.0,
    "target": 20.0,
    "ridge": 1e-3,
    "step_size": 0.6,
    "learn_steps": 2,
    "unlearn_steps": 1,
    "learn_noise": 1.0,
    "unlearn_noise": 0.01,
    "epsilon": 100.0,
    "delta_s": 1e-6,
}
SETTINGS = {"full": _BASE, "smoke": _BASE}


def data(settings: Any, dataset: Any, progress: Progress) -> Arrays:
    """Laws of the row's residual after one step on both chains, its bound, and promised and true delta both ways."""
    s = settings
    problem = linear.RidgeProblem([[s["feature"]]], [s["target"]], ridge=s["ridge"])
    names = ("step_size", "learn_steps", "unlearn_steps", "learn_noise", "unlearn_noise")
    schedule = linear.Schedule(**{name: s[name] for name in names})
    means, variances = linear.residual_moments(problem, schedule, [0])
    elsewhere, spread = linear.reference_residual_moments(problem, schedule, [0])
    norms = np.linalg.norm(means[0], axis=1)
    gaps = sensitivity.sensitivities(
        step_size=s["step_size"],
        row_norm=np.array(abs(s["feature"])),
        mean_norms=norms,
        variances=variances[0],
        dof=1,
        delta_s=s["delta_s"],
    )
    mu = interpolation.whole_horizon(
        sensitivity=gaps,
        contraction=problem.contraction_factor(s["step_size"], 0),
        unlearn_steps=int(s["unlearn_steps"]),
        learn_noise=s["learn_noise"],
        unlearn_noise=s["unlearn_noise"],
    )
    pair = linear.deletion_pair(problem, schedule, 0)
    truth = [float(pair.log_hockey_stick(s["epsilon"], reverse=reverse)) for reverse in (False, True)]
    repaired = certify(problem, schedule, 0, delta_s=s["delta_s"], method="hull")
    return {
        "residual_mean": np.array([means[0, 1, 0], elsewhere[0, 1, 0]]),
        "residual_std": np.sqrt([variances[0, 1], spread[0, 1]]),
        "reach": np.array(gaps[1] / (s["step_size"] * abs(s["feature"]))),
        "mu": np.array(mu),
        "promised": np.array(float(gaussian_dp.delta(mu, s["epsilon"])) + s["delta_s"]),
        "repaired": np.exp([repaired.log_forward(s["epsilon"]), repaired.log_reverse(s["epsilon"])]),
        "truth": np.exp(truth),
    }


def draw(found: Found) -> Figure:
    """Left: what each chain sees of the row; right: promise and truth in both directions."""
    figure, axes = style.canvas(3.1, 1, 2, width_ratios=(1.35, 1))
    left, right = axes
    looks = (
        (style.CLAIM, "solid", "learning\nwith the row"),
        (style.OTHER, (0, (4, 2)), "learning without it\n(reference)"),
    )
    reach = float(found["reach"])
    ends = [m - 4.5 * s for m, s in zip(found["residual_mean"], found["residual_std"], strict=True)]
    low, high = min(*ends, -reach - 2), max(found["residual_mean"]) + 5
    grid = np.linspace(low, high, 600)
    top = 0.0
    for mean, std, (color, dashes, words) in zip(found["residual_mean"], found["residual_std"], looks, strict=True):
        density = np.exp(-(((grid - mean) / std) ** 2) / 2) / (std * math.sqrt(2 * math.pi))
        left.plot(grid, density, color=color, linestyle=dashes)
        left.fill_between(grid, density, color=color, alpha=0.15, linewidth=0)
        left.text(mean, density.max() * 1.04, words, color=color, ha="center", va="bottom", weight="bold")
        top = max(top, density.max())
    left.axvspan(-reach, high, color=style.FAINT, alpha=0.6, zorder=0)
    left.axvline(-reach, color=style.GREY, linewidth=0.8)
    left.text(-reach + 0.15, top * 1.5, "here the bound on\nthe sensitivity holds", color=style.GREY, va="top")
    left.set_xlim(low, high)
    left.set_ylim(0, top * 1.55)
    left.set_yticks([])
    left.spines["left"].set_visible(False)
    left.set_xlabel("residual of the row after one step")
    left.set_title("Nearly sure on one chain, nearly impossible on the other", fontsize=style.SMALLEST)

    names = ("unlearned from\nreference", "reference from\nunlearned")
    promised = float(found["promised"])
    for place in (0, 1):
        right.plot([place - 0.36, place + 0.02], [promised] * 2, color=style.CLAIM, linewidth=2.2)
        right.plot([place - 0.02, place + 0.36], [found["repaired"][place]] * 2, color=style.THIRD, linewidth=2.2)
        right.plot(place, found["truth"][place], marker="o", color=style.TRUTH, markersize=6, zorder=4)
    right.annotate("promised", (-0.36, promised), (0, 3), textcoords="offset points", color=style.CLAIM, va="bottom")
    right.annotate(
        "repaired", (1.36, found["repaired"][1]), (0, 3), textcoords="offset points", color=style.GREY, ha="right"
    )
    for place, words in ((0, f"true: {found['truth'][0]:.2g}"), (1, f"true: {found['truth'][1]:.3f}\nREFUTED")):
        right.annotate(
            words, (place, found["truth"][place]), (7, 0), textcoords="offset points", va="center", linespacing=1.0
        )
    right.set_xticks([0, 1], names)
    right.set_xlim(-0.5, 1.75)
    right.set_ylim(-0.03, 1.1)
    right.set_ylabel(f"delta at epsilon = {found.settings['epsilon']:g}")
    right.set_title("One direction holds, the other does not", fontsize=style.SMALLEST)
    style.title(figure, "A rare event of one chain need not be rare on the other: the promise fails in reverse")
    return figure


def caption(found: Found) -> str:
    """All parameters."""
    s = found.settings
    return (
        f"Ridge on the single row (x, y) = ({s['feature']:g}, {s['target']:g}), penalty {s['ridge']:g}, step size "
        f"{s['step_size']:g}, T = {s['learn_steps']}, K = {s['unlearn_steps']}, injected noise {s['learn_noise']:g} (learning) "
        f"and {s['unlearn_noise']:g} (unlearning), delta_s = {s['delta_s']:g}. Left: exact laws of the residual after the "
        f"first step; the bound |residual| <= {float(found['reach']):.3f} holds with probability 1 - {s['delta_s']:g} "
        f"while learning with the row. Right: exact hockey-sticks against d_mu + delta_s = {float(found['promised']):.4f} "
        f"(reading P2, mu = {float(found['mu']):.3f}) and against the repaired certificate."
    )
