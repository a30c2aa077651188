"""Unlearning by output perturbation: the trained model is projected on a ball of some radius, N(0, noise_std^2 I) is
added once, and noiseless fine-tuning on the retained data follows.

Two starts in the ball are 2 radius apart; against the data-free N(0, noise_std^2 I) it is radius. "analytic" is the
exact trade-off of two Gaussians at that distance (attained); "classical" is the textbook
noise_std = distance sqrt(2 log(1.25 / delta)) / epsilon, proved for epsilon < 1 (Dwork and Roth, theorem A.1) and FALSE
for large epsilon (for delta = 1e-5, above 8.42).
"""

from __future__ import annotations

import math
from typing import Literal

from bounds import gaussian_dp
from bounds._checks import choice, number
from bounds._outward import up

Certifier = Literal["pair", "noise_only"]
Form = Literal["analytic", "classical"]


def output_perturbation(*, radius: float, noise_std: float, certifier: Certifier = "pair") -> float:
    """The mu of the Gaussian-DP guarantee, distance / noise_std, rounded up."""
    return float(up(_distance(radius, certifier) / number("noise_std", noise_std, "(0, inf)"), 2))


def output_perturbation_delta(
    *, epsilon: float, radius: float, noise_std: float, certifier: Certifier = "pair", form: Form = "analytic"
) -> float:
    """The delta promised at `epsilon`, rounded up; "classical" as published, not safe for large epsilon."""
    if choice("form", form, ("analytic", "classical")) == "analytic":
        mu = output_perturbation(radius=radius, noise_std=noise_std, certifier=certifier)
        return float(gaussian_dp.delta(mu, number("epsilon", epsilon, "(-inf, inf)")))
    noise = number("noise_std", noise_std, "(0, inf)")
    exponent = 0.5 * (number("epsilon", epsilon, "(0, inf)") * noise / _distance(radius, certifier)) ** 2
    return min(float(up(1.25 * math.exp(-exponent), 8 + 8 * min(exponent, 800.0))), 1.0)


def output_perturbation_noise(
    *, epsilon: float, delta: float, radius: float, certifier: Certifier = "pair", form: Form = "analytic"
) -> float:
    """The noise_std that (epsilon, delta) needs, rounded up; "classical" as published, too small for large epsilon.

    `delta` in (0, 1); `epsilon` any real for "analytic", positive for "classical".
    """
    distance = _distance(radius, certifier)
    delta = number("delta", delta, "(0, 1)")
    if choice("form", form, ("analytic", "classical")) == "analytic":
        return float(up(distance / gaussian_dp.mu(number("epsilon", epsilon, "(-inf, inf)"), delta), 6))
    return float(up(distance * math.sqrt(2 * math.log(1.25 / delta)) / number("epsilon", epsilon, "(0, inf)"), 12))


def output_perturbation_total_variation(*, radius: float, noise_std: float) -> float:
    """Largest total variation between the perturbed model and N(0, noise_std^2 I), rounded up.

    So much can the expected accuracy of a run exceed that of this data-free control after the same fine-tuning.
    """
    return float(
        gaussian_dp.delta(output_perturbation(radius=radius, noise_std=noise_std, certifier="noise_only"), 0.0)
    )


def _distance(radius: float, certifier: Certifier) -> float:
    sides = 2.0 if choice("certifier", certifier, ("pair", "noise_only")) == "pair" else 1.0
    return sides * number("radius", radius, "(0, inf)")
