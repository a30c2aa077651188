"""How far apart unlearned and reference networks are at least: audited lower bounds against the point's privacy loss."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from .. import saved, style
from ..gallery import About, Arrays, Found, Progress

NAME = "audit_cpu"
ABOUT = About(
    id="ours/audit",
    shows="Audited lower bounds on mu between unlearned and reference networks, against the point's privacy loss",
    original="ours",
    statement="sepahvand2025.deep_nets",
    needs="saved results",
    minutes=0.1,
    results=saved.files(NAME),
    origin=f"unlearncheck deep audit --scale cpu --out {saved.FOLDER}",
)
SETTINGS: dict[str, dict[str, float | int | str]] = {"full": {}, "smoke": {}}


def data(settings: Any, dataset: Any, progress: Progress) -> Arrays:
    """Lower bounds and estimates of mu (points, times), of the null (points,), and the privacy losses."""
    numbers, arrays = saved.read(NAME)
    kept = {name: arrays[name] for name in ("audited_mu", "estimated_mu", "null_mu", "null_estimated_mu")}
    facts = {"settings": numbers["settings"], "problem": numbers["problem"], "most_mu": numbers["most_mu"]}
    return {"loss": arrays["score_privacy_loss"], **kept, "at": np.array(numbers["at"]), "facts": saved.text(facts)}


def draw(found: Found) -> Figure:
    """One panel per time: estimates as rings, certified lower bounds as dots; the last panel is the null."""
    times = found["at"].tolist()
    figure, axes = style.canvas(3.0, 1, len(times) + 1, sharey=True)
    columns = [
        (found["audited_mu"][:, k], found["estimated_mu"][:, k], f"{at} unlearning steps") for k, at in enumerate(times)
    ]
    columns.append((found["null_mu"], found["null_estimated_mu"], "nothing to find"))
    for axis, (lower, guess, words) in zip(axes, columns, strict=True):
        color = style.GREY if words == "nothing to find" else style.CLAIM
        axis.vlines(found["loss"], lower, guess, color=style.PALE, linewidth=0.7, zorder=1)
        axis.plot(found["loss"], guess, "o", color=color, markerfacecolor="white", markersize=4, label="estimate")
        axis.plot(found["loss"], lower, "o", color=color, markersize=4, label="lower bound")
        axis.set_xscale("log")
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.set_title(words)
        axis.grid(axis="y")
    most = saved.parsed(found["facts"])["most_mu"]
    axes[0].axhline(most, color=style.PALE, linewidth=0.8, linestyle=(0, (4, 3)))
    axes[0].annotate(
        "the most these\nruns could show",
        (found["loss"].min(), most),
        (0, 3),
        textcoords="offset points",
        color=style.GREY,
    )
    axes[0].set_ylim(bottom=-0.03 * most)
    axes[0].set_ylabel("mu (Gaussian DP)")
    axes[-1].legend(loc="upper left", handlelength=1.0)
    axes[len(axes) // 2].set_xlabel("privacy loss of the point")
    style.title(figure, "What an audit can show of unlearning a network, point by point")
    return figure


def caption(found: Found) -> str:
    """All parameters."""
    facts = saved.parsed(found["facts"])
    s = facts["settings"]
    return (
        f"One pair of marks per audited point: lower bound on mu at confidence {s['confidence']:g} from {s['runs']} networks of "
        "each kind (never a certificate), and the estimate without confidence. Nothing to find: two halves of the reference "
        f"networks. Data: {facts['problem'].split(';')[0].strip('. ')}; {s['rows']} rows, a network ({s['net']}) with "
        f"{s['hidden']} hidden units, {s['learn_steps']} full-batch learning steps of size {s['step_size']:g}, temperature "
        f"{s['temperature']:g}, penalty {s['penalty']:g}."
    )
