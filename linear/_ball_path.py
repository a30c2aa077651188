"""Where to integrate: a path in the upper half plane down the valleys of |f|, planned in floats.

Nothing here is trusted. Any path off the real axis gives the same integral; a bad one only costs time or is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]

_ANGLES = np.linspace(np.pi / 6, 5 * np.pi / 6, 17)
_FIRST_RADIUS = 0.5
_RADIUS_RATIO = 2.0
_STAGES = 90
_LARGEST_TURN = 4
_LOG_NEGLIGIBLE_TAIL = -39.0


@dataclass(frozen=True)
class Landscape:
    """Float copies of the numbers of `linear._ball_contour.Integrand`, whose docstring defines f."""

    slope: float
    bends: Array
    curvatures: Array
    poles: tuple[float, float]
    columns: int

    def logs(self, points: ComplexArray) -> tuple[Array, Array]:
        """log |f| at the points, and the log of a bound on the integral of |f| straight up from each of them."""
        small, large = sorted(self.poles)
        with np.errstate(all="ignore"):
            factors = 1 - points[..., None] * self.bends
            size = np.abs(factors)
            exponent = (
                self.slope * points.real
                + (self.curvatures * points[..., None] ** 2 / factors).real.sum(axis=-1)
                - self.columns / 2 * np.log(size).sum(axis=-1)
            )
            rise = np.where(factors.real < 0, -self.curvatures * factors.real / (self.bends * size) ** 2, 0.0).sum(
                axis=-1
            )
            nearest = np.minimum(np.abs(small + points.real), np.abs(large + points.real))
            length = np.log(np.minimum(1 / points.imag, np.pi / 2 / nearest)) + np.log(small) + np.log(large)
            value = exponent - np.log(np.abs(1 + points / small)) - np.log(np.abs(1 + points / large))
        return value, exponent + rise + length


def descend(landscape: Landscape) -> list[complex]:
    """Corners of a path from 0 to a point beyond which, straight up, the integral of |f| is negligible.

    On circles of doubling radius, dynamic programming picks the angles that make the integral of |f| smallest. Each
    chord stays in the cone of angles, hence off the real axis.
    """
    radii = _FIRST_RADIUS * _RADIUS_RATIO ** np.arange(_STAGES)
    points = radii[:, None] * np.exp(1j * _ANGLES)
    value, tail = landscape.logs(points)
    size = np.exp(np.minimum(value, 600.0))
    turn = np.abs(np.arange(len(_ANGLES))[:, None] - np.arange(len(_ANGLES)))
    cost = radii[0] * np.maximum(size[0], 1.0)
    origins: list[NDArray[np.intp]] = []
    for stage in range(_STAGES):
        if stage:
            step = np.abs(points[stage][:, None] - points[stage - 1])
            reached = cost + step * np.maximum(size[stage][:, None], size[stage - 1])
            reached[turn > _LARGEST_TURN] = np.inf
            origins.append(reached.argmin(axis=1))
            cost = reached.min(axis=1)
        done = tail[stage] < _LOG_NEGLIGIBLE_TAIL
        if done.any():
            angle = int(np.where(done, cost, np.inf).argmin())
            corners = [complex(points[stage, angle])]
            for earlier in range(stage - 1, -1, -1):
                angle = int(origins[earlier][angle])
                corners.append(complex(points[earlier, angle]))
            return [0j, *reversed(corners)]
    raise FloatingPointError("no path along which the integrand dies out within its first ninety doublings")
