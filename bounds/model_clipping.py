"""Model clipping (Koloskova et al., *Certified Unlearning for Neural Networks*, 2025): fine-tuning steps of any kind on
the retained data, each followed by projection on a ball and fresh noise of standard deviation `noise_std`.

After a projection two runs are at most 2 radius apart, whatever the loss. With r = 2 radius / noise_std and
theta_epsilon(r) the delta of the Gaussian pair N(0, 1), N(r, 1) at epsilon, delta_t = E_epsilon after t steps obeys

- "recursion": delta_(t+1) = delta_t theta_e(r) with e = log(1 + (e^epsilon - 1) / delta_t) (Balle, Barthe, Gaboardi,
  Geumlek, *Privacy amplification by mixing and diffusion mechanisms*, 2019). It is attained: by a chain that jumps to
  one of two opposite points. The right side increases with delta_t, so upper bounds may be put in.
- "contraction": delta_(t+1) <= delta_t theta_epsilon(r) (Asoodeh, Diaz, Calmon 2020), as e >= epsilon.
- "dobrushin": delta_(t+1) <= delta_t theta_0(r), the total-variation coefficient 2 Phi(r/2) - 1.

Each is at most the next. The start is any two points (initial_delta = 1) or noisy (`model_clipping_start`).
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from bounds import gaussian_dp
from bounds._checks import array, choice, count, number
from bounds._outward import up

Bound = Literal["recursion", "contraction", "dobrushin"]
_BOUNDS: tuple[Bound, ...] = ("recursion", "contraction", "dobrushin")
_U = 2.0**-53
_LEAST_LOG = -1e300  # deeper values are of no use, and could overflow


def model_clipping(
    *,
    epsilon: float,
    radius: float,
    noise_std: ArrayLike,
    steps: int,
    initial_delta: float = 1.0,
    bound: Bound = "recursion",
) -> float:
    """The delta promised at `epsilon`, rounded up (in logs: `model_clipping_log_delta`).

    Parameters
    ----------
    epsilon : >= 0.
    radius : of the ball the model is projected on at every step, > 0.
    noise_std : per step, one number or (steps,).
    initial_delta : E_epsilon of the two starts, in (0, 1].
    """
    log = model_clipping_log_delta(
        epsilon=epsilon, radius=radius, noise_std=noise_std, steps=steps, initial_delta=initial_delta, bound=bound
    )
    return min(float(up(math.exp(log), 8)), 1.0)


def model_clipping_log_delta(
    *,
    epsilon: float,
    radius: float,
    noise_std: ArrayLike,
    steps: int,
    initial_delta: float = 1.0,
    bound: Bound = "recursion",
) -> float:
    """Natural log of `model_clipping`, rounded up.

    Deep down the recursion about squares log delta at every step, and doubles its relative error, on the safe side.
    """
    steps = count("steps", steps, least=1)
    noise = array("noise_std", noise_std, "(0, inf)")
    diameter = 2 * number("radius", radius, "(0, inf)")
    start = _log_start(initial_delta)
    if noise.ndim == 0:
        return _log_delta(number("epsilon", epsilon, "[0, inf)"), diameter / float(noise), steps, start, bound)
    log = start
    for std in array("noise_std", noise, "(0, inf)", length=steps):
        log = _log_delta(number("epsilon", epsilon, "[0, inf)"), diameter / std, 1, log, bound)
    return log


def model_clipping_start(*, epsilon: float, initial_radius: float, initial_noise_std: float) -> float:
    """initial_delta of a start projected on a ball of `initial_radius` with noise added, theta_epsilon, rounded up."""
    apart = 2 * number("initial_radius", initial_radius, "(0, inf)")
    mu = up(apart / number("initial_noise_std", initial_noise_std, "(0, inf)"), 1)
    return float(gaussian_dp.delta(mu, number("epsilon", epsilon, "[0, inf)")))


def model_clipping_noise_first(
    *,
    epsilon: float,
    initial_radius: float,
    radius: float,
    clip: float,
    step_size: float,
    penalty: float = 0.0,
    noise_std: float,
    steps: int,
    bound: Bound = "recursion",
) -> float:
    """The delta promised if the noise comes BEFORE the projection and the gradient is clipped too, rounded up.

    From a ball of radius R a step moves two runs, before the noise, to at most 2 ((1 - step_size penalty) R +
    step_size clip) apart; R is `initial_radius` at the first step and `radius` afterwards. The projection only hides.
    """
    epsilon = number("epsilon", epsilon, "[0, inf)")
    steps = count("steps", steps, least=1)
    noise = number("noise_std", noise_std, "(0, inf)")
    step_size = number("step_size", step_size, "(0, inf)")
    factor = 1 - step_size * number("penalty", penalty, "[0, inf)")
    if not factor > 0:
        raise ValueError(f"step_size * penalty = {step_size * penalty!r}: must be below 1")
    moved = step_size * number("clip", clip, "[0, inf)")
    # 1 - step_size penalty is off by at most 2^-53 in absolute terms
    first = 2 * ((factor + 2 * _U) * number("initial_radius", initial_radius, "(0, inf)") + moved) / noise
    later = 2 * ((factor + 2 * _U) * number("radius", radius, "(0, inf)") + moved) / noise
    log = _log_delta(epsilon, float(up(first, 4)), 1, 0.0, bound)
    if steps > 1:
        log = _log_delta(epsilon, float(up(later, 4)), steps - 1, log, bound)
    return min(float(up(math.exp(log), 8)), 1.0)


def model_clipping_steps(
    *,
    epsilon: float,
    delta: float,
    radius: float,
    noise_std: float,
    initial_delta: float = 1.0,
    bound: Bound = "recursion",
    at_most: int = 10_000,
) -> int:
    """The least number of steps at which this noise certifies (epsilon, delta); `delta` in (0, 1).

    Raises
    ------
    ValueError : if more than `at_most` steps are needed.
    """
    epsilon, target = number("epsilon", epsilon, "[0, inf)"), _log_target(delta)
    ratio = 2 * number("radius", radius, "(0, inf)") / number("noise_std", noise_std, "(0, inf)")
    start = _log_start(initial_delta)
    at_most = count("at_most", at_most, least=1)
    if choice("bound", bound, _BOUNDS) == "recursion":
        log = start
        for steps in range(1, at_most + 1):
            log = _log_delta(epsilon, ratio, 1, log, bound)
            if log <= target:
                return steps
    else:
        factor = _log_delta(epsilon, ratio, 1, 0.0, bound)
        guess = (target - start) / factor if factor < 0 else math.inf
        if guess <= at_most:
            steps = max(1, math.ceil(guess) - 1)
            while _log_delta(epsilon, ratio, steps, start, bound) > target:
                steps += 1
            if steps <= at_most:
                return steps
    raise ValueError(
        f"noise_std = {noise_std!r}: more than at_most = {at_most} steps needed for epsilon = {epsilon!r}, "
        f"delta = {delta!r}"
    )


def model_clipping_noise(
    *,
    epsilon: float,
    delta: float,
    radius: float,
    steps: int,
    initial_delta: float = 1.0,
    bound: Bound = "recursion",
) -> float:
    """The noise_std per step that (epsilon, delta) needs, rounded up; 0 if the start already is so good.

    "recursion" has no closed form: the root is bracketed by that of "contraction", and moved up until it certifies.
    """
    epsilon, target = number("epsilon", epsilon, "[0, inf)"), _log_target(delta)
    steps = count("steps", steps, least=1)
    diameter = 2 * number("radius", radius, "(0, inf)")
    start = _log_start(initial_delta)
    choice("bound", bound, _BOUNDS)
    if start <= target:
        return 0.0
    # theta must be at most this; rounded down
    share = (target - start) / steps * (1 + 8 * _U)
    noise = diameter / float(gaussian_dp.mu_from_log_delta(0.0 if bound == "dobrushin" else epsilon, share))
    if bound == "recursion" and (steps > 1 or start < 0):
        noise = _recursion_root(epsilon, target, diameter, steps, start, noise)
    nudge = 4 * _U
    while _log_delta(epsilon, diameter / noise, steps, start, bound) > target:
        noise *= 1 + nudge
        nudge *= 2
    return noise


def model_clipping_total_variation(*, radius: float, noise_std: float) -> float:
    """Largest total variation between the model after its last step and N(0, noise_std^2 I), rounded up.

    One step displaces by up to `radius`: 2 Phi(radius / (2 noise_std)) - 1. (At usual noise this says little.)
    """
    mu = up(number("radius", radius, "(0, inf)") / number("noise_std", noise_std, "(0, inf)"), 1)
    return float(gaussian_dp.delta(mu, 0.0))


def _log_start(initial_delta: float) -> float:
    return float(np.log(number("initial_delta", initial_delta, "(0, 1]"))) * (1 - 8 * _U)


def _log_target(delta: float) -> float:
    # lower by what model_clipping adds when it leaves the logs
    return math.log(number("delta", delta, "(0, 1)")) * (1 + 8 * _U) - 32 * _U


def _log_delta(epsilon: float, ratio: float, steps: int, start: float, bound: Bound) -> float:
    """log delta after equal steps, rounded up; `ratio` = diameter / noise_std may be off by one rounding."""
    ratio *= 1 + 4 * _U
    if choice("bound", bound, _BOUNDS) != "recursion":
        factor = float(gaussian_dp.log_delta(ratio, 0.0 if bound == "dobrushin" else epsilon))
        return max((start + steps * factor) * (1 - 4 * _U), _LEAST_LOG)
    # log(e^epsilon - 1); -inf for epsilon = 0, where e = 0 for ever
    log_odds = epsilon + math.log(-math.expm1(-epsilon)) if epsilon else -math.inf
    log = start
    for _ in range(steps):
        # each factor is <= 1: (1 - 4u) of the sum is above the true sum
        log = (log + float(gaussian_dp.log_delta(ratio, _raised(epsilon, log_odds, log)))) * (1 - 4 * _U)
        if log < _LEAST_LOG:
            return _LEAST_LOG
    return log


def _raised(epsilon: float, log_odds: float, log: float) -> float:
    """e = log(1 + (e^epsilon - 1) / delta), rounded down."""
    if log == 0.0 or epsilon == 0.0:
        return epsilon
    x = log_odds - log
    raised = float(np.logaddexp(0.0, x))
    # x is off by a few u of what it is made of, which moves e by at most min(1, e^x) times as much
    off = 8 * _U * ((1 + abs(log_odds) + abs(log)) * math.exp(min(x, 0.0)) + raised)
    return max(raised - off, epsilon)


def _recursion_root(epsilon: float, target: float, diameter: float, steps: int, start: float, high: float) -> float:
    """Noise at which the recursion meets the target, up to rounding; `high` is enough."""

    def excess(log_noise: float) -> float:
        # log log delta is nearly a straight line in log noise
        log = _log_delta(epsilon, diameter / math.exp(log_noise), steps, start, "recursion")
        return math.log(target / log) if log < 0 else 700.0

    top = low = math.log(high)
    while excess(low) < 0:
        top, low = low, low - 1.0
    return math.exp(brentq(excess, low, top, xtol=1e-14, rtol=1e-14)) if low < top else high
