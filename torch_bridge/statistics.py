"""What a handful of runs can say: rank correlations and means with intervals, and which law fits best.

Everything here is about samples; nothing is a bound. Infinities are allowed where only ranks count (an infinite privacy
loss, a number of steps beyond the budget); NaN never is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from bounds import log_law
from bounds._checks import FloatArray, array, count, number


@dataclass(frozen=True)
class Estimate:
    """A value with the limits of an interval at `confidence`; (value, lower, upper) are NaN where nothing varies."""

    value: float
    lower: float
    upper: float
    confidence: float

    def as_json(self) -> dict[str, float | None]:
        """For a results file; NaN becomes null."""
        return {name: None if np.isnan(entry) else float(entry) for name, entry in vars(self).items()}


@dataclass(frozen=True, eq=False)
class LawComparison:
    """Three laws of steps against loss, by leave-one-out prediction: no law gains by having more parameters.

    log, line, power: root mean square errors of the left-out points under C log(A x + B), a x + b and c x^b.
    log_over_line, log_over_power: ratios with bootstrap intervals; below 1 the logarithm predicts better.
    fit: the logarithm fitted to all points. points: used; left_out: points without finite, positive data.
    """

    log: float
    line: float
    power: float
    log_over_line: Estimate
    log_over_power: Estimate
    explained: float
    fit: log_law.LogLaw
    points: int
    left_out: int

    def as_json(self) -> dict[str, object]:
        """For a results file."""
        return {
            "loo_rms": {"log": self.log, "line": self.line, "power": self.power},
            "log_over_line": self.log_over_line.as_json(),
            "log_over_power": self.log_over_power.as_json(),
            "explained": self.explained,
            "scale": self.fit.scale,
            "log_slope": self.fit.log_slope,
            "shift": self.fit.shift,
            "bends": bool(self.fit.bends),
            "points": self.points,
            "left_out": self.left_out,
        }


def rank_correlation(
    x: ArrayLike, y: ArrayLike, *, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Estimate:
    """Spearman's rank correlation of two vectors, with a percentile bootstrap over the pairs.

    Parameters
    ----------
    x, y : (n,), n >= 3; infinities allowed, equal values share their mean rank.
    confidence : in (0, 1); approximate, and a little short for few pairs.
    resamples : bootstrap samples.

    Returns
    -------
    Estimate; all NaN when x or y does not vary. Bootstrap samples in which one does not vary are left out.
    """
    x, y = _pair(x, y)
    confidence = number("confidence", confidence, "(0, 1)")
    resamples = count("resamples", resamples, least=100)
    value = float(_spearman(x[None], y[None])[0])
    if np.isnan(value):
        return Estimate(np.nan, np.nan, np.nan, confidence)
    chosen = np.random.default_rng(seed).integers(0, len(x), (resamples, len(x)))
    values = _spearman(x[chosen], y[chosen])
    lower, upper = _percentiles(values[~np.isnan(values)], confidence)
    return Estimate(value, min(lower, value), max(upper, value), confidence)


def t_interval(values: ArrayLike, *, confidence: float = 0.95) -> Estimate:
    """Mean of independent runs (n,), n >= 2, with Student's interval."""
    values = array("values", values, "(-inf, inf)", ndim=1)
    confidence = number("confidence", confidence, "(0, 1)")
    if len(values) < 2:
        raise ValueError(f"values has shape {values.shape}: must hold at least two runs")
    mean = float(values.mean())
    half = float(stats.t.ppf((1 + confidence) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return Estimate(mean, mean - half, mean + half, confidence)


def mean_difference(x: ArrayLike, y: ArrayLike, *, confidence: float = 0.95) -> Estimate:
    """Student's interval for the mean of x - y over paired runs (same seeds)."""
    x, y = _pair(x, y, least=2, interval="(-inf, inf)")
    return t_interval(x - y, confidence=confidence)


def compare_laws(
    losses: ArrayLike, steps: ArrayLike, *, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> LawComparison:
    """Do steps grow like C log(A x + B) of the loss rather than like a line or a power?

    Parameters
    ----------
    losses, steps : (n,), one entry per group; those with an infinite entry (right-censored steps) or a loss of 0 are
        left out and counted, which favours laws that flatten: report `left_out`. At least 5 must remain.
    """
    losses, steps = _pair(losses, steps)
    confidence = number("confidence", confidence, "(0, 1)")
    resamples = count("resamples", resamples, least=100)
    kept = np.isfinite(losses) & np.isfinite(steps) & (losses > 0)
    x, k = losses[kept], steps[kept]
    if len(x) < 5 or len(np.unique(x)) < 4:
        raise ValueError(f"losses: {len(np.unique(x))} different positive values with finite steps; must be at least 4")
    errors = {name: _left_out_errors(x, k, law) for name, law in _LAWS.items()}
    rng = np.random.default_rng(seed)
    chosen = rng.integers(0, len(x), (resamples, len(x)))

    def ratio(other: str) -> Estimate:
        mine, its = errors["log"] ** 2, errors[other] ** 2
        # Noiseless data: errors at rounding level are no errors.
        floor = (1e-9 * (np.abs(k).max() + 1.0)) ** 2
        value = np.sqrt((mine.mean() + floor) / (its.mean() + floor))
        values = np.sqrt((mine[chosen].mean(axis=1) + floor) / (its[chosen].mean(axis=1) + floor))
        return Estimate(float(value), *_percentiles(values, confidence), confidence)

    fitted = log_law.fit(x, k)
    return LawComparison(
        **{name: float(np.sqrt(np.mean(error**2))) for name, error in errors.items()},
        log_over_line=ratio("line"),
        log_over_power=ratio("power"),
        explained=fitted.explained,
        fit=fitted,
        points=len(x),
        left_out=int(np.count_nonzero(~kept)),
    )


_Law = Callable[[FloatArray, FloatArray], Callable[[FloatArray], FloatArray]]


def _fit_log(x: FloatArray, k: FloatArray) -> Callable[[FloatArray], FloatArray]:
    return log_law.fit(x, k).predict


def _fit_line(x: FloatArray, k: FloatArray) -> Callable[[FloatArray], FloatArray]:
    line: Callable[[FloatArray], FloatArray] = np.polynomial.Polynomial.fit(x, k, 1)
    return line


def _fit_power(x: FloatArray, k: FloatArray) -> Callable[[FloatArray], FloatArray]:
    """Least squares of c x^b, b in [0, 3], c >= 0."""
    scale, powers = x.max(), np.linspace(0.0, 3.0, 601)
    features = (x / scale) ** powers[:, None]
    factors = np.maximum(features @ k / np.sum(features**2, axis=1), 0.0)
    best = int(np.argmin(np.sum((k - factors[:, None] * features) ** 2, axis=1)))
    return lambda at: np.asarray(factors[best] * (at / scale) ** powers[best])


_LAWS: dict[str, _Law] = {"log": _fit_log, "line": _fit_line, "power": _fit_power}


def _left_out_errors(x: FloatArray, k: FloatArray, law: _Law) -> FloatArray:
    errors = np.empty(len(x))
    for left in range(len(x)):
        others = np.arange(len(x)) != left
        errors[left] = k[left] - law(x[others], k[others])(x[left : left + 1])[0]
    return errors


def _spearman(x: FloatArray, y: FloatArray) -> FloatArray:
    """Row by row; NaN where a row does not vary."""
    ranks = [stats.rankdata(rows, axis=1) for rows in (x, y)]
    first, second = (rows - rows.mean(axis=1, keepdims=True) for rows in ranks)
    scale = np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.clip((first * second).sum(axis=1) / scale, -1.0, 1.0))


def _percentiles(values: FloatArray, confidence: float) -> tuple[float, float]:
    if len(values) == 0:
        return np.nan, np.nan
    lower, upper = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(lower), float(upper)


def _pair(
    x: ArrayLike, y: ArrayLike, *, least: int = 3, interval: str = "[-inf, inf]"
) -> tuple[FloatArray, FloatArray]:
    x, y = array("x", x, interval, ndim=1), array("y", y, interval, ndim=1)
    if x.shape != y.shape or len(x) < least:
        raise ValueError(f"x has shape {x.shape}, y {y.shape}: must be two vectors of one length, at least {least}")
    return x, y
