"""Training examples ordered by the norm of their own gradient at the end of one learning run."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from linear.datasets import Dataset

from .. import ridge_setting, style
from ..gallery import About, Arrays, Found, Progress

ABOUT = About(
    id="benarroch2026/fig4",
    shows="Training images from the smallest to the largest gradient at the end of learning, one seed",
    original="Figure 4",
    statement="benarroch2026.proposition_4_4",
    needs="data set",
    minutes=0.1,
)
_BASE = {**ridge_setting.RIDGE, "seed": 0, "images": 14}
SETTINGS = {"full": _BASE, "smoke": {**_BASE, "learn_steps": 8, "images": 3}}
_ROWS = ("easiest", "middle", "hardest")


def data(settings: Any, dataset: Dataset, progress: Progress) -> Arrays:
    """Gradient norm of every point at the end of one run, and the images at both ends and in the middle."""
    side = math.isqrt(dataset.train_features.shape[1])
    if side * side != dataset.train_features.shape[1] or dataset.classes is None:
        raise ValueError(
            f"{dataset.name}: {dataset.train_features.shape[1]} features: must be the pixels of square images with classes"
        )
    problem, schedule = ridge_setting.problem_and_schedule(settings, dataset)
    rng = np.random.default_rng(int(settings["seed"]))
    weights = problem.initial.copy()
    for step in range(schedule.learn_steps):
        noise = schedule.learn_noise * rng.standard_normal(weights.shape)
        weights = weights - schedule.step_size * (problem.hessian @ weights - problem.cross) + noise
        progress(step + 1, schedule.learn_steps)
    residuals = problem.features @ weights - problem.targets
    # The point's own part of the gradient is x r', of norm |x| |r|.
    norms = np.linalg.norm(problem.features, axis=1) * np.linalg.norm(residuals, axis=1)
    ranked, count = np.argsort(norms, kind="stable"), int(settings["images"])
    middle = (len(ranked) - count) // 2
    places = np.array([ranked[:count], ranked[middle : middle + count], ranked[-count:]])
    predicted = dataset.classes[np.argmax(problem.features[places] @ weights, axis=2)]
    return {
        "norms": norms[ranked],
        "point": places,
        "image": dataset.train_features[places].reshape(*places.shape, side, side).astype(np.float32),
        "label": dataset.train_labels[places],
        "predicted": predicted,
        "norm": norms[places],
        "step_size": np.array(schedule.step_size),
    }


def draw(found: Found) -> Figure:
    """Three rows of images; over each its gradient norm, under it label and, where different, the prediction."""
    rows, columns = found["point"].shape
    figure, axes = style.canvas(0.62 * rows + 0.9, rows, columns, squeeze=False)
    top = float(found["image"].max())
    for row in range(rows):
        for column in range(columns):
            axis = axes[row, column]
            axis.imshow(found["image"][row, column], cmap="gray_r", vmin=0, vmax=top, interpolation="nearest")
            axis.set_xticks([])
            axis.set_yticks([])
            for spine in axis.spines.values():
                spine.set_visible(True)
                spine.set_color(style.PALE)
            axis.set_title(f"{found['norm'][row, column]:.2g}", fontsize=style.SMALLEST, loc="center", pad=2)
            label, predicted = found["label"][row, column], found["predicted"][row, column]
            wrong = label != predicted
            text = f"{label}, not {predicted}" if wrong else f"{label}"
            axis.set_xlabel(text, labelpad=2, color=style.OTHER if wrong else style.INK)
        axes[row, 0].set_ylabel(_ROWS[row], weight="bold")
    wrong = int((found["label"] != found["predicted"])[-1].sum())
    style.title(
        figure, f"The points that move the model least and most ({wrong} of the {columns} hardest are misclassified)"
    )
    return figure


def caption(found: Found) -> str:
    """All parameters."""
    s = found.settings
    wrong = int((found["label"] != found["predicted"])[-1].sum())
    return (
        f"Training images with the smallest, middle and largest norm of their own gradient |x| |W'x - y| after one "
        f"learning run (seed {s['seed']}); over each image the norm, under it its label ('a, not b': classified as b; "
        f"{wrong} of the {found['point'].shape[1]} hardest are). "
        f"{ridge_setting.describe(ridge_setting.learning_only(s), found.data, found.number('step_size'))}."
    )
