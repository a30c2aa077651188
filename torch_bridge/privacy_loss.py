"""Per-instance privacy loss from gradient norms along training: an estimate, and it says of what.

A training step moves the parameters by step_weight * (sum of the batch's gradients) and adds noise_std to each of them
(step_weight = step_size / expected batch size; for Langevin temperature sigma, noise_std = sqrt(2 step_size) sigma).
Whether the point was there shows in such a step by `bounds.renyi_dp.sum_rule`; steps compose by `bounds.renyi_dp`'s
Hölder orders (Thudi et al. 2024, read from its released code, composition derived there). The composition bound takes
expectations over models trained WITH the point; measured runs stand in for them, hence the two estimators:

- "plain_sum", one run: the sum of its steps' losses. With power = inf the orders are all equal.
- "moment", several runs: log moments over the runs. By Jensen biased LOW, and so is the plain sum, its one-run case.

Neither is a bound, nor is an average of plain sums over runs. For plain SGD, where nothing is added, noise_std is a
declared fiction: only the ranking of points means something, and it is free of order and noise when the norms are small
against the noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from bounds._checks import FloatArray, array, choice, count, number
from bounds.renyi_dp import compose, holder_orders, sum_rule

Estimator = Literal["plain_sum", "moment"]

_BIAS: dict[str, str] = {
    "plain_sum": "an estimate, biased low: one run in place of the expectation of an exponential; not a bound",
    "moment": "an estimate, biased low by Jensen's inequality with finitely many runs; not a bound",
}


@dataclass(frozen=True, eq=False)
class PrivacyLoss:
    """Estimated Rényi divergence (points,) of the law of the training path with a point from that without it.

    order, power, noise_std (mean over steps), step_weight, rate: the numbers it was computed with. steps: of the whole
    training. thinning: every how many steps norms were recorded. runs: used. adjacency, bias: in words.
    """

    values: FloatArray
    order: float
    power: float
    noise_std: float
    step_weight: float
    rate: float
    steps: int
    thinning: float
    runs: int
    estimator: Estimator
    adjacency: str = "the point is added or removed; first argument: trained with it; the divisor stays"

    @property
    def bias(self) -> str:
        """What the estimator is worth."""
        return _BIAS[self.estimator]

    def as_json(self) -> dict[str, object]:
        """Everything but the values, for a results file; an infinite power as text."""
        facts = {name: value for name, value in vars(self).items() if name != "values"}
        return facts | {"power": "inf" if math.isinf(self.power) else self.power, "bias": self.bias}


def privacy_loss(
    norms: ArrayLike,
    *,
    order: float,
    step_weight: ArrayLike,
    noise_std: ArrayLike,
    rate: float = 1.0,
    power: float = math.inf,
    recorded: ArrayLike | None = None,
    steps: int | None = None,
    estimator: Estimator = "plain_sum",
) -> PrivacyLoss:
    """Privacy loss of every point from its gradient norms along training.

    Parameters
    ----------
    norms : (runs, recorded steps, points) or (recorded steps, points), the norm of the point's own gradient BEFORE the
        step, clipped if training clips examples. With "plain_sum" several runs give the mean of their plain sums.
    order : > 1.
    step_weight : what multiplies the sum of gradients, one number or one per recorded step.
    noise_std : added to every parameter, one number or one per recorded step; positive.
    rate : probability that the point is in a batch.
    power : Hölder exponent of the composition; must be finite for "moment".
    recorded : (recorded steps,) increasing step numbers from 0, the first of them 0; None: every step, or evenly when
        `steps` is given. A recorded step stands for all steps up to the next one, at the largest order among them.
    steps : of the whole training.
    """
    norms = array("norms", norms, "[0, inf)")
    if norms.ndim == 2:
        norms = norms[None]
    if norms.ndim != 3 or norms.size == 0:
        raise ValueError(f"norms has shape {norms.shape}: must be (runs, recorded steps, points), none of them 0")
    order = number("order", order, "(1, inf)")
    estimator = choice("estimator", estimator, ("plain_sum", "moment"))
    runs, kept, points = norms.shape
    starts, stretches, total = _stretches(recorded, steps, kept)
    weight = array("step_weight", step_weight, "(0, inf)", length=kept)
    noise = array("noise_std", noise_std, "(0, inf)", length=kept)
    # The first step of a stretch has the largest order of it.
    orders = holder_orders(order=order, steps=total, power=power)[starts]

    def step_loss(index: int, at: float) -> FloatArray:
        return np.asarray(
            sum_rule(order=at, gradient_norm=weight[index] * norms[:, index], noise_std=float(noise[index]), rate=rate)
        )

    if estimator == "plain_sum":
        sums = np.zeros((runs, points))
        for index in range(kept):
            sums += stretches[index] * step_loss(index, float(orders[index]))
        values = sums.mean(axis=0)
    else:
        if math.isinf(power):
            raise ValueError("power = inf: the moment estimator needs a finite Hölder exponent (3 * steps is usual)")
        stretch_of = np.repeat(np.arange(kept), stretches)

        def log_moment(step: int, at: float, exponent: float) -> FloatArray:
            exponents = exponent * step_loss(int(stretch_of[step]), at)
            return np.asarray(np.logaddexp.reduce(exponents, axis=0) - math.log(runs)).clip(min=0.0)

        values = np.asarray(compose(log_moment, order=order, steps=total, power=power))
    return PrivacyLoss(
        values=values,
        order=order,
        power=power,
        noise_std=float(noise.mean()),
        step_weight=float(weight.mean()),
        rate=rate,
        steps=total,
        thinning=total / kept,
        runs=runs,
        estimator=estimator,
    )


def _stretches(recorded: ArrayLike | None, steps: int | None, kept: int) -> tuple[np.ndarray, np.ndarray, int]:
    """First step of every stretch, lengths of the stretches, number of steps."""
    total = kept if steps is None and recorded is None else steps
    if total is None:
        raise ValueError(
            "steps = None: must be given with `recorded`, for the last recorded step to stand for the rest"
        )
    total = count("steps", total, least=kept)
    starts = np.arange(kept) * total // kept if recorded is None else np.asarray(recorded)
    if starts.dtype.kind not in "iu" or starts.shape != (kept,):
        raise ValueError(f"recorded has shape {starts.shape}: must be {kept} whole numbers, one for each recorded step")
    if starts[0] != 0 or np.any(np.diff(starts) <= 0) or starts[-1] >= total:
        raise ValueError(f"recorded = {recorded!r}: must increase from 0 and stay below {total}, the steps")
    return starts, np.diff(np.append(starts, total)), total
