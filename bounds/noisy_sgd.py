"""Unlearning with noisy SGD over cyclic mini-batches, by shifts between coupled chains.

Chien, Wang, Chen, Li, *Certified Machine Unlearning via Noisy SGD* (2024), from its released code: batches of `batch`
points in a fixed cycle, size / batch steps an epoch, one point REPLACED per request, m-strongly convex, L-smooth,
M-Lipschitz losses, step_size (L + m) <= 2 so that a step contracts by c = 1 - step_size m. Distances are between
coupled chains, almost surely (infinite-order Wasserstein).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from bounds._checks import FloatArray, array, choice, count, number
from bounds._outward import decayed, down, shaped, up
from bounds.lsi_decay import strongly_convex_rate

Form = Literal["geometric", "shifted", "tight"]


def noisy_sgd_distance(
    *,
    step_size: float,
    strong_convexity: float,
    smoothness: float,
    lipschitz: float,
    size: int,
    batch: int,
    earlier_epochs: Sequence[int] = (),
    radius: float = 0.0,
    learn_epochs: int | None = None,
) -> float:
    """Distance between the chain about to unlearn and the stationary law of the new data, rounded up.

    Parameters
    ----------
    earlier_epochs : epochs spent on each earlier request; the distances then accumulate, without any price in order.
    radius, learn_epochs : training that stopped after `learn_epochs` epochs in a ball of this radius adds
        2 radius c^(learn_epochs size / batch); None means training has converged.

    One request costs Z = 2 step_size M / (batch (1 - c^(size/batch))): each epoch adds at most 2 step_size M / batch,
    in the worst slot, which is the last, and contracts the rest. Then Z_(s+1) = c^(K_s size/batch) Z_s + Z.
    """
    epoch = _epoch_decay(step_size, strong_convexity, smoothness, size, batch)
    lipschitz, radius = number("lipschitz", lipschitz, "[0, inf)"), number("radius", radius, "[0, inf)")
    one = float(up(2 * step_size * lipschitz / (batch * -math.expm1(-epoch)), 16))
    distance = one
    if learn_epochs is not None:
        distance += 2 * radius * float(decayed(count("learn_epochs", learn_epochs) * epoch))
    for epochs in earlier_epochs:
        distance = distance * float(decayed(count("earlier_epochs", epochs) * epoch)) + one
    return float(up(distance, 4 + 3 * len(earlier_epochs)))


def noisy_sgd(
    *,
    order: ArrayLike,
    distance: float,
    step_size: float,
    temperature: float,
    strong_convexity: float,
    smoothness: float,
    size: int,
    batch: int,
    unlearn_epochs: int,
    form: Form = "shifted",
) -> FloatArray | float:
    """Rényi bound from the new data's stationary law after `unlearn_epochs` epochs; +inf before the first.

    With s = 2 step_size temperature^2 and k = unlearn_epochs size / batch steps:

    "geometric": (order distance^2 / s) c^(2k), and "shifted": (order distance^2 / s) (1 - c^2) / (c^(-2k) - 1), the
    released code's two forms; "tight": half the second, attained by two equal-variance linear chains (derived here).
    """
    order, distance = array("order", order, "(1, inf)"), number("distance", distance, "[0, inf)")
    form = choice("form", form, ("geometric", "shifted", "tight"))
    temperature = number("temperature", temperature, "(0, inf)")
    rate = strongly_convex_rate(step_size=step_size, strong_convexity=strong_convexity, smoothness=smoothness)
    exponent = (
        2 * count("unlearn_epochs", unlearn_epochs) * _epoch_decay(step_size, strong_convexity, smoothness, size, batch)
    )
    if exponent == 0:
        return shaped(np.full(order.shape, math.inf if distance else 0.0))
    ratio = distance / temperature
    scaled = order * (ratio * ratio / (2 * step_size))
    if form == "geometric":
        left = float(decayed(exponent))
    else:
        # 1 - c^2 = x (2 - x), a little above what the rounded-down rate x gives; c^(-2k) - 1 = expm1(exponent).
        left = rate * (2 - rate) * (1 + 2.0**-48) * float(decayed(exponent)) / -math.expm1(-exponent)
    value = up(scaled * left * (0.5 if form == "tight" else 1.0), 20)
    return shaped(value if distance else np.zeros(order.shape))


def _epoch_decay(step_size: float, strong_convexity: float, smoothness: float, size: int, batch: int) -> float:
    """-log of the contraction of an epoch, rounded down."""
    rate = strongly_convex_rate(step_size=step_size, strong_convexity=strong_convexity, smoothness=smoothness)
    size, batch = count("size", size, least=1), count("batch", batch, least=1)
    if size % batch:
        raise ValueError(f"batch = {batch}: must divide size = {size}")
    return float(down(-math.log1p(-rate) * (size // batch), 8))
