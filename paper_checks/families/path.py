"""Chains of state-dependent Gaussian steps: bounds on the Rényi divergence of the whole path.

An instance holds arrays of length n, step 1 first. From y the next position is N(m, noise_std^2) under Q and
N(m + g, noise_std^2) under P, with m = transition y + offset and the gap g = gap_slope y + gap_offset, or
gap_bound tanh((gap_slope y + gap_offset) / gap_bound) where gap_bound is finite; both start from
N(start_mean, start_std^2). The truth is D_order(P || Q) of (theta_0, ..., theta_n). `power` is a free parameter > 1 for
claims that use Hölder's inequality. `step_divergence` is what one step costs from a known position, and `log_moment`
averages it over the position under P.

For linear gaps the truth is an exact recursion (the moment still to come is the exponential of a quadratic),
certified in ball arithmetic and possibly infinite. For bounded gaps it is `linear.scalar_path` on grids, with its error
estimate, and not certified beyond that. On constant gaps the sum of suprema is attained.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from flint import arb, ctx
from hypothesis import strategies
from numpy.typing import NDArray

from linear.scalar_path import ScalarPath, joint_path_renyi, path_log_moment

from ..verdict import Truth
from ._path_recursion import linear_gaps
from .base import Family, register
from .contractive import rounder_numbers, usual
from .gaussian_renyi import outward, with_finite_end

Array = NDArray[np.float64]
Law = Literal["p", "q"]

_FARTHEST_ON_GRIDS = math.log(30.0)
_COLUMNS = ("transition", "offset", "gap_slope", "gap_offset")


@dataclass(frozen=True, eq=False)
class PathInstance:
    """One pair of chains (see the module); the four arrays have shape (n,)."""

    transition: Array
    offset: Array
    gap_slope: Array
    gap_offset: Array
    noise_std: float
    order: float
    power: float = 6.0
    start_mean: float = 0.0
    start_std: float = 0.0
    gap_bound: float = math.inf
    kind: str = "random"

    @property
    def steps(self) -> int:
        return len(self.transition)

    @property
    def linear(self) -> bool:
        """Whether gaps are linear in the position."""
        return self.gap_bound == math.inf

    def gap(self, step: int, position: Array) -> Array:
        """Difference of the two means of the position after `step` (0 .. n-1), from each `position`."""
        line = self.gap_slope[step] * np.asarray(position, dtype=float) + self.gap_offset[step]
        return line if self.linear else self.gap_bound * np.tanh(line / self.gap_bound)

    def largest_gap(self, step: int) -> float:
        """Supremum of |gap| over positions; may be +inf."""
        if self.gap_slope[step] == 0:
            return float(np.abs(self.gap(step, np.zeros(()))))
        return self.gap_bound

    def step_divergence(self, step: int, order: float, position: Array) -> Array:
        """D_order of one step from each known position."""
        return order * (self.gap(step, position) / self.noise_std) ** 2 / 2

    def position(self, step: int, law: Law = "p") -> tuple[float, float]:
        """Mean and variance of theta_step (0 .. n) for linear gaps."""
        if not self.linear:
            raise ValueError(f"gap_bound = {self.gap_bound!r}: positions are Gaussian for linear gaps only")
        mean, variance = self.start_mean, self.start_std**2
        tilt = 1.0 if law == "p" else 0.0
        for k in range(step):
            factor = self.transition[k] + tilt * self.gap_slope[k]
            mean = factor * mean + self.offset[k] + tilt * self.gap_offset[k]
            variance = factor * factor * variance + self.noise_std**2
        return float(mean), float(variance)

    def log_moment(self, step: int, order: float, exponent: float, law: Law = "p") -> float:
        """log E exp(exponent * step_divergence(step, order, theta_step)), theta_step under P ("p") or Q; may be +inf.

        Where the grids for bounded gaps cannot resolve it, its supremum over positions.
        """
        scale = exponent * order / self.noise_std**2
        if not self.linear:
            try:
                found = path_log_moment(
                    self.scalar_path(), step=step, exponent=lambda y: scale * self.gap(step, y) ** 2 / 2, law=law
                )
            except FloatingPointError:
                return scale * self.largest_gap(step) ** 2 / 2
            return found.value
        mean, variance = self.position(step, law)
        middle, spread = self.gap_slope[step] * mean + self.gap_offset[step], self.gap_slope[step] ** 2 * variance
        if scale * spread >= 1:
            return math.inf
        return float(-math.log1p(-scale * spread) / 2 + scale * middle**2 / (2 * (1 - scale * spread)))

    def scalar_path(self) -> ScalarPath:
        """The same pair for `linear.scalar_path`."""
        return ScalarPath(
            drift=lambda step, y: self.transition[step] * y + self.offset[step],
            gap=self.gap,
            noise_std=self.noise_std,
            steps=self.steps,
            start_mean=self.start_mean,
            start_std=self.start_std,
        )

    def __str__(self) -> str:
        def row(values: Array) -> str:
            return "(" + ", ".join(f"{value:.6g}" for value in values) + ")"

        start = f"N({self.start_mean:.6g}, {self.start_std:.6g}^2)" if self.start_std else f"{self.start_mean:.6g}"
        bound = "" if self.linear else f" bounded by {self.gap_bound:.6g}"
        return (
            f"n={self.steps}, order {self.order:.6g}, power {self.power:.6g}, start {start}, noise {self.noise_std:.6g}, "
            f"drift {row(self.transition)} y + {row(self.offset)}, gap {row(self.gap_slope)} y + {row(self.gap_offset)}"
            + bound
        )


def truth(instance: PathInstance) -> Truth:
    """D_order(P || Q) of the path: the recursion in ball arithmetic for linear gaps, else on grids with their error."""
    return linear_gaps(instance) if instance.linear else _on_grids(instance)


def _on_grids(instance: PathInstance) -> Truth:
    found = joint_path_renyi(instance.scalar_path(), order=instance.order)
    if not found.error < 0.01 * found.value:
        raise FloatingPointError(f"the grids give {found.value} with error {found.error}: too coarse to compare with")
    return Truth(math.log(found.value - found.error), math.log(found.value + found.error))


def certify(instance: PathInstance) -> Truth:
    """The same, rigorous: for bounded gaps no less than what the first step costs, known where the start is a point.

    Raises FloatingPointError for bounded gaps from a start that is not a point.
    """
    if instance.linear:
        return linear_gaps(instance)
    if instance.start_std > 0:
        raise FloatingPointError("bounded gaps from a random start have no rigorous truth here")
    with ctx.workprec(128):
        bound = arb(instance.gap_bound)
        line = arb(float(instance.gap_slope[0])) * instance.start_mean + arb(float(instance.gap_offset[0]))
        gap = bound * (line / bound).tanh()
        first = arb(instance.order) * (gap / instance.noise_std) ** 2 / 2
        lower = outward(first.log()).lower if first > 0 else -math.inf
    return Truth(lower, truth(instance).upper)


def chain(
    rows: list[tuple[float, float, float, float]],
    *,
    order: float,
    power: float = 6.0,
    noise_std: float = 1.0,
    start: tuple[float, float] = (0.0, 0.0),
    gap_bound: float = math.inf,
    kind: str = "chain",
) -> PathInstance:
    """From one row (transition, offset, gap_slope, gap_offset) per step and a start (mean, std)."""
    transition, offset, gap_slope, gap_offset = np.array(rows, dtype=float).T
    mean, std = start
    return PathInstance(transition, offset, gap_slope, gap_offset, noise_std, order, power, mean, std, gap_bound, kind)


def growing(first_gap: float, slope: float, *, order: float, power: float) -> PathInstance:
    """Two steps of unit noise from 0: a constant gap, then a gap proportional to the position."""
    rows = [(0.0, 0.0, 0.0, first_gap), (0.0, 0.0, slope, 0.0)]
    return chain(rows, order=order, power=power, kind="constant, then growing gap")


def constant_gaps(gaps: Array, *, order: float, power: float, noise_std: float = 1.0) -> PathInstance:
    """Gaps that do not depend on the position: the path divergence is order * sum(gaps^2) / (2 noise_std^2)."""
    rows = [(0.8, 0.0, 0.0, float(gap)) for gap in gaps]
    return chain(rows, order=order, power=power, noise_std=noise_std, kind="constant gaps")


def switched(steps: int, *, order: float, power: float) -> PathInstance:
    """Drift 0.8 y, and a gap between -0.6 and 0.6 that changes sign around -0.5: bounded, not Gaussian."""
    return chain([(0.8, 0.0, 1.0, 0.5)] * steps, order=order, power=power, gap_bound=0.6, kind="bounded gaps")


def edge_cases() -> list[PathInstance]:
    """Constant gaps (attained as the power grows), a growing gap, an infinite path."""
    return [
        constant_gaps(np.array([1.0]), order=2.0, power=2.0),
        constant_gaps(np.array([1.0, 1.0]), order=2.0, power=1e12),
        constant_gaps(np.array([0.3, 1.0, 0.2, 0.7]), order=3.0, power=1e12),
        constant_gaps(np.array([1.0, 1.0, 1.0]), order=2.0, power=4.0),
        growing(2.0, 0.1, order=2.0, power=3.0),
        growing(2.0, 0.1, order=2.0, power=20.0),
        growing(0.5, 0.6, order=2.0, power=1.2),
        growing(2.0, 0.75, order=2.0, power=6.0),
        chain([(0.8, 0.1, 0.05, 0.2)] * 5, order=2.0, noise_std=0.7, start=(0.4, 0.3), kind="linear gaps"),
    ]


def sample(rng: np.random.Generator, *, bounded: float = 0.02) -> PathInstance:
    """A random chain of one to six steps; a share of `bounded` has bounded gaps and takes far longer to answer."""
    order = float(rng.choice([1.2, 1.5, 2.0, 4.0, 1 + math.exp(rng.normal())]))
    power = float(rng.choice([1.5, 3.0, 10.0, 1 + math.exp(rng.normal(1.0, 1.5)), 1e12]))
    if rng.random() < bounded:
        steps = int(rng.integers(2, 4))
        rows = [(rng.uniform(0, 1), 0.0, rng.normal(), rng.normal())] * steps
        bound = float(rng.uniform(0.2, 0.8))
        return chain(rows, order=min(order, 4.0), power=power, gap_bound=bound, kind="bounded gaps")
    steps = int(rng.integers(1, 7))
    if rng.random() < 0.3:
        gaps = np.exp(rng.normal(size=steps)) * (rng.random(steps) < 0.8)
        return constant_gaps(gaps, order=order, power=power, noise_std=math.exp(rng.normal()))
    slope_scale = 10 ** rng.uniform(-3, 0) / (order * math.sqrt(steps))
    rows = [
        (rng.uniform(-0.5, 1), rng.normal(), slope_scale * rng.normal(), rng.normal() * (rng.random() < 0.7))
        for _ in range(steps)
    ]
    start = (float(rng.normal()), float(rng.choice([0.0, rng.exponential()])))
    return chain(
        rows, order=order, power=power, start=start, noise_std=math.exp(0.5 * rng.normal()), kind="linear gaps"
    )


def instances(count: int, rng: np.random.Generator) -> Iterator[PathInstance]:
    """The edge cases, then `count` random chains with linear gaps."""
    yield from edge_cases()
    for _ in range(count):
        yield sample(rng, bounded=0.0)


def simplify(instance: PathInstance) -> Iterator[PathInstance]:
    """Simpler chains: a step fewer, a start at a point, one number rounder."""
    columns = {name: getattr(instance, name) for name in _COLUMNS}
    for k in range(instance.steps if instance.steps > 1 else 0):
        yield replace(instance, **{name: np.delete(values, k) for name, values in columns.items()})  # type: ignore[arg-type]
    for name, least in (("order", 1.0), ("power", 1.0), ("noise_std", 0.0)):
        for value in rounder_numbers(getattr(instance, name)):
            if value > least:
                yield replace(instance, **{name: value})  # type: ignore[arg-type]
    for name in ("start_std", "start_mean"):
        if getattr(instance, name) != 0:
            yield replace(instance, **{name: 0.0})  # type: ignore[arg-type]
    for name, values in columns.items():
        for k, value in enumerate(values):
            for rounder in rounder_numbers(float(value)) if name == "gap_offset" else _zero_first(float(value)):
                changed = values.copy()
                changed[k] = rounder
                yield replace(instance, **{name: changed})  # type: ignore[arg-type]


def _zero_first(value: float) -> list[float]:
    """Rounder candidates for a coefficient that is simplest when absent."""
    return [] if value == 0 else [0.0, *(rounder for rounder in rounder_numbers(value) if rounder != 0)]


_NUMBER = strategies.one_of(strategies.integers(-2, 2).map(float), strategies.floats(-3, 3)).map(usual)
_SLOPE = strategies.one_of(strategies.just(0.0), strategies.floats(-0.5, 0.5)).map(usual)
_FACTOR = strategies.one_of(strategies.sampled_from([0.0, 1.0, 0.5]), strategies.floats(-1, 1)).map(usual)
_ROW = strategies.tuples(_FACTOR, _NUMBER, _SLOPE, _NUMBER)
_ROWS, _FEW_ROWS = (strategies.lists(_ROW, min_size=1, max_size=most) for most in (5, 2))
_ORDER = strategies.one_of(strategies.sampled_from([2.0, 1.5, 4.0]), strategies.floats(1.05, 8.0))
_POWER = strategies.one_of(strategies.sampled_from([2.0, 6.0, 1e12]), strategies.floats(1.1, 100.0))
_NOISE = strategies.one_of(strategies.just(1.0), strategies.floats(0.1, 10.0))
_SPREAD = strategies.one_of(strategies.just(0.0), strategies.floats(0.0, 2.0)).map(usual)
_BOUND = strategies.floats(0.2, 0.8)
_ONE_IN_TWENTY = strategies.integers(0, 19).map(lambda k: k == 19)


@strategies.composite
def paths(draw: strategies.DrawFn) -> PathInstance:
    """Chains of up to five steps: constant, linear or (rarely, they are slow) bounded gaps."""
    bounded = draw(_ONE_IN_TWENTY)
    return chain(
        draw(_FEW_ROWS if bounded else _ROWS),
        order=draw(_ORDER),
        power=draw(_POWER),
        noise_std=draw(_NOISE),
        start=(draw(_NUMBER), draw(_SPREAD)),
        gap_bound=draw(_BOUND) if bounded else math.inf,
        kind="drawn",
    )


class Path(Family):
    """Two chains of Gaussian steps whose means differ by a state-dependent gap.

    Instance: arrays `transition`, `offset`, `gap_slope`, `gap_offset` (n,), numbers `gap_bound`, `noise_std`, `start_mean`,
    `start_std`, `order`, `power`; methods `gap`, `largest_gap`, `step_divergence`, `log_moment`, `position` for claims.
    The claim returns an upper bound on D_order(P || Q) of the joint path; +inf promises nothing.
    Truth: for linear gaps the exact recursion in balls, infinite cases included (error 1e-17); for bounded gaps grids, with an
    error estimate that is not rigorous: a violation there counts as undecided unless the first step alone shows it.
    Tight: constant gaps, for the sum of suprema (and for compositions by moments as `power` grows).
    """

    name = "path"
    holds = (
        "transition, offset, gap_slope, gap_offset (n,), gap_bound, noise_std, start_mean, start_std, order, power; "
        "gap(step, y), largest_gap(step), step_divergence(step, order, y), log_moment(step, order, exponent)"
    )
    returns = "an upper bound on D_order(P || Q) of the joint path; +inf promises nothing"
    truth_is = "linear gaps: exact quadratic recursion in balls; bounded gaps: grids with an error estimate"
    tight_on = "constant gaps, for the sum of suprema"
    tolerance = 1e-9

    def edge_cases(self) -> list[PathInstance]:
        return edge_cases()

    def sample(self, rng: np.random.Generator) -> PathInstance:
        return sample(rng)

    def truth(self, instance: PathInstance) -> Truth:
        found = truth(instance)
        # A search can steer grids to where their error estimate is blind; so far out they are not asked.
        if not instance.linear and found.upper > _FARTHEST_ON_GRIDS:
            raise FloatingPointError("bounded gaps: the divergence is too large for grids to be trusted in a search")
        return with_finite_end(found)

    def certify(self, instance: PathInstance) -> Truth:
        return with_finite_end(certify(instance))

    def simplify(self, instance: PathInstance) -> Iterator[PathInstance]:
        return simplify(instance)

    def coordinates(self, instance: PathInstance) -> Array:
        scales = [instance.order - 1, instance.power - 1, instance.noise_std, max(instance.start_std, 1e-12)]
        if not instance.linear:
            scales.append(instance.gap_bound)
        columns = [getattr(instance, name) for name in _COLUMNS]
        return np.concatenate([np.log(scales), [instance.start_mean], *columns])

    def with_coordinates(self, instance: PathInstance, coordinates: Array) -> PathInstance:
        count = 4 if instance.linear else 5
        order, power, noise_std, start_std, *bound = np.exp(np.clip(coordinates[:count], -12, 30)).tolist()
        columns = dict(zip(_COLUMNS, np.split(coordinates[count + 1 :], 4), strict=True))
        for name, values in columns.items():
            # What was exactly zero stays so: a gap that does not depend on the position keeps its kind.
            columns[name] = np.where(getattr(instance, name) == 0, 0.0, np.clip(usual(values), -1e6, 1e6))
        return replace(
            instance,
            **columns,
            # Clear of 1, where orders and Hölder's conjugate exponent blow up.
            order=1 + max(order, 1e-6),
            power=1 + max(power, 1e-3),
            noise_std=noise_std,
            start_mean=float(np.clip(usual(float(coordinates[count])), -1e6, 1e6)),
            start_std=start_std if instance.start_std > 0 else 0.0,
            gap_bound=bound[0] if bound else math.inf,
            kind="local search",
        )

    def strategy(self) -> strategies.SearchStrategy[PathInstance]:
        return paths()


register(Path())
