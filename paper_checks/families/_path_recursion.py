"""Rényi divergence of a path with linear gaps, certified: the moment still to come is the exponential of a quadratic.

The recursion carries log v(y) = A y^2 + B y + G for the moment v still to come from y. One step back with noise variance
w, J = 1 - 2 A w must be positive, or the divergence is infinite; under the tilted kernel the mean is c y + d,
c = transition + a gap_slope, d = offset + a gap_offset, and the step itself adds a (a-1) gap(y)^2 / (2 w).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from flint import arb, ctx

from ..verdict import Truth
from .gaussian_renyi import INFINITE, outward

if TYPE_CHECKING:
    from .path import PathInstance

Quadratic = tuple[arb, arb, arb]  # (a, b, g) of a y^2 + b y + g

_PRECISIONS = tuple(2**k for k in range(7, 13))  # bits
_WANTED_BITS = 60


class _InfiniteMoment(ArithmeticError):
    """The exponential of a quadratic that no Gaussian average can hold."""


class _Unresolved(ArithmeticError):
    """Too few bits to tell whether an average is finite."""


def linear_gaps(instance: PathInstance) -> Truth:
    """D_order(P || Q) of the whole path, the logarithm's ends rounded outward; gaps linear in the position."""
    for bits in _PRECISIONS:
        with ctx.workprec(bits):
            try:
                value = _log_moment(instance)
            except _InfiniteMoment:
                return INFINITE
            except _Unresolved:
                continue
            if value == 0:
                return Truth(-math.inf, -math.inf)
            divergence = value / (arb(instance.order) - 1)
            if divergence > 0 and divergence.rel_accuracy_bits() >= _WANTED_BITS:
                return outward(divergence.log())
    raise FloatingPointError(f"the divergence cannot be resolved with {_PRECISIONS[-1]} bits")


def _log_moment(instance: PathInstance) -> arb:
    """log E_Q[(P/Q)^a] in balls."""
    order, noise = arb(instance.order), arb(instance.noise_std) ** 2
    weight = order * (order - 1) / (2 * noise)
    ahead = arb(0), arb(0), arb(0)
    for k in range(instance.steps - 1, -1, -1):
        transition, offset, slope, shift = (
            arb(float(values[k]))
            for values in (instance.transition, instance.offset, instance.gap_slope, instance.gap_offset)
        )
        a, b, g = _average(ahead, noise)
        factor, constant = transition + order * slope, offset + order * shift
        ahead = (
            a * factor**2 + weight * slope**2,
            (2 * a * constant + b) * factor + 2 * weight * slope * shift,
            (a * constant + b) * constant + g + weight * shift**2,
        )
    a, b, g = _average(ahead, arb(instance.start_std) ** 2)
    mean = arb(instance.start_mean)
    return (a * mean + b) * mean + g


def _average(quadratic: Quadratic, variance: arb) -> Quadratic:
    """log E exp(a z^2 + b z + g), z ~ N(m, variance), as a quadratic in m."""
    a, b, g = quadratic
    room = 1 - 2 * a * variance
    if room <= 0:
        raise _InfiniteMoment
    if not room > 0:
        raise _Unresolved
    return a / room, b / room, g + b**2 * variance / (2 * room) - room.log() / 2
