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

    excess(low) > 0 >= excess(high) must hold on entry; entries with low >= high are left as they are. Secant steps with
    halved stale ends (Illinois), every third step a bisection. Only arguments at which the excess was evaluated and
    found not positive are returned.
    """
    low, high = np.broadcast_arrays(np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64))
    low, high = low.copy(), high.copy()
    above, below = _cut(excess(low)), _cut(excess(high))
    above, below = np.where(low < high, above, 0.0), np.where(low < high, below, 0.0)
    for step in range(_ITERATIONS):
        wide = high - low > relative * np.abs(high) + absolute
        if not np.any(wide):
            break
        with np.errstate(divide="ignore", invalid="ignore"):
            guess = low + (high - low) * (above / (above - below))
        # Away from the ends by a little, so that the other end moves too once the root is all but met.
        least = 0.25 * (relative * np.abs(high) + absolute)
        guess = np.clip(guess, low + least, high - least)
        middle = 0.5 * (low + high)
        guess = np.where(np.isfinite(guess) & (step % 3 != 2), guess, middle)
        guess = np.where(wide, guess, high)
        found = _cut(excess(guess))
        over = found > 0
        low, high = np.where(wide & over, guess, low), np.where(wide & ~over, guess, high)
        above = np.where(wide, np.where(over, found, 0.5 * above), above)
        below = np.where(wide, np.where(over, 0.5 * below, found), below)
    return high


def _cut(values: Array) -> Array:
    """Finite values with the same sign."""
    return np.clip(np.nan_to_num(values, nan=_CUT, posinf=_CUT, neginf=-_CUT), -_CUT, _CUT)
