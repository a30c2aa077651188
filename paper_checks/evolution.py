"""Covariance-matrix adaptation: a global search over real vectors that learns the scale and the slant of what it climbs.

The (mu/mu_w, lambda) strategy of Hansen (*The CMA evolution strategy: a tutorial*, 2016) with its default constants,
written as a generator of points, so that the caller decides when to stop and what a value costs.
"""

from __future__ import annotations

import math
from collections.abc import Generator

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_NARROW, _WIDE = 1e-9, 1e6


def climb(start: Array, step: float, rng: np.random.Generator) -> Generator[Array, float, None]:
    """Yields points near `start` (n,), and takes their values to be made large; ends when its steps have died out.

    Protocol: ``point = next(search)``, then ``point = search.send(value of the point)`` again and again. A value of -inf
    stands for a point that is of no use.
    """
    n = len(start)
    count = 4 + int(3 * math.log(n))
    parents = count // 2
    weights = math.log(parents + 0.5) - np.log(np.arange(1, parents + 1))
    weights /= weights.sum()
    effective = 1 / float((weights**2).sum())
    c_sigma = (effective + 2) / (n + effective + 5)
    damping = 1 + 2 * max(0.0, math.sqrt((effective - 1) / (n + 1)) - 1) + c_sigma
    c_path = (4 + effective / n) / (n + 4 + 2 * effective / n)
    c_one = 2 / ((n + 1.3) ** 2 + effective)
    c_rank = min(1 - c_one, 2 * (effective - 2 + 1 / effective) / ((n + 2) ** 2 + effective))
    usual = math.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n * n))
    mean, covariance = start.astype(float).copy(), np.eye(n)
    path, sigma_path = np.zeros(n), np.zeros(n)
    while _NARROW < step < _WIDE:
        squares, axes = np.linalg.eigh(covariance)
        lengths = np.sqrt(np.maximum(squares, 1e-20))
        normal = rng.standard_normal((count, n))
        moves = (normal * lengths) @ axes.T
        values = np.empty(count)
        for k in range(count):
            values[k] = yield mean + step * moves[k]
        best = np.argsort(-values, kind="stable")[:parents]
        move = weights @ moves[best]
        mean = mean + step * move
        whitened = axes @ ((axes.T @ move) / lengths)
        sigma_path = (1 - c_sigma) * sigma_path + math.sqrt(c_sigma * (2 - c_sigma) * effective) * whitened
        length = float(np.linalg.norm(sigma_path))
        moving = length < (1.4 + 2 / (n + 1)) * usual
        path = (1 - c_path) * path + moving * math.sqrt(c_path * (2 - c_path) * effective) * move
        rank = (moves[best].T * weights) @ moves[best]
        covariance = (1 - c_one - c_rank) * covariance + c_one * np.outer(path, path) + c_rank * rank
        covariance = 0.5 * (covariance + covariance.T)
        step *= math.exp(min(1.0, c_sigma / damping * (length / usual - 1)))
