"""The clipped noisy chain in ball arithmetic: what a threshold policy attains, certified.

The chain is that of `scalar_chain`: two runs from +radius and -radius, x <- factor x + d(x) + noise, |d| <= shift, with
d = +shift above a threshold of each step and -shift elsewhere. Any thresholds make an allowed drift and {x_T > last
threshold} an event, so P(event) - e^epsilon Q(event) is attained whatever they are; good ones come from quadrature.

The law of the runs before step t + 1 is held as weighted particles m_i (each followed by normal noise). With G the
probability of the event given the next mean, |G(m + iv)| <= e^(v^2/2) in units of the noise, and a mixture density of
positive weights obeys the same inequality. So the integrand of one step, over a panel with n Gauss-Legendre nodes, is
bounded on a Bernstein ellipse of parameter r by M = e^(b^2 (1 + factor^2)/2) sup(density), b its lesser half-axis, and the
panel's error is at most (64/15) M h r^(-2(n-1)) / (1 - r^-2), h half its width (Trefethen, Approximation Theory and
Approximation Practice, theorem 19.3). Errors of successive steps add, because each is made against the exact G.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from flint import arb, ctx
from numpy.typing import ArrayLike

from linear import _checks

__all__ = ["enclose_thresholds"]

_BITS = 128
_ELLIPSE = 7.0
_HALF_WIDTH = 1.0  # of a panel, in units of the noise
_MOST_NODES = 1500
_FARTHEST = 1e6  # noise deviations from 0: beyond, doubles place the kernels too coarsely
# Nats below the value at which mass is dropped, and to which quadrature errors are pushed.
_NEGLIGIBLE = 40.0

Particle = tuple[arb, arb, arb]  # mean before the noise, weight under P, weight under Q


def enclose_thresholds(
    *,
    radius: float | arb,
    shift: float | arb,
    factor: float | arb,
    noise_std: float,
    epsilon: float,
    thresholds: ArrayLike,
    log_value: float = 0.0,
) -> tuple[float, float]:
    """Certified interval of the log of P(event) - e^epsilon Q(event) for this threshold policy.

    radius > 0, shift >= 0, 0 < factor <= 1: floats, taken as exact, or balls; thresholds (steps,), one per step, the last
    one where the event begins; log_value: about what is expected (how far out mass is kept; a poor guess only widens
    the interval). Natural logs, rounded outward.

    Raises FloatingPointError where the difference cannot be told from zero or more than 1,500 nodes would be needed.
    """
    std = _checks.positive("noise_std", noise_std)
    epsilon = _checks.finite("epsilon", epsilon)
    cuts = _checks.real_array("thresholds", thresholds, dimensions=(1,)) / std
    # Nats from the largest weight, e^epsilon, down to what may be neglected against the answer.
    depth = max(epsilon, 0.0) + _NEGLIGIBLE + max(-_checks.finite("log_value", log_value), 0.0)
    with ctx.workprec(_BITS + math.ceil(depth)):
        scale = arb(std)
        rho, push, start = arb(factor), arb(shift) / scale, arb(radius) / scale
        particles: list[Particle] = [
            (rho * start + push, arb(1), arb(0)),
            (-rho * start - push, arb(0), arb(1)),
        ]
        slack_p, slack_q = arb(0), arb(0)
        for cut in cuts[:-1]:
            particles, lost_p, lost_q = _step(particles, float(cut), rho, push, depth)
            slack_p, slack_q = slack_p + lost_p, slack_q + lost_q
        root = arb(2).sqrt()
        tails = [((arb(float(cuts[-1])) - mean) / root).erfc() / 2 for mean, _, _ in particles]
        in_p = sum((w * tail for (_, w, _), tail in zip(particles, tails, strict=True)), arb(0))
        in_q = sum((w * tail for (_, _, w), tail in zip(particles, tails, strict=True)), arb(0))
        growth = arb(epsilon).exp()
        lower = (in_p - slack_p) - growth * (in_q + slack_q)
        upper = (in_p + slack_p) - growth * (in_q - slack_q)
        if not lower > 0:
            raise FloatingPointError("the attained value cannot be told from zero")
        low, high = float(lower.log().lower()), float(upper.log().upper())
        return math.nextafter(low, -math.inf), math.nextafter(high, math.inf)


def _step(particles: list[Particle], cut: float, rho: arb, push: arb, depth: float) -> tuple[list[Particle], arb, arb]:
    """After the noise and the next drift; and what quadrature, and mass left out, may hide under P and under Q."""
    reach = math.sqrt(2 * depth)
    means = [float(mean) for mean, _, _ in particles]
    if max(map(abs, means)) > _FARTHEST:
        raise FloatingPointError(f"the runs are more than {_FARTHEST:g} noise deviations from 0")
    left, right = math.floor(min(means) - reach), math.ceil(max(means) + reach)
    ends = _panels(left, cut, right)
    order = _nodes(depth)
    if order * (len(ends) - 1) > _MOST_NODES:
        raise FloatingPointError(f"{order * (len(ends) - 1)} nodes needed, {_MOST_NODES} allowed")
    rule = [arb.legendre_p_root(order, k, weight=True) for k in range(order)]
    far = (-(arb(reach - 1e-6) ** 2) / 2).exp()
    norm = 1 / (2 * arb.pi()).sqrt()
    small = arb(math.exp(-min(depth + _NEGLIGIBLE, 700.0)))
    moved: list[Particle] = []
    lost_p, lost_q = arb(0), arb(0)
    for a, b in pairwise(ends):
        middle, half = (arb(a) + arb(b)) / 2, (arb(b) - arb(a)) / 2
        drift = push if a >= cut else -push
        for node, weight in rule:
            y = middle + half * node
            near = float(y)
            p, q = arb(0), arb(0)
            for (mean, in_p, in_q), place in zip(particles, means, strict=True):
                # Beyond `reach` the kernel lies between 0 and its value there.
                density = (-((y - mean) ** 2) / 2).exp() if abs(near - place) < reach else far * arb(0.5, 0.5)
                p, q = p + in_p * density, q + in_q * density
            scale = weight * half * norm
            p, q = p * scale, q * scale
            if p < small and q < small:
                lost_p, lost_q = lost_p + small, lost_q + small
            else:
                moved.append((rho * y + drift, p, q))
        hidden = _quadrature_error(half, order, rho) * norm
        lost_p, lost_q = (
            lost_p + hidden * _peak(particles, means, a, b, 1),
            lost_q + hidden * _peak(particles, means, a, b, 2),
        )
    root = arb(2).sqrt()
    for mean, in_p, in_q in particles:
        outside = (((mean - left) / root).erfc() + ((right - mean) / root).erfc()) / 2
        lost_p, lost_q = lost_p + in_p * outside, lost_q + in_q * outside
    return moved, lost_p.upper(), lost_q.upper()


def _nodes(depth: float) -> int:
    """Nodes of a panel that push the quadrature's error as far down as the mass left out."""
    return 2 + math.ceil((depth + 24.0) / (2 * math.log(_ELLIPSE)))


def _panels(left: float, cut: float, right: float) -> list[float]:
    """Ends of panels at most two units wide, none with the cut inside."""
    cut = min(max(cut, left), right)
    ends: list[float] = []
    for a, b in ((left, cut), (cut, right)):
        if b > a:
            grid = np.linspace(a, b, math.ceil((b - a) / (2 * _HALF_WIDTH)) + 1).tolist()
            ends += grid if not ends else grid[1:]
    return ends


def _quadrature_error(half: arb, order: int, rho: arb) -> arb:
    """What one panel's rule may miss, per unit of the largest density the ellipse's shadow sees."""
    r = arb(_ELLIPSE)
    lesser = (r - 1 / r) / 2 * half
    growth = (lesser**2 * (1 + rho**2) / 2).exp()
    return arb(64) / 15 * growth * half * r ** (-2 * (order - 1)) / (1 - r**-2)


def _peak(particles: list[Particle], means: list[float], a: float, b: float, law: int) -> arb:
    """A bound on the mixture's density (over 1/sqrt(2 pi)) on the panel widened to its ellipse's shadow."""
    wide = (_ELLIPSE + 1 / _ELLIPSE) / 2 * (b - a) / 2
    low, high = (a + b) / 2 - wide, (a + b) / 2 + wide
    total = arb(0)
    for particle, mean in zip(particles, means, strict=True):
        # A little less than the distance, so that rounding of the ends and of the mean is covered.
        distance = max(low - mean, mean - high, 0.0) - 1e-6
        total += particle[law] * (arb(math.exp(-0.5 * distance * distance)) if distance > 0 else arb(1)) * (1 + 1e-12)
    return total.upper()
