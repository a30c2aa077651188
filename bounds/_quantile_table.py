"""Many quantiles of |R|, R ~ N(m, std^2 I_C), at one tail: a table in the ratio |m| / std, never below the quantile.

For standard deviation 1 and |m| = a let r(a) be the quantile. Moving the mean moves the law through the sphere of radius
r, on which the direction of R is von Mises-Fisher with concentration a r; hence (derived here)

    r'(a) = A(a r),   A(t) = I_{C/2}(t) / I_{C/2-1}(t),   r''(a) = A'(t) (r + a A(t)),   t = a r.

A increases and is concave. (Riccati: A' = 1 - A^2 - (C-1) A/t, and A/t decreases. A'' < 0 near 0; at a first zero of
A'' differentiating once more leaves A''' = -2 A'^2 - 2 (C-1) (A/t - A') / t^2 < 0, but a first zero is crossed upwards.)
So r is convex, and on a cell between two nodes r'' lies between m = A'(t_right) (r + a A)_left and
M = A'(t_left) (r + a A)_right. The chord lowered by m (a - a_left) (a_right - a) / 2 is therefore never below r, and
never above it by more than (M - m) h^2 / 8. Cells are halved until that is small. Beyond the last node r' <= 1 gives
r(a) <= r(a_last) + (a - a_last), while r(a) - a never falls below the standard normal quantile, its limit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ive, ndtri_exp

from bounds._checks import FloatArray

ACCURACY = 1e-10  # of the interpolation, relative
_ULP = 2.0**-52
_BESSEL = 128 * _ULP  # absolute error of A' from the Riccati equation; the tests measure it
_FAR = 2.0**26  # value of t from which the Bessel functions are not asked
_LEVELS = 160  # of the continued fraction, where t <= 4 C
_BLOCK = 1 << 15  # entries looked up at once, so that the temporaries stay in cache
_DEPTH = 16  # halvings of an octave at most
_ONE = int(np.array(1.0).view(np.int64))
MOST_DOF, LEAST_LOG_TAIL = 128, -1e4  # beyond, the table is not offered

Quantile = Callable[[FloatArray], FloatArray]


class QuantileTable(NamedTuple):
    """Piecewise quadratic: on cell i the quantile at standard deviation 1 is value + d (slope + bend d), d = a - node.

    Cells are dyadic in y = 1 + unit a, so the leading bits of y, read as an integer, find the cell without a search.
    """

    unit: float
    last: float  # the last node
    beyond: float  # r - a there
    shift: int  # bits of y that are dropped
    guide: NDArray[np.int32]  # the cell, by the bits that are left less those of 1.0
    node: FloatArray
    value: FloatArray
    slope: FloatArray
    bend: FloatArray

    def __call__(self, mean_norm: FloatArray, std: FloatArray) -> FloatArray:
        """Quantiles for broadcast nonnegative arrays, rounded up; `mean_norm` itself where std = 0."""
        mean_norm, std = np.broadcast_arrays(mean_norm, std)
        result = np.empty(mean_norm.shape)
        flat, flat_mean, flat_std = result.reshape(-1), mean_norm.reshape(-1), std.reshape(-1)
        for start in range(0, flat.size, _BLOCK):
            piece = slice(start, start + _BLOCK)
            flat[piece] = self._block(flat_mean[piece], flat_std[piece])
        return result

    def _block(self, mean_norm: FloatArray, std: FloatArray) -> FloatArray:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            ratio = mean_norm / std
        inside = ratio < self.last
        near = ratio if inside.all() else np.where(inside, ratio, 0.0)
        place = ((1.0 + self.unit * near).view(np.int64) >> self.shift) - (_ONE >> self.shift)
        cell = self.guide[place]
        near = near - self.node[cell]
        standard = self.bend[cell]
        standard *= near
        standard += self.slope[cell]
        standard *= near
        standard += self.value[cell]
        standard *= std
        if near is not ratio:
            standard = np.where(inside, standard, np.where(std > 0.0, mean_norm + std * self.beyond, mean_norm))
        standard *= 1.0 + 16 * _ULP
        return standard


def table(dof: int, log_tail: float, quantile: Quantile) -> QuantileTable:
    """The table for `dof` components and one tail; `quantile(a)` gives r(a) for standard deviation 1, rounded up.

    Raises FloatingPointError if cells of the wanted accuracy are too many.
    """
    # r turns from flat to slope 1 on the scale 1 / r(0).
    unit = 2.0 ** np.ceil(np.log2(1.0 + quantile(np.zeros(1))[0]))
    limit = float(-ndtri_exp(log_tail))
    octaves = int(np.ceil(np.log2(1.0 + unit * np.sqrt((dof - 1) / ACCURACY)))) + 1
    while (last := (2.0**octaves - 1.0) / unit) + limit < quantile(np.array([last]))[0] - ACCURACY * last:
        octaves += 1
    y = 2.0 ** np.arange(octaves + 1.0)
    node = (y - 1.0) / unit
    value = quantile(node)
    depth = 0
    while True:
        least, most = _curvature(node, value, dof)
        width = np.diff(node)
        wide = np.flatnonzero((most - least) * width * width / 8 > ACCURACY * value[:-1])
        if not wide.size:
            break
        if (depth := depth + 1) > _DEPTH:
            raise FloatingPointError(f"quantile table for dof = {dof}, log_tail = {log_tail}: too many cells")
        y = np.insert(y, wide + 1, 0.5 * (y[wide] + y[wide + 1]))
        new = (y[wide + 1 + np.arange(wide.size)] - 1.0) / unit
        node, value = np.insert(node, wide + 1, new), np.insert(value, wide + 1, quantile(new))
    edges = np.outer(2.0 ** np.arange(octaves), 1.0 + np.arange(2**depth) / 2**depth).ravel()
    guide = (np.searchsorted(y, edges, side="right") - 1).astype(np.int32)
    bend = 0.5 * least
    slope = np.diff(value) / width - bend * width
    beyond = float(value[-1] - node[-1])
    return QuantileTable(unit, last, beyond, 52 - depth, guide, node[:-1], value[:-1], slope, bend)


def _curvature(node: FloatArray, value: FloatArray, dof: int) -> tuple[FloatArray, FloatArray]:
    """A lower and an upper bound of r'' on each cell, from nodes whose values may be 1e-9 too large."""
    t = node * value
    far = t > _FAR
    ratio = bessel_ratio(t, dof)
    with np.errstate(divide="ignore", invalid="ignore"):
        growth = np.where(t > 0.0, 1.0 - ratio * ratio - (dof - 1) * ratio / t, 1.0 / dof)
        # A is concave and at most 1: A'(t) <= (A(t) - A(t/2)) / (t/2), which keeps its digits where t is large.
        steepest = np.where(t > 0.0, 2.0 * (1.0 - bessel_ratio(0.5 * t, dof) + _BESSEL) / t, np.inf)
    flattest = np.where(far, 0.0, np.maximum(growth - _BESSEL, 0.0))
    steepest = np.where(far, steepest, np.minimum(growth + _BESSEL, steepest))
    least = flattest[1:] * (value + node * ratio)[:-1] * (1.0 - 4e-9)
    most = steepest[:-1] * (value + node * np.where(far, 1.0, ratio))[1:] * (1.0 + 4e-9)
    return least, most


def bessel_ratio(t: FloatArray, dof: int) -> FloatArray:
    """A(t) = I_{C/2}(t) / I_{C/2-1}(t) for t >= 0; from t = 2^26 on a lower bound, 1 - C / (2 t).

    Gauss's continued fraction where t <= 4 C, all of it positive. The bound follows from that of Amos,
    A(t) >= t / (C/2 - 1/2 + sqrt((C/2 + 1/2)^2 + t^2)).
    """
    small = t <= 4.0 * dof
    square = np.where(small, t * t, 0.0)
    fraction = dof + 2.0 * _LEVELS + np.sqrt(square)
    for level in range(_LEVELS - 1, -1, -1):
        fraction = dof + 2.0 * level + square / fraction
    large = np.where(small, 4.0 * dof, t)
    between = np.minimum(large, _FAR)
    found = np.where(large > _FAR, 1.0 - 0.5 * dof / large, ive(0.5 * dof, between) / ive(0.5 * dof - 1.0, between))
    return np.where(small, t / fraction, found)
