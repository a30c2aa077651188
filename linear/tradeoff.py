"""The trade-off curve of two Gaussian laws: the best type II error of a test at each type I error.

The best test of P against Q rejects where ``L = log dP/dQ`` is small (Neyman-Pearson), so the curve is
``alpha = P(L < t)``, ``beta = Q(L > t)``. L has a density unless P = Q. A contour is started at each trial point
rather than at each trial threshold: ``t = K'(w) - 1/(w - pole)`` runs through the whole range of L, bounded or not,
as w runs through its interval, so the search is for w.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri_exp

from linear.contour import UPPER_P, UPPER_Q, Curve, Estimate, Kernel, integral, integral_through
from linear.cumulant import ROUNDING, Cumulant, normal_start
from linear.whitened import FloatArray

_ITERATIONS = 60
_CLOSE = 1e-10  # residual of a log-probability after which one linear step is exact
_FLAT = 1e-8  # -log of a probability too near 1 to steer by
_PINNED = 1e-10  # distance from the supremum of L at which it may stand for a threshold


def log_tradeoff(law: Cumulant, swapped: Cumulant, alpha: FloatArray) -> tuple[FloatArray, FloatArray]:
    """log beta for every alpha in (0, 1), shape (m,), and its estimated error.

    ``law`` is that of (P, Q), ``swapped`` that of (Q, P), where L changes its sign; P must differ from Q.
    """
    value, error = np.empty(alpha.shape), np.empty(alpha.shape)
    low = alpha <= 0.5
    with np.errstate(all="ignore"):
        if low.any():
            log_alpha = np.log(alpha[low])
            quantile = _upper_quantile(swapped, UPPER_Q, log_alpha)
            beta, beta_error = _upper_under_q(law, swapped, -quantile.value, quantile.error)
            # Q(L < t) = E_P [e^-L; L < t], between alpha e^-t and alpha e^(-inf L).
            at_end, blur = log_alpha + quantile.value, quantile.below_end
            odds = np.exp(at_end) / -np.expm1(at_end)
            value[low], error[low] = _better((beta, beta_error), (np.log1p(-np.exp(at_end)), odds * blur))
        if not low.all():
            log_rest = np.log1p(-alpha[~low])
            quantile = _upper_quantile(law, UPPER_P, log_rest)
            beta, beta_error = _upper_under_q(law, swapped, quantile.value, quantile.error)
            # Q(L > t) = E_P [e^-L; L > t], between (1 - alpha) e^(-sup L) and (1 - alpha) e^-t.
            at_end, blur = log_rest - quantile.value, quantile.below_end
            value[~low], error[~low] = _better((beta, beta_error), (at_end, blur))
    return value, error


def _better(
    first: tuple[FloatArray, FloatArray], second: tuple[FloatArray, FloatArray]
) -> tuple[FloatArray, FloatArray]:
    errors = [np.where(np.isfinite(value + error), error, np.inf) for value, error in (first, second)]
    return np.where(errors[0] <= errors[1], first[0], second[0]), np.minimum(*errors)


def _upper_under_q(
    law: Cumulant, swapped: Cumulant, threshold: FloatArray, threshold_error: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """log Q(L > t) and its error, from whichever tail is the smaller one."""
    value, error = np.empty(threshold.shape), np.empty(threshold.shape)
    far = threshold >= law.moments(-1.0)[0]
    if far.any():
        upper = _tail(UPPER_Q, integral(law, UPPER_Q, threshold[far]), threshold[far])
        value[far] = upper.value
        error[far] = upper.error + np.abs(upper.slope) * threshold_error[far]
    if not far.all():
        lower = integral(swapped, UPPER_P, -threshold[~far])
        value[~far] = np.log1p(-np.exp(lower.value))
        odds = np.exp(lower.value - value[~far])
        error[~far] = odds * (lower.error + np.abs(lower.slope) * threshold_error[~far])
    return value, error


def _tail(kernel: Kernel, result: Curve, threshold: FloatArray) -> Curve:
    """The kernel's integral as a probability: the one of Q carries a factor e^t."""
    if kernel is UPPER_P:
        return result
    return Curve(result.value - threshold, result.error, result.slope - 1.0)


@dataclass(frozen=True)
class _Quantile(Estimate):
    """Thresholds, and how far below the supremum of L the exact ones may at most be (inf: anywhere)."""

    below_end: FloatArray


def _upper_quantile(law: Cumulant, kernel: Kernel, target: FloatArray) -> _Quantile:
    """t with log P(L > t), or log Q(L > t), equal to target, which is at most log 1/2.

    Newton's method for log(-log probability), nearly linear in the logarithm of the distance from the pole, inside
    a bracket. Near a finite supremum the probability may hang on digits of t that a double does not have: then it
    is known how near t is.
    """
    pole = kernel.poles[0]
    place = law.from_p if pole == 0.0 else law.from_q
    end = law.supremum()[1]
    mean, variance = law.moments(pole)
    y = normal_start(law, pole, mean - np.sqrt(variance) * ndtri_exp(target))
    low, high = np.full(y.shape, -700.0), np.full(y.shape, 700.0)
    for _ in range(_ITERATIONS):
        at = place(y)
        tilt, curvature = law.derivatives(at)
        inverse = 1.0 / at.distance(pole)
        threshold = tilt - inverse
        tail = _tail(kernel, integral_through(law, kernel, at, threshold, np.zeros_like(y)), threshold)
        residual = tail.value - target
        reached = np.abs(residual) <= _CLOSE * np.maximum(1.0, np.abs(target)) + tail.error
        reached &= np.isfinite(tail.error)
        at_end = (residual > 0.0) & (end - threshold <= _PINNED)
        found = reached | at_end
        if found.all():
            break
        low = np.where(residual > 0.0, y, low)
        high = np.where(residual < 0.0, y, high)
        log = np.minimum(tail.value, -_FLAT)
        steepness = tail.slope * (curvature + inverse * inverse) * at.speed / log
        step = np.where((tail.value < -_FLAT) & (steepness > 0.0), np.log(target / log) / steepness, residual)
        newton = y + np.clip(step, -2.0, 2.0)
        inside = (newton > low) & (newton < high)
        y = np.where(found, y, np.where(inside, newton, 0.5 * (low + high)))
    error = np.where(reached, tail.error / np.abs(tail.slope), np.inf)
    known = np.where(reached, error, np.where(at_end, 0.0, np.inf))
    below_end = np.maximum(end - threshold, 0.0) + ROUNDING * np.abs(end) + known
    return _Quantile(np.where(reached, threshold - residual / tail.slope, threshold), error, below_end)
