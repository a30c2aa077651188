"""The cumulant functions of many whitened pairs at once, one pair a row."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from linear.cumulant import KNOWN, ROUNDING, Law, Part, Saddle, root_of_squares
from linear.whitened import EPS, FloatArray, Whitened


class CumulantRows(Law):
    """K of m pairs of d directions: point i of a ``Saddle`` belongs to pair i.

    All directions are kept; one of no shift and no excess adds nothing. There is no ``from_q``: hockey sticks need none.
    """

    def __init__(self, pairs: Whitened) -> None:
        self.columns = pairs.columns
        self.shift, self.excess, self.ratio = pairs.shift_squared, pairs.excess, pairs.ratio
        self.shift_error, self.excess_error = pairs.errors
        self.largest = self.excess.max(axis=1, initial=0.0)
        self._derive()

    def rows(self, part: Part) -> CumulantRows:
        taken = CumulantRows.__new__(CumulantRows)
        for name, values in vars(self).items():
            setattr(taken, name, values[part] if isinstance(values, np.ndarray) else values)
        return taken

    @property
    def equal_covariances(self) -> NDArray[np.bool_]:
        return ~((self.excess != 0.0) | (self.excess_error > 0.0)).any(axis=1)

    def from_p(self, y: FloatArray) -> Saddle:
        end, excess = np.where(self.largest > 0.0, self.largest, 1.0)[:, None], self.excess
        inside, left = expit(y), expit(-y)
        bounded = Saddle(
            w := inside / end[:, 0], 1.0 + w, left[:, None] + inside[:, None] * ((end - excess) / end), w * left
        )
        w = np.exp(y)
        return _either(self.largest > 0.0, bounded, Saddle(w, 1.0 + w, 1.0 - w[:, None] * excess, w))

    def supremum(self) -> tuple[FloatArray, FloatArray]:
        bends = (self.shift != 0.0) | (self.excess != 0.0) | (self.excess_error != 0.0)

        def bound(side: float) -> FloatArray:
            steep = -(self.excess + side * self.excess_error)
            endless = ((steep <= 0.0) & bends).any(axis=1)
            steep = np.where(steep > 0.0, steep, 1.0)
            ratios = self.log_ratio - side * self.excess_error / self.ratio
            middle = np.sum(self.shift / (2.0 * steep), axis=1) - 0.5 * self.columns * ratios.sum(axis=1)
            blur = root_of_squares(self.shift_error / (2.0 * steep))
            return np.where(endless, np.inf, middle + side * (blur + ROUNDING * np.abs(middle)))

        return bound(-1.0), bound(1.0)

    def ceiling(self, threshold: FloatArray) -> FloatArray:
        known = KNOWN / np.maximum(self.excess_error.max(axis=1), EPS)
        most = np.full(len(threshold), np.inf)
        for halving in range(60):
            w = np.minimum(known, 0.5 / np.maximum(self.largest, EPS)) * 0.5**halving
            value, error = self.value(Saddle(w, 1.0 + w, 1.0 - w[:, None] * self.excess, w))
            most = np.minimum(most, value + error - threshold * w)
        return most

    def halfway(self) -> FloatArray:
        value, error = self.value(self.between(np.zeros(len(self.excess))))
        return value + error

    def moments(self, w: float) -> tuple[FloatArray, FloatArray]:
        v = np.ones_like(self.ratio) if w == 0.0 else self.ratio
        point = np.full(len(v), w)
        return self.derivatives(Saddle(point, 1.0 + point, v, point))


def _either(first: NDArray[np.bool_], one: Saddle, other: Saddle) -> Saddle:
    """Row by row."""
    return Saddle(
        np.where(first, one.w, other.w),
        np.where(first, one.z, other.z),
        np.where(first[:, None], one.v, other.v),
        np.where(first, one.speed, other.speed),
    )
