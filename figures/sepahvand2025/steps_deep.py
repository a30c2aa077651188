"""Steps to unlearn a group against its privacy loss, for a network: noisy and plain fine-tuning, with the laws fitted."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from bounds import log_law

from .. import saved, style
from ..gallery import About, Arrays, Found, Progress
from . import _difficulty

ABOUT = About(
    id="sepahvand2025/steps_deep",
    shows="Steps to unlearn a group of points against its privacy loss, for a network: SGLD and plain fine-tuning",
    original="steps against privacy loss, SGLD and fine-tuning",
    statement="sepahvand2025.deep_nets.log_law",
    needs="saved results",
    minutes=0.1,
    results=_difficulty.RESULTS,
    origin=_difficulty.ORIGIN,
)
SETTINGS = _difficulty.SETTINGS
_GRID = 200
_FORMS = ("log", "line", "power")


def data(settings: Any, dataset: Any, progress: Progress) -> Arrays:
    """Privacy loss and steps of every group; the fitted law of each algorithm."""
    numbers, arrays = saved.read(_difficulty.NAME)
    found = {"loss": arrays["group_privacy_loss"], **_difficulty.facts(numbers)}
    for name in _difficulty.ALGORITHMS:
        found[f"steps_{name}"] = arrays[f"steps_of_mean_{name}"]
        law = numbers["algorithms"][name]["law"]
        found[f"errors_{name}"] = np.array([law["loo_rms"][form] for form in _FORMS] if "loo_rms" in law else [])
        found[f"law_{name}"] = _fitted(found["loss"].ravel(), found[f"steps_{name}"].ravel().astype(float))
        found[f"correlation_{name}"] = np.array(saved.estimate(numbers["algorithms"][name]["steps_vs_privacy_loss"]))
    return found


def _fitted(loss: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """The logarithmic law through the groups that were unlearned, on a grid of losses; empty where none can be fitted."""
    try:
        law = log_law.fit(loss, steps)
    except ValueError:
        return np.array([])
    return law.predict(np.geomspace(loss.min(), loss.max(), _GRID))


def draw(found: Found) -> Figure:
    """One panel per algorithm; groups not unlearned within the budget as triangles on its line."""
    figure, axes = style.canvas(3.1, 1, 2, sharey=True)
    budget = saved.parsed(found["facts"])["settings"]["unlearn_steps"]
    for axis, (name, (words, color, _)) in zip(axes, _difficulty.ALGORITHMS.items(), strict=True):
        loss, steps = found["loss"].ravel(), found[f"steps_{name}"].ravel()
        late, done = np.isinf(steps), np.isfinite(steps)
        axis.axhline(budget, color=style.PALE, linewidth=0.8, linestyle=(0, (4, 3)))
        axis.scatter(loss[done], steps[done], s=18, facecolors="none", edgecolors=color, linewidths=0.9, zorder=3)
        axis.scatter(loss[late], np.full(late.sum(), budget), s=24, marker="^", color=color, zorder=3)
        fitted, errors = found[f"law_{name}"], found[f"errors_{name}"]
        value, lower, upper = found[f"correlation_{name}"]
        lines = [f"rank correlation {value:.2f} [{lower:.2f}, {upper:.2f}]"]
        if len(fitted):
            axis.plot(np.geomspace(loss.min(), loss.max(), _GRID), fitted, color=style.INK, linewidth=1.0)
        if len(errors):
            shown = ", ".join(f"{form} {error:.0f}" for form, error in zip(_FORMS, errors, strict=True))
            lines.append(f"left-out error: {shown}")
        axis.text(0.03, 0.98, "\n".join(lines), transform=axis.transAxes, va="top")
        axis.set_ylim(-0.04 * budget, 1.5 * budget)
        axis.set_xscale("log")
        axis.set_xlabel("privacy loss of the group")
        axis.set_title(words)
        axis.grid(axis="y")
    axes[0].set_ylabel("steps to unlearn")
    axes[0].annotate(
        "not within the budget", (found["loss"].min(), budget), (0, 3), textcoords="offset points", color=style.GREY
    )
    style.title(figure, "Which groups of points take long to unlearn from a network")
    return figure


def caption(found: Found) -> str:
    """All parameters."""
    s = saved.parsed(found["facts"])["settings"]
    return (
        f"One mark per group ({len(_difficulty.SCORES) - 2} ways to cut {s['groups']} groups): first step at which its mean "
        f"confidence is within {s['margin']:g} of models retrained without it, and stays there; many need none. Curve: C log(A "
        f"x + B); errors of leave-one-out prediction, in steps. {_difficulty.describe(found['facts'])}. Model, margin and "
        "schedules of the paper were not public: these are ours."
    )
