"""Gradient clipping's noise in closed form, as the released code of Koloskova et al. (2025) quotes its paper.

With L = log(1/delta), rho = 1 - step_size penalty and T steps,

- "9", without a penalty:  noise_std^2 = 9 L (radius + clip step_size T)^2 / (epsilon^2 T);
- "18", the same with 18;
- "72", with a penalty:    noise_std^2 = 72 step_size penalty L (radius rho^T + clip / penalty)^2 / epsilon^2.

Derived here, from Mironov's conversion at D_a = a r, epsilon = r + 2 sqrt(r L): for epsilon <= 3 L, "18" is safe for
the "pair" of starts, "9" for "noise_only", and "72" for the pair if moreover rho^(2T) <= 1/2. For the pair "9" is not
what the conversion gives: by the exact `gaussian_dp` it is safe up to some epsilon (10.98 for delta = 1e-5) and FALSE
above. Nothing is refused outside these ranges: the formulas are here to be judged. To calibrate, use `bounds.clipping`.
"""

from __future__ import annotations

import math
from typing import Literal

from bounds._checks import choice, number
from bounds._decay import decay, least_steps
from bounds._outward import up

Form = Literal["9", "18", "72"]


def quoted_noise(
    *,
    epsilon: float,
    delta: float,
    radius: float,
    clip: float,
    step_size: float,
    penalty: float,
    steps: int,
    form: Form,
) -> float:
    """The quoted noise_std per step, rounded up.

    Raises
    ------
    ValueError : for bad arguments, and for a form whose case (with or without a penalty) is the other one.
    """
    log_inverse = -math.log(number("delta", delta, "(0, 1)"))
    scale = _scale(radius, clip, step_size, penalty, steps, form)
    return float(up(math.sqrt(log_inverse) * scale / number("epsilon", epsilon, "(0, inf)"), 4))


def quoted_delta(
    *,
    epsilon: float,
    radius: float,
    clip: float,
    step_size: float,
    penalty: float,
    steps: int,
    noise_std: float,
    form: Form,
) -> float:
    """The delta at which the quoted noise is `noise_std`, rounded up."""
    noise = number("noise_std", noise_std, "(0, inf)")
    scale = _scale(radius, clip, step_size, penalty, steps, form)
    exponent = (number("epsilon", epsilon, "(0, inf)") * noise / scale) ** 2
    return min(float(up(math.exp(-exponent), 4 + 8 * min(exponent, 800.0))), 1.0)


def quoted_steps(
    *,
    epsilon: float,
    delta: float,
    radius: float,
    clip: float,
    step_size: float,
    penalty: float,
    noise_std: float,
    form: Form,
) -> int:
    """The least number of steps at which the quoted noise is at most `noise_std`.

    Raises
    ------
    ValueError : if there is none.
    """
    noise = number("noise_std", noise_std, "(0, inf)")
    radius = number("radius", radius, "(0, inf)")
    drift = number("step_size", step_size, "(0, inf)") * number("clip", clip, "[0, inf)")
    # with a penalty the noise falls for ever; without one (radius + drift T)^2 / T falls until radius / drift
    most = 2**60
    if penalty == 0 and drift * most > radius:
        before = math.floor(radius / drift)
        most = min(max(before, 1), before + 1, key=lambda steps: (radius + drift * steps) / math.sqrt(steps))

    def enough(steps: int) -> bool:
        return noise >= quoted_noise(
            epsilon=epsilon,
            delta=delta,
            radius=radius,
            clip=clip,
            step_size=step_size,
            penalty=penalty,
            steps=steps,
            form=form,
        )

    steps = least_steps(enough, most)
    if steps is None:
        raise ValueError(
            f"noise_std = {noise_std!r}: form {form!r} reaches epsilon = {epsilon!r}, delta = {delta!r} at no steps"
        )
    return steps


def _scale(radius: float, clip: float, step_size: float, penalty: float, steps: int, form: Form) -> float:
    """noise_std * epsilon / sqrt(L), rounded up."""
    powers = decay(step_size, penalty, steps)
    radius, clip = number("radius", radius, "(0, inf)"), number("clip", clip, "[0, inf)")
    constant = float(choice("form", form, ("9", "18", "72")))
    if (form == "72") != (penalty > 0):
        rule = "must be positive" if form == "72" else "must be 0"
        raise ValueError(f"penalty = {penalty!r}: {rule} for form {form!r}")
    if form == "72":
        reach = radius * powers.last + clip / penalty
        return float(up(math.sqrt(constant * step_size * penalty) * reach, 8))
    return float(up(math.sqrt(constant / powers.steps) * (radius + clip * step_size * powers.steps), 8))
