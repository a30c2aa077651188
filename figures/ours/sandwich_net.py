"""Epsilon of single points of a network from below (audit) and from above (adapted shifts), on the same models."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from .. import saved, style
from ..gallery import About, Arrays, Found, Progress

NAME = "sandwich_cpu"
ABOUT = About(
    id="ours/sandwich_net",
    shows="Epsilon of single points of a network, from below by an audit and from above by adapted shifts",
    original="ours",
    statement="adapted",
    needs="saved results",
    minutes=0.1,
    results=saved.files(NAME),
    origin=f"unlearncheck deep sandwich --scale cpu --out {saved.FOLDER}",
)
SETTINGS: dict[str, dict[str, float | int | str]] = {"full": {}, "smoke": {}}
_WORDS = {"sgld": "noisy gradient steps", "clipped": "clipped per example"}


def data(settings: Any, dataset: Any, progress: Progress) -> Arrays:
    """Lower and upper bounds by algorithm and point."""
    numbers, _ = saved.read(NAME)
    rows = numbers["points"]
    kept = ("settings", "problem", "delta", "confidence", "resolution")
    return {
        "algorithm": np.array([row["algorithm"] for row in rows]),
        "point": np.array([row["index"] for row in rows]),
        "bounds": np.array([[float(row["lower"]), float(row["upper"])] for row in rows]),
        "plan": np.array([row["plan"] for row in rows]),
        "facts": saved.text({name: numbers[name] for name in kept}),
    }


def draw(found: Found) -> Figure:
    """A bar per point and algorithm from the lower to the upper bound; an arrow where the upper one is infinite."""
    bounds, count = found["bounds"], len(found["point"])
    figure, axis = style.canvas(0.3 * count + 1.0)
    finite = bounds[np.isfinite(bounds)]
    end = 1.15 * float(finite.max(initial=1.0))
    for row in range(count):
        lower, upper = bounds[row]
        color = style.CLAIM if found["algorithm"][row] == "sgld" else style.OTHER
        axis.plot([lower, min(upper, end)], [row, row], color=color, alpha=0.25, linewidth=7, solid_capstyle="butt")
        axis.plot(lower, row, ">", color=style.TRUTH, markersize=6)
        if np.isfinite(upper):
            axis.plot(upper, row, "<", color=color, markersize=6)
            axis.annotate(f"{upper:.3g}", (upper, row), (7, 0), textcoords="offset points", va="center", color=color)
        else:
            axis.annotate(
                "nothing shown", (end, row), (-2, 0), textcoords="offset points", va="center", ha="right", color=color
            )
    names = [
        f"{_WORDS.get(str(algorithm), str(algorithm))}, point {point}"
        for algorithm, point in zip(found["algorithm"], found["point"], strict=True)
    ]
    axis.set_yticks(range(count), names)
    axis.set_ylim(count - 0.4, -0.6)
    axis.set_xlim(-0.02 * end, 1.08 * end)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x")
    axis.set_xlabel(f"epsilon at delta = {saved.parsed(found['facts'])['delta']:g}")
    style.title(figure, "What is known of a network: at least this, at most that")
    return figure


def caption(found: Found) -> str:
    """All parameters."""
    facts = saved.parsed(found["facts"])
    s = facts["settings"]
    return (
        f"Audit (right-pointing) and adapted shifts by the path theorem (left-pointing), each at confidence "
        f"{facts['confidence']:g}, from {s['runs']:,} runs a side; the upper bound resolves delta down to "
        f"{facts['resolution']:.2g}. Data: {facts['problem'].split(';')[0].strip('. ')}; {s['rows']} rows, a network "
        f"({s['net']}) with {s['hidden']} hidden units, {s['learn_steps']} learning steps on all rows and "
        f"{s['unlearn_steps']} without the point, of size {s['step_size']:g} on the mean loss, penalty {s['penalty']:g}, "
        f"injected noise {s['noise']:g}, clip {s['clip']:g}."
    )
