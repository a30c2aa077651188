"""The logarithmic law of unlearning: the number of steps against the per-instance loss, with a fitted C log(A x + B).

Public statements about Sepahvand et al. 2025 say that the number of steps grows like log(a x + b) in the privacy loss.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_SHIFTS = 400


@dataclass(frozen=True, eq=False)
class LogLaw:
    """steps = scale * (log_slope + log(x + shift)): C log(A x + B) with C = scale, log A = log_slope, B = A shift.

    rms and linear_rms: root mean squares of the residuals of this fit and of a straight line; spread: of the steps
    about their mean, `level`. residuals (points,), in the order of the data; nan-free, points with infinite steps left out.
    """

    scale: float
    log_slope: float
    shift: float
    residuals: Array
    rms: float
    linear_rms: float
    spread: float
    level: float

    def predict(self, losses: Array) -> Array:
        """The fitted number of steps at these positive losses."""
        predicted: Array = self.scale * (self.log_slope + np.log(np.asarray(losses) + self.shift))
        return predicted if self.scale else np.full(np.shape(losses), self.level)

    @property
    def bends(self) -> bool:
        """Whether the logarithm fits better than a straight line, which is its limit for a large shift."""
        return self.rms < self.linear_rms * (1 - 1e-3)

    @property
    def explained(self) -> float:
        """Share of the variance explained; 1 when there is none."""
        return 1 - (self.rms / self.spread) ** 2 if self.spread else 1.0


def fit(losses: Array, steps: Array) -> LogLaw:
    """Least squares of C log(A x + B), A > 0, B >= 0, C >= 0: linear in (C, C log A) for each shift B / A on a grid.

    Needs three different positive losses with finite steps; ValueError otherwise.
    """
    losses, steps = np.asarray(losses, dtype=float), np.asarray(steps, dtype=float)
    if losses.shape != steps.shape or losses.ndim != 1:
        raise ValueError(f"losses {losses.shape}, steps {steps.shape}: must be two vectors of one length")
    kept = np.isfinite(steps) & np.isfinite(losses) & (losses > 0)
    x, k = losses[kept], steps[kept]
    if len(np.unique(x)) < 3:
        raise ValueError(f"losses: {len(np.unique(x))} different positive values with finite steps; must be at least 3")
    centred = k - k.mean()
    shifts = np.append(0.0, x.max() * np.geomspace(1e-6, 1e6, _SHIFTS))
    features = np.log1p((x - x.mean()) / (x.mean() + shifts)[:, None])
    features -= features.mean(axis=1, keepdims=True)
    scales = np.maximum(features @ centred / np.sum(features**2, axis=1), 0.0)
    misfits = centred - scales[:, None] * features
    best = int(np.argmin(np.sum(misfits**2, axis=1)))
    shift, scale, residuals = float(shifts[best]), float(scales[best]), misfits[best]
    log_slope = float(k.mean() / scale - np.log(x + shift).mean()) if scale else 0.0
    line = np.polynomial.Polynomial.fit(x, k, 1)
    return LogLaw(
        scale=scale,
        log_slope=log_slope,
        shift=shift,
        residuals=residuals,
        rms=_rms(residuals),
        linear_rms=_rms(k - line(x)),
        spread=_rms(centred),
        level=float(k.mean()),
    )


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(values**2)))
