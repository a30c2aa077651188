"""Chains that contract: given sensitivities, noise and contraction factors, the worst pair and its exact parameter.

An instance holds three arrays of length N. It stands for *every* pair X_{k+1} = phi_k(X_k) + noise_std_k xi_k,
X'_{k+1} = phi'_k(X'_k) + noise_std_k xi'_k from one start with |phi_k(X_k) - phi'_k(X_k)| <= sensitivity_k and
Lip(phi'_k) <= contraction_k. The truth is attained: with u_k = R_k s_k, tau_k = (R_k sigma_k)^2, R_k = prod_{j>k} c_j
and g the nondecreasing weighted fit of u/tau, the scalar linear pair with factors c_k g_{k-1}/g_k <= c_k and
constant shifts s_k has the trade-off of a Gaussian shift of z_N/sqrt(V_N) (z, V by their scalar recursions), and no
pair does worse (the fit satisfies sum u g = sum tau g^2). So a promise below it is wrong, whatever its proof.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from hypothesis import strategies
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from ..verdict import Truth
from .base import Family, register

Array = NDArray[np.float64]

# The scalar recursions add and multiply positive numbers only: a few roundings per step.
_ROUNDING = 2.0**-50
# Below it a drawn number becomes zero: what underflows in a bound's arithmetic is no mistake worth finding.
_TINY = 1e-9


@dataclass(frozen=True, eq=False)
class ContractiveInstance:
    """One instance: `sensitivity`, `noise_std`, `contraction`, arrays of length N (step 1 first)."""

    sensitivity: Array
    noise_std: Array
    contraction: Array
    kind: str = "random"

    @property
    def steps(self) -> int:
        return len(self.sensitivity)

    def __str__(self) -> str:
        def row(values: Array) -> str:
            return "(" + ", ".join(f"{value:.6g}" for value in values) + ")"

        return (
            f"N={self.steps}, sensitivity {row(self.sensitivity)}, noise {row(self.noise_std)}, "
            f"contraction {row(self.contraction)}"
        )


@dataclass(frozen=True, eq=False)
class LearnUnlearnInstance:
    """T noisy learning steps with sensitivities, then `unlearn_steps` steps without, one contraction factor."""

    sensitivity: Array
    contraction: float
    unlearn_steps: int
    learn_noise: float
    unlearn_noise: float
    kind: str = "random"

    def chain(self) -> ContractiveInstance:
        """The same as a chain of N = T + K steps."""
        learn, unlearn = len(self.sensitivity), self.unlearn_steps
        return ContractiveInstance(
            np.concatenate([self.sensitivity, np.zeros(unlearn)]),
            np.repeat([self.learn_noise, self.unlearn_noise], [learn, unlearn]),
            np.full(learn + unlearn, self.contraction),
            self.kind,
        )

    def __str__(self) -> str:
        row = ", ".join(f"{value:.6g}" for value in self.sensitivity)
        return (
            f"T={len(self.sensitivity)}, K={self.unlearn_steps}, sensitivity ({row}), contraction "
            f"{self.contraction:.6g}, learn noise {self.learn_noise:.6g}, unlearn noise {self.unlearn_noise:.6g}"
        )


def worst_factors(instance: ContractiveInstance) -> Array:
    """Contraction factors, at most the allowed ones, of the scalar linear pair that attains the supremum."""
    s, sigma, c = instance.sensitivity, instance.noise_std, instance.contraction
    # What happens before a factor 0 is forgotten; powers of c are taken only after it.
    start = int(np.flatnonzero(c == 0)[-1]) if np.any(c == 0) else 0
    reach = np.concatenate([np.cumprod(c[start + 1 :][::-1])[::-1], [1.0]])
    u, tau = reach * s[start:], (reach * sigma[start:]) ** 2
    # A noiseless step cannot be paid for at once: its gap is carried to the next noisy step.
    owner = np.array([next((j for j in range(k, len(tau)) if tau[j] > 0), -1) for k in range(len(tau))])
    factors = c.copy()
    if np.any(owner < 0):
        return factors
    noisy = np.unique(owner)
    weight = tau[noisy]
    gap = np.array([u[owner == j].sum() for j in noisy])
    slope = dict(zip(noisy, isotonic_regression(gap / weight, weights=weight).x, strict=True))
    g = np.array([slope[j] for j in owner])
    for k in range(1, len(g)):
        if g[k] > 0:
            factors[start + k] = c[start + k] * min(1.0, g[k - 1] / g[k])
    return factors


def worst_parameter(instance: ContractiveInstance) -> float:
    """Parameter of the Gaussian trade-off of the worst pair, by the scalar recursions of its gap and variance."""
    gap, variance = 0.0, 0.0
    for s, sigma, c in zip(instance.sensitivity, instance.noise_std, worst_factors(instance), strict=True):
        gap, variance = c * gap + s, c * c * variance + sigma * sigma
    if gap == 0:
        return 0.0
    return gap / math.sqrt(variance) if variance > 0 else math.inf


def truth(instance: ContractiveInstance) -> Truth:
    """The supremum over all pairs of the instance, in float64 with its rounding error."""
    return Truth.of(worst_parameter(instance), _ROUNDING * (instance.steps + 4))


def certify(instance: ContractiveInstance) -> Truth:
    """The parameter of one allowed pair in exact rational arithmetic, its logarithm rounded outward."""
    gap, variance = Fraction(0), Fraction(0)
    for s, sigma, c, allowed in zip(
        instance.sensitivity, instance.noise_std, worst_factors(instance), instance.contraction, strict=True
    ):
        factor = min(Fraction(float(c)), Fraction(float(allowed)))
        gap = factor * gap + Fraction(float(s))
        variance = factor * factor * variance + Fraction(float(sigma)) ** 2
    if gap == 0:
        return Truth(-math.inf, -math.inf)
    if variance == 0:
        return Truth(math.inf, math.inf)
    square = gap * gap / variance
    # log of a fraction through its correctly rounded float; a subnormal or huge square is scaled by a power of two.
    shift = square.numerator.bit_length() - square.denominator.bit_length()
    log_mu = 0.5 * (math.log(float(square / Fraction(2) ** shift)) + shift * math.log(2))
    error = 4e-16 * (1 + abs(log_mu))
    return Truth(log_mu - error, log_mu + error)


def edge_cases() -> list[ContractiveInstance]:
    """Instances on which bounds are tight or break: small round numbers, one to four steps, several segments."""
    rows = [
        ("one step", [1], [1], [1]),
        ("two equal steps", [1, 1], [1, 1], [1, 1]),
        ("late gap", [0, 1], [1, 1], [0.5, 0.5]),
        ("early gap", [1, 0], [1, 1], [0.5, 0.5]),
        ("early gap", [1, 0, 0], [1, 1, 1], [0.9, 0.9, 0.9]),
        ("growing gap", [1, 2, 4], [1, 1, 1], [0.5, 0.5, 0.5]),
        ("several segments", [0.1, 0.2, 1, 0], [1, 1, 1, 0.5], [1, 0.9, 0.9, 0.9]),
        ("quiet end", [1, 1, 0], [1, 1, 0.1], [1, 1, 1]),
        ("noiseless step", [1, 1], [0, 1], [1, 1]),
        ("forgetting step", [1, 1, 1], [1, 1, 1], [1, 0, 1]),
        ("expanding", [1, 1], [1, 1], [2, 2]),
        ("constant", [1] * 5 + [0] * 2, [1] * 5 + [2] * 2, [0.8] * 7),
    ]
    return [
        ContractiveInstance(np.array(s, float), np.array(sigma, float), np.array(c, float), kind)
        for kind, s, sigma, c in rows
    ]


def sample(rng: np.random.Generator, most_steps: int = 12) -> ContractiveInstance:
    """A random instance; sensitivities and noises over several decades, factors on both sides of the usual."""
    steps = int(rng.integers(1, most_steps + 1))
    spread = rng.choice([0.0, 0.5, 2.0])
    s = np.exp(spread * rng.standard_normal(steps)) * (rng.random(steps) < rng.choice([1.0, 0.7]))
    sigma = np.exp(rng.choice([0.0, 0.5, 1.5]) * rng.standard_normal(steps))
    if rng.random() < 0.5:
        c = np.full(steps, rng.choice([1.0, 0.999, 0.9, 0.5, rng.random()]))
    else:
        c = rng.uniform(0.2, 1.05, steps)
    return ContractiveInstance(s, sigma, c)


def instances(court_count: int, rng: np.random.Generator) -> Iterator[ContractiveInstance]:
    """The edge cases, then `court_count` random instances."""
    yield from edge_cases()
    for _ in range(court_count):
        yield sample(rng)


def sample_learn_unlearn(rng: np.random.Generator, *, one_segment: bool = False) -> LearnUnlearnInstance:
    """A random learn-unlearn instance; with `one_segment` sensitivities that fall at least as fast as c^-k."""
    learn, unlearn = int(rng.integers(1, 10)), int(rng.integers(1, 8))
    c = float(rng.choice([1.0, 0.99, 0.9, 0.6, rng.random()]))
    learn_noise, unlearn_noise = np.exp(rng.standard_normal(2))
    if one_segment:
        # Every prefix lies above the chord when s_k c^k / sigma_k^2 never grows, the quiet phase being the later one.
        s = np.sort(rng.random(learn))[::-1] + 0.05
        kind = "one segment"
    else:
        s, kind = np.exp(1.5 * rng.standard_normal(learn)), "random"
    return LearnUnlearnInstance(s, c, unlearn, float(learn_noise), float(unlearn_noise), kind)


def simplify(instance: ContractiveInstance) -> Iterator[ContractiveInstance]:
    """Simpler instances: a step fewer, one number rounder."""
    arrays = (instance.sensitivity, instance.noise_std, instance.contraction)
    for k in range(instance.steps if instance.steps > 1 else 0):
        yield _of([np.delete(values, k) for values in arrays], instance.kind)
    for which, values in enumerate(arrays):
        for k, value in enumerate(values):
            # A gap that is absent is simpler than a gap of 1; a noise or a factor of 1 is simpler than none.
            for rounder in rounder_numbers(float(value), first=(0.0, 1.0) if which == 0 else (1.0, 0.0)):
                changed = [entry.copy() for entry in arrays]
                changed[which][k] = rounder
                yield _of(changed, instance.kind)


def _of(arrays: list[Array], kind: str) -> ContractiveInstance:
    return ContractiveInstance(arrays[0], arrays[1], arrays[2], kind)


def rounder_numbers(value: float, *, first: tuple[float, ...] = (1.0, 0.0)) -> list[float]:
    """Rounder candidates in order of preference: 1, 0, 2, 1/2, then one and two significant digits.

    first: what is simplest for this number, in order. Empty where the value is as round as it gets.
    """
    candidates = list(dict.fromkeys([*first, 2.0, 0.5, float(f"{value:.0e}"), float(f"{value:.1e}")]))
    # Only strictly preferred candidates: a shrink that could return to where it was would never end.
    return candidates[: candidates.index(value)] if value in candidates else candidates


def usual(value: Any) -> Any:
    """The number (or array) itself; zero where it is so small that its square could be lost to underflow."""
    return (
        np.where(np.abs(value) < _TINY, 0.0, value) if isinstance(value, np.ndarray) else value * (abs(value) >= _TINY)
    )


class Contractive(Family):
    """Every pair of contractive chains with given sensitivities, noise and contraction factors.

    Instance: arrays `sensitivity` >= 0, `noise_std` >= 0, `contraction` >= 0 of length N, step 1 first; it stands for all
    pairs X <- phi(X) + noise, X' <- phi'(X') + noise with |phi - phi'| <= sensitivity along X and Lip(phi') <= contraction.
    The claim returns a mu such that every such pair of end points is mu-Gaussian-DP; +inf promises nothing.
    Truth: the supremum over all of them (the hull of the accumulated gaps), attained by a scalar linear pair with factors at
    most the allowed ones. Error: 1e-14 relative in float64; a refutation exhibits the pair in exact fractions.
    Tight: on every instance, for the optimal shifts; for one shift over the whole horizon where the hull is one segment.
    """

    name = "contractive"
    holds = "sensitivity, noise_std, contraction: arrays of length N, step 1 first"
    returns = "a Gaussian-DP parameter mu >= 0 promised for every contractive pair with these numbers"
    truth_is = "the supremum over all such pairs, attained; float64 to 1e-14 relative, certified by exact fractions"
    tight_on = "every instance: the optimal shifts reach it"
    tolerance = 1e-9

    def edge_cases(self) -> list[ContractiveInstance]:
        return edge_cases()

    def sample(self, rng: np.random.Generator) -> ContractiveInstance:
        return sample(rng)

    def truth(self, instance: ContractiveInstance) -> Truth:
        return truth(instance)

    def certify(self, instance: ContractiveInstance) -> Truth:
        return certify(instance)

    def simplify(self, instance: ContractiveInstance) -> Iterator[ContractiveInstance]:
        return simplify(instance)

    def coordinates(self, instance: ContractiveInstance) -> Array:
        parts = (instance.sensitivity, instance.noise_std, instance.contraction)
        return np.concatenate([np.log(np.maximum(values, 1e-12)) for values in parts])

    def with_coordinates(self, instance: ContractiveInstance, coordinates: Array) -> ContractiveInstance:
        s, sigma, c = np.split(np.exp(np.clip(coordinates, -30, 30)), 3)
        # A factor that was at most 1 stays so: the local search does not leave the usual regime on its own.
        c = np.where(instance.contraction <= 1, np.minimum(c, 1.0), c)
        keep_zero = [(s, instance.sensitivity), (sigma, instance.noise_std), (c, instance.contraction)]
        return _of([np.where(old == 0, 0.0, new) for new, old in keep_zero], "local search")

    def strategy(self) -> strategies.SearchStrategy[ContractiveInstance]:
        positive = strategies.floats(0.01, 100.0)
        row = strategies.tuples(
            strategies.one_of(strategies.just(0.0), positive), positive, strategies.floats(0.01, 1.05)
        )
        return strategies.lists(row, min_size=1, max_size=10).map(_from_rows)


def _from_rows(rows: list[tuple[float, float, float]]) -> ContractiveInstance:
    columns = np.array(rows, dtype=float).T
    return ContractiveInstance(columns[0], columns[1], columns[2], "drawn")


register(Contractive())
