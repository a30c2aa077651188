"""Two laws before and after unlearning: what the paper's schematic shows, computed for a ridge problem in the plane."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import linear

from .. import style
from ..gallery import About, Arrays, Found, Progress
from ._plane import plane

ABOUT = About(
    id="benarroch2026/fig1",
    shows="The laws of a two-dimensional ridge model with and without one point, before and after unlearning",
    original="Figure 1 (a schematic; here computed)",
    statement="benarroch2026.theorem_4_3",
    needs="nothing",
    minutes=0.1,
)
_BASE = {
    "ridge": 1.0,
    "learn_steps": 40,
    "unlearn_steps": 12,
    "learn_noise": 0.06,
    "epsilon": 1.0,
    "delta": 1e-3,
    "points": 30,
    "seed": 4,
}
SETTINGS = {"full": _BASE, "smoke": {**_BASE, "learn_steps": 8}}
_GRID = 240


def data(settings: Any, dataset: Any, progress: Progress) -> Arrays:
    """Means and covariances of both laws, before unlearning and after, and both epsilons exactly."""
    problem = plane(settings)
    learned = linear.Schedule(
        step_size=0.3 / problem.smoothness,
        learn_steps=int(settings["learn_steps"]),
        unlearn_steps=0,
        learn_noise=settings["learn_noise"],
        unlearn_noise=0.0,
    )
    whole = replace(learned, unlearn_steps=int(settings["unlearn_steps"]))
    noise = _least_noise(problem, whole, settings["epsilon"], settings["delta"])
    whole = whole.with_unlearn_noise(noise)
    laws = [linear.exact_laws(problem, schedule, 0) for schedule in (learned, whole)]
    ends = [linear.deletion_pair(problem, schedule, 0).epsilon(settings["delta"]) for schedule in (learned, whole)]
    return {
        "means": np.array([[law.mean_p[:, 0], law.mean_q[:, 0]] for law in laws]),
        "covariances": np.array([[law.cov_p, law.cov_q] for law in laws]),
        "epsilon": np.array([float(end) for end in ends]),
        "noise": np.array(noise),
        "step_size": np.array(whole.step_size),
    }


def _least_noise(problem: linear.RidgeProblem, schedule: linear.Schedule, epsilon: float, delta: float) -> float:
    """The unlearning noise at which the exact epsilon is the one wanted, from above."""
    low, high = 1e-6, 1.0
    while high > low * (1 + 1e-9):
        middle = float(np.sqrt(low * high))
        pair = linear.deletion_pair(problem, schedule.with_unlearn_noise(middle), 0)
        low, high = (low, middle) if pair.epsilon(delta) <= epsilon else (middle, high)
    return high


def _log_density(grid: np.ndarray, mean: np.ndarray, cov: np.ndarray) -> np.ndarray:
    away = grid - mean
    squares = np.einsum("...i,ij,...j->...", away, np.linalg.inv(cov), away)
    values: np.ndarray = -0.5 * squares - 0.5 * np.log(np.linalg.det(2 * np.pi * cov))
    return values


def draw(found: Found) -> Figure:
    """Contours that hold 39, 86 and 99 % of each law; dark: trained with the point, light: without."""
    figure, axes = style.canvas(3.35, 1, 2, sharex=True, sharey=True)
    squares = np.array([9.0, 4.0, 1.0])  # of distances in standard deviations
    reach = 3.8 * np.sqrt(np.linalg.eigvalsh(found["covariances"]).max())
    middle = found["means"].mean(axis=(0, 1))
    first, second = (np.linspace(centre - reach, centre + reach, _GRID) for centre in middle)
    grid = np.stack(np.meshgrid(first, second), axis=-1)
    words = (("with the point", "without it"), ("unlearned", "retrained"))
    for place, (axis, names) in enumerate(zip(axes, words, strict=True)):
        for law, (color, dashes) in enumerate(((style.CLAIM, "solid"), (style.OTHER, (0, (4, 2))))):
            values = _log_density(grid, found["means"][place, law], found["covariances"][place, law])
            peak = _log_density(
                found["means"][place, law], found["means"][place, law], found["covariances"][place, law]
            )
            levels = peak - squares / 2
            axis.contourf(first, second, values, levels=[*levels, np.inf], colors=[color], alpha=0.16)
            axis.contour(first, second, values, levels=levels, colors=[color], linewidths=1.0, linestyles=[dashes])
            mean = found["means"][place, law]
            axis.plot(*mean, marker="o" if law == 0 else "s", color=color, markersize=3.5, zorder=4)
        _name(axis, found, place, names)
        axis.set_aspect("equal")
        axis.set_xlabel("first weight")
    axes[0].set_ylabel("second weight")
    before, after = found["epsilon"]
    axes[0].set_title(f"before unlearning: $\\epsilon_0$ = {before:.1f}")
    axes[1].set_title(f"after unlearning: $\\epsilon$ = {after:.2f}")
    style.title(figure, "Unlearning moves two laws together until they are hard to tell apart")
    return figure


def _name(axis: Any, found: Found, place: int, names: tuple[str, str]) -> None:
    means = found["means"][place]
    left = int(means[0, 0] > means[1, 0])  # which law lies to the left
    for law, color in ((0, style.CLAIM), (1, style.OTHER)):
        side = "left" if law == left else "right"
        axis.text(
            0.02 if side == "left" else 0.98,
            0.04 if side == "left" else 0.96,
            names[law],
            transform=axis.transAxes,
            ha=side,
            va="bottom" if side == "left" else "top",
            color=color,
            weight="bold",
        )


def caption(found: Found) -> str:
    """All parameters."""
    s = found.settings
    return (
        f"Densities of the weights of a ridge problem with two features and {s['points']} points (seed {s['seed']}; the "
        f"point to forget is an outlier). Left: after T = {s['learn_steps']} noisy steps with the point and without it. "
        f"Right: after K = {s['unlearn_steps']} further steps without the point from both. Contours at 1, 2, 3 standard "
        f"deviations. Epsilon is exact, two-sided, at delta = {s['delta']:g}; the unlearning noise {found.number('noise'):.3g} "
        f"is the least with epsilon = {s['epsilon']:g}. Penalty {s['ridge']:g}, step size {found.number('step_size'):.3g}, "
        f"learning noise {s['learn_noise']:g} (injected per step)."
    )
