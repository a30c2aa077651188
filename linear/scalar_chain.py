"""The clipped noisy chain in one dimension, exact by composite Gauss-Legendre quadrature.

Two runs start at ``+radius`` and ``-radius`` and take ``steps`` steps ``x <- f(x) + noise_std * normal``, where
``f(x) = factor * x + d(x)`` and the drift obeys ``|d| <= shift`` (a clipped gradient with the learning rate folded
in).  With P and Q the laws of the two last points, every function here returns
``E_epsilon(P, Q) = sup over events O of P(O) - exp(epsilon) * Q(O)``, which is what a certificate must bound.  By
the mirror symmetry of the starts and of the drifts, the other direction has the same value.

All maps ``f`` used here increase, so dP/dQ increases (total positivity of the Gaussian kernel survives composition),
the best event is a half-line, and the last step needs no quadrature: it is a sum of normal tails.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, inf, isfinite, log, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from linear._checks import finite, integer, nonnegative, positive, real_array
from linear._particles import Ahead, Particles, Vector, beyond, crossing, distance, panels, spread, support

# Gauss-Legendre order of the two runs, and panel width in units of the noise: 4 and 5.3 nodes per unit, where the
# integrands (products of two Gaussians no narrower than that) are resolved to rounding
_COARSE, _FINE, _WIDTH = 12, 16, 3.0
# mass below exp(-floor) is dropped; the floor is lowered until that is harmless: below exp(-30) times the value
_FIRST_FLOOR, _LAST_FLOOR, _HARMLESS = 60.0, 5e3, 30.0


@dataclass(frozen=True)
class ChainValue:
    """One hockey-stick value, with its stated error.

    ``log_delta`` is the natural log of ``E_epsilon(P, Q)``; ``relative_error`` bounds the relative error of
    ``delta`` (disagreement of two resolutions, mass dropped, rounding amplified by cancellation);
    ``thresholds`` (steps,) are the points where the drift jumps, the last one being where the best event begins.
    """

    log_delta: float
    relative_error: float
    thresholds: Vector

    @property
    def delta(self) -> float:
        return exp(self.log_delta)


class _Field(NamedTuple):
    """A piecewise linear map: ``slopes[j] * x + intercepts[j]`` between ``breaks[j - 1]`` and ``breaks[j]``."""

    breaks: Vector
    slopes: Vector
    intercepts: Vector

    def __call__(self, x: Vector) -> Vector:
        piece = np.searchsorted(self.breaks, x, side="left")
        return self.slopes[piece] * x + self.intercepts[piece]


class _Run(NamedTuple):
    log_value: float
    log_lost: float
    rounding: float
    thresholds: Vector


def threshold_policy(
    *, radius: float, shift: float, factor: float, steps: int, noise_std: ArrayLike, epsilon: float
) -> float:
    """Delta at ``epsilon`` of the clipped chain whose drift pushes apart as hard as it can, one step at a time.

    The drift at step t is ``+shift`` where the current densities satisfy ``p > exp(epsilon) * q`` and ``-shift``
    elsewhere.  The value is attained, so it refutes any smaller promise.  It is the maximum over all drifts for at
    most two steps (after one more step the probability of any event has a ``1/noise_std``-Lipschitz probit, so a
    half-line dominates); for more steps it is the best reply to every increasing continuation, and global
    optimality is not proved.

    Parameters
    ----------
    radius : half the distance of the two starts, > 0
    shift : learning rate times clipping radius, >= 0
    factor : contraction ``1 - step_size * penalty``, in (0, 1]
    steps : number of noisy steps, >= 1
    noise_std : standard deviation of the noise injected per step, a number or one per step (steps,)
    epsilon : any real number

    Raises
    ------
    ValueError for bad input; FloatingPointError when the stated error exceeds 1e-6 of the value (it is some 1e-12,
    unless delta is extremely small or the noise extremely large) or delta lies below exp(-5000).
    """
    return threshold_policy_value(
        radius=radius, shift=shift, factor=factor, steps=steps, noise_std=noise_std, epsilon=epsilon
    ).delta


def threshold_policy_value(
    *,
    radius: float,
    shift: float,
    factor: float,
    steps: int,
    noise_std: ArrayLike,
    epsilon: float,
    tolerance: float = 1e-6,
) -> ChainValue:
    """As `threshold_policy`, in logs, with the stated error and the thresholds."""
    _check(radius, shift, factor, epsilon)
    noise = noise_per_step(noise_std, steps)

    def field_at(theta: float) -> _Field:
        return _push_apart(theta, shift, factor)

    return _value(_Chain(radius, shift, factor, noise, epsilon, field_at, True), tolerance)


def sign_field(
    *,
    radius: float,
    shift: float,
    factor: float,
    steps: int,
    noise_std: ArrayLike,
    epsilon: float,
    tolerance: float = 1e-6,
) -> ChainValue:
    """The fixed drift ``shift * sign(x)``: one loss, ``-|x|``, the same at every step."""
    _check(radius, shift, factor, epsilon)
    field = _push_apart(0.0, shift, factor)
    noise = noise_per_step(noise_std, steps)
    return _value(_Chain(radius, shift, factor, noise, epsilon, lambda _: field, False), tolerance)


def clipped_quadratic(
    *,
    radius: float,
    curvature: float,
    clip: float,
    step_size: float,
    penalty: float,
    steps: int,
    noise_std: ArrayLike,
    epsilon: float,
    tolerance: float = 1e-6,
) -> ChainValue:
    """The loss ``curvature * x**2 / 2`` under a clipped gradient (Huber): the drift saturates at ``|x| = clip / h``.

    ``curvature`` may be negative (the runs are pushed apart).  It must satisfy
    ``step_size * (curvature + penalty) <= 1``, so that the step is an increasing map and dP/dQ monotone.
    """
    factor = 1.0 - step_size * penalty
    _check(radius, step_size * clip, factor, epsilon)
    if not isfinite(curvature) or curvature == 0.0:
        raise ValueError(f"curvature = {curvature!r}: must be finite and not zero")
    inside = factor - step_size * curvature
    if inside < 0.0:
        raise ValueError(
            f"curvature = {curvature!r}: step_size * (curvature + penalty) = {1.0 - inside!r} must be at most 1"
        )
    drift = step_size * clip * np.sign(curvature)
    bend = clip / abs(curvature)
    field = _Field(np.array([-bend, bend]), np.array([factor, inside, factor]), np.array([drift, 0.0, -drift]))
    noise = noise_per_step(noise_std, steps)
    return _value(_Chain(radius, step_size * clip, factor, noise, epsilon, lambda _: field, False), tolerance)


def noise_per_step(noise_std: ArrayLike, steps: int) -> Vector:
    """Validate ``steps`` and spread ``noise_std`` over them: shape (steps,)."""
    count = integer("steps", steps, minimum=1)
    noise = real_array("noise_std", noise_std, dimensions=(0, 1))
    if noise.shape not in ((), (count,)):
        raise ValueError(f"noise_std has shape {noise.shape}: must be a number or one per step ({count},)")
    if not (noise > 0.0).all():
        raise ValueError(f"noise_std = {noise_std!r}: must be positive")
    return np.broadcast_to(noise, (count,))


def _check(radius: float, shift: float, factor: float, epsilon: float) -> None:
    positive("radius", radius)
    nonnegative("shift", shift)
    contraction_factor(factor)
    finite("epsilon", epsilon)


def contraction_factor(factor: float) -> float:
    """Validate ``factor``, which is 1 - step_size * penalty."""
    if not 0.0 < finite("factor", factor) <= 1.0:
        raise ValueError(f"factor = {factor!r}: 1 - step_size * penalty must lie in (0, 1]")
    return factor


def _push_apart(theta: float, shift: float, factor: float) -> _Field:
    return _Field(np.array([theta]), np.array([factor, factor]), np.array([-shift, shift]))


class _Chain(NamedTuple):
    radius: float
    shift: float
    factor: float
    noise: Vector
    epsilon: float
    field_at: Callable[[float], _Field]
    adaptive: bool  # the drift jumps where p = exp(epsilon) q, found anew at every step


def _value(chain: _Chain, tolerance: float) -> ChainValue:
    """Two resolutions above a floor that costs nothing; refuse if they disagree."""
    floor, barrier = _FIRST_FLOOR, _barrier(chain)
    while True:
        coarse = _run(chain, floor, barrier, _COARSE)
        theta = coarse.thresholds[-1]
        if theta >= barrier and coarse.log_lost < coarse.log_value - _HARMLESS:
            break
        if floor == _LAST_FLOOR:
            raise FloatingPointError(
                f"delta at epsilon = {chain.epsilon!r} lies below exp(-{floor:g}), too small for the quadrature"
            )
        enough = _FIRST_FLOOR - coarse.log_value if isfinite(coarse.log_value) else inf
        floor = min(max(1.5 * floor, enough), 3.0 * floor, _LAST_FLOOR)
        # an empty support says nothing about where the best event begins
        barrier = theta - chain.noise[-1] if isfinite(theta) else _barrier(chain)
    barrier = max(barrier, theta - chain.noise[-1])
    floor = min(floor, _FIRST_FLOOR - coarse.log_value)
    fine = _run(chain, floor, barrier, _FINE)
    if fine.thresholds[-1] < barrier:  # two laws far apart leave it open where between them the event begins
        fine = _run(chain, floor, -inf, _FINE)
    disagreement = abs(np.expm1(coarse.log_value - fine.log_value))
    error = float(disagreement + exp(fine.log_lost - fine.log_value) + fine.rounding)
    if not error <= tolerance:
        raise FloatingPointError(
            f"relative error {error:.1e} exceeds tolerance = {tolerance:.1e}: resolutions differ by "
            f"{disagreement:.1e}, rounding and cancellation may cost {fine.rounding:.1e}"
        )
    return ChainValue(fine.log_value, error, fine.thresholds)


def _barrier(chain: _Chain) -> float:
    """A guess, from below, of where the best event begins: where it would for the most distant Gaussian pair."""
    if chain.epsilon <= 0.0:
        return -inf
    powers = chain.factor ** np.arange(chain.noise.size)
    apart = 2.0 * (chain.radius * chain.factor * powers[-1] + chain.shift * powers.sum())
    return float(chain.epsilon * (chain.noise[::-1] ** 2 * powers**2).sum() / apart - chain.noise[-1])


def _run(chain: _Chain, floor: float, barrier: float, order: int) -> _Run:
    """One pass; its dropped mass is accounted for if the last threshold turns out not to lie below ``barrier``."""
    noise, epsilon = chain.noise, chain.epsilon
    rule = np.polynomial.legendre.leggauss(order)
    start = chain.field_at(0.0)(np.array([-chain.radius, chain.radius]))
    now = Particles(start, np.array([-inf, 0.0]), np.array([0.0, -inf]))
    lost, coarseness, thresholds = 0.0, 0.0, np.zeros(noise.size)
    for t, std in enumerate(noise[:-1]):
        lost += 2.0 * now.position.size  # times exp(-floor), under P and under exp(epsilon) Q
        coarseness += distance(now, std) * sqrt(2.0 * floor)
        # f(x) <= factor * x + shift: no drift is likelier to carry a run over the barrier than the constant one
        powers = chain.factor ** np.arange(noise.size - t)
        to_come = sqrt((noise[:t:-1] ** 2 * powers[:-1] ** 2).sum())
        ahead = Ahead(barrier - chain.shift * powers[:-1].sum(), powers[-1], to_come)
        intervals, reach = support(now, std, epsilon, floor, ahead)
        if not intervals:
            return _Run(-inf, inf, inf, np.full(noise.size, inf))
        if chain.adaptive:
            thresholds[t] = crossing(now, std, epsilon, intervals[0][0], intervals[-1][1])
        field = chain.field_at(thresholds[t])
        # the density varies over this noise, the next kernel over the next one, seen through the slope of the map
        with np.errstate(divide="ignore"):
            widths = _WIDTH * np.minimum(std, noise[t + 1] / np.abs(field.slopes))
        ends = panels(intervals, field.breaks, widths)
        then = spread(now, std, reach, ends, rule)
        now = then._replace(position=field(then.position))
    std, far = noise[-1], noise[-1] * sqrt(2.0 * floor)
    coarseness += distance(now, std) * sqrt(2.0 * floor)
    theta = crossing(now, std, epsilon, now.position.min() - far, now.position.max() + far)
    thresholds[-1] = theta
    log_value, amplification = beyond(now, std, epsilon, theta)
    # a step rounds, a few times, exponents no larger than those of the particles that matter to the value, and
    # positions, which shift the exponents in proportion to the distance a particle is thrown
    exponents = noise.size * min(floor, _HARMLESS - log_value)
    rounding = amplification * 2.0**-51 * (exponents + coarseness)
    return _Run(log_value, log(lost) - floor if lost else -inf, rounding, thresholds)
