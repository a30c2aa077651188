"""Clipped noisy fine-tuning from two starts in a ball: every loss at once, against chains that attain what they say.

An instance stands for all pairs of runs x <- x - step_size (clipped gradient + penalty x) + noise_std normal, `steps`
times, from any two starts of norm at most `radius`, under any loss whose clipped gradients have norm at most `clip`.
The truth is the largest hockey-stick divergence of three runs on the line from +radius and -radius: a drift that at
every step pushes apart where the laws differ most (composite quadrature, with its error), a linear loss, and one step
pushed apart (both closed forms). Each of them is attained, so a promise below any of them is wrong, whatever its proof.
For at most two steps, and without a drift, no loss does worse; for more steps that is not proved.

Bounds are attained after one step, and for any number of steps where `clip` is 0. Refutations are certified in ball
arithmetic: the closed forms from the exact rational distance, the drift that pushes apart by rigorous quadrature.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np
from flint import arb
from hypothesis import strategies
from numpy.typing import NDArray

from linear.enclosed_chain import enclose_thresholds
from linear.enclosure import enclose_gdp
from linear.normal_shift import log_hockey_stick
from linear.scalar_chain import ChainValue, threshold_policy_value

from ..verdict import Truth
from .base import Family, register
from .contractive import rounder_numbers, usual

Array = NDArray[np.float64]

_U = 2.0**-53
# The square root of a rational number rounded to double, and the rounding of the root.
_ROOT = 4 * _U


@dataclass(frozen=True)
class ClippedChain:
    """One instance: `radius` > 0, `clip` >= 0, `step_size` > 0, `penalty` >= 0 with step_size penalty < 1, `steps`,
    `noise_std` per step, `epsilon` >= 0.
    """

    radius: float
    clip: float
    step_size: float
    penalty: float
    steps: int
    noise_std: float
    epsilon: float
    kind: str = "random"
    _known: dict[str, Truth] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def factor(self) -> float:
        """rho = 1 - step_size penalty, rounded once."""
        return float(self.exact_factor)

    @property
    def exact_factor(self) -> Fraction:
        return 1 - Fraction(self.step_size) * Fraction(self.penalty)

    @property
    def shift(self) -> float:
        """The largest drift of one step."""
        return self.step_size * self.clip

    @property
    def sums(self) -> tuple[float, float, float]:
        """rho^T, S = 1 + ... + rho^(T-1), V = 1 + ... + rho^(2T-2), by adding up powers."""
        powers = self.factor ** np.arange(self.steps)
        return self.factor * float(powers[-1]), float(powers.sum()), float((powers**2).sum())

    def __str__(self) -> str:
        return (
            f"radius {self.radius:.6g}, clip {self.clip:.6g}, step size {self.step_size:.6g}, penalty "
            f"{self.penalty:.6g}, T={self.steps}, noise {self.noise_std:.6g}, epsilon {self.epsilon:.6g}"
        )


def gaussian_mu(instance: ClippedChain) -> float:
    """mu of the attained Gaussian pair, to 4 roundings, from rational arithmetic on the instance's doubles.

    After one step the drift pushes apart, 2 (rho radius + step_size clip) / noise_std; later the linear loss, whose
    drift cancels, 2 radius rho^T / (noise_std sqrt(V)).
    """
    factor = instance.exact_factor
    if instance.steps == 1:
        apart = 2 * (factor * Fraction(instance.radius) + Fraction(instance.step_size) * Fraction(instance.clip))
        return float(apart / Fraction(instance.noise_std))
    gap = Fraction(2 * instance.radius) * factor**instance.steps
    variance = Fraction(instance.noise_std) ** 2 * sum(factor ** (2 * k) for k in range(instance.steps))
    square = gap * gap / variance
    # An even power of two brings the square into the range of doubles.
    shift = (square.numerator.bit_length() - square.denominator.bit_length()) // 2 * 2
    return math.sqrt(float(square / Fraction(2) ** shift)) * 2.0 ** (shift // 2)


def is_gaussian(instance: ClippedChain) -> bool:
    """Whether the worst case is a pair of Gaussians: one step, or no drift."""
    return instance.steps == 1 or instance.clip == 0


def truth(instance: ClippedChain) -> Truth:
    """The largest attained value, as an interval of logarithms; computed once per instance.

    Raises FloatingPointError where the quadrature refuses (values below exp(-5000), say).
    """
    if "truth" not in instance._known:
        instance._known["truth"] = _truth(instance)
    return instance._known["truth"]


def _truth(instance: ClippedChain) -> Truth:
    smooth = _log_gaussian(gaussian_mu(instance), instance.epsilon)
    if is_gaussian(instance):
        return smooth
    value = _pushed_apart(instance)
    # shift and factor are rounded once each: distances change by that much per step, and log delta, whose slope in
    # log mu is about 2 |log delta|, by so many times it.
    rounding = 2 * _U * (instance.steps + 1) * 2 * (1 + abs(value.log_delta))
    pushed = Truth.of_log(value.log_delta, -math.log1p(-value.relative_error) + rounding)
    return Truth(max(pushed.lower, smooth.lower), max(pushed.upper, smooth.upper))


def _pushed_apart(instance: ClippedChain) -> ChainValue:
    return threshold_policy_value(
        radius=instance.radius,
        shift=instance.shift,
        factor=instance.factor,
        steps=instance.steps,
        noise_std=instance.noise_std,
        epsilon=instance.epsilon,
    )


def _log_gaussian(mu: float, epsilon: float) -> Truth:
    if mu == 0.0:
        return Truth(-math.inf, -math.inf)
    log, error, _ = log_hockey_stick(mu, _ROOT * mu, np.array([epsilon]))
    return Truth.of_log(float(log[0]), float(error[0]))


def certify(instance: ClippedChain) -> Truth:
    """The same in ball arithmetic: the Gaussian pair at both ends of mu, the drift by rigorous quadrature.

    Where the quadrature refuses, the Gaussian pair alone, which is attained too. The upper end is that of the values
    attained.
    """
    mu = gaussian_mu(instance)
    low, high = mu * (1 - _ROOT), mu * (1 + _ROOT)
    smooth = Truth(enclose_gdp(low, instance.epsilon)[0], enclose_gdp(high, instance.epsilon)[1])
    if is_gaussian(instance):
        return smooth
    step_size = arb(instance.step_size)
    try:
        value = _pushed_apart(instance)
        lower, upper = enclose_thresholds(
            radius=instance.radius,
            shift=step_size * instance.clip,
            factor=1 - step_size * instance.penalty,
            noise_std=instance.noise_std,
            epsilon=instance.epsilon,
            thresholds=value.thresholds,
            log_value=value.log_delta,
        )
    except FloatingPointError:
        return smooth
    return Truth(max(lower, smooth.lower), max(upper, smooth.upper))


def displacement(instance: ClippedChain) -> float:
    """How far apart the constant drifts would carry the runs, in noise deviations of the last point."""
    last, total, squares = instance.sums
    return 2 * (instance.radius * last + instance.shift * total) / (instance.noise_std * math.sqrt(squares))


def at_mu(
    mu: float,
    *,
    radius: float = 1.0,
    clip: float,
    step_size: float = 1.0,
    penalty: float,
    steps: int,
    epsilon: float,
    kind: str = "random",
) -> ClippedChain:
    """The instance whose noise makes `displacement` equal `mu`."""
    start = ClippedChain(radius, clip, step_size, penalty, steps, 1.0, epsilon, kind)
    return replace(start, noise_std=displacement(start) / mu)


def edge_cases() -> list[ClippedChain]:
    """Round numbers: one step and no drift, where bounds are attained; then drifts large and small."""
    rows = [
        ("one step", 1.0, 1.0, 0.5, 0.0, 1, 2.0, 1.0),
        ("one step", 1.0, 1.0, 0.5, 1.0, 1, 1.0, 0.5),
        ("one step", 2.0, 0.0, 1.0, 0.5, 1, 1.0, 2.0),
        ("one step", 1.0, 1.0, 1.0, 0.0, 1, 0.5, 20.0),
        ("no drift", 1.0, 0.0, 1.0, 0.0, 2, 1.0, 1.0),
        ("no drift", 1.0, 0.0, 0.5, 1.0, 2, 1.0, 0.0),
        ("no drift", 8.0, 0.0, 0.5, 1.0, 5, 0.25, 1.0),
        ("no drift", 1.0, 0.0, 1.0, 0.01, 50, 0.2, 1.0),
        ("small drift", 1.0, 0.001, 0.5, 1.0, 3, 0.2, 1.0),
        ("drift", 1.0, 1.0, 0.5, 0.0, 2, 1.5, 1.0),
        ("drift", 1.0, 0.1, 1.0, 0.0, 10, 3.0, 1.0),
        ("large drift", 0.01, 1.0, 1.0, 0.5, 3, 1.0, 0.5),
    ]
    return [ClippedChain(*row[1:], kind=row[0]) for row in rows]  # type: ignore[arg-type]


def sample(rng: np.random.Generator, most_steps: int = 6) -> ClippedChain:
    """A random instance whose promise at epsilon lies above exp(-30) or so; a third has one step, a sixth no drift."""
    kind = str(rng.choice(["one step", "one step", "no drift", "drift", "drift", "drift"]))
    steps = 1 if kind == "one step" else int(rng.integers(2, most_steps + 1))
    mu = float(np.exp(rng.uniform(-2.0, 1.5)))
    step_size = float(rng.choice([1.0, 0.5, 0.1, 1e-4, rng.uniform(0.01, 1.0)]))
    product = float(rng.choice([0.0, 0.5, 0.1, rng.uniform(0.0, 0.95)]))
    radius = float(np.exp(rng.normal(0.0, 1.5)))
    reach = 0.0 if kind == "no drift" else float(np.exp(rng.normal(-1.5, 1.5)))
    return at_mu(
        mu,
        radius=radius,
        clip=reach * radius / step_size,
        step_size=step_size,
        penalty=product / step_size,
        steps=steps,
        epsilon=float(rng.choice([0.0, mu * rng.uniform(0.0, 6.0) + 0.5 * mu * mu])),
        kind=kind,
    )


def instances(count: int, rng: np.random.Generator) -> Iterator[ClippedChain]:
    """The edge cases, then `count` random instances on which the quadrature does not refuse."""
    yield from edge_cases()
    made = 0
    while made < count:
        instance = sample(rng)
        try:
            truth(instance)
        except FloatingPointError:
            continue
        made += 1
        yield instance


def simplify(instance: ClippedChain) -> Iterator[ClippedChain]:
    """Simpler chains: fewer steps, then one number rounder."""
    for fewer in (1, instance.steps // 2, instance.steps - 1):
        if 1 <= fewer < instance.steps:
            yield replace(instance, steps=fewer)
    for name in ("penalty", "clip", "step_size", "radius", "noise_std", "epsilon"):
        for value in rounder_numbers(getattr(instance, name)):
            simpler = replace(instance, **{name: value})  # type: ignore[arg-type]
            positive = min(simpler.radius, simpler.step_size, simpler.noise_std) > 0
            if positive and simpler.exact_factor > 0:
                yield simpler


class Clipped(Family):
    """Clipped noisy fine-tuning under every loss, from two starts anywhere in a ball.

    Instance: numbers `radius`, `clip`, `step_size`, `penalty`, `steps`, `noise_std`, `epsilon`; step_size penalty < 1.
    The claim returns the delta promised at `epsilon`, in both directions, for every loss and all starts of norm <= radius.
    Truth: the largest value attained by a drift that pushes apart at every step, a linear loss and a single step; no loss does
    worse for at most two steps, for more that is not proved. Error: some 1e-12 (quadrature); a refutation is enclosed in
    ball arithmetic, and stays undecided where the attained value is below exp(-60) or so.
    Tight: after one step; without a drift (clip = 0) for any number of steps.
    """

    name = "clipped_chain"
    holds = "radius, clip, step_size, penalty, steps, noise_std, epsilon: numbers; step_size penalty < 1"
    returns = "the delta promised at that epsilon, for every loss and every two starts in the ball"
    truth_is = (
        "the largest attained hockey-stick: threshold drift (quadrature, error some 1e-12), closed forms; both in balls"
    )
    tight_on = "one step; no drift (clip = 0)"
    tolerance = 2e-9

    def edge_cases(self) -> list[ClippedChain]:
        return edge_cases()

    def sample(self, rng: np.random.Generator) -> ClippedChain:
        return sample(rng)

    def truth(self, instance: ClippedChain) -> Truth:
        return truth(instance)

    def certify(self, instance: ClippedChain) -> Truth:
        return certify(instance)

    def simplify(self, instance: ClippedChain) -> Iterator[ClippedChain]:
        return simplify(instance)

    def coordinates(self, instance: ClippedChain) -> Array:
        product = instance.step_size * instance.penalty
        parts = (instance.radius, instance.clip, product, instance.noise_std, instance.epsilon)
        return np.log(np.maximum(parts, 1e-12))

    def with_coordinates(self, instance: ClippedChain, coordinates: Array) -> ClippedChain:
        radius, clip, product, noise, epsilon = (float(x) for x in np.exp(np.clip(coordinates, -20.0, 20.0)))
        return replace(
            instance,
            radius=radius,
            clip=clip if instance.clip > 0 else 0.0,
            penalty=min(product, 0.99) / instance.step_size if instance.penalty > 0 else 0.0,
            noise_std=noise,
            epsilon=epsilon if instance.epsilon > 0 else 0.0,
            kind="local search",
        )

    def strategy(self) -> strategies.SearchStrategy[ClippedChain]:
        return strategies.builds(
            at_mu,
            strategies.floats(0.1, 4.0),
            radius=strategies.floats(0.1, 10.0),
            clip=strategies.one_of(strategies.just(0.0), strategies.floats(0.01, 5.0)),
            step_size=strategies.sampled_from([1.0, 0.5, 0.125]),
            penalty=strategies.one_of(strategies.just(0.0), strategies.floats(0.01, 0.95)),
            steps=strategies.integers(1, 5),
            epsilon=strategies.floats(0.0, 4.0).map(usual),
            kind=strategies.just("drawn"),
        )


register(Clipped())
