"""Clipped noisy fine-tuning (Koloskova et al., *Certified Unlearning for Neural Networks*, 2025).

Gradient clipping starts from the trained model projected on a ball and takes `steps` steps on the retained data,

    x <- x - step_size * (clipped gradient + penalty * x) + noise_std * normal.

The paper's text was not available to us; the algorithm is as in its released code. The Gaussian-DP form of the bound
is derived here. Two certifying algorithms are offered: "pair", the same steps from any other start in the ball, and
"noise_only", the data-free chain y <- (1 - step_size penalty) y + noise_std * normal from 0, which makes all distances
half as long but certifies only what is nearly independent of all data.

Proof. With rho = 1 - step_size penalty, one step maps points at distance z to points at most rho z + s apart: s is
2 step_size clip for two clipped gradients and step_size clip for one; the starts are 2 radius, or radius, apart.
Shifted interpolation (Bok, Su, Altschuler 2024) spends a shift a_t at step t, at the price a_t / noise_std_t in
Gaussian DP, and leaves z_t = rho z_(t-1) + s - a_t >= 0, with z_T = 0. Prices add in squares. With constant noise the
best shifts are proportional to rho^(T-t), whence

    mu = displacement / (noise_std sqrt(V)), V = sum over k < T of rho^(2k),
    displacement = 2 (radius rho^T + step_size clip (1 + rho + ... + rho^(T-1)))    [half of it for "noise_only"].

It is attained after one step, and at every T by a linear loss against "noise_only". Any rule that draws batches
independently of the model is covered, and so is any noiseless fine-tuning on the retained data afterwards.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from bounds import gaussian_dp, interpolation
from bounds._checks import FloatArray, array, choice, count, number
from bounds._decay import Decay, decay, least_steps
from bounds._outward import up
from bounds.group_privacy import group_privacy, record_log_delta, record_privacy
from bounds.model_clipping import model_clipping, model_clipping_log_delta, model_clipping_noise, model_clipping_steps
from bounds.output_perturbation import output_perturbation, output_perturbation_delta, output_perturbation_noise

__all__ = [
    "Certifier",
    "gradient_clipping",
    "gradient_clipping_best_prefix",
    "gradient_clipping_delta",
    "gradient_clipping_noise",
    "gradient_clipping_noise_for_mu",
    "gradient_clipping_optimal_steps",
    "gradient_clipping_shifts",
    "gradient_clipping_steps",
    "gradient_clipping_total_variation",
    "group_privacy",
    "model_clipping",
    "model_clipping_log_delta",
    "model_clipping_noise",
    "model_clipping_steps",
    "output_perturbation",
    "output_perturbation_delta",
    "output_perturbation_noise",
    "record_log_delta",
    "record_privacy",
]

Certifier = Literal["pair", "noise_only"]


def gradient_clipping(
    *,
    radius: float,
    clip: float,
    step_size: float,
    penalty: float,
    steps: int,
    noise_std: ArrayLike,
    certifier: Certifier = "pair",
) -> float:
    """The mu of the Gaussian-DP guarantee, rounded up; see the module.

    Parameters
    ----------
    radius : of the ball the trained model is projected on, > 0.
    clip : largest norm of a clipped gradient, >= 0.
    penalty : of the L2 term, outside the clip; step_size * penalty < 1.
    noise_std : injected into the parameters per step, one number or one per step (steps,). A schedule is paid for with
        the shifts of `gradient_clipping_shifts`.
    certifier : "pair" or "noise_only".
    """
    powers = decay(step_size, penalty, steps)
    start, drift = _distances(radius, clip, step_size, certifier)
    noise = array("noise_std", noise_std, "(0, inf)")
    if noise.ndim == 0:
        return _constant_noise(powers, start, drift, float(noise))
    noise = array("noise_std", noise, "(0, inf)", length=powers.steps)
    return _schedule(powers, start, drift, noise).mu


def gradient_clipping_shifts(
    *,
    radius: float,
    clip: float,
    step_size: float,
    penalty: float,
    steps: int,
    noise_std: ArrayLike,
    certifier: Certifier = "pair",
) -> FloatArray:
    """The optimal shifts a_t, shape (steps,): sum of (a_t / noise_std_t)^2 is the square of `gradient_clipping`.

    By `interpolation.optimal_shifts`: a_t is proportional to noise_std_t^2 rho^(T-t) on each stretch of a convex
    minorant. With constant noise there is one stretch. Noise that decreases over time can need several: one would
    spend shifts before they have arisen, and its mu, displacement / sqrt(sum of noise_std_t^2 rho^(2(T-t))), would be
    no bound for two runs whose steps differ.
    """
    powers = decay(step_size, penalty, steps)
    start, drift = _distances(radius, clip, step_size, certifier)
    noise = array("noise_std", noise_std, "(0, inf)", length=powers.steps)
    return _schedule(powers, start, drift, noise).shifts


def gradient_clipping_best_prefix(
    *,
    radius: float,
    clip: float,
    step_size: float,
    penalty: float,
    steps: int,
    noise_std: ArrayLike,
) -> float:
    """The least mu over the first 1, 2, ..., `steps` steps, rounded up: a bound for all of them, against "pair".

    Two runs that differ only in where they start share all later steps, so what was hidden after t steps stays hidden
    (post-processing); `gradient_clipping` alone grows again past `gradient_clipping_optimal_steps`. The data-free
    chain of "noise_only" does not share the steps, and has no such bound.
    """
    steps = count("steps", steps, least=1)
    noise = array("noise_std", noise_std, "(0, inf)")
    if noise.ndim == 0:
        best = gradient_clipping_optimal_steps(radius=radius, clip=clip, step_size=step_size, penalty=penalty)
        ends = [steps if best is None else min(steps, best)]
    else:
        noise = array("noise_std", noise, "(0, inf)", length=steps)
        ends = list(range(1, steps + 1))
    return min(
        gradient_clipping(
            radius=radius,
            clip=clip,
            step_size=step_size,
            penalty=penalty,
            steps=end,
            noise_std=noise if noise.ndim == 0 else noise[:end],
        )
        for end in ends
    )


def gradient_clipping_delta(
    *,
    epsilon: float,
    radius: float,
    clip: float,
    step_size: float,
    penalty: float,
    steps: int,
    noise_std: ArrayLike,
    certifier: Certifier = "pair",
) -> float:
    """The delta promised at `epsilon`, rounded up. (In logs: `gaussian_dp.log_delta` of `gradient_clipping`.)"""
    mu = gradient_clipping(
        radius=radius,
        clip=clip,
        step_size=step_size,
        penalty=penalty,
        steps=steps,
        noise_std=noise_std,
        certifier=certifier,
    )
    return float(gaussian_dp.delta(mu, number("epsilon", epsilon, "(-inf, inf)")))


def gradient_clipping_noise_for_mu(
    *,
    mu: float,
    radius: float,
    clip: float,
    step_size: float,
    penalty: float,
    steps: int,
    certifier: Certifier = "pair",
    profile: ArrayLike | None = None,
) -> float | FloatArray:
    """The noise_std per step at which `gradient_clipping` promises `mu`, rounded up.

    With `profile` (steps,), relative sizes of the noise over time, the least multiple of it, shape (steps,).
    """
    mu = number("mu", mu, "(0, inf)")
    powers = decay(step_size, penalty, steps)
    start, drift = _distances(radius, clip, step_size, certifier)
    # rounded up by more than counted, so that `gradient_clipping` in its turn finds no more than mu
    if profile is None:
        return float(up(_constant_noise(powers, start, drift, 1.0) / mu, 16))
    shape = array("profile", profile, "(0, inf)", ndim=1, length=powers.steps)
    plan = _schedule(powers, start, drift, shape)
    return np.asarray(up(plan.mu / mu * shape, 16 + 8 * powers.steps))


def gradient_clipping_noise(
    *,
    epsilon: float,
    delta: float,
    radius: float,
    clip: float,
    step_size: float,
    penalty: float,
    steps: int,
    certifier: Certifier = "pair",
    profile: ArrayLike | None = None,
) -> float | FloatArray:
    """The noise_std per step that (epsilon, delta) needs, rounded up; with `profile` as in the function for mu.

    `delta` in (0, 1).
    """
    return gradient_clipping_noise_for_mu(
        mu=_budget(epsilon, delta),
        radius=radius,
        clip=clip,
        step_size=step_size,
        penalty=penalty,
        steps=steps,
        certifier=certifier,
        profile=profile,
    )


def gradient_clipping_optimal_steps(*, radius: float, clip: float, step_size: float, penalty: float) -> int | None:
    """The number of steps that needs the least noise per step; None if more steps always need less.

    With u = rho^T the noise is proportional to (k + (radius - k) u) / sqrt(1 - u^2), k = clip / penalty, which is least
    at u = 1 - radius / k: only if penalty radius < clip. Without a penalty T = radius / (step_size clip). The total
    variance, T noise_std^2, is another matter: without a penalty it is never below that of output perturbation.
    """
    powers = decay(step_size, penalty, 1)
    start, drift = _distances(radius, clip, step_size, "pair")
    if drift == 0.0:
        return None
    ratio = start / drift  # radius / (step_size clip)
    if ratio * powers.product >= 1.0:
        return None
    ideal = ratio if powers.product == 0.0 else -math.log1p(-ratio * powers.product) / powers.exponent
    if math.isinf(ideal):
        return None
    around = range(max(1, math.floor(ideal) - 1), math.ceil(ideal) + 2)
    return min(around, key=lambda t: _constant_noise(powers._replace(steps=t), start, drift, 1.0))


def gradient_clipping_steps(
    *,
    epsilon: float,
    delta: float,
    radius: float,
    clip: float,
    step_size: float,
    penalty: float,
    noise_std: float,
    certifier: Certifier = "pair",
) -> int:
    """The least number of steps at which this noise certifies (epsilon, delta).

    Raises
    ------
    ValueError : if no number of steps does.
    """
    budget = _budget(epsilon, delta)
    powers = decay(step_size, penalty, 1)
    start, drift = _distances(radius, clip, step_size, certifier)
    noise = number("noise_std", noise_std, "(0, inf)")
    best = gradient_clipping_optimal_steps(radius=radius, clip=clip, step_size=step_size, penalty=penalty)

    def enough(steps: int) -> bool:
        return _constant_noise(powers._replace(steps=steps), start, drift, noise) <= budget

    steps = least_steps(enough, best or 2**60)
    if steps is None:
        raise ValueError(
            f"noise_std = {noise_std!r}: no number of steps certifies epsilon = {epsilon!r}, delta = {delta!r}"
        )
    return steps


def gradient_clipping_total_variation(
    *,
    radius: float,
    clip: float,
    step_size: float,
    penalty: float,
    steps: int,
    noise_std: ArrayLike,
) -> float:
    """Largest total variation between the model after the noisy steps and a data-free draw, rounded up.

    The draw is the "noise_only" chain, N(0, noise_std^2 V) for constant noise. Whatever both are fine-tuned with
    afterwards, their expected accuracies differ by at most this, at every epoch: a certified run cannot beat this
    control by more. 2 Phi(m/2) - 1 with m the mu of "noise_only", which is half that of "pair".
    """
    mu = gradient_clipping(
        radius=radius,
        clip=clip,
        step_size=step_size,
        penalty=penalty,
        steps=steps,
        noise_std=noise_std,
        certifier="noise_only",
    )
    return float(gaussian_dp.delta(mu, 0.0))


def _budget(epsilon: float, delta: float) -> float:
    epsilon, delta = number("epsilon", epsilon, "(-inf, inf)"), number("delta", delta, "(0, 1)")
    mu = float(gaussian_dp.mu(epsilon, delta))
    if mu == 0.0:
        raise FloatingPointError(
            f"epsilon = {epsilon!r}, delta = {delta!r}: the mu it allows is below the range of doubles"
        )
    return mu


def _distances(radius: float, clip: float, step_size: float, certifier: Certifier) -> tuple[float, float]:
    """Distance of the starts, and what one step can add to it (off by one rounding)."""
    sides = 2.0 if choice("certifier", certifier, ("pair", "noise_only")) == "pair" else 1.0
    return sides * number("radius", radius, "(0, inf)"), sides * step_size * number("clip", clip, "[0, inf)")


def _constant_noise(powers: Decay, start: float, drift: float, noise: float) -> float:
    # the sums are within 8 roundings each, the rest adds 8
    displacement = start * powers.last + drift * powers.sum
    return float(up(displacement / (noise * math.sqrt(powers.square_sum)), 24))


def _schedule(powers: Decay, start: float, drift: float, noise: FloatArray) -> interpolation.ShiftPlan:
    """The best shifts for noise that varies: the distance of the starts enters with the first step."""
    factor = min(powers._replace(steps=1).last, 1.0)
    sensitivity = np.full(powers.steps, up(drift, 1))
    sensitivity[0] = up(drift + factor * start, 3)
    return interpolation.optimal_shifts(sensitivity, noise, factor)
