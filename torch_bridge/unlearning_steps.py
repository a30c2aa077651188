"""How many steps a group of points takes to be unlearned: until its statistic is that of models retrained without it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bounds._checks import FloatArray, array, number

LEAST_RUNS = 5


@dataclass(frozen=True, eq=False)
class StepsToUnlearn:
    """Per run (runs,): the step from which on the statistic stays within the margin; +inf where it never does.

    of_mean: the same of the mean curve over the runs, which wobbles less. target: mean over the retrained models;
    target_std: their spread; margin: as used; budget: the last step looked at. median: over the runs, +inf when half of
    them are censored.
    """

    steps: FloatArray
    of_mean: float
    target: float
    target_std: float
    margin: float
    budget: float

    @property
    def censored(self) -> int:
        """Runs that were not done at the budget."""
        return int(np.count_nonzero(np.isinf(self.steps)))

    @property
    def median(self) -> float:
        """Median over runs; of an even number the upper middle one, so that censoring is never averaged away."""
        return float(np.sort(self.steps)[len(self.steps) // 2])

    @property
    def mean(self) -> float:
        """Mean over runs, +inf with any censored."""
        return float(self.steps.mean())


def steps_to_unlearn(statistic: ArrayLike, steps: ArrayLike, retrained: ArrayLike, *, margin: float) -> StepsToUnlearn:
    """First recorded step from which on |statistic - mean of the retrained| <= margin, to the end.

    Parameters
    ----------
    statistic : (runs, checkpoints), of the forget set while it is unlearned (mean loss, accuracy); at least 5 runs.
    steps : (checkpoints,) increasing, e.g. starting with 0.
    retrained : (runs',) the same statistic of models retrained without the set; at least 5 runs.
    margin : > 0, declared beforehand. Below twice the standard error of the retrained mean it is refused: nothing
        could then be told apart.
    """
    statistic = array("statistic", statistic, "(-inf, inf)", ndim=2)
    steps = array("steps", steps, "[0, inf)", ndim=1)
    retrained = array("retrained", retrained, "(-inf, inf)", ndim=1)
    margin = number("margin", margin, "(0, inf)")
    if statistic.shape[1] != len(steps) or np.any(np.diff(steps) <= 0):
        raise ValueError(f"steps has shape {steps.shape}: must increase and have {statistic.shape[1]} entries")
    if min(len(statistic), len(retrained)) < LEAST_RUNS:
        raise ValueError(
            f"statistic has {len(statistic)} runs, retrained {len(retrained)}: must be at least {LEAST_RUNS} of each"
        )
    target, spread = float(retrained.mean()), float(retrained.std(ddof=1))
    error = spread / np.sqrt(len(retrained))
    if margin < 2 * error:
        raise ValueError(
            f"margin = {margin!r}: must be at least twice the standard error of the retrained mean, {2 * error:.3g}"
        )

    def arrival(curves: FloatArray) -> FloatArray:
        within = np.abs(curves - target) <= margin
        # Within from here to the end: the reversed cumulative product.
        stays = np.cumprod(within[:, ::-1], axis=1)[:, ::-1].astype(bool)
        return np.where(stays.any(axis=1), steps[np.argmax(stays, axis=1)], np.inf)

    of_mean = float(arrival(statistic.mean(axis=0, keepdims=True))[0])
    return StepsToUnlearn(arrival(statistic), of_mean, target, spread, margin, float(steps[-1]))
