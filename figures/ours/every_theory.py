"""Every theory on one ridge problem: the noise at fixed steps and the steps at fixed noise, one dot per training point.

Drawn from the .npz that ``unlearncheck compare`` saves; ``python -m figures.ours.every_theory FILE.npz`` draws again.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from bounds.deletion.theories.catalogue import EXACT, THEORIES
from bounds.deletion.theories.comparison import QUESTIONS, Comparison, load, quartiles

Array = NDArray[np.float64]
_WIDTH = 7.2  # inches in print
_SMALLEST = 8.0  # points
_EDGE = 0.94  # where on the axis answers above the panel are drawn
_MOST_DECADES = 6.0  # the noise axis ends this far above the largest exact answer
_INK, _PALE, _MARK = "#1a1a1a", "#8c8c8c", "#0b4f8a"


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


def data(result: Comparison) -> list[Panel]:
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


def draw(result: Comparison, stem: Path) -> list[Path]:
    """Draw `data` as stem.png and stem.svg; returns the paths."""
    panels = data(result)
    style: Any = {"font.size": _SMALLEST, "svg.fonttype": "none", "svg.hashsalt": "every theory", "axes.linewidth": 0.6}
    with plt.rc_context(style):
        figure, axes = plt.subplots(1, 2, figsize=(_WIDTH, 4.3), sharey=True)
        for panel, axis in zip(panels, axes, strict=True):
            _panel(axis, panel)
        axes[0].set_yticks(range(len(panels[0].labels)), panels[0].labels)
        for label, own in zip(axes[0].get_yticklabels(), panels[0].per_instance, strict=True):
            label.set_color(_INK if own else "#5a5a5a")
        s = result.settings
        figure.suptitle(
            f"What each theory asks for to forget one training point ({result.data.split(':')[0]}, "
            f"epsilon = {s['epsilon']:g}, delta = {s['delta']:g})",
            x=0.01,
            ha="left",
            fontsize=9.5,
            weight="bold",
        )
        figure.text(
            0.01,
            0.012,
            f"Circles: {len(result.indices)} training points; bar: their median; diamond: a theory that gives every point "
            "the same answer.\nNumbers: median multiple of the exact answer. Arrows: beyond the axis, infinite, or noise "
            "above 1e30. Crosses: nothing needed.",
            fontsize=_SMALLEST,
            color=_INK,
        )
        figure.tight_layout(rect=(0, 0.09, 1, 0.985), w_pad=1.0)
        paths = []
        stem.parent.mkdir(parents=True, exist_ok=True)
        for suffix, options in ((".png", {"dpi": 200}), (".svg", {"metadata": {"Date": None}})):
            path = stem.with_name(stem.name + suffix)
            temporary = path.with_name(f".{path.name}.part{suffix}")
            figure.savefig(temporary, **options)  # type: ignore[arg-type]
            temporary.replace(path)
            paths.append(path)
        plt.close(figure)
    return paths


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


def main(arguments: list[str] | None = None) -> int:
    """Draw a saved comparison again beside its file; exit status 2 for a wrong call."""
    given = sys.argv[1:] if arguments is None else arguments
    if len(given) != 1:
        print("usage: python -m figures.ours.every_theory FILE.npz", file=sys.stderr)
        return 2
    try:
        paths = draw(load(Path(given[0])), Path(given[0]).with_suffix(""))
    except (ValueError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print("\n".join(str(path) for path in paths))
    return 0


if __name__ == "__main__":
    sys.exit(main())
