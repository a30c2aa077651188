"""Sensitivities of every training point at every learning step, and the one noise that would do for all of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

import linear

from .. import gaussian_dp, interpolation, sensitivity
from .calibrate import SHARES
from .certificate import positions

Array = NDArray[np.float64]


def sensitivity_map(
    problem: linear.RidgeProblem,
    schedule: linear.Schedule,
    indices: Any = None,
    *,
    delta_s: float,
    count: sensitivity.Count = "random",
    chunk: int = 512,
) -> Array:
    """s_k of deleting each of some rows (default: all), (m, T): the heat map of Benarroch, Atif, Cappe 2026, figure 3.

    Row by row these bound all the one-step differences between learning with and without that row at once, with
    probability 1 - delta_s each; rounded up, by at most 1e-9 relative. `chunk` points are held with all their outputs
    at a time. Raises ValueError for delta_s outside (0, 1) and as `bounds.sensitivity.sensitivities` does.
    """
    chosen = positions(problem, indices)
    norms, variances = linear.residual_norms(problem, schedule, chosen, chunk=chunk)
    return _of_moments(problem, schedule, chosen, norms, variances, delta_s, count)


def _of_moments(
    problem: linear.RidgeProblem,
    schedule: linear.Schedule,
    chosen: NDArray[np.intp],
    norms: Array,
    variances: Array,
    delta_s: float,
    count: sensitivity.Count = "random",
) -> Array:
    return sensitivity.sensitivities(
        step_size=schedule.step_size,
        row_norm=np.linalg.norm(problem.features[chosen], axis=1),
        mean_norms=norms,
        variances=variances,
        dof=problem.n_outputs,
        delta_s=delta_s,
        count=count,
    )


def uniform_noise(
    problem: linear.RidgeProblem, schedule: linear.Schedule, *, epsilon: float, delta: float, indices: Any = None
) -> float:
    """The unlearning noise that certifies (epsilon, delta) for deleting any one of some rows (default: all), whichever.

    As in the papers' uniform accounting all rows share the largest sensitivity of any row at any step, here and at
    every step. The best of the shares of delta in `SHARES` and of two ways: all shifts in the unlearning steps
    (two-sided as it stands), or over the whole horizon with the tail delta_s e^-epsilon (variant V1); with one
    sensitivity for all steps the optimal shifts are one segment, so the closed form is theirs. inf where no noise will
    do. Raises ValueError as `calibrate` does, or where no row was chosen.
    """
    chosen = positions(problem, indices)
    if not chosen.size:
        raise ValueError("indices is empty: must name at least one row")
    if schedule.unlearn_steps == 0:
        raise ValueError("unlearn_steps = 0: without an unlearning step there is no noise to calibrate")
    norms, variances = linear.residual_norms(problem, schedule, chosen)
    contraction = float(problem.contraction_factors(schedule.step_size, chosen).max())
    if contraction > 1:
        return math.inf
    random = schedule.learn_noise > 0 and schedule.learn_steps > 1
    known: dict[str, Any] = {"contraction": contraction, "unlearn_steps": schedule.unlearn_steps}

    def everywhere(tail: float) -> Array:
        largest = _of_moments(problem, schedule, chosen, norms, variances, tail).max(initial=0.0)
        return np.full(max(schedule.learn_steps, 1), largest)

    best = math.inf
    for share in SHARES if random else (0.5,):
        delta_s = share * delta
        # (delta - delta_s) rounded down; without randomness nothing is spent.
        known["mu"] = gaussian_dp.mu(epsilon, delta * (1 - share) * (1 - 1e-15) if random else delta)
        unlearning = interpolation.unlearning_only_noise(sensitivity=everywhere(delta_s), **known)
        whole = interpolation.whole_horizon_noise(
            sensitivity=everywhere(delta_s * math.exp(-epsilon)), learn_noise=schedule.learn_noise, **known
        )
        best = min(best, float(unlearning), float(whole))
    return best
