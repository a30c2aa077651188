"""Rounding to the safe side of formulas whose terms are all nonnegative.

Sums, products, quotients and roots of nonnegative doubles each add at most 2^-53 to the relative error, and exp, log,
expm1, log1p at most four times that (measured: one); relative errors add up along a formula and nothing cancels. A
formula of `operations` roundings is therefore within operations * 2^-52 of the truth, which allows for twice what is
counted. Where a result can be subnormal its relative accuracy is gone, so the smallest normal double is added too.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from bounds._checks import FloatArray

EPS = 2.0**-52
TINY = 2.0**-1022
_ROUND = 1.0  # multiplies every allowance; the tests set it to 0 and must see wrong sides


def up(value: ArrayLike, operations: ArrayLike) -> FloatArray:
    """At least the true value; +inf stays."""
    return np.asarray(value) * (1.0 + _ROUND * EPS * np.asarray(operations)) + _ROUND * TINY


def down(value: ArrayLike, operations: ArrayLike) -> FloatArray:
    """At most the true value, and at least 0; +inf stays."""
    shrink = np.maximum(1.0 - _ROUND * EPS * np.asarray(operations), 0.0)
    return np.maximum(np.asarray(value) * shrink - _ROUND * TINY, 0.0)


def allowance(size: ArrayLike, operations: ArrayLike) -> FloatArray:
    """What to add to a sum with terms of both signs, `size` being the sum of their magnitudes."""
    return _ROUND * (EPS * np.asarray(operations) * np.asarray(size) + TINY)


def decayed(exponent: ArrayLike) -> FloatArray:
    """exp(-exponent) rounded up, for an exponent >= 0 that is itself a lower bound."""
    return np.minimum(up(np.exp(-np.asarray(exponent)), 4), 1.0)


def shaped(value: FloatArray) -> FloatArray | float:
    """A float for a scalar."""
    return value if value.ndim else float(value)
