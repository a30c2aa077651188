"""The tail of an adapted plan's budget: Chernoff's bound, guaranteed, and a contour integral, sharp.

The budget of the linear plan is a generalised chi-square, B = base + sum_j weights_j |zeta_j|^2 + 2 <p_j, zeta_j> with
zeta_j standard normal in C columns and pulls_j = |p_j|, so that

    K(theta) = log E e^{theta B} = theta base + sum_j 2 theta^2 pulls_j^2 / (1 - 2 theta weights_j)
               - (C/2) log(1 - 2 theta weights_j),      theta < 1 / (2 max weights),
    Pr[B > t] = (1 / 2 pi i) int exp(K(theta) - theta t) / theta dtheta <= exp(K(theta) - theta t).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize_scalar

from bounds import gaussian_dp
from bounds._tails import STEP, contour
from bounds.adapted import log_delta

Array = NDArray[np.float64]
_ULP = 2.0**-52
_REFUSED = 1e-6


@dataclass(frozen=True, eq=False)
class BudgetLaw:
    """weights, pulls (q,), base, columns: see the module."""

    weights: Array
    pulls: Array
    base: float
    columns: int

    @property
    def mean(self) -> float:
        """E[B]."""
        return float(self.base + self.columns * self.weights.sum())

    @property
    def variance(self) -> float:
        """Var[B]."""
        return float(2 * self.columns * np.sum(self.weights**2) + 4 * np.sum(self.pulls**2))

    @property
    def threshold(self) -> float:
        """K is finite below it."""
        largest = float(np.max(self.weights, initial=0.0))
        return 0.5 / largest if largest > 0 else math.inf

    def log_moment(self, theta: float) -> float:
        """K(theta); infinite from the threshold on."""
        if theta >= self.threshold:
            return math.inf
        v = 1 - 2 * theta * self.weights
        return float(
            theta * self.base + np.sum(2 * theta**2 * self.pulls**2 / v) - 0.5 * self.columns * np.sum(np.log(v))
        )

    def slope(self, theta: float) -> float:
        """K'(theta)."""
        v = 1 - 2 * theta * self.weights
        drift = 4 * theta * self.pulls**2 * (1 - theta * self.weights) / v**2
        return float(self.base + np.sum(drift) + self.columns * np.sum(self.weights / v))

    def chernoff_tail(self, budget: float) -> float:
        """Upper bound on log Pr[B > budget], guaranteed up to float rounding, which is added."""
        if budget <= self.mean or self.variance == 0:
            return 0.0 if budget < self.mean * (1 + 1e-12) else -math.inf
        theta = self._root(budget, pole=False)
        value = self.log_moment(theta) - theta * budget
        return min(0.0, value + 16 * _ULP * (1 + theta * budget + abs(value)) * (1 + len(self.weights)))

    def tail(self, budget: float) -> float:
        """log Pr[B > budget] by the contour integral plus its estimated error; Chernoff's bound where that is lower."""
        bound = self.chernoff_tail(budget)
        if budget <= self.mean or math.isinf(bound):
            return bound
        theta = self._root(budget, pole=True)
        v = 1 - 2 * theta * self.weights
        r = 2 * self.weights / v
        squares = self.pulls**2 / v
        # K'' and K''' from 2 theta^2 p^2 / (1 - 2 theta w) and the logs
        curvature = float(np.sum(4 * squares / v**2) + 0.5 * self.columns * np.sum(r**2)) + 1 / theta**2
        skew = float(np.sum(12 * squares / v**2 * r) + self.columns * np.sum(r**3)) + 2 / theta**3
        constant = self.base - budget

        def ratio(moved: NDArray[np.complex128]) -> NDArray[np.complex128]:
            s = np.asarray(moved)[..., None]
            factor = 1 - s * r
            pulled = 2 * squares * s * (2 * theta + s + theta**2 * r) / factor
            exponent = (pulled - 0.5 * self.columns * np.log(factor)).sum(-1) + moved * constant
            return np.exp(exponent) / (1 + moved / theta)

        log, error = math.inf, math.inf
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):  # all end as an error that is not small
            for step in (STEP, STEP / 4):
                found = contour(
                    ratio,
                    distance=np.array(theta),
                    width=np.array(curvature**-0.5),
                    singularity=np.array(2 * curvature / skew),
                    step=step,
                )
                if float(found.error) < error:
                    log, error = float(found.log), float(found.error)
                if error < 1e-9:
                    break
        if not error <= _REFUSED:
            return bound
        value = self.log_moment(theta) - theta * budget - math.log(theta) + log + error
        return min(bound, value + 16 * _ULP * (1 + theta * budget) * (1 + len(self.weights)))

    def _root(self, budget: float, *, pole: bool) -> float:
        """Where K'(theta) = budget (+ 1/theta)."""
        top = math.log(self.threshold) if math.isfinite(self.threshold) else 600.0

        def rising(t: float) -> float:
            theta = math.exp(t)
            if theta >= self.threshold * (1 - 1e-12):
                return 1e300
            return min(self.slope(theta) - budget - (1 / theta if pole else 0.0), 1e300)

        root = brentq(rising, top - 200.0, top, xtol=1e-6) if rising(top - 200.0) < 0 else top - 200.0
        return min(math.exp(root), self.threshold * (1 - 1e-9))

    def log_delta(self, epsilon: float, *, guaranteed: bool = False) -> float:
        """min over mu of log(d_mu(epsilon) + Pr[B > mu^2]): the truncated theorem with the tail computed.

        Any mu is allowed, so an approximate minimum is one too. guaranteed: Chernoff's tail.
        """
        tail = self.chernoff_tail if guaranteed else self.tail
        spread = math.sqrt(self.variance)
        if spread == 0:
            return float(gaussian_dp.log_delta(math.sqrt(self.mean), epsilon))

        def promise(x: float) -> float:
            budget = self.mean + spread * math.exp(x)
            return log_delta(math.sqrt(budget), tail(budget), epsilon)

        grid = np.linspace(-2.0, 8.0, 16)
        values = [promise(x) for x in grid]
        best = int(np.argmin(values))
        inside = (grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)])
        refined = minimize_scalar(promise, bounds=inside, method="bounded", options={"xatol": 1e-3})
        return min(float(refined.fun), min(values))
