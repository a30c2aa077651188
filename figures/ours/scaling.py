"""Time for the exact privacy of many training points: worked on together in Krylov coordinates, and one by one.

``python -m figures.ours.scaling`` measures (one core, a few minutes) and keeps the times beside this file.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

import linear
from linear.datasets import synthetic

from .. import style
from ..gallery import ROOT, About, Arrays, Found, Progress

_TIMES = "figures/ours/scaling_times.json"
ABOUT = About(
    id="ours/scaling",
    shows="Time for the exact privacy of many training points, together and one by one",
    original="ours",
    statement="",
    needs="saved results",
    minutes=0.1,
    results=(_TIMES,),
    origin="python -m figures.ours.scaling",
)
SETTINGS: dict[str, dict[str, float | int | str]] = {"full": {}, "smoke": {}}
_FEATURES, _ROWS, _OUTPUTS = (64, 784), 4000, 10
_POINTS = (1, 10, 30, 100, 300, 1000, 4000)
_PATIENCE = 30.0  # seconds: a series ends after the first run that takes longer
_LOOKS = {"together": ("all together", style.CLAIM), "one by one": ("one by one", style.OTHER)}


def data(settings: Any, dataset: Any, progress: Progress) -> Arrays:
    """Rows (features, points, seconds, whether together)."""
    saved = json.loads((ROOT.parent / _TIMES).read_text(encoding="utf-8"))
    rows = [[row["features"], row["points"], row["seconds"], row["how"] == "together"] for row in saved["rows"]]
    return {"rows": np.array(rows, dtype=float), "schedule": np.array(saved["schedule"])}


def measure() -> dict[str, Any]:
    """Seconds of `deletion_profile` and of `deletion_pair` point by point, on random rows; set-up of the problem apart."""
    rows = []
    for features in _FEATURES:
        drawn = synthetic(_ROWS, features, _OUTPUTS, rng=np.random.default_rng(0))
        problem = linear.RidgeProblem(drawn.train_features, drawn.train_targets, ridge=1.0)
        schedule = linear.Schedule(
            step_size=1 / problem.smoothness, learn_steps=300, unlearn_steps=30, learn_noise=0.01, unlearn_noise=0.01
        )
        for how in _LOOKS:
            for points in _POINTS:
                indices = np.arange(points)
                begun = time.perf_counter()
                if how == "together":
                    linear.deletion_profile(problem, schedule, 1.0, indices)
                else:
                    for index in indices.tolist():
                        pair = linear.deletion_pair(problem, schedule, index)
                        pair.log_hockey_stick(1.0)
                        pair.log_hockey_stick(1.0, reverse=True)
                seconds = time.perf_counter() - begun
                rows.append({"features": features, "points": points, "how": how, "seconds": float(f"{seconds:.4g}")})
                print(rows[-1], file=sys.stderr)
                if seconds > _PATIENCE:
                    break
    return {"schedule": f"n = {_ROWS:,} random rows, {_OUTPUTS} outputs, T = 300, K = 30, epsilon 1", "rows": rows}


def draw(found: Found) -> Figure:
    """Seconds against points, both axes logarithmic."""
    figure, axis = style.canvas(3.2)
    rows = found["rows"]
    for features, marker, dashes in ((64, "o", "solid"), (784, "s", (0, (4, 2)))):
        for together, (words, color) in zip((1, 0), _LOOKS.values(), strict=True):
            own = rows[(rows[:, 0] == features) & (rows[:, 3] == together)]
            if len(own):
                axis.plot(own[:, 1], own[:, 2], color=color, marker=marker, linestyle=dashes)
                rate = own[-1, 2] / own[-1, 1] * 1e3
                shown = f"{rate:,.0f}" if rate >= 9.95 else f"{rate:.2g}"
                text = f"{words}, {features} features: {shown} ms a point"
                style.label(axis, text, (own[-1, 1], own[-1, 2]), color, offset=(6, 0), weight="bold")
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlim(0.8, rows[:, 1].max() * 1.3)
    ticks = [tick for tick in (1, 10, 100, 1000, 10_000) if tick <= rows[:, 1].max() * 1.1]
    axis.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xlabel("training points")
    axis.set_ylabel("seconds, one core")
    axis.grid(axis="y")
    style.title(figure, "The exact privacy of every training point, in one go")
    return figure


def caption(found: Found) -> str:
    """All parameters."""
    return (
        "Exact hockey-stick divergences in both directions: `linear.deletion_profile` on all points together, and "
        f"`linear.deletion_pair` point by point. {found['schedule']}. One core; the problem's own eigenvectors, needed once by "
        "both, are not counted."
    )


def main() -> int:
    """Measure and keep the times."""
    style.write(ROOT.parent / _TIMES, (json.dumps(measure(), indent=1) + "\n").encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
