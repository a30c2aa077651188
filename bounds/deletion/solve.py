"""The smallest argument at which a falling promise meets its target, for one deletion or for many at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Excess = Callable[[Array], Array]  # what is promised less the target, elementwise; not increasing

_ITERATIONS = 200
_LARGEST_EPSILON = 1e12
_CUT = 1e3  # an excess beyond this says no more than its sign


def inverse_of(log_delta: Excess, shape: tuple[int, ...], target: float) -> Array:
    """The smallest epsilons >= 0 with log_delta(epsilon) <= target, to 1e-8 relative; inf beyond 1e12."""

    def excess(epsilon: Array) -> Array:
        return log_delta(epsilon) - target

    met = excess(np.zeros(shape)) <= 0
    low, high = np.zeros(shape), np.where(met, 0.0, 1.0)
    while True:
        over = ~met & (high <= _LARGEST_EPSILON)
        if np.any(over):
            over &= excess(high) > 0
        if not np.any(over):
            break
        low, high = np.where(over, high, low), np.where(over, 2.0 * high, high)
    beyond = high > _LARGEST_EPSILON
    found = smallest(excess, np.where(beyond, high, low), high, relative=1e-8, absolute=1e-12)
    return np.where(beyond, np.inf, found)


def smallest(excess: Excess, low: Array, high: Array, *, relative: float, absolute: float = 0.0) -> Array:
    """Arguments where excess <= 0, at most `relative` of themselves or `absolute` above one where it is positive.

    excess(low) > 0 >= excess(high) must hold on entry; entries with low >= high are left as they are. Chandrupatla's
    method: inverse quadratic interpolation where its three points are in order, else bisection. Only arguments at which
    the excess was evaluated and found not positive are returned.
    """
    low, high = np.broadcast_arrays(np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64))
    new, old = high.copy(), low.copy()  # the last argument, and the one on the other side of the root
    at_new, at_old = _cut(excess(new)), _cut(excess(old))
    before, at_before = old.copy(), at_old.copy()
    share = np.full(new.shape, 0.5)
    for _ in range(_ITERATIONS):
        met = np.where(at_new <= 0, new, old)
        width = np.abs(old - new)
        allowed = relative * np.abs(met) + absolute
        wide = (width > allowed) & (low < high)
        if not np.any(wide):
            break
        trial = np.where(wide, new + share * (old - new), met)
        found = _cut(excess(trial))
        same = (found > 0) == (at_new > 0)
        before, at_before = (
            np.where(wide, np.where(same, new, old), before),
            np.where(wide, np.where(same, at_new, at_old), at_before),
        )
        old, at_old = np.where(wide & ~same, new, old), np.where(wide & ~same, at_new, at_old)
        new, at_new = np.where(wide, trial, new), np.where(wide, found, at_new)
        with np.errstate(divide="ignore", invalid="ignore"):
            place = (new - old) / (before - old)
            rise = (at_new - at_old) / (at_before - at_old)
            share = at_new / (at_old - at_new) * (at_before / (at_old - at_before)) + (before - new) / (old - new) * (
                at_new / (at_before - at_new)
            ) * (at_old / (at_before - at_old))
            ordered = (rise**2 < place) & ((1 - rise) ** 2 < 1 - place) & np.isfinite(share)
            least = np.minimum(0.4 * allowed / np.abs(old - new), 0.5)
        share = np.clip(np.where(ordered, share, 0.5), least, 1 - least)
    return np.where(low < high, np.where(at_new <= 0, new, old), high)


def _cut(values: Array) -> Array:
    """Finite values with the same sign."""
    return np.clip(np.nan_to_num(values, nan=_CUT, posinf=_CUT, neginf=-_CUT), -_CUT, _CUT)
