"""Three Gaussian laws and an order: bounds on a Rényi divergence, and triangle inequalities through a third law.

An instance holds `.p`, `.q`, `.r`, each with `.mean` (d,) and `.cov` (d, d), and `.order` > 1. The truth is
D_order(p || q), exact and possibly infinite; a claim may use any divergence between the three. The weak triangle is
attained where the covariances are equal and the means lie on one line, so those triples are always tried; pairs on
both sides of the infinity boundary, and narrow laws far from wide ones, are where orders may not be mixed up.

The truth is certified: with V = (1-a) S_p + a S_q and D the gap of the means, the divergence is
a D'V^-1 D / 2 + (log|V| - (1-a) log|S_p| - a log|S_q|) / (2 (1-a)) if V is positive definite, and infinite otherwise. The
quadratic form and the determinants are exact rational numbers of the instance's doubles, and only their logarithms are
taken in ball arithmetic; so whether the divergence is infinite is decided exactly.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from flint import arb, ctx, fmpq, fmpq_mat
from hypothesis import strategies
from numpy.typing import ArrayLike, NDArray

from linear.gaussian_renyi import gaussian_renyi

from ..verdict import Truth
from .base import Family, register
from .contractive import rounder_numbers, usual

Array = NDArray[np.float64]

INFINITE = Truth(math.inf, math.inf)
_PRECISIONS = tuple(2**k for k in range(7, 13))  # bits
_WANTED_BITS = 60
# A local search does not go where float64 loses the covariance.
_ILL_CONDITIONED = 1e-6


@dataclass(frozen=True, eq=False)
class GaussianLaw:
    """N(mean, cov): mean (d,), cov (d, d) symmetric positive definite."""

    mean: Array
    cov: Array

    @classmethod
    def of(cls, mean: ArrayLike, cov: ArrayLike) -> GaussianLaw:
        """From anything array-like; numbers stand for one dimension."""
        return cls(np.atleast_1d(np.asarray(mean, dtype=float)), np.atleast_2d(np.asarray(cov, dtype=float)))

    def renyi(self, other: GaussianLaw, order: float) -> float:
        """D_order(self || other); +inf where the integral diverges."""
        return gaussian_renyi(self.mean, self.cov, other.mean, other.cov, order=order)

    def __str__(self) -> str:
        if len(self.mean) == 1:
            return f"N({self.mean[0]:.6g}, {self.cov[0, 0]:.6g})"
        rows = "; ".join(", ".join(f"{value:.6g}" for value in row) for row in self.cov)
        return f"N(({', '.join(f'{value:.6g}' for value in self.mean)}), [{rows}])"


@dataclass(frozen=True, eq=False)
class GaussianTriple:
    """One instance: laws `p`, `q`, `r` of one dimension, and `order`."""

    p: GaussianLaw
    q: GaussianLaw
    r: GaussianLaw
    order: float
    kind: str = "random"

    def __str__(self) -> str:
        return f"order {self.order:.6g}, p = {self.p}, q = {self.q}, r = {self.r}"


def truth(instance: GaussianTriple) -> Truth:
    """D_order(p || q): V = (1-a) S_p + a S_q is positive definite or not by exact minors; logarithms in balls.

    Raises ValueError when a covariance is not positive definite.
    """
    p, q, order = instance.p, instance.q, _rational(instance.order)
    cov_p, cov_q = _rational_matrix(p.cov), _rational_matrix(q.cov)
    gap = _rational_matrix(p.mean[:, None]) - _rational_matrix(q.mean[:, None])
    if not (_positive_definite(cov_p) and _positive_definite(cov_q)):
        raise ValueError("cov: must be positive definite")
    mixed = (1 - order) * cov_p + order * cov_q
    if not _positive_definite(mixed):
        return INFINITE
    if cov_p == cov_q and all(entry == 0 for entry in gap.entries()):
        return Truth(-math.inf, -math.inf)
    shift = (gap.transpose() * mixed.solve(gap))[0, 0] * order / 2
    for bits in _PRECISIONS:
        with ctx.workprec(bits):
            shape = (
                arb(mixed.det()).log() - arb(1 - order) * arb(cov_p.det()).log() - arb(order) * arb(cov_q.det()).log()
            )
            value = arb(shift) + shape / arb(2 * (1 - order))
            if value > 0 and value.rel_accuracy_bits() >= _WANTED_BITS:
                return outward(value.log())
    raise FloatingPointError(f"the divergence cannot be resolved with {_PRECISIONS[-1]} bits")


def outward(ball: arb) -> Truth:
    """The ball's ends as doubles, rounded outward."""
    lower, upper = float(ball.lower()), float(ball.upper())
    return Truth(math.nextafter(lower, -math.inf), math.nextafter(upper, math.inf))


def with_finite_end(found: Truth) -> Truth:
    """The same, an infinite truth entered from the largest double on.

    A search orders instances by truth - promise, which must stay a number when both are infinite.
    """
    return Truth(math.log(sys.float_info.max), math.inf) if found.lower == math.inf else found


def _rational(value: float) -> fmpq:
    return fmpq(*float(value).as_integer_ratio())


def _rational_matrix(matrix: Array) -> fmpq_mat:
    return fmpq_mat([[_rational(value) for value in row] for row in matrix])


def _positive_definite(matrix: fmpq_mat) -> bool:
    rows = matrix.tolist()
    return all(fmpq_mat([row[:k] for row in rows[:k]]).det() > 0 for k in range(1, len(rows) + 1))


def scalar(
    p: tuple[float, float], q: tuple[float, float], r: tuple[float, float], order: float, kind: str = "scalar"
) -> GaussianTriple:
    """A one-dimensional instance from (mean, variance) pairs."""
    return GaussianTriple(GaussianLaw.of(*p), GaussianLaw.of(*q), GaussianLaw.of(*r), order, kind)


def attaining(p: GaussianLaw, q_mean: Array, order: float, fraction: float | None = None) -> GaussianTriple:
    """One covariance, and r on the line from p to q: at (a-1)/(2a-1) of the way, where the weak triangle is attained."""
    share = (order - 1) / (2 * order - 1) if fraction is None else fraction
    middle = p.mean + share * (q_mean - p.mean)
    kind = "attaining" if fraction is None else "collinear"
    return GaussianTriple(p, GaussianLaw(q_mean, p.cov), GaussianLaw(middle, p.cov), order, kind)


def edge_cases() -> list[GaussianTriple]:
    """Round numbers: attaining triples, the infinity boundary from both sides, narrow and far."""
    line = [attaining(GaussianLaw.of(0.0, 1.0), np.array([3.0]), order) for order in (2.0, 1.5, 4.0, 16.0)]
    plane = attaining(GaussianLaw.of([0.0, 0.0], [[2.0, 0.5], [0.5, 1.0]]), np.array([1.0, -2.0]), 3.0)
    return [
        *line,
        plane,
        attaining(GaussianLaw.of(0.0, 1.0), np.array([3.0]), 2.0, 0.5),
        scalar((0.0, 1.2), (0.5, 1.0), (0.25, 1.3), 3.0, "wide first law"),
        scalar((60.0, 0.01), (0.0, 1.0), (0.0, 1.0), 4.0, "narrow and far"),
        scalar((60.0, 0.01), (0.0, 1.0), (60.0, 0.5), 4.0, "narrow and far"),
        scalar((0.0, 1.25), (0.5, 1.0), (0.0, 1.25), 5.0, "infinite"),
        scalar((0.0, 1.25), (0.5, 1.0), (0.0, 1.25), 4.999, "near infinity"),
        scalar((0.0, 1.0), (0.0, 1.0), (0.0, 1.0), 2.0, "no gap"),
    ]


def sample(rng: np.random.Generator) -> GaussianTriple:
    """A random instance of a random kind, orders from just above 1 to 30."""
    order = float(rng.choice([1.1, 1.5, 2.0, 3.0, 8.0, 1 + math.exp(rng.normal()), 30.0]))
    kind = str(rng.choice(["attaining", "collinear", "nested", "random", "narrow and far", "boundary"]))
    if kind in ("attaining", "collinear"):
        size = int(rng.integers(1, 4))
        start = GaussianLaw(rng.normal(size=size), _covariance(rng, size))
        fraction = None if kind == "attaining" else float(rng.uniform(-0.2, 1.2))
        return attaining(start, start.mean + np.exp(rng.normal()) * rng.normal(size=size), order, fraction)
    if kind == "narrow and far":
        far, narrow = float(rng.uniform(3, 60)), float(10 ** rng.uniform(-3, -0.5))
        middle = (far * float(rng.uniform()), float(rng.uniform(narrow, 1)))
        return scalar((far, narrow), (0.0, 1.0), middle, order, kind)
    if kind == "boundary":
        limit, off = order / (order - 1), float(rng.choice([-1.0, 1.0]) * 10 ** rng.uniform(-5, -1))
        kind = "near infinity" if off < 0 else "infinite"
        return scalar((float(rng.normal()), limit * (1 + off)), (0.0, 1.0), (0.0, limit), order, kind)
    size = int(rng.integers(1, 4))
    means = rng.normal(size=(3, size)) * math.exp(rng.normal())
    first = _covariance(rng, size)
    if kind == "nested":
        # Each law wider than the one before: all divergences along p, r, q are finite.
        second = first + rng.exponential() * _covariance(rng, size)
        third = second + rng.exponential() * _covariance(rng, size)
    else:
        second, third = _covariance(rng, size), _covariance(rng, size)
    p, q, r = (GaussianLaw(mean, cov) for mean, cov in zip(means, (first, third, second), strict=True))
    return GaussianTriple(p, q, r, order, kind)


def _covariance(rng: np.random.Generator, size: int) -> Array:
    directions = np.linalg.qr(rng.normal(size=(size, size)))[0]
    cov = (directions * np.exp(rng.normal(size=size))) @ directions.T
    return (cov + cov.T) / 2


def instances(count: int, rng: np.random.Generator) -> Iterator[GaussianTriple]:
    """The edge cases, then `count` random instances."""
    yield from edge_cases()
    for _ in range(count):
        yield sample(rng)


def simplify(instance: GaussianTriple) -> Iterator[GaussianTriple]:
    """Simpler triples: a dimension fewer, correlations dropped, then one number rounder."""
    size = len(instance.p.mean)
    laws = {name: getattr(instance, name) for name in ("p", "q", "r")}

    def rebuilt(changed: dict[str, GaussianLaw]) -> GaussianTriple:
        return GaussianTriple(**{**laws, **changed}, order=instance.order, kind=instance.kind)

    for k in range(size if size > 1 else 0):
        rest = [j for j in range(size) if j != k]
        yield rebuilt({name: GaussianLaw(law.mean[rest], law.cov[np.ix_(rest, rest)]) for name, law in laws.items()})
    for order in rounder_numbers(instance.order):
        if order > 1:
            yield replace(instance, order=order)
    for name, law in laws.items():
        for cov in _simpler_covariances(law.cov):
            yield rebuilt({name: GaussianLaw(law.mean, cov)})
        for k in range(size):
            for value in rounder_numbers(float(law.mean[k])):
                mean = law.mean.copy()
                mean[k] = value
                yield rebuilt({name: GaussianLaw(mean, law.cov)})


def _simpler_covariances(cov: Array) -> Iterator[Array]:
    for j in range(len(cov)):
        for k in range(j, len(cov)):
            value = float(cov[j, k])
            off_diagonal = [0.0] if value != 0 else []
            for rounder in rounder_numbers(value) if j == k else off_diagonal:
                changed = cov.copy()
                changed[j, k] = changed[k, j] = rounder
                if np.linalg.eigvalsh(changed)[0] > 0:
                    yield changed


class GaussianRenyi(Family):
    """Three Gaussians and an order: bounds on a divergence, free to go through the third law.

    Instance: laws `p`, `q`, `r`, each with `mean` (d,), `cov` (d, d) and `renyi(other, order)`; `order` > 1.
    The claim returns an upper bound on D_order(p || q), using r as it likes; +inf promises nothing.
    Truth: the Gaussian integral, infinite cases included. Error: none beyond 1e-17 relative; the quadratic form and the
    determinants are exact rationals, their logarithms balls, so whether the divergence is infinite is decided exactly.
    Tight: one covariance and means on a line; the weak triangle is attained with r at (a-1)/(2a-1) of the way from p to q.
    """

    name = "gaussian_renyi"
    holds = "p, q, r: Gaussians with mean (d,), cov (d, d) and renyi(other, order); order > 1"
    returns = "an upper bound on D_order(p || q); +inf promises nothing"
    truth_is = "the Gaussian integral, infinite cases included; certified by rational determinants and balls"
    tight_on = "one covariance, r at the fraction (a-1)/(2a-1) from p to q: the weak triangle is attained"
    tolerance = 1e-9

    def edge_cases(self) -> list[GaussianTriple]:
        return edge_cases()

    def sample(self, rng: np.random.Generator) -> GaussianTriple:
        return sample(rng)

    def truth(self, instance: GaussianTriple) -> Truth:
        return with_finite_end(truth(instance))

    def simplify(self, instance: GaussianTriple) -> Iterator[GaussianTriple]:
        return simplify(instance)

    def coordinates(self, instance: GaussianTriple) -> Array:
        parts = [np.array([math.log(instance.order - 1)])]
        for law in (instance.p, instance.q, instance.r):
            factor = np.linalg.cholesky(law.cov)
            diagonal = np.diag_indices(len(law.mean))
            factor[diagonal] = np.log(factor[diagonal])
            parts += [law.mean, factor[np.tril_indices(len(law.mean))]]
        return np.concatenate(parts)

    def with_coordinates(self, instance: GaussianTriple, coordinates: Array) -> GaussianTriple:
        size = len(instance.p.mean)
        order = 1 + math.exp(min(max(float(coordinates[0]), -5.0), 5.0))
        p, q, r = (_law(block, size) for block in np.split(coordinates[1:], 3))
        return GaussianTriple(p, q, r, order, "local search")

    def strategy(self) -> strategies.SearchStrategy[GaussianTriple]:
        return triples()


_SIZE = strategies.integers(1, 3)
_COORDINATE = strategies.one_of(strategies.integers(-4, 4).map(float), strategies.floats(-10, 10)).map(usual)
_SCALE = strategies.one_of(strategies.sampled_from([1.0, 2.0, 0.5]), strategies.floats(0.1, 5.0))
_BELOW = strategies.floats(-1, 1).map(usual)
_ORDER = strategies.one_of(strategies.sampled_from([2.0, 1.5, 4.0]), strategies.floats(1.01, 30.0))
_FRACTION = strategies.one_of(strategies.none(), strategies.floats(0.0, 1.0))


@strategies.composite
def triples(draw: strategies.DrawFn) -> GaussianTriple:
    """Triples of up to three dimensions: on a line with one covariance (attaining included), or three laws at will."""
    size, order = draw(_SIZE), draw(_ORDER)

    def mean() -> Array:
        return np.array([draw(_COORDINATE) for _ in range(size)])

    def cov() -> Array:
        factor = np.diag([draw(_SCALE) for _ in range(size)])
        for place in zip(*np.tril_indices(size, -1), strict=True):
            factor[place] = draw(_BELOW)
        return factor @ factor.T

    p, end = GaussianLaw(mean(), cov()), mean()
    if draw(strategies.booleans()):
        return attaining(p, end, order, draw(_FRACTION))
    return GaussianTriple(p, GaussianLaw(end, cov()), GaussianLaw(mean(), cov()), order, "drawn")


def _law(block: Array, size: int) -> GaussianLaw:
    factor = np.zeros((size, size))
    factor[np.tril_indices(size)] = block[size:]
    diagonal = np.diag_indices(size)
    factor[diagonal] = np.exp(np.clip(factor[diagonal], -4, 4))
    cov = factor @ factor.T
    eigenvalues = np.linalg.eigvalsh(cov)
    if eigenvalues[0] < _ILL_CONDITIONED * eigenvalues[-1]:
        raise ValueError("cov: too close to singular for bounds computed in float64 to mean anything")
    return GaussianLaw(np.clip(usual(block[:size]), -1e3, 1e3), (cov + cov.T) / 2)


register(GaussianRenyi())
