"""Power of `falsify`: how many deliberately wrong bounds it refutes, how fast, by the size of their error."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from .. import style
from ..gallery import ROOT, About, Arrays, Found, Progress

_RESULTS = "paper_checks/results/power.json"
ABOUT = About(
    id="ours/power",
    shows="How many wrong bounds the search refutes and how fast, by the size of their error",
    original="ours",
    statement="",
    needs="saved results",
    minutes=0.1,
    results=(_RESULTS,),
    origin=f"unlearncheck power --out {_RESULTS}",
)
SETTINGS: dict[str, dict[str, float | int | str]] = {"full": {}, "smoke": {}}
_SIZES = ("gross", "20%", "5%", "2%", "1%")
_LOOKS: dict[str, tuple[str, Any]] = {
    "gross": (style.TRUTH, "solid"),
    "20%": (style.CLAIM, "solid"),
    "5%": (style.THIRD, (0, (5, 1, 1, 1))),
    "2%": (style.OTHER, (0, (4, 2))),
    "1%": (style.GREY, (0, (1, 1.2))),
}


def data(settings: Any, dataset: Any, progress: Progress) -> Arrays:
    """Seconds until each wrong bound was refuted (inf: not), its size of error and family; how the right ones fared."""
    saved = json.loads((ROOT.parent / _RESULTS).read_text(encoding="utf-8"))
    wrong = [outcome for outcome in saved["outcomes"] if outcome["size"] != "right"]
    right = saved["right"]
    return {
        "seconds": np.array([float(o["seconds"]) if o["status"] == "refuted" else np.inf for o in wrong]),
        "size": np.array([outcome["size"] for outcome in wrong]),
        "family": np.array([outcome["family"] for outcome in wrong]),
        "budget": np.array([float(saved["seconds"]), float(saved["right_seconds"])]),
        "right": np.array([right["bounds"], right["refuted"], right["trials"]], dtype=float),
    }


def draw(found: Found) -> Figure:
    """Left: share refuted by time and size of error; right: counts by family."""
    figure, (left, right) = style.canvas(3.1, 1, 2, width_ratios=(1.35, 1))
    budget = float(found["budget"][0])
    seconds, size = found["seconds"], found["size"]
    finite = seconds[np.isfinite(seconds)]
    first = max(min(float(finite.min()), budget) if len(finite) else budget, 1e-3)
    ends = {}
    for name in _SIZES:
        own = np.sort(seconds[size == name])
        if not len(own):
            continue
        kept = own[np.isfinite(own)]
        color, dashes = _LOOKS[name]
        x = np.concatenate([[first * 0.8], np.maximum(kept, first), [budget]])
        y = 100 * np.concatenate([[0], np.arange(1, len(kept) + 1), [len(kept)]]) / len(own)
        left.step(x, y, where="post", color=color, linestyle=dashes)
        ends[f"{name}: {len(kept)} of {len(own)}"] = (float(y[-1]), color)
    left.set_xscale("log")
    left.set_xlim(first * 0.8, budget)
    left.set_ylim(0, 103)
    for (words, (_, color)), place in zip(
        ends.items(), style.spaced([end for end, _ in ends.values()], 8.5, most=100.0), strict=True
    ):
        left.text(1.02, place, words, transform=left.get_yaxis_transform(), color=color, va="center", weight="bold")
    left.set_xlabel("seconds of search")
    left.set_ylabel("wrong bounds refuted (%)")
    left.grid(axis="y")
    families = sorted(set(found["family"].tolist()))
    for row, family in enumerate(families):
        own = found["family"] == family
        caught = int(np.isfinite(seconds[own]).sum())
        right.barh(row, own.sum(), color=style.FAINT, height=0.62)
        right.barh(row, caught, color=style.CLAIM, height=0.62)
        right.text(own.sum() + 0.4, row, f"{caught}/{int(own.sum())}", va="center")
    right.set_yticks(range(len(families)), [family.replace("_", " ") for family in families])
    right.set_ylim(len(families) - 0.4, -0.6)
    right.tick_params(axis="y", length=0)
    right.set_xlabel("wrong bounds, refuted ones dark")
    style.title(figure, "What the search catches: deliberately wrong bounds, by the size of the mistake")
    return figure


def caption(found: Found) -> str:
    """All parameters."""
    count, refuted, trials = (int(value) for value in found["right"])
    wrong, right = found["budget"]
    return (
        f"{len(found['seconds'])} wrong bounds, each searched for at most {wrong:g} s on one core; size: how far the bound is "
        "below the right one where it is furthest, in mu or in the divergence (gross: a natural mistake such as a lost factor). "
        f"Of {count} right bounds, searched for {right:g} s each ({trials:,} instances in all), {refuted} were refuted."
    )
