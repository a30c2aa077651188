"""The readings of Theorem 4.3 spelled out from the theory modules, so that each can be tried as it stands."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bounds import gaussian_dp, interpolation, sensitivity
from linear.residuals import reference_residual_moments, residual_moments

from ..families.ridge import RidgeInstance

Array = NDArray[np.float64]
Base = Literal["learned", "reference"]
Count = Literal["random", "steps", "listed"]


def sensitivities(
    instance: RidgeInstance, *, base: Base = "learned", count: Count = "random", delta_s: float | None = None
) -> Array:
    """s_k, k = 0..T-1: each step's quantile of Prop. 4.4, delta_s shared by the chosen count of steps."""
    spent = instance.delta_s if delta_s is None else delta_s
    key = ("sensitivities", base, count, spent)
    if key not in instance.shared:
        instance.shared[key] = _sensitivities(instance, base, count, spent)
    found: Array = instance.shared[key]
    return found


def _sensitivities(instance: RidgeInstance, base: Base, count: Count, delta_s: float) -> Array:
    problem, schedule, index = instance.problem, instance.schedule, instance.index
    moments = residual_moments if base == "learned" else reference_residual_moments
    means, variances = moments(problem, schedule, [index])
    norms = np.linalg.norm(means[0], axis=1)
    row_norm = float(np.linalg.norm(problem.features[index]))
    if schedule.learn_noise == 0 or schedule.learn_steps == 1:
        return schedule.step_size * row_norm * norms
    return sensitivity.sensitivities(
        step_size=schedule.step_size,
        row_norm=row_norm,
        mean_norms=norms,
        variances=variances[0],
        dof=problem.n_outputs,
        delta_s=delta_s,
        count=count,
    )


def p1_mu(instance: RidgeInstance, gaps: Array) -> float:
    """Reading P1: all shifts in the unlearning phase."""
    return interpolation.unlearning_only(
        sensitivity=gaps,
        contraction=_contraction(instance),
        unlearn_steps=instance.schedule.unlearn_steps,
        unlearn_noise=instance.schedule.unlearn_noise,
    )


def p2_mu(instance: RidgeInstance, gaps: Array) -> float:
    """Reading P2: one shift over the whole horizon."""
    return interpolation.whole_horizon(
        sensitivity=gaps,
        contraction=_contraction(instance),
        unlearn_steps=instance.schedule.unlearn_steps,
        learn_noise=instance.schedule.learn_noise,
        unlearn_noise=instance.schedule.unlearn_noise,
    )


def hull_mu(instance: RidgeInstance, gaps: Array) -> float:
    """Optimal shifts over the whole horizon."""
    padded = np.concatenate([gaps, np.zeros(instance.schedule.unlearn_steps)])
    return interpolation.optimal_shifts(padded, instance.schedule.noise_std, _contraction(instance)).mu


def _contraction(instance: RidgeInstance) -> float:
    return instance.problem.contraction_factor(instance.schedule.step_size, instance.index)


def log_sum(log_first: float, second: float) -> float:
    """log(e^log_first + second), rounded up."""
    total = float(np.logaddexp(log_first, math.log(second) if second > 0 else -math.inf))
    return total + 4e-16 * (1 + abs(total))


def log_privacy(mu: float, epsilon: float) -> float:
    return float(gaussian_dp.log_delta(mu, epsilon))
