"""A ridge problem in the plane with an outlier, point 0, which is the one to forget."""

from __future__ import annotations

from typing import Any

import numpy as np

import linear


def plane(settings: Any) -> linear.RidgeProblem:
    """`points` Gaussian rows drawn with `seed`, the first replaced by an outlier."""
    rng = np.random.default_rng(int(settings["seed"]))
    features = rng.standard_normal((int(settings["points"]), 2)) * [1.0, 0.7]
    targets = features @ [0.6, -0.4] + 0.2 * rng.standard_normal(len(features))
    features[0], targets[0] = (1.9, 1.3), 4.0
    return linear.RidgeProblem(features, targets, ridge=float(settings["ridge"]))
