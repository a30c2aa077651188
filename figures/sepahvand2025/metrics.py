"""Scores of difficulty compared: how alike they rank the points, and which finds the group that is slowest to unlearn."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from .. import saved, style
from ..gallery import About, Arrays, Found, Progress
from . import _difficulty

ABOUT = About(
    id="sepahvand2025/metrics",
    shows="Scores of difficulty: rank correlations, and the steps that the hardest group of each takes",
    original="comparison of metrics",
    statement="sepahvand2025.deep_nets.slower_groups",
    needs="saved results",
    minutes=0.1,
    results=_difficulty.RESULTS,
    origin=_difficulty.ORIGIN,
)
SETTINGS = _difficulty.SETTINGS


def data(settings: Any, dataset: Any, progress: Progress) -> Arrays:
    """Rank correlations of all scores, and steps of the hardest group by score, with intervals over seeds."""
    numbers, _ = saved.read(_difficulty.NAME)
    scores = [name for name in _difficulty.SCORES if name != "random"]
    table = np.eye(len(scores))
    for pair, entry in numbers["score_correlations"].items():
        first, second = pair.split("~")
        if first in scores and second in scores:
            a, b = scores.index(first), scores.index(second)
            table[a, b] = table[b, a] = entry["value"]
    ranked = numbers["scores"]
    hardest = [
        [saved.estimate(numbers["algorithms"][name]["hardest_group"][score]["steps"]) for score in ranked]
        for name in _difficulty.ALGORITHMS
    ]
    censored = [
        [numbers["algorithms"][name]["hardest_group"][score]["censored_runs"] for score in ranked]
        for name in _difficulty.ALGORITHMS
    ]
    return {
        "score": np.array(scores),
        "correlation": table,
        "grouped_by": np.array(ranked),
        "hardest": np.array(hardest),
        "censored": np.array(censored),
        **_difficulty.facts(numbers),
    }


def draw(found: Found) -> Figure:
    """Left: a table of correlations; right: steps of the hardest groups."""
    figure, (left, right) = style.canvas(3.2, 1, 2, width_ratios=(1.15, 1))
    scores, table = found["score"].tolist(), found["correlation"]
    left.imshow(np.tril(table), cmap="Greys", vmin=0.3, vmax=2.6, aspect="auto")
    for row in range(len(scores)):
        for column in range(row + 1):
            left.text(column, row, f"{table[row, column]:.2f}" if row != column else "1", ha="center", va="center")
    names = [_difficulty.SCORES[score] for score in scores]
    left.set_yticks(range(len(scores)), names)
    left.set_xticks([])
    left.tick_params(length=0)
    for spine in left.spines.values():
        spine.set_visible(False)
    left.set_title("rank correlation over all points")
    budget = saved.parsed(found["facts"])["settings"]["unlearn_steps"]
    seeds = saved.parsed(found["facts"])["settings"]["seeds"]
    groups = found["grouped_by"].tolist()
    for place, (_, (words, color, marker)) in enumerate(_difficulty.ALGORITHMS.items()):
        values = found["hardest"][place]
        rows = np.arange(len(groups)) + (place - 0.5) * 0.28
        right.hlines(rows, values[:, 1].clip(0, budget), values[:, 2].clip(0, budget), color=color, linewidth=1.2)
        right.plot(values[:, 0], rows, marker, color=color, markersize=5, linestyle="none", label=words)
        ends = np.maximum(values[:, 0], values[:, 2].clip(0, budget))
        for row, count, value in zip(rows, found["censored"][place], ends, strict=True):
            if count:
                right.annotate(
                    f"{count}/{seeds} late", (value, row), (6, 0), textcoords="offset points", va="center", color=color
                )
    right.axvline(budget, color=style.PALE, linewidth=0.8, linestyle=(0, (4, 3)))
    right.set_yticks(range(len(groups)), [_difficulty.SCORES[name] for name in groups])
    right.set_ylim(len(groups) - 0.4, -0.6)
    right.set_xlim(-0.04 * budget, 1.32 * budget)
    right.set_xlabel("steps to unlearn the hardest group")
    right.legend(loc="upper left", handlelength=1.0)
    style.title(figure, "Do scores agree on what is hard, and do they find the slowest group?")
    return figure


def caption(found: Found) -> str:
    """All parameters."""
    s = saved.parsed(found["facts"])["settings"]
    return (
        "Left: Spearman's correlation of the scores over all training points. Right: the group with the highest score, cut by "
        f"each score; mean over {s['seeds']} runs with 95 % t-interval, runs not done within the budget of "
        f"{s['unlearn_steps']} steps (late) counted at it. {_difficulty.describe(found['facts'])}."
    )
