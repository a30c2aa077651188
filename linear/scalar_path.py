"""One-dimensional chains with state-dependent Gaussian steps: exact Rényi divergences of the path and of its end.

Two chains share the law of theta_0 and the noise; a step from y has the laws

    under Q:  N(drift(y), s^2),        under P:  N(drift(y) + gap(y), s^2).

For a real number u, E_Q[(dP/dQ)^u] over the whole path is a forward recursion: q (p/q)^u is
exp(u (u-1) gap(y)^2 / (2 s^2)) times the density of N(drift(y) + u gap(y), s^2), so one kernel serves the order-a
moment (u = a), the reverse direction (u = 1 - a), and the plain laws of P (u = 1) and of Q (u = 0). The recursion
runs in logarithms on uniform grids, one per step. The trapezoid rule is geometrically accurate there (the integrands
are smooth at the scale of the noise and die out at both ends). Where the grids must lie is read off the answer: the
tilted path can run far from both chains, so the grids grow until forward times backward weight is negligible at
every edge. The error estimate is twice the largest change on refining the grids, plus what the edges could hide, plus
rounding; for a drift or a gap with kinks or jumps the grid error dominates it.

The estimate is blind to one thing: weight beyond a valley so deep that the edges look settled, as when a gap is tiny
near the chain and grows fast much further out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from linear._checks import finite, integer, nonnegative, one_of, positive
from linear.gaussian_renyi import renyi_order

Array = NDArray[np.float64]
StepFunction = Callable[[int, Array], Array]
Grid = tuple[Array, float]  # points and their log spacing (0 for a single atom)

_NEGLIGIBLE = 45.0  # an edge is settled when its log weight is this far below the total
_FIRST_REACH = 8.0  # half-width of the first grids, in standard deviations
_POINTS_PER_STD = 3.0
_WIDEST = 600.0  # standard deviations a grid may span
_FINEST_POINTS = 2500
_SETTLED = 1e-10
_MOST_GROWTHS = 60


@dataclass(frozen=True)
class ScalarPath:
    """A pair of chains (see the module).

    Parameters
    ----------
    drift, gap : functions of the step 0, 1, ... and an array of positions, returning an array of that shape (or a
        scalar); `drift` is the mean of the next position under Q, `drift + gap` under P.
    noise_std : standard deviation of the noise injected per step.
    steps : number of steps.
    start_mean, start_std : the common Gaussian law of theta_0; a point when `start_std` is 0.
    """

    drift: StepFunction
    gap: StepFunction
    noise_std: float
    steps: int
    start_mean: float = 0.0
    start_std: float = 0.0

    def __post_init__(self) -> None:
        positive("noise_std", self.noise_std)
        integer("steps", self.steps, minimum=1)
        finite("start_mean", self.start_mean)
        nonnegative("start_std", self.start_std)


@dataclass(frozen=True)
class Estimate:
    """A number and an estimate of its absolute error."""

    value: float
    error: float


def joint_path_renyi(path: ScalarPath, *, order: float, reverse: bool = False) -> Estimate:
    """D_order(P || Q) of the joint law of (theta_0, ..., theta_steps); D_order(Q || P) with `reverse`.

    Raises FloatingPointError when the grids do not settle, which is what an infinite divergence looks like.
    """
    order = renyi_order(order)
    tilt = 1 - order if reverse else order
    # The last step's position is integrated in closed form, so grids are needed only for what its kernel starts from.
    states = path.steps - 1

    def last(points: Array) -> Array:
        return _tilt_weight(path, states, points, tilt)

    moment = _settled_moment(path, tilt, states, last)
    return Estimate(max(moment.value, 0.0) / (order - 1), moment.error / (order - 1))


def end_point_renyi(path: ScalarPath, *, order: float, reverse: bool = False) -> Estimate:
    """D_order(P || Q) of the law of theta_steps alone; D_order(Q || P) with `reverse`.

    Raises FloatingPointError when the grids do not settle.
    """
    order = renyi_order(order)
    first, second = (0.0, 1.0) if reverse else (1.0, 0.0)
    reach = _FIRST_REACH
    previous = math.nan
    for _ in range(8):
        windows = _windows(path, path.steps, (0.0, 1.0, order, 1 - order), reach)
        moment, edge = _end_moment(path, _grids(path, windows, _POINTS_PER_STD), order, first, second)
        if edge < -_NEGLIGIBLE and abs(moment - previous) <= _SETTLED * (1 + abs(moment)):
            fine, change = _refined(path, windows, lambda grids: _end_moment(path, grids, order, first, second)[0])
            error = change + abs(moment - previous) + _rounding(path, fine)
            return Estimate(max(fine, 0.0) / (order - 1), error / (order - 1))
        previous, reach = moment, 1.4 * reach
    raise FloatingPointError(f"the grids did not settle at order {order}: infinite, or too spread out")


def path_log_moment(path: ScalarPath, *, step: int, exponent: Callable[[Array], Array], law: str = "p") -> Estimate:
    """log E exp(exponent(theta_step)) under P ("p") or Q ("q"), 0 <= step <= path.steps.

    Raises FloatingPointError when the grids do not settle, as when the expectation is infinite.
    """
    tilt = 1.0 if one_of("law", law, ("p", "q")) == "p" else 0.0
    if integer("step", step, minimum=0) > path.steps:
        raise ValueError(f"step = {step}: must be at most {path.steps}, the number of steps")
    return _settled_moment(path, tilt, step, exponent)


def _settled_moment(path: ScalarPath, tilt: float, states: int, last: Callable[[Array], Array]) -> Estimate:
    """log of the integral over theta_0 .. theta_states of the tilted path weights times exp(last(theta_states))."""
    windows = _windows(path, states, (tilt,), _FIRST_REACH)
    growth = np.full((states + 1, 2), 2.0)
    stds = _stds(path, states)
    for _ in range(_MOST_GROWTHS):
        grids = _grids(path, windows, _POINTS_PER_STD)
        forward = _forward(path, grids, tilt)
        backward = _backward(path, grids, tilt, last)
        total = _total(forward[-1] + backward[-1], grids[-1])
        edges = np.array(
            [
                [-np.inf, -np.inf] if points.size == 1 else (log_spacing + f + b)[[0, -1]] - total
                for (points, log_spacing), f, b in zip(grids, forward, backward, strict=True)
            ]
        )
        open_edges = edges > -_NEGLIGIBLE
        if not open_edges.any():
            fine, change = _refined(path, windows, lambda grids: _moment(path, grids, tilt, last))
            # Beyond a settled edge the weight keeps falling; a grid's worth of edge values is a generous allowance.
            hidden = sum(points.size * np.exp(edge).sum() for (points, _), edge in zip(grids, edges, strict=True))
            return Estimate(fine, change + float(hidden) + _rounding(path, fine))
        windows = windows + np.where(open_edges, growth * stds[:, None], 0.0) * np.array([-1.0, 1.0])
        growth = np.where(open_edges, 1.5 * growth, growth)
    raise FloatingPointError("the grids did not settle: the moment is infinite, or too spread out")


def _refined(path: ScalarPath, windows: Array, moment: Callable[[list[Grid]], float]) -> tuple[float, float]:
    """`moment` on the finest grids tried over these windows, and twice its distance from grids 1.5 and 2 times coarser.

    Smooth functions settle at once; kinks and jumps are refined as far as grids of _FINEST_POINTS go.
    """
    density = 2 * _POINTS_PER_STD
    coarse = moment(_grids(path, windows, density / 2))
    while True:
        middle, grids = moment(_grids(path, windows, density / 1.5)), _grids(path, windows, density)
        fine = moment(grids)
        change = 2 * max(abs(fine - coarse), abs(fine - middle))
        if change <= _SETTLED * (1 + abs(fine)) or 2 * max(points.size for points, _ in grids) > _FINEST_POINTS:
            return fine, change
        coarse, density = fine, 2 * density


def _moment(path: ScalarPath, grids: list[Grid], tilt: float, last: Callable[[Array], Array]) -> float:
    return _total(_forward(path, grids, tilt)[-1] + _values(last, grids[-1][0]), grids[-1])


def _end_moment(path: ScalarPath, grids: list[Grid], order: float, first: float, second: float) -> tuple[float, float]:
    """log of the integral of f^order g^(1-order), f and g the end densities at the two tilts; and its edge weight."""
    log_f = _forward(path, grids, first)[-1]
    log_g = _forward(path, grids, second)[-1]
    log_weight = order * log_f + (1 - order) * log_g
    moment = _total(log_weight, grids[-1])
    return moment, float((log_weight[[0, -1]] + grids[-1][1]).max()) - moment


def _forward(path: ScalarPath, grids: list[Grid], tilt: float) -> list[Array]:
    """Log weight, per unit length, of being at each grid point after 0, 1, ... steps."""
    start = grids[0][0]
    if start.size == 1:
        weights = [np.zeros(1)]
    else:
        weights = [_log_normal(start - path.start_mean, path.start_std)]
    for step, (targets, _) in enumerate(grids[1:]):
        points, log_spacing = grids[step]
        log_source = weights[-1] + _tilt_weight(path, step, points, tilt) + log_spacing
        weights.append(logsumexp(_log_kernel(path, step, points, targets, tilt) + log_source, axis=1))
    return weights


def _backward(path: ScalarPath, grids: list[Grid], tilt: float, last: Callable[[Array], Array]) -> list[Array]:
    """Log of the weight still to come from each grid point, ending with `last`."""
    weights = [_values(last, grids[-1][0])]
    for step in range(len(grids) - 2, -1, -1):
        points, (targets, log_spacing) = grids[step][0], grids[step + 1]
        ahead = logsumexp(_log_kernel(path, step, points, targets, tilt) + (weights[-1] + log_spacing)[:, None], axis=0)
        weights.append(ahead + _tilt_weight(path, step, points, tilt))
    return weights[::-1]


def _tilt_weight(path: ScalarPath, step: int, points: Array, tilt: float) -> Array:
    gap = _evaluate("gap", path.gap, step, points)
    return tilt * (tilt - 1) * (gap / path.noise_std) ** 2 / 2


def _log_kernel(path: ScalarPath, step: int, points: Array, targets: Array, tilt: float) -> Array:
    return _log_normal(targets[:, None] - _tilted_mean(path, step, points, tilt), path.noise_std)


def _tilted_mean(path: ScalarPath, step: int, points: Array, tilt: float) -> Array:
    return _evaluate("drift", path.drift, step, points) + tilt * _evaluate("gap", path.gap, step, points)


def _log_normal(deviation: Array, std: float) -> Array:
    return -((deviation / std) ** 2) / 2 - math.log(std * math.sqrt(2 * math.pi))


def _total(log_weight: Array, grid: Grid) -> float:
    return float(logsumexp(log_weight) + grid[1])


def _evaluate(name: str, function: StepFunction, step: int, points: Array) -> Array:
    return _values(lambda values: function(step, values), points, name)


def _values(function: Callable[[Array], Array], points: Array, name: str = "exponent") -> Array:
    values = np.broadcast_to(np.asarray(function(points), dtype=float), points.shape)
    if not np.isfinite(values).all():
        raise ValueError(f"{name}: must be finite at every position from {points[0]} to {points[-1]}")
    return values


def _stds(path: ScalarPath, states: int) -> Array:
    return np.array([path.start_std] + [path.noise_std] * states)


def _windows(path: ScalarPath, states: int, tilts: tuple[float, ...], reach: float) -> Array:
    """First guess of where theta_0, theta_1, ... live, (states + 1, 2): `reach` linearised deviations each way."""
    windows = np.empty((states + 1, 2, len(tilts)))
    for column, tilt in enumerate(tilts):
        mean, std = path.start_mean, path.start_std
        windows[0, :, column] = mean - reach * std, mean + reach * std
        for step in range(states):
            nearby = mean + path.noise_std * np.array([-0.5, 0.0, 0.5])
            images = _tilted_mean(path, step, nearby, tilt)
            slope = min(abs(float(images[2] - images[0])) / path.noise_std, 3.0)
            mean, std = float(images[1]), math.hypot(slope * std, path.noise_std)
            windows[step + 1, :, column] = mean - reach * std, mean + reach * std
    return np.stack([windows[:, 0].min(axis=1), windows[:, 1].max(axis=1)], axis=1)


def _grids(path: ScalarPath, windows: Array, points_per_std: float) -> list[Grid]:
    grids: list[Grid] = []
    for (low, high), std in zip(windows, _stds(path, len(windows) - 1), strict=True):
        if std == 0:
            grids.append((np.array([path.start_mean]), 0.0))
            continue
        if not high - low < _WIDEST * std:
            raise FloatingPointError(
                f"the paths spread over {(high - low) / std:.3g} standard deviations: infinite, or too spread out"
            )
        cells = max(math.ceil((high - low) * points_per_std / std), 8)
        points, spacing = np.linspace(low, high, cells + 1, retstep=True)
        grids.append((points, math.log(spacing)))
    return grids


def _rounding(path: ScalarPath, log_moment: float) -> float:
    """Rounding of a log-domain recursion: a few ulps of the exponents in play, per step."""
    return 16 * 2.0**-52 * (path.steps + 1) * (1 + abs(log_moment) + _NEGLIGIBLE)
