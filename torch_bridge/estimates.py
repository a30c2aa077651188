"""From gradient norms measured along runs to what the theorems make of them: estimates, never certificates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bounds import interpolation
from bounds._checks import array, count, number

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class MuEstimate:
    """Per point, the mu that shifted interpolation would promise *if* the measured sensitivities were bounds.

    They are not: they come from finitely many runs. `assumptions` says what else was taken for granted.
    """

    mu: Array
    sensitivities: Array
    assumptions: tuple[str, ...]
    certified: bool = False


def estimate_mu(
    gradient_norms: ArrayLike,
    *,
    step_size: ArrayLike,
    weight: float,
    contraction: float,
    learn_noise: ArrayLike,
    unlearn_steps: int,
    unlearn_noise: float,
    quantile: float = 1.0,
) -> MuEstimate:
    """Feeds per-instance sensitivities measured on a net to `bounds.interpolation.optimal_shifts`.

    Parameters
    ----------
    gradient_norms : (T, R, m), norms of m points' gradients before each of T learning steps in R runs *with* the points.
    step_size, learn_noise : a number or one per learning step.
    weight : of a point's gradient in the step: 1 for a sum, 1/n for a mean that is divided by n with and without it.
    contraction : Lipschitz factor of a step, *assumed* (`observed_expansion` measures a lower bound).
    unlearn_steps, unlearn_noise : of the steps without the point, which are alike in both worlds.
    quantile : of the norms over the runs, per step; 1 is the largest that was seen.
    """
    norms = array("gradient_norms", gradient_norms, "[0, inf)", ndim=3)
    steps = len(norms)
    level = number("quantile", quantile, "(0, 1]")
    unlearn_steps = count("unlearn_steps", unlearn_steps)
    size = array("step_size", step_size, "[0, inf)", length=steps)
    seen = np.quantile(norms, level, axis=1, method="higher")  # (T, m)
    sensitivities = size[:, None] * number("weight", weight, "(0, inf)") * seen
    noise = np.concatenate(
        [array("learn_noise", learn_noise, "[0, inf)", length=steps), np.full(unlearn_steps, unlearn_noise)]
    )
    padded = np.vstack([sensitivities, np.zeros((unlearn_steps, sensitivities.shape[1]))])
    mu = np.array([interpolation.optimal_shifts(column, noise, contraction).mu for column in padded.T])
    return MuEstimate(
        mu,
        sensitivities,
        (
            f"the {level:g} quantile over {norms.shape[1]} runs bounds the sensitivity of every run",
            f"a step moves no two models apart by more than the factor {contraction:g}",
            "the other points' gradients have the same weights with and without the point",
        ),
    )


def observed_expansion(paths: ArrayLike) -> float:
    """The largest factor by which one step moved two runs apart, (T+1, R, d) positions of runs that shared all noise.

    A lower bound on the Lipschitz factor of the step; runs that meet say nothing and are left out.
    """
    positions = array("paths", paths, "(-inf, inf)", ndim=3)
    largest = 0.0
    for first in range(positions.shape[1]):
        gaps = np.linalg.norm(positions[:, first + 1 :] - positions[:, first : first + 1], axis=2)
        before, after = gaps[:-1], gaps[1:]
        apart = before > 0
        if apart.any():
            largest = max(largest, float(np.max(after[apart] / before[apart])))
    return largest
