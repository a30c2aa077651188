"""Every theory on one ridge problem: the noise at fixed steps and the steps at fixed noise, one dot per training point.

Drawn from the .npz that ``unlearncheck compare`` saves; ``python -m figures.ours.every_theory FILE.npz`` draws again.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bounds.deletion.theories.case import Budget
from bounds.deletion.theories.catalogue import EXACT, THEORIES
from bounds.deletion.theories.comparison import QUESTIONS, Comparison, compare, load, quartiles
from linear.datasets import Dataset

from .. import ridge_setting, style
from ..gallery import About, Arrays, Found, Progress

ABOUT = About(
    id="ours/every_theory",
    shows="The noise and the steps that every theory asks for, on one ridge problem",
    original="ours",
    statement="derived.uniform_unlearning",
    needs="data set",
    minutes=1.0,
)
_BASE = {**ridge_setting.RIDGE, "epsilon": 0.1, "delta": 1e-5, "points": 60}
SETTINGS = {"full": _BASE, "smoke": {**_BASE, "learn_steps": 8, "points": 2}}

Array = NDArray[np.float64]
_EDGE = 0.94  # where on the axis answers above the panel are drawn
_MOST_DECADES = 6.0  # the noise axis ends this far above the largest exact answer
_INK, _PALE, _MARK = style.INK, style.GREY, style.CLAIM


@dataclass(frozen=True, eq=False)
class Panel:
    """One question: a row of answers per theory, sorted from the largest median to exact; `top` is the axis' end."""

    title: str
    axis: str
    labels: list[str]
    answers: list[Array]
    ratios: list[float]
    per_instance: list[bool]
    bottom: float
    top: float


def panels_of(result: Comparison) -> list[Panel]:
    """The two panels; nothing is lost but what lies off the scale, which is drawn at the edge and counted."""
    s = result.settings
    titles = {
        "noise": f"Noise, at {s['unlearn_steps']:.0f} unlearning steps",
        "steps": f"Unlearning steps, at noise {s['unlearn_noise']:g}",
    }
    axes = {"noise": "injected noise per step (standard deviation)", "steps": "number of steps"}
    # One order for both panels, so that rows can be read across: by the steps asked for.
    order = sorted(
        (theory for theory in THEORIES if theory is not EXACT),
        key=lambda theory: tuple(-quartiles(result.column(question, theory.name))[1] for question in QUESTIONS[::-1]),
    )
    panels = []
    for question in QUESTIONS:
        answers = [result.column(question, theory.name) for theory in (*order, EXACT)]
        positive = np.concatenate([one[(one > 0) & np.isfinite(one)] for one in answers])
        low = float(positive.min()) if positive.size else 1.0
        high = float(positive.max()) if positive.size else 10.0
        floor = low / 2 if all((one > 0).all() for one in answers) else low / 10
        top = min(high * 3, floor * 10 ** (_MOST_DECADES + 3))
        panels.append(
            Panel(
                title=titles[question],
                axis=axes[question],
                labels=[theory.label for theory in (*order, EXACT)],
                answers=answers,
                ratios=[quartiles(result.ratios(question, theory.name))[1] for theory in (*order, EXACT)],
                per_instance=[theory.per_instance for theory in (*order, EXACT)],
                bottom=floor,
                top=max(top, floor * 100) * 10,
            )
        )
    return panels


def comparison_of(found: Found) -> Comparison:
    """The numbers as a comparison."""
    return Comparison(
        data=found.data,
        settings=json.loads(str(found["comparison"])),
        names=tuple(str(name) for name in found["names"]),
        **{name: found[name] for name in ("indices", "leverages", "losses", "noise", "steps")},
    )


def found_of(result: Comparison) -> Found:
    """A comparison as numbers to draw."""
    arrays = {name: getattr(result, name) for name in ("indices", "leverages", "losses", "noise", "steps")}
    kept = {"comparison": np.array(json.dumps(result.settings)), "names": np.array(result.names)}
    return Found({**arrays, **kept}, {}, result.data)


def data(settings: Any, dataset: Dataset, progress: Progress) -> Arrays:
    """What every theory asks for, for `points` rows spread by leverage."""
    problem, schedule = ridge_setting.problem_and_schedule(settings, dataset)
    result = compare(
        problem,
        schedule,
        budget=Budget(settings["epsilon"], settings["delta"], settings["delta"] / 2),
        points=int(settings["points"]),
        data=dataset.name,
        jobs=ridge_setting.JOBS if settings["points"] > 4 else 1,
        progress=progress,
    )
    steady = {name: value for name, value in result.settings.items() if name != "seconds"}
    return found_of(replace(result, settings=steady)).arrays


def draw(found: Found) -> Figure:
    """Two panels, noise and steps, a row of answers per theory."""
    result = comparison_of(found)
    panels = panels_of(result)
    figure, axes = style.canvas(4.1, 1, 2, sharey=True)
    for panel, axis in zip(panels, axes, strict=True):
        _panel(axis, panel)
    axes[0].set_yticks(range(len(panels[0].labels)), panels[0].labels)
    for words, own in zip(axes[0].get_yticklabels(), panels[0].per_instance, strict=True):
        words.set_color(style.INK if own else "#5a5a5a")
    style.title(figure, "What each theory asks for to forget one training point")
    return figure


def caption(found: Found) -> str:
    """All parameters."""
    result = comparison_of(found)
    s = result.settings
    return (
        f"Circles: {len(result.indices)} of {s['n_points']:.0f} training points, spread over the leverages; bar: their "
        "median; diamond: a theory that gives every point the same answer. Numbers: median multiple of the exact answer. "
        "Arrows: beyond the axis, infinite, or noise above 1e30. Crosses: nothing needed. Target (epsilon, delta) = "
        f"({s['epsilon']:g}, {s['delta']:g}) in both directions, of which {s['delta_s']:g} for sensitivities. Ridge on "
        f"{result.data.strip('. ')}; penalty {s['ridge']:g}, step size {s['step_size']:.3g}, {s['learn_steps']:.0f} learning "
        f"steps with injected noise {s['learn_noise']:g}."
    )


def _panel(axis: Axes, panel: Panel) -> None:
    axis.set_xscale("log")
    axis.set_xlim(panel.bottom, panel.top)
    edge = panel.bottom * (panel.top / panel.bottom) ** _EDGE
    zero = panel.bottom * (panel.top / panel.bottom) ** 0.03
    exact = quartiles(panel.answers[-1])[1]
    if exact > 0 and np.isfinite(exact):
        axis.axvline(exact, color=_PALE, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
    jitter = np.random.default_rng(0)
    rows = zip(panel.answers, panel.per_instance, panel.ratios, strict=True)
    for row, (answers, own, times) in enumerate(rows):
        beyond = answers > edge / 1.2
        inside, none = ~beyond & (answers > 0), answers == 0
        if own:
            heights = row + jitter.uniform(-0.22, 0.22, len(answers))
            axis.scatter(
                answers[inside], heights[inside], s=9, facecolors="none", edgecolors=_MARK, linewidths=0.6, zorder=3
            )
            axis.scatter(np.full(none.sum(), zero), heights[none], s=12, marker="x", color=_MARK, linewidths=0.6)
        elif inside.any():
            axis.scatter(answers[:1], [row], s=22, marker="D", color=_PALE, edgecolors=_INK, linewidths=0.6, zorder=3)
        middle = quartiles(answers)[1]
        if own and 0 < middle <= edge / 1.2:
            axis.plot([middle, middle], [row - 0.36, row + 0.36], color=_INK, linewidth=1.8, zorder=4)
        if beyond.any():
            axis.scatter([edge], [row], s=34, marker=">", color=_INK, zorder=4)
        remark = _remark(answers, beyond, times)
        if beyond.any():
            axis.annotate(remark, (edge, row), (-6, 0), textcoords="offset points", ha="right", va="center", zorder=5)
        else:
            axis.annotate(remark, (answers.max(), row), (7, 0), textcoords="offset points", va="center", zorder=5)
    axis.set_title(panel.title, loc="left", fontsize=9)
    axis.set_xlabel(panel.axis)
    axis.set_ylim(len(panel.labels) - 0.4, -0.6)
    axis.tick_params(axis="y", length=0)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    axis.grid(axis="x", color="#e3e3e3", linewidth=0.5, zorder=0)


def _remark(answers: Array, beyond: NDArray[np.bool_], times: float) -> str:
    if beyond.any():
        share = "all" if beyond.all() else f"{int(beyond.sum())} of {len(beyond)}"
        if np.isinf(answers).sum() == beyond.sum():
            return f"{share} infinite"
        return f"{share} beyond, up to {answers.max():.0e}"
    if not np.isfinite(times) or times == 1:
        return ""
    return f"x {times:,.0f}" if times >= 9.5 else f"x {times:.1f}"


def redraw(result: Comparison, stem: Path) -> list[Path]:
    """Draw a comparison made elsewhere as stem.png and stem.svg; returns the paths."""
    found = found_of(result)
    with style.applied():
        figure = style.finished(draw(found), caption(found))
        return style.save(figure, stem, {"Title": ABOUT.shows, "Description": caption(found)})


def main(arguments: list[str] | None = None) -> int:
    """Draw a saved comparison again beside its file; exit status 2 for a wrong call."""
    given = sys.argv[1:] if arguments is None else arguments
    if len(given) != 1:
        print("usage: python -m figures.ours.every_theory FILE.npz", file=sys.stderr)
        return 2
    try:
        paths = redraw(load(Path(given[0])), Path(given[0]).with_suffix(""))
    except (ValueError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print("\n".join(str(path) for path in paths))
    return 0


if __name__ == "__main__":
    sys.exit(main())
