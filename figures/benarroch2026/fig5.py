"""Test accuracy against epsilon: noise by one's own sensitivity, by the largest of all, and by the exact laws."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

import linear
from bounds.deletion.theories import case
from bounds.deletion.theories.catalogue import THEORIES
from linear.datasets import Dataset

from .. import ridge_setting, style
from ..gallery import About, Arrays, Found, Progress

ABOUT = About(
    id="benarroch2026/fig5",
    shows="Test accuracy after unlearning against epsilon: per-instance, uniform and exact noise",
    original="Figure 5",
    statement="benarroch2026.theorem_4_3",
    needs="data set",
    minutes=1.0,
)
_BASE = {
    **ridge_setting.RIDGE,
    "delta": 1e-5,
    "points": 3,
    "least_epsilon": 0.05,
    "largest_epsilon": 2.0,
    "epsilons": 8,
    "runs": 20,
    "seed": 0,
}
SETTINGS = {"full": _BASE, "smoke": {**_BASE, "learn_steps": 8, "points": 2, "epsilons": 2, "runs": 3}}
_ASKED = ("exact", "direction_aware", "hull", "gdp_uniform")
# Direct labels of the first panel: words, the accuracy (as a share of the way up) where they stand, and on which side.
_WORDS = {
    "exact": ("exact\noptimum", 0.9, "right"),
    "direction_aware": ("direction-\naware", 0.72, "left"),
    "hull": ("own\nshifts", 0.55, "right"),
    "gdp_uniform": ("uniform", 0.1, "left"),
}
_LOOKS: dict[str, tuple[str, Any]] = {
    "exact": (style.TRUTH, (0, (1, 1))),
    "direction_aware": (style.THIRD, (0, (5, 1, 1, 1))),
    "hull": (style.CLAIM, "solid"),
    "gdp_uniform": (style.OTHER, (0, (4, 2))),
}


def data(settings: Any, dataset: Dataset, progress: Progress) -> Arrays:
    """Noise and test accuracy (points, epsilons, theories[, runs]) for points from the least to the most exposed."""
    if dataset.classes is None or not len(dataset.test_features):
        raise ValueError(f"{dataset.name}: must have classes and test rows")
    problem, schedule = ridge_setting.problem_and_schedule(settings, dataset)
    order = np.argsort(problem.leverage(), kind="stable")
    points = order[np.linspace(0, len(order) - 1, int(settings["points"])).round().astype(int)]
    epsilons = np.geomspace(settings["least_epsilon"], settings["largest_epsilon"], int(settings["epsilons"]))
    seeds = np.random.SeedSequence(int(settings["seed"])).spawn(len(epsilons))
    work = partial(_at, problem, schedule, dataset, points, settings["delta"], int(settings["runs"]))
    found = ridge_setting.each(work, list(zip(epsilons.tolist(), seeds, strict=True)), progress)
    return {
        "point": points,
        "leverage": problem.leverage(points),
        "epsilon": epsilons,
        "theory": np.array(_ASKED),
        "noise": np.stack([noise for noise, _, _ in found], axis=1),
        "accuracy": np.stack([accuracy for _, accuracy, _ in found], axis=1),
        "unforgotten": np.stack([before for _, _, before in found], axis=1),
        "step_size": np.array(schedule.step_size),
    }


def _at(
    problem: linear.RidgeProblem,
    schedule: linear.Schedule,
    dataset: Dataset,
    points: np.ndarray,
    delta: float,
    runs: int,
    item: tuple[float, np.random.SeedSequence],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(noise (points, theories), accuracy (points, theories, runs), accuracy without unlearning noise (points, runs))."""
    epsilon, seed = item
    rng = np.random.default_rng(seed)
    budget = case.Budget(epsilon, delta, delta / 2)
    uniform = case.uniform_facts(problem, schedule, budget)
    asked = [next(theory for theory in THEORIES if theory.name == name) for name in _ASKED]
    noises = np.empty((len(points), len(asked)))
    accuracies = np.empty((len(points), len(asked), runs))
    quiet = np.empty((len(points), runs))
    for row, index in enumerate(points.tolist()):
        this = case.build(problem, schedule, index, budget=budget, uniform=uniform)
        noises[row] = [theory.noise(this) for theory in asked]
        for column, noise in enumerate([*noises[row], 0.0]):
            measured = _accuracies(problem, schedule.with_unlearn_noise(noise), index, dataset, runs, rng)
            if column < len(asked):
                accuracies[row, column] = measured
            else:
                quiet[row] = measured
    return noises, accuracies, quiet


def _accuracies(
    problem: linear.RidgeProblem,
    schedule: linear.Schedule,
    index: int,
    dataset: Dataset,
    runs: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Test accuracy of `runs` draws from the exact law of the unlearned weights."""
    laws = linear.exact_laws(problem, schedule, index)
    values, vectors = np.linalg.eigh(laws.cov_p)
    root = vectors * np.sqrt(np.maximum(values, 0))
    draws = laws.mean_p + root @ rng.standard_normal((runs, *laws.mean_p.shape))
    assert dataset.classes is not None
    hits = dataset.classes[np.argmax(dataset.test_features @ draws, axis=2)] == dataset.test_labels
    rates: np.ndarray = hits.mean(axis=1)
    return rates


def draw(found: Found) -> Figure:
    """One panel per removed point: mean accuracy with 95 % intervals, a line per way to set the noise."""
    points, names = found["point"], found["theory"].tolist()
    figure, axes = style.canvas(3.2, 1, len(points), sharey=True, squeeze=False)
    for row, axis in enumerate(axes[0]):
        ceiling = found["unforgotten"][row].mean()
        axis.axhline(ceiling, color=style.PALE, linewidth=0.8, linestyle=(0, (1, 2)), zorder=0)
        for column, name in enumerate(names):
            runs = found["accuracy"][row, :, column]
            mean = runs.mean(axis=1)
            half = stats.t.ppf(0.975, runs.shape[1] - 1) * runs.std(axis=1, ddof=1) / np.sqrt(runs.shape[1])
            color, dashes = _LOOKS[name]
            axis.fill_between(found["epsilon"], mean - half, mean + half, color=color, alpha=0.18, linewidth=0)
            axis.plot(found["epsilon"], mean, color=color, linestyle=dashes)
        axis.set_xscale("log")
        axis.set_xticks([0.05, 0.1, 0.2, 0.5, 1, 2], ["0.05", "0.1", "0.2", "0.5", "1", "2"])
        axis.minorticks_off()
        axis.set_xlabel("epsilon")
        axis.set_title(f"point {points[row]}, leverage {found['leverage'][row]:.2g}", fontsize=style.SMALLEST)
        axis.grid(axis="y")
    axes[0, 0].set_ylabel("test accuracy")
    _label(axes[0, 0], found, names)
    style.title(figure, "What the certificate costs: test accuracy after unlearning one point")
    return figure


def _label(axis: Any, found: Found, names: list[str]) -> None:
    """Name the curves of the first panel where they pass the heights in _WORDS."""
    means = found["accuracy"][0].mean(axis=2)
    floor, ceiling = means.min(), means.max()
    for column, name in enumerate(names):
        words, share, side = _WORDS[name]
        place = int(np.argmin(np.abs(means[:, column] - floor - share * (ceiling - floor))))
        at = (found["epsilon"][place], means[place, column])
        offset = (-5, 2) if side == "right" else (5, -6)
        style.label(axis, words, at, _LOOKS[name][0], ha=side, offset=offset, weight="bold", linespacing=0.95)


def caption(found: Found) -> str:
    """All parameters."""
    s = found.settings
    given = {name: value for name, value in s.items() if name != "unlearn_noise"}
    words = ridge_setting.describe(given, found.data, found.number("step_size"))
    return (
        f"Mean test accuracy over {s['runs']} draws from the exact law of the unlearned weights (band: 95 % t-interval "
        f"of the mean; dotted level: no unlearning noise), the unlearning noise set to reach epsilon at delta = "
        f"{s['delta']:g} in both directions by the point's own sensitivities (own shifts: optimal shifted interpolation; "
        f"direction-aware: derived here), by the largest gradient of any point (uniform), or by the exact laws; the removed "
        f"point is one of {s['points']} spread over the leverages. {words}, seed {s['seed']}."
    )
