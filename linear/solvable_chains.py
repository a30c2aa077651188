"""Clipped noisy chains that need no quadrature.

Three losses make the last points of two runs Gaussian with one covariance, so the exact trade-off is that of N(0, 1)
against N(mu, 1), and mu is what is returned.  The two-point chain is the worst case of model clipping: between steps
a run can only be moved inside a ball, and the worst it can do is to jump to one of two opposite points.
"""

from __future__ import annotations

from math import sqrt

import numpy as np
from flint import arb, ctx
from numpy.typing import ArrayLike

from linear._checks import finite, integer, nonnegative, one_of, positive, real_array
from linear.scalar_chain import ChainValue, contraction_factor, noise_per_step

_PRECISIONS = tuple(2**k for k in range(7, 15))  # bits
_WANTED_BITS = 50


def one_step(*, radius: float, shift: float, factor: float, noise_std: float) -> float:
    """mu after a single step that pushes the starts ``+-radius`` apart: ``2 (factor radius + shift) / noise_std``.

    Any field with ``d(radius) = shift = -d(-radius)`` does this; nothing can do more.
    """
    positive("radius", radius)
    nonnegative("shift", shift)
    return 2.0 * (contraction_factor(factor) * radius + shift) / positive("noise_std", noise_std)


def linear_loss(
    *, radius: float, shift: float, factor: float, steps: int, noise_std: ArrayLike, against: str = "other_start"
) -> float:
    """mu for a linear loss, whose clipped gradient is the constant ``shift`` wherever the run is.

    Parameters
    ----------
    noise_std : per step, a number or (steps,)
    against : "other_start", the run from the opposite start (the drift cancels), or "noise", the data-free run
        ``y <- factor * y + noise`` from 0, from which start and drift both lead away.
    """
    positive("radius", radius)
    nonnegative("shift", shift)
    noise = noise_per_step(noise_std, steps)
    powers = contraction_factor(factor) ** np.arange(noise.size)
    std = sqrt(np.square(noise[::-1] * powers).sum())
    arrives = factor * powers[-1] * radius
    if one_of("against", against, ("other_start", "noise")) == "other_start":
        return float(2.0 * arrives / std)
    return float((arrives + shift * powers.sum()) / std)


def quadratic_loss(
    *, gaps: ArrayLike, curvatures: ArrayLike, step_size: float, penalty: float, steps: int, noise_std: ArrayLike
) -> float:
    """mu for a quadratic loss without clipping: every eigendirection is an autoregressive process of its own.

    Parameters
    ----------
    gaps : (d,) difference of the two starts along the eigenvectors
    curvatures : (d,) eigenvalues of the Hessian, of either sign; with ``r = 1 - step_size * (curvature + penalty)``,
        negative r and ``|r| > 1`` are allowed
    noise_std : per step, a number or (steps,)
    """
    gap = real_array("gaps", gaps, dimensions=(1,))
    curvature = real_array("curvatures", curvatures, dimensions=(1,))
    if gap.shape != curvature.shape:
        raise ValueError(f"gaps has shape {gap.shape}, curvatures {curvature.shape}: must agree")
    noise = noise_per_step(noise_std, steps)
    ratio = np.abs(1.0 - positive("step_size", step_size) * (curvature + nonnegative("penalty", penalty)))
    # gap r^T over the standard deviation sqrt(sum std_t^2 r^(2(T-t))), divided through by r^T to stay in range
    back = np.arange(1, noise.size + 1)
    with np.errstate(divide="ignore", over="ignore"):
        spread = np.sqrt(np.square(noise * ratio[:, None] ** -back).sum(axis=1))
        return float(np.sqrt(np.square(gap / spread).sum()))


def two_point_chain(
    *,
    radius: float,
    noise_std: float,
    steps: int,
    epsilon: float,
    initial_radius: float | None = None,
    initial_noise_std: float | None = None,
) -> ChainValue:
    """E_epsilon of the worst chain under model clipping, by following its two masses in ball arithmetic.

    Wherever ``p > exp(epsilon) q`` the run is sent to ``+radius``, elsewhere to ``-radius``, and noise is added:
    ``steps`` times.  The runs start at the two points themselves or, with both initial arguments, from
    ``N(+-initial_radius, initial_noise_std^2)`` sent likewise.

    Parameters
    ----------
    radius : clipping radius of the model (half the distance of the two points)
    epsilon : non-negative

    Raises
    ------
    FloatingPointError if 2^14 bits cannot resolve the value.
    """
    noise = positive("noise_std", noise_std)
    count = integer("steps", steps, minimum=1)
    span = 2.0 * positive("radius", radius)
    if finite("epsilon", epsilon) < 0.0:
        raise ValueError(f"epsilon = {epsilon!r}: must not be negative")
    if (initial_radius is None) != (initial_noise_std is None):
        raise ValueError("initial_radius and initial_noise_std: give both or neither")
    first = None
    if initial_radius is not None and initial_noise_std is not None:
        first = (2.0 * positive("initial_radius", initial_radius), positive("initial_noise_std", initial_noise_std))
    for bits in _PRECISIONS:
        with ctx.workprec(bits):
            value, cuts = _follow(arb(span) / noise, count, arb(epsilon).exp(), first)
            if not (value > 0 and value.rel_accuracy_bits() >= _WANTED_BITS):
                continue
            log_value = float(value.log().mid())
            thresholds = np.array([float(cut.mid()) * noise for cut in cuts])
        # the ball's radius, and the rounding of its logarithm to a double
        error = 2.0**-_WANTED_BITS + 2.0**-52 * abs(log_value)
        return ChainValue(log_value, error, thresholds)
    raise FloatingPointError(f"delta at epsilon = {epsilon!r} is too small for {_PRECISIONS[-1]} bits")


def _follow(ratio: arb, steps: int, weight: arb, first: tuple[float, float] | None) -> tuple[arb, list[arb]]:
    """Value after the last step and the cuts, in noise units from the midpoint; ``ratio`` is span over noise."""
    on_p, on_q = arb(1), arb(0)
    if first is not None:
        apart = arb(first[0]) / first[1]
        cut = weight.log() / apart
        on_p, on_q = _upper_tail(cut - apart / 2), _upper_tail(cut + apart / 2)
    cuts = []
    for _ in range(steps):
        ahead, behind = on_p - weight * on_q, (1 - on_p) - weight * (1 - on_q)
        if not ahead > 0:  # all digits are lost
            return ahead, []
        cut = (-behind / ahead).log() / ratio
        near, far = _upper_tail(cut - ratio / 2), _upper_tail(cut + ratio / 2)
        on_p, on_q = on_p * near + (1 - on_p) * far, on_q * near + (1 - on_q) * far
        cuts.append(cut)
    return on_p - weight * on_q, cuts


def _upper_tail(x: arb) -> arb:
    return (x / arb(2).sqrt()).erfc() / 2
