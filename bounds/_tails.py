"""Numerics shared by the bounds that are tail integrals: a root by bisection and one contour integral.

Both tails needed here, P(|R| > r) for a Gaussian R and E d_nu(epsilon) for a Gaussian-DP profile, are inverse
Laplace integrals ``(1 / 2 pi i) int F(z) dz`` along a vertical line, with F real on the real axis, a simple pole
on one side of the line and further singularities (branch points, an essential singularity) on the other.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Array = np.ndarray
STEP = 1 / 16  # of the trapezoid rule in u; the error estimate comes from 2 and 4 times this step
_NODES = 16  # evaluated at once
_FARTHEST = 40.0  # value of u: a decay like exp(-u) alone ends the sum there
_NEGLIGIBLE = 1e-18  # a node this small against the integral ends the sum


class Contour(NamedTuple):
    """``log`` of the integral divided by F at the crossing, the mean distance to the pole, a relative error."""

    log: Array
    mean_distance: Array
    error: Array


def increasing_root(function: Callable[[Array], Array], lower: Array, upper: Array, halvings: int = 48) -> Array:
    """Root of an increasing function inside [lower, upper] by bisection, elementwise."""
    for _ in range(halvings):
        middle = 0.5 * (lower + upper)
        beyond = function(middle) > 0
        lower, upper = np.where(beyond, lower, middle), np.where(beyond, middle, upper)
    return 0.5 * (lower + upper)


def contour(
    ratio: Callable[[Array], Array],
    *,
    distance: Array,
    width: Array,
    singularity: Array,
    around_pole: Array | bool = False,
    step: float = STEP,
) -> Contour:
    """Integrate (1 / 2 pi i) int F(z) dz / F(z0) along a hyperbola through z0 that bends around the singularities.

    The hyperbola is ``z0 + width * (bend * (cosh u - 1) + i sinh u)``, where positive real shifts point away from the
    half-plane in which F grows. Where the Gaussian part of F rules (singularity many widths away) the best contour is
    nearly straight; where F decays only algebraically along a line it must bend by about 45 degrees: hence
    ``bend = 4.5 / (4.5 + singularity / width)``, found by trial. The value does not depend on it, the error does.

    Parameters
    ----------
    ratio : maps complex shifts (nodes, *shape) to F(z0 + shift) / F(z0).
    distance, width, singularity : (*shape), all positive: from z0 to the pole, the scale of the peak of |F| on the
        line (normally (log F)''(z0) ** -0.5), and the effective distance from z0 to the singularity (may be infinite).
    around_pole : the contour bends around the pole as well (True) or away from it (False).

    Returns
    -------
    Contour
        ``mean_distance`` is the mean of |z - pole|, continued analytically, under F: for F = G(z) exp(-z t) minus the
        logarithmic derivative of the integral over t, up to the sign of the pole's side. ``error`` bounds the relative
        error of the integral. The trapezoid rule errs by A(2 pi / step) + A(4 pi / step) + ..., A the Fourier
        transform of the integrand in u, which decays exponentially since F is analytic around the contour. The rules
        at 2 and at 4 times the step show A(pi / step) and A(pi / (2 step)), of the order of the square root and of
        the fourth root of the error relative to the integral. The first is charged, plus the square of the second
        (A oscillates, and one value of it may be small by accident), plus the part cut off (it decays like
        exp(-u / 2) or faster) and the rounding of the sum. Infinite where nothing could be computed.
    """
    bend = 4.5 / (4.5 + singularity / width)
    inward = np.where(around_pole, -1.0, 1.0)
    totals = np.zeros((4, *np.shape(width)))  # by the number of the node modulo 4
    moment, mass = np.zeros(np.shape(width)), np.zeros(np.shape(width))
    trailing = (slice(None),) + (None,) * np.ndim(width)
    for block in range(int(_FARTHEST / (step * _NODES))):
        numbers = np.arange(block * _NODES, (block + 1) * _NODES)
        u = (step * numbers)[trailing]
        shift = width * (bend * (np.cosh(u) - 1) + 1j * np.sinh(u))
        terms = ratio(shift) * (width * (bend * np.sinh(u) + 1j * np.cosh(u)))
        if block == 0:
            terms[0] *= 0.5  # the half-line u < 0 mirrors this one
        parts = terms.imag
        totals += parts.reshape(_NODES // 4, 4, *parts.shape[1:]).sum(0)
        moment += (terms * (distance + inward * shift)).imag.sum(0)
        mass += np.abs(terms).sum(0)
        last = np.abs(terms[-1])
        if np.all(last <= _NEGLIGIBLE * np.abs(totals.sum(0))):
            break
    total, even = totals.sum(0), totals[0] + totals[2]
    with np.errstate(divide="ignore", invalid="ignore"):
        halved, quartered = np.abs(2 * even - total) / total, np.abs(4 * totals[0] - 2 * even) / total
        error = halved + quartered**2 + (4 * last / step + 1e-15 * mass) / total
        log = np.log(step / np.pi * np.where(total > 0, total, np.nan))
        mean = moment / total
    return Contour(log, mean, np.where(np.isfinite(log) & np.isfinite(error), error, np.inf))
